//! A PostgreSQL of the tests' own: a real server on a socket file in a directory that goes away with the test process,
//! however that ends.
#![allow(dead_code)] // each test file uses its part

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const MISSING: &str = "PostgreSQL runs; `cargo xtask setup` installs it";

/// Without these a server does what it does for real; the tests that use it are not about the disk.
const QUICK: &[&str] = &["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "listen_addresses="];

/// Who may come in how: `ann` with a password, everybody else just so.
const RULES: &str = "local all ann scram-sha-256\nlocal all all trust\nlocal replication all trust\n\
                     host all ann all scram-sha-256\nhost all all all trust\n";

/// A server.
pub struct Postgres {
    dir: PathBuf,
    /// Ends the server and removes its directory when its standard input ends, as it does with this process.
    keeper: Child,
    orders: Mutex<ChildStdin>,
    databases: AtomicU32,
    port: u16,
}

/// Its number stands in the name of the socket file, also where nobody listens at a port.
const PORT: u16 = 5432;

impl Postgres {
    /// The one that the tests of this process share, each with a database of its own.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Postgres::start(&[]))
    }

    /// Another one, with further settings.
    pub fn start(settings: &[&str]) -> Postgres {
        Postgres::start_at(PORT, None, settings)
    }

    /// One that follows this one and takes no writes.
    pub fn replica(&self) -> Postgres {
        Postgres::start_at(self.port, Some(&self.dir), &[])
    }

    /// Returns when this replica has replayed all that its primary has written.
    pub fn catches_up(&self, primary: &Postgres) {
        let upto = primary.run("postgres", "SELECT pg_current_wal_lsn()");
        let there = format!("SELECT pg_last_wal_replay_lsn() >= '{upto}'");
        let until = Instant::now() + PATIENCE;
        while self.run("postgres", &there) != "t" {
            assert!(Instant::now() < until, "the replica follows");
            sleep(Duration::from_millis(10)); // sleep: until another program has done its part
        }
    }

    /// One that listens at a free port of this machine as well.
    pub fn start_on_a_port(settings: &[&str]) -> Postgres {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let listens = ["-c", "listen_addresses=127.0.0.1,127.0.0.2"];
        Postgres::start_at(free.port(), None, &[&listens[..], settings].concat())
    }

    fn start_at(port: u16, primary: Option<&Path>, settings: &[&str]) -> Postgres {
        let dir = tempfile::Builder::new().prefix("pg-").tempdir().expect("a directory for the test").keep();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&dir)
            .arg(binaries())
            .args([RULES, &port.to_string()])
            .arg(primary.unwrap_or(Path::new("")))
            .args(QUICK)
            .args(["-c", "max_connections=150"])
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect(MISSING);
        let orders = Mutex::new(keeper.stdin.take().expect("piped"));
        let server = Postgres { dir, keeper, orders, databases: AtomicU32::new(0), port };
        server.wait_until(true);
        server
    }

    /// Stops the server as a crash does, and returns when nobody answers.
    pub fn crash(&self) {
        self.order("crash");
        self.wait_until(false);
    }

    /// Stops the server in order, whoever is connected.
    pub fn stop(&self) {
        self.order("stop");
        self.wait_until(false);
    }

    /// Starts it again, and returns when it answers.
    pub fn start_again(&self) {
        self.order("start");
        self.wait_until(true);
    }

    /// From its next start on it is a replica, which takes no writes.
    pub fn demote(&self) {
        self.order("demote");
    }

    fn order(&self, word: &str) {
        writeln!(self.orders.lock().expect("no panic inside"), "{word}").expect("the keeper listens");
    }

    fn wait_until(&self, answers: bool) {
        let until = Instant::now() + PATIENCE;
        let ready = || self.tool("pg_isready").arg("-q").status().expect(MISSING).success();
        while ready() != answers {
            assert!(Instant::now() < until, "{MISSING}");
            sleep(Duration::from_millis(20)); // sleep: until another program listens
        }
    }

    /// Makes an empty database and tells its name.
    pub fn database(&self) -> String {
        let name = format!("hub{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// Where a database is, for a user who needs no password.
    pub fn url(&self, database: &str) -> String {
        self.url_as("syncline", database)
    }

    /// Where a database is, for somebody.
    pub fn url_as(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@/{database}?host={}&port={}", self.dir.display(), self.port)
    }

    /// The same by its port.
    pub fn tcp_url(&self, host: &str, database: &str) -> String {
        format!("postgres://syncline@{host}:{}/{database}", self.port)
    }

    /// Where its socket file is.
    pub fn socket_dir(&self) -> &Path {
        &self.dir
    }

    /// Whether tests run as root, whom PostgreSQL and its kin refuse to serve.
    pub fn runs_as_another_user() -> bool {
        let said = Command::new("id").arg("-u").output().expect("the system tells");
        said.stdout.trim_ascii() == b"0"
    }

    /// A session that a test speaks in, word by word.
    pub fn transaction(&self, database: &str) -> Conversation {
        let mut psql = self.tool("psql");
        psql.args(["-d", database, "-XqAt"]);
        Conversation::with(psql)
    }

    /// Somebody who is connected and does nothing.
    pub fn idle(&self, user: &str, database: &str) -> Child {
        let mut psql = Command::new(binaries().join("psql"));
        psql.arg("-h").arg(&self.dir).args(["-p", &self.port.to_string(), "-U", user, "-d", database, "-Xq"]);
        psql.args(["-c", "SELECT pg_sleep(3600)"]);
        psql.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect(MISSING)
    }

    /// What the server has written into its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("server.log")).expect("the keeper writes it")
    }

    /// All of a hub, as PostgreSQL's own tool writes it down.
    pub fn dump(&self, database: &str) -> String {
        let output = self.tool("pg_dump").args(["--schema=syncline", "-d", database]).output().expect(MISSING);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// A tool that talks to the server.
    fn tool(&self, name: &str) -> Command {
        let mut tool = Command::new(binaries().join(name));
        tool.arg("-h").arg(&self.dir).args(["-p", &self.port.to_string(), "-U", "syncline"]);
        tool
    }

    /// Runs statements and tells what came out, without frames.
    pub fn run(&self, database: &str, sql: &str) -> String {
        let mut psql = self.tool("psql");
        psql.args(["-d", database, "-XqAt", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect(MISSING);
        psql.stdin.take().expect("piped").write_all(sql.as_bytes()).expect("psql reads");
        let output = psql.wait_with_output().expect("psql ends");
        assert!(output.status.success(), "{sql}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.order("end");
        self.keeper.wait().expect("it ends");
    }
}

/// A pooler in transaction mode: it keeps no session for anybody.
pub struct Pooler {
    child: Child,
    dir: PathBuf,
    /// Where it listens.
    pub port: u16,
}

impl Pooler {
    /// Whether there is one on this machine.
    pub fn possible() -> bool {
        Command::new("pgbouncer").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// One that stands before a server.
    pub fn before(server: &Postgres) -> Pooler {
        let dir = tempfile::Builder::new().prefix("pooler-").tempdir().expect("a directory for the test").keep();
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let port = free.port();
        // `any` takes everybody for the user that the database names.
        let settings = format!(
            "[databases]\n* = host={} port={} user=syncline\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
             max_client_conn = 200\ndefault_pool_size = 8\nlogfile = {}\n\
             ignore_startup_parameters = extra_float_digits\n",
            server.dir.display(),
            server.port,
            dir.join("log").display()
        );
        std::fs::write(dir.join("pgbouncer.ini"), settings).expect("room on the disk");
        let mut command = Command::new("pgbouncer");
        if Postgres::runs_as_another_user() {
            let given = Command::new("chown").args(["-R", "postgres"]).arg(&dir).status().expect("the system gives");
            assert!(given.success());
            command.args(["-u", "postgres"]);
        }
        let child = command.arg(dir.join("pgbouncer.ini")).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let pooler = Pooler { child: child.expect("pgbouncer runs; `cargo xtask setup` installs it"), dir, port };
        let until = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "{}", pooler.log());
            sleep(Duration::from_millis(10)); // sleep: until another program listens
        }
        pooler
    }

    /// Where a database is, through it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://syncline@127.0.0.1:{}/{database}", self.port)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // All of them fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// An open session in the shell of a database; it is killed when this is dropped.
pub struct Conversation {
    shell: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Conversation {
    pub fn with(mut shell: Command) -> Conversation {
        let mut shell =
            shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("`cargo xtask setup` installs it");
        let (words, answers) = (shell.stdin.take().expect("piped"), shell.stdout.take().expect("piped"));
        Conversation { shell, words, answers: BufReader::new(answers) }
    }

    pub fn say(&mut self, sql: &str) {
        writeln!(self.words, "{sql}").expect("the shell reads");
    }

    /// Returns when this line has come.
    pub fn hears(&mut self, line: &str) {
        self.lines_until(line);
    }

    /// The lines that come before this one.
    pub fn lines_until(&mut self, line: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let mut heard = String::new();
            assert!(self.answers.read_line(&mut heard).expect("text") > 0, "it says `{line}`");
            match heard.trim() {
                heard if heard == line => return before,
                heard => before.push(heard.to_owned()),
            }
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// Where Debian keeps the newest version's programs.
fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect(MISSING);
    let number = |dir: &PathBuf| dir.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions.filter_map(|entry| Some(entry.ok()?.path())).max_by_key(number);
    newest.expect(MISSING).join("bin")
}

/// Makes and runs a server as a user who is not root, which PostgreSQL asks for.
const KEEPER: &str = r#"
dir=$1 bin=$2 rules=$3 port=$4 primary=$5; shift 5
as=""
if [ "$(id -u)" = 0 ]; then
    chown postgres "$dir"; as="setpriv --reuid=postgres --regid=postgres --clear-groups"
fi
make() {
    if [ "$primary" ]; then
        $as "$bin/pg_basebackup" -h "$primary" -p "$port" -U syncline -D "$dir/data" -R -c fast --no-sync
    else
        $as "$bin/initdb" -D "$dir/data" -U syncline --no-sync -E UTF8 --locale=C -A trust
    fi
}
cd "$dir"
if make >"$dir/initdb.log" 2>&1; then
    printf '%s' "$rules" | $as tee "$dir/data/pg_hba.conf" >/dev/null
    start() { $as "$bin/postgres" -D "$dir/data" -k "$dir" -p "$port" "$@" </dev/null >>"$dir/server.log" 2>&1 & server=$!; }
    start "$@"
    while read -r word; do
        case $word in
        crash) kill -QUIT $server; wait $server ;;
        stop) kill -INT $server; wait $server ;;
        start) start "$@" ;;
        demote) $as touch "$dir/data/standby.signal" ;;
        end) break ;;
        esac
    done
    kill -INT $server 2>/dev/null
    wait $server
else
    cat "$dir/initdb.log" >&2
fi
cd /; rm -rf "$dir"
"#;
