//! nginx with the configuration of `docs/deploy`: only paths, ports and the user are this machine's.

use crate::eventually::eventually;
use crate::machine::Machine;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// Somebody else may take a free port first.
const TRIES: usize = 5;

pub struct Nginx {
    child: Child,
    /// `http://127.0.0.1:PORT` for pages and applications.
    pub pages: String,
    /// The same for live clients with documents.
    pub documents: String,
}

impl Nginx {
    /// Returns once it takes connections.
    pub fn start(machine: &Machine) -> Nginx {
        (0..TRIES).find_map(|_| Nginx::try_start(machine)).unwrap_or_else(|| {
            let said = fs::read_to_string(machine.at("var/log/nginx/error.log")).unwrap_or_default();
            panic!("nginx does not start: {said}")
        })
    }

    fn try_start(machine: &Machine) -> Option<Nginx> {
        let [pages, documents] = free_ports();
        let mut text = machine.deployed("nginx.conf");
        text = text.replace("user www-data;", &format!("user {} {};", id("-un"), id("-gn")));
        text = text.replace("listen 80;", &format!("listen 127.0.0.1:{pages};"));
        text = text.replace("listen 81;", &format!("listen 127.0.0.1:{documents};"));
        text = text.replace("http {\n", &format!("http {{\n{}", temporary_places(machine)));
        let file = machine.write("etc/nginx.conf", &text);
        let child = Command::new("nginx")
            .arg("-c")
            .arg(file)
            .arg("-e")
            .arg(machine.at("var/log/nginx/error.log"))
            .args(["-g", "daemon off;"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.expect("nginx is installed by `cargo xtask setup`");
        let started = eventually("nginx starts or ends", || {
            let up = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            let ended = child.try_wait().unwrap().map(|_| false);
            ended.or_else(|| (up(pages) && up(documents)).then_some(true))
        });
        let url = |port| format!("http://127.0.0.1:{port}");
        started.then(|| Nginx { child, pages: url(pages), documents: url(documents) })
    }
}

/// Where packages have nginx write, only root may.
fn temporary_places(machine: &Machine) -> String {
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    places.map(|of| format!("    {of}_temp_path {};\n", machine.at(&format!("run/{of}")).display())).concat()
}

/// Ports that nothing listens at now.
pub fn free_ports() -> [u16; 2] {
    let taken = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    taken.map(|listener| listener.local_addr().unwrap().port())
}

fn id(what: &str) -> String {
    String::from_utf8(Command::new("id").arg(what).output().unwrap().stdout).unwrap().trim().to_owned()
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, it would leave its own workers behind. All of it fails only when it has ended already.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}
