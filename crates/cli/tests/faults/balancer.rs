//! nginx before workers: each request goes to the next one, and to another one if that does not answer. It may repeat
//! pushes on its own; a hub does nothing twice. A live connection (`who`) stays with one of them.

use crate::eventually::eventually;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Somebody else may take a free port first.
const TRIES: usize = 5;

pub struct Balancer {
    child: Child,
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
             upstream workers {{\n{servers}}}\nupstream live {{\nhash $arg_who consistent;\n{servers}}}\n\
             server {{\nlisten {address};\nclient_max_body_size 64m;\n\
             location /socket.io {{\nproxy_pass http://live;\nproxy_http_version 1.1;\nproxy_buffering off;\n\
             proxy_next_upstream error timeout http_503;\n}}\n\
             location / {{\nproxy_pass http://workers;\nproxy_http_version 1.1;\nproxy_buffering off;\n\
             proxy_request_buffering off;\nproxy_read_timeout 20s;\n\
             proxy_next_upstream error timeout http_502 http_503 non_idempotent;\n}}\n}}\n}}\n",
            home = home.display()
        );
        let file = home.join("nginx.conf");
        fs::write(&file, text).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(file).arg("-e").arg(home.join("nginx.log")).args(["-g", "daemon off;"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let started = eventually("nginx starts or ends", || {
            let ended = child.try_wait().unwrap().map(|_| false);
            ended.or_else(|| TcpStream::connect(&address).is_ok().then_some(true))
        });
        started.then_some(Balancer { child, address })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // Killed, it would leave its own workers behind. All of it fails only when it has ended already.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}
