//! The files of `docs/deploy` for workers that share a database, as they are: only places, ports and certificates are
//! this machine's.

use crate::postgres::database;
use crate::shell::{Hub, SYNCLINE, Shell};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn deployed(file: &str) -> String {
    fs::read_to_string(repository().join("docs/deploy").join(file)).unwrap()
}

#[test]
fn the_image_runs_a_hub_at_the_port_that_it_exposes_and_takes_what_is_there() {
    let file = deployed("Dockerfile");
    let line =
        |word: &str| file.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_else(|| panic!("{word}")).trim();
    let entry: Vec<String> = serde_json::from_str(line("ENTRYPOINT")).unwrap();
    assert_eq!(Path::new(&entry[0]).file_name(), Path::new(SYNCLINE).file_name());
    assert!(file.contains(&format!("COPY --from=build /src/target/release/syncline {}", entry[0])));
    assert!(file.find("USER syncline") < file.find("ENTRYPOINT") && file.contains("USER syncline"), "not root");
    assert!(repository().join("Cargo.lock").is_file(), "`--locked` needs it");
    assert!(
        fs::read_to_string(repository().join("crates/cli/Cargo.toml")).unwrap().contains("name = \"syncline-cli\"")
    );

    let words: Vec<String> = serde_json::from_str(line("CMD")).unwrap();
    assert!(words.contains(&format!("0.0.0.0:{}", line("EXPOSE"))), "{words:?}");
    let shell = Shell::new();
    // The address is the test's own.
    let listen = words.iter().position(|word| word == "--listen").unwrap();
    let mut here: Vec<&str> = words.iter().map(String::as_str).collect();
    here.drain(listen..=listen + 1);
    assert_eq!(here.remove(0), "serve");
    // Every command in the container finds the data in the volume, wherever it is called from.
    let (variable, data) = line("ENV").split_once('=').unwrap();
    assert!(Path::new(data).starts_with(line("VOLUME")), "{data}");
    let (status, _, log) = Hub::start_with(&shell, &[(variable, "data")], &here).stop("-TERM");
    assert!(status.success(), "{log}");
    assert!(shell.path("data/hub.db").is_file(), "{variable} names the data");
}

#[test]
fn what_git_does_not_keep_is_not_in_the_image() {
    let outside = deployed("Dockerfile.dockerignore");
    let ignored = fs::read_to_string(repository().join(".gitignore")).unwrap();
    for path in ignored.lines() {
        // A pattern without a slash before its end holds in every directory there, and only with `**/` here.
        let path = path.trim_end_matches('/');
        let pattern = path.strip_prefix('/').map_or_else(|| format!("**/{path}"), str::to_owned);
        assert!(outside.lines().any(|line| line == pattern), "{pattern}");
    }
}

#[test]
fn compose_sets_what_a_hub_knows_and_names_files_that_are_there() {
    let file = deployed("compose.yaml");
    let shell = Shell::new();
    let mut variables = Vec::new();
    for (name, value) in file.lines().filter_map(|line| line.trim().split_once(": ")) {
        if name.starts_with("SYNCLINE_") {
            let value = value.replace("/run/secrets/", "");
            if name.ends_with("_FILE") {
                shell.write(&value, "correct-horse-battery-staple\n");
            }
            variables.push((name, value));
        }
    }
    assert!(variables.len() >= 5, "{variables:?}");
    let given: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let shown = shell.run_with(&given, &["config"]);
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    for (name, _) in &variables {
        assert!(shown.stdout.contains(name), "{name} sets nothing: {}", shown.stdout);
    }
    for named in ["docs/deploy/Dockerfile", "docs/deploy/workers.conf"] {
        assert!(
            file.contains(named.trim_start_matches("docs/deploy/")) && repository().join(named).is_file(),
            "{named}"
        );
    }
    let proxied = deployed("workers.conf");
    for service in ["one", "two"] {
        assert!(file.contains(&format!("  {service}:\n    <<: *worker\n")));
        assert!(proxied.contains(&format!("server {service}:7460 ")));
    }
}

/// The parts of the compose file that each make a container.
fn containers() -> Vec<(String, String)> {
    let file = deployed("compose.yaml");
    let (_, services) = file.split_once("\nservices:\n").unwrap();
    let (services, _) = services.split_once("\nvolumes:\n").unwrap();
    let (_, worker) = file.split_once("x-worker: &worker\n").unwrap();
    let (worker, _) = worker.split_once("\n\n").unwrap();
    let mut containers: Vec<(String, String)> = Vec::new();
    for line in services.lines() {
        match line.strip_prefix("  ").and_then(|line| line.strip_suffix(':')).filter(|name| !name.starts_with(' ')) {
            Some(name) => containers.push((name.to_owned(), String::new())),
            None => containers.last_mut().unwrap().1.push_str(&line.replace("<<: *worker", worker)),
        }
    }
    containers
}

