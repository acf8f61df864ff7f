//! A Redis of a test's own: a real `redis-server` on a socket file, with a password, that can be stopped and started.

use crate::eventually::eventually;
use crate::machine::Machine;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

pub const PASSWORD: &str = "swordfish-of-redis";
pub const DB: u8 = 3;

pub struct Redis {
    pub socket: PathBuf,
    child: Option<Child>,
}

impl Redis {
    /// Returns once it takes connections.
    pub fn start(machine: &Machine) -> Redis {
        let mut redis = Redis { socket: machine.at("run/redis.sock"), child: None };
        redis.start_again();
        redis
    }

    pub fn start_again(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--databases", "4"])
            .args(["--requirepass", PASSWORD, "--unixsocket"])
            .arg(&self.socket)
            .current_dir(self.socket.parent().unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server is installed by `cargo xtask setup`"));
        eventually("redis-server takes connections", || UnixStream::connect(&self.socket).ok());
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The section of the configuration.
    pub fn section(&self, password: &str) -> String {
        format!("[redis]\nsocket = '{}'\npassword = '{password}'\ndb = {DB}\n", self.socket.display())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
