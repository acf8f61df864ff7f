//! `syncline doctor` looks at the database and at the Redis that workers share.

use crate::postgres::database;
use crate::postgres::server::Postgres;
use crate::shell::{Hub, Ran, Shell};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A Redis with a password, as long as it is held.
struct Redis(Child);

impl Redis {
    fn start(shell: &Shell) -> (Redis, String) {
        let socket = shell.path("redis.sock");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--requirepass", "swordfish", "--unixsocket"]).arg(&socket);
        command.current_dir(socket.parent().unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("redis-server is installed by `cargo xtask setup`");
        let until = Instant::now() + Duration::from_secs(60);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < until, "redis-server takes connections");
            thread::sleep(Duration::from_millis(10)); // sleep: until another program listens
        }
        (Redis(child), format!("unix://{}?pass=swordfish", socket.display()))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What was found, by its check.
struct Found(Value);

impl Found {
    fn of(ran: &Ran) -> Found {
        let answer: Value =
            serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}{}", ran.stdout, ran.stderr));
        assert_eq!(ran.code, i32::from(answer["well"] == false), "{}", ran.stdout);
        Found(answer["findings"].clone())
    }

    fn level(&self, check: &str) -> &str {
        let mut all = self.0.as_array().unwrap().iter();
        let found = all.find(|found| found["check"] == check);
        found.unwrap_or_else(|| panic!("no {check}: {}", self.0))["level"].as_str().unwrap()
    }

    /// What was found and what to do, of one check.
    fn text(&self, check: &str) -> String {
        let all = self.0.as_array().unwrap().iter().filter(|found| found["check"] == check);
        all.map(|found| format!("{} | {}\n", found["says"], found["next"])).collect()
    }
}

fn doctor(shell: &Shell, variables: &[(&str, &str)], args: &[&str]) -> Found {
    Found::of(&shell.run_with(variables, &[&["--json", "doctor"], args].concat()))
}

#[test]
fn a_database_and_a_redis_that_are_well_are_said_to_be_while_hubs_run_and_when_none_does() {
    let (_, variables) = database();
    let shell = Shell::new();
    let (redis, url) = Redis::start(&shell);
    let mut variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    variables.push(("SYNCLINE_REDIS_URL", &url));
    let hub = Hub::start_with(&shell, &variables, &[]);
    shell.ok(&["db", "insert", "a.db", "notes", "{}"]);
    shell.ok(&["db", "sync", "a.db", "--hub", &hub.url, "--token", hub.admin(), "--collections", "notes"]);

    for running in [true, false] {
        let found = doctor(&shell, &variables, &[]);
        for check in ["configuration", "redis", "store", "connections", "clock", "hub", "horizon", "stalls"] {
            assert_eq!(found.level(check), "fine", "{}", found.0);
        }
        let listen = if running { "1 workers listen" } else { "0 workers listen" };
        assert!(found.text("redis").contains(listen), "{}", found.text("redis"));
        assert!(found.text("store").contains("PostgreSQL"), "{}", found.text("store"));
        assert!(!found.0.to_string().contains("swordfish"), "{}", found.0);
        if running {
            assert!(!found.text("connections").contains("hubs have 0"), "{}", found.text("connections"));
            drop(Command::new("kill").arg(hub.pid().to_string()).status());
            wait_until_gone(&hub);
        }
    }
    drop(redis);
    let found = doctor(&shell, &variables, &[]);
    assert_eq!(found.level("redis"), "look");
    assert!(found.text("redis").contains("see that it runs"), "{}", found.text("redis"));
}

/// Its connections have ended.
fn wait_until_gone(hub: &Hub) {
    let until = Instant::now() + Duration::from_secs(60);
    let alive = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", hub.pid())).unwrap_or_default();
        !stat.contains(") Z ") && !stat.is_empty()
    };
    while alive() {
        assert!(Instant::now() < until, "the hub ends");
        thread::sleep(Duration::from_millis(10)); // sleep: until another process has ended
    }
}

#[test]
fn what_is_wrong_with_a_database_is_named_with_what_to_do_and_nothing_is_made() {
    let server = Postgres::shared();
    let name = server.database();
    let shell = Shell::new();
    let look = |url: &str, args: &[&str]| doctor(&shell, &[("SYNCLINE_STORE", url)], args);
    let url = server.url(&name);
    let wrong = |found: &Found, check: &str, words: &[&str]| {
        assert_eq!(found.level(check), "wrong", "{}", found.0);
        let text = found.text(check);
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    };

    wrong(&look(&server.url("nowhere"), &[]), "store", &["nowhere", "createdb"]);
    let role = format!("user_of_{name}");
    server.run(
        &name,
        &format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 9; REVOKE CREATE ON DATABASE {name} FROM PUBLIC"),
    );
    wrong(&look(&url, &[]), "store", &["there is no hub in it", "start a hub on it"]);
    wrong(&look(&server.url_as(&role, &name), &[]), "store", &["there is no hub in it", "GRANT CREATE"]);
    assert_eq!(server.run(&name, "SELECT to_regnamespace('syncline') IS NULL"), "t", "who looks makes nothing");

    let hub = Hub::start_with(&shell, &[("SYNCLINE_STORE", &url)], &[]);
    wrong(&look(&server.url_as(&role, &name), &[]), "store", &["may not read and write", "GRANT SELECT"]);
    server.run(&name, &format!("GRANT USAGE ON SCHEMA syncline TO {role}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA syncline TO {role}"));
    let few = look(&server.url_as(&role, &name), &[]);
    wrong(&few, "connections", &["of 9 are free", "postgres.connections"]);
    let enough = look(&server.url_as(&role, &name), &["--set", "postgres.connections=4"]);
    assert_ne!(enough.level("connections"), "wrong", "{}", enough.0);

    drop(hub.stop("-TERM"));
    server.run(&name, &format!("ALTER DATABASE {name} SET default_transaction_read_only = on; ALTER DATABASE {name} SET synchronous_commit = off"));
    let found = look(&url, &[]);
    wrong(&found, "writing", &["takes no writes", "default_transaction_read_only = off", "synchronous_commit = on"]);
    server.run("postgres", &format!("ALTER DATABASE {name} RESET ALL"));
    server.run(&name, "UPDATE syncline.schema SET version = 99");
    wrong(&look(&url, &[]), "store", &["schema 99", "use a newer syncline"]);
}

#[test]
fn a_redis_that_is_none_is_named_by_the_doctor_and_in_the_log_of_a_hub_that_goes_on() {
    let shell = Shell::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut asked = [0; 4096];
                while stream.read(&mut asked).is_ok_and(|n| n > 0) {
                    if stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").is_err() {
                        return;
                    }
                }
            });
        }
    });
    let variables = [("SYNCLINE_REDIS_HOST", "127.0.0.1"), ("SYNCLINE_REDIS_PORT", port.as_str())];
    let hub = Hub::start_with(&shell, &variables, &[]);
    shell.ok(&["db", "insert", "a.db", "notes", "{}"]);
    shell.ok(&["db", "sync", "a.db", "--hub", &hub.url, "--token", hub.admin(), "--collections", "notes"]);
    let found = doctor(&shell, &[&variables[..], &[("SYNCLINE_TOKEN", hub.admin())]].concat(), &[]);
    assert_eq!(found.level("redis"), "look");
    let text = found.text("redis");
    assert!(text.contains("does not speak as Redis does") && text.contains("redis.port"), "{text}");
    let (_, _, log) = hub.stop("-TERM");
    assert!(log.contains("Redis is away") && log.contains("does not speak as Redis does"), "{log}");
}