#[test]
fn every_container_comes_back_after_a_crash_and_a_reboot() {
    let containers = containers();
    assert_eq!(containers.len(), 5, "{containers:?}");
    for (name, service) in containers {
        assert!(service.contains("restart: unless-stopped"), "{name}");
    }
}

/// nginx resolves their names only when it starts.
#[test]
fn workers_in_containers_keep_their_addresses() {
    let workers = containers().into_iter().filter(|(name, _)| ["one", "two"].contains(&name.as_str()));
    let mut addresses: Vec<String> = workers
        .map(|(_, service)| service.split_once("ipv4_address: ").unwrap().1.split_once(' ').unwrap().0.to_owned())
        .collect();
    addresses.dedup();
    assert_eq!(addresses.len(), 2, "{addresses:?}");
}

/// The image of PostgreSQL starts a server without a TCP address first, which makes the database and goes away again.
#[test]
fn the_database_is_healthy_only_when_workers_can_reach_it() {
    let (_, database) = containers().into_iter().find(|(name, _)| name == "database").unwrap();
    assert!(database.contains(r#""pg_isready", "-h", "127.0.0.1""#), "{database}");
}

/// nginx with TLS, which ends when this is dropped.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, it would leave its own workers behind. All of it fails only when it has ended already.
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

fn start_nginx(shell: &Shell, workers: [&Hub; 2]) -> (Nginx, u16) {
    let openssl = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
                   -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem";
    let made = shell.command("openssl").args(openssl.split_whitespace()).stderr(Stdio::null()).status().unwrap();
    assert!(made.success());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dir = shell.path("");
    let here = |name: &str| format!("{}{name}", dir.display());
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let places = places.map(|of| format!("    {of}_temp_path {};\n", here(of))).concat();
    let address = |hub: &Hub| hub.url.trim_start_matches("http://").to_owned();
    let text = deployed("workers.conf")
        .replace("/etc/nginx/tls/", &here(""))
        .replace("/var/run/", &here(""))
        .replace("/var/log/nginx/", &here(""))
        .replace("listen 443", &format!("listen 127.0.0.1:{port}"))
        .replace("one:7460", &address(workers[0]))
        .replace("two:7460", &address(workers[1]))
        .replace("http {\n", &format!("http {{\n{places}"));
    shell.write("nginx.conf", &text);
    let mut command = shell.command("nginx");
    command.args(["-c", &here("nginx.conf"), "-e", &here("error.log"), "-g", "daemon off;"]);
    let mut nginx = Nginx(command.stderr(Stdio::null()).spawn().expect("nginx is installed by `cargo xtask setup`"));
    let until = Instant::now() + LONG;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let said = || fs::read_to_string(shell.path("error.log")).unwrap_or_default();
        assert!(Instant::now() < until && nginx.0.try_wait().unwrap().is_none(), "nginx does not start: {}", said());
        sleep(Duration::from_millis(10)); // sleep: until another program listens
    }
    (nginx, port)
}

#[test]
fn devices_sync_through_nginx_with_tls_while_workers_are_replaced() {
    let (_, store) = database();
    let shell = Shell::new();
    let variables = [(store[0].0, store[0].1.as_str()), ("SYNCLINE_ADMIN_TOKEN", "correct-horse-battery-staple")];
    let start = || Hub::start_with(&shell, &variables, &[]);
    let (one, two) = (start(), start());
    let (_nginx, port) = start_nginx(&shell, [&one, &two]);
    let url = format!("https://localhost:{port}");
    let sync = |file: &str| {
        let arguments =
            ["db", "sync", file, "--hub", &url, "--token", "correct-horse-battery-staple", "--collections", "notes"];
        let ran = shell.run_with(&[("SSL_CERT_FILE", "cert.pem")], &arguments);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
    };
    for n in 0..4 {
        shell.ok(&["db", "insert", "a.db", "notes", &format!(r#"{{"_id":"n{n}"}}"#)]);
        sync("a.db");
        sync("b.db");
    }
    let (status, _, log) = one.stop("-TERM");
    assert!(status.success(), "{log}");
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"last"}"#]);
    sync("a.db");
    sync("b.db");
    assert_eq!(shell.json(&["db", "find", "b.db", "notes"]).as_array().unwrap().len(), 5);
}
