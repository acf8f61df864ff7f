//! nginx before workers: each request goes to the next one, and to another one if that does not answer. It may repeat
//! pushes on its own; a hub does nothing twice. A live connection (`who`) stays with one of them, as a WebSocket too.

use crate::eventually::eventually;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Somebody else may take a free port first.
const TRIES: usize = 5;
const CONFIGURATION: &str = "nginx.conf";

pub struct Balancer {
    child: Child,
    /// Where its configuration is.
    home: PathBuf,
    /// `host:port`.
    pub address: String,
}

impl Balancer {
    /// Returns once it takes connections.
    pub fn before(workers: &[String], home: &Path) -> Balancer {
        (0..TRIES).find_map(|_| Balancer::try_start(workers, home)).expect("nginx is installed by `cargo xtask setup`")
    }

    fn try_start(workers: &[String], home: &Path) -> Option<Balancer> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let places = places.map(|of| format!("{of}_temp_path {}/{of};\n", home.display())).concat();
        let servers: String = workers.iter().map(|worker| format!("server {worker} max_fails=0;\n")).collect();
        let text = format!(
            "worker_processes 1;\npid {home}/nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{places}\
             map $http_upgrade $kept {{\ndefault upgrade;\n'' close;\n}}\n\
             upstream workers {{\n{servers}}}\nupstream live {{\nhash $arg_who consistent;\n{servers}}}\n\
             server {{\nlisten {address};\nclient_max_body_size 64m;\n\
             location /socket.io {{\nproxy_pass http://live;\nproxy_http_version 1.1;\nproxy_buffering off;\n\
             proxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection $kept;\n\
             proxy_next_upstream error timeout http_503;\n}}\n\
             location / {{\nproxy_pass http://workers;\nproxy_http_version 1.1;\nproxy_buffering off;\n\
             proxy_request_buffering off;\nproxy_read_timeout 20s;\n\
             proxy_next_upstream error timeout http_502 http_503 non_idempotent;\n}}\n}}\n}}\n",
            home = home.display()
        );
        fs::write(home.join(CONFIGURATION), text).unwrap();
        let child = start(home, &address)?;
        Some(Balancer { child, home: home.into(), address })
    }

    /// Kills all of it, and with it every connection that leads through it.
    pub fn kill(&mut self) {
        // Its own workers would go on without it.
        let group = format!("-{}", self.child.id());
        assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
        self.child.wait().unwrap();
    }

    /// After it was killed, at the same address.
    pub fn start_again(&mut self) {
        self.child = eventually("nginx is there again", || start(&self.home, &self.address));
    }
}

/// `None`: it ended instead of taking connections.
fn start(home: &Path, address: &str) -> Option<Child> {
    let mut command = Command::new("nginx");
    command.arg("-c").arg(home.join(CONFIGURATION)).arg("-e").arg(home.join("nginx.log")).args(["-g", "daemon off;"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn().ok()?;
    let started = eventually("nginx starts or ends", || {
        let ended = child.try_wait().unwrap().map(|_| false);
        ended.or_else(|| TcpStream::connect(address).is_ok().then_some(true))
    });
    started.then_some(child)
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // Killed, it would leave its own workers behind. All of it fails only when it has ended already.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}
