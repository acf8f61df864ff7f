//! A PostgreSQL of the tests' own: a real server on a socket file in a directory that goes away with the test process,
//! however that ends.
#![allow(dead_code)] // each test file uses its part

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const MISSING: &str = "PostgreSQL runs; `cargo xtask setup` installs it";

/// Without these a server does what it does for real; the tests that use it are not about the disk.
const QUICK: &[&str] = &["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "listen_addresses="];

/// Who may come in how: `ann` with a password, everybody else just so.
const RULES: &str = "local all ann scram-sha-256\nlocal all all trust\n\
                     host all ann all scram-sha-256\nhost all all all trust\n";

/// A server.
pub struct Postgres {
    dir: PathBuf,
    /// Ends the server and removes its directory when its standard input ends, as it does with this process.
    keeper: Child,
    orders: Mutex<ChildStdin>,
    databases: AtomicU32,
}

impl Postgres {
    /// The one that the tests of this process share, each with a database of its own.
    pub fn shared() -> &'static Postgres {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Postgres::start(&[]))
    }

    /// Another one, with further settings.
    pub fn start(settings: &[&str]) -> Postgres {
        let dir = tempfile::Builder::new().prefix("pg-").tempdir().expect("a directory for the test").keep();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&dir)
            .arg(binaries())
            .arg(RULES)
            .args(QUICK)
            .args(["-c", "max_connections=150"])
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect(MISSING);
        let orders = Mutex::new(keeper.stdin.take().expect("piped"));
        let server = Postgres { dir, keeper, orders, databases: AtomicU32::new(0) };
        server.wait_until(true);
        server
    }

    /// Stops the server as a crash does, and returns when nobody answers.
    pub fn crash(&self) {
        self.order("crash");
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
        let ready = || tool("pg_isready", &self.dir).arg("-q").status().expect(MISSING).success();
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
        format!("postgres://{user}@/{database}?host={}", self.dir.display())
    }

    /// Runs statements and tells what came out, without frames.
    pub fn run(&self, database: &str, sql: &str) -> String {
        let mut psql = tool("psql", &self.dir);
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

/// A tool that talks to the server in a directory.
fn tool(name: &str, dir: &Path) -> Command {
    let mut tool = Command::new(binaries().join(name));
    tool.arg("-h").arg(dir).args(["-U", "syncline"]);
    tool
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
dir=$1 bin=$2 rules=$3; shift 3
as=""
if [ "$(id -u)" = 0 ]; then
    chown postgres "$dir"; as="setpriv --reuid=postgres --regid=postgres --clear-groups"
fi
cd "$dir"
if $as "$bin/initdb" -D "$dir/data" -U syncline --no-sync -E UTF8 --locale=C -A trust >"$dir/initdb.log" 2>&1; then
    printf '%s' "$rules" | $as tee "$dir/data/pg_hba.conf" >/dev/null
    start() { $as "$bin/postgres" -D "$dir/data" -k "$dir" "$@" </dev/null >>"$dir/server.log" 2>&1 & server=$!; }
    start "$@"
    while read -r word; do
        case $word in
        crash) kill -QUIT $server; wait $server ;;
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
