//! A Redis between workers, on a socket file, that can be emptied and taken away.

use crate::eventually::eventually;
use crate::hub::signal;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const MISSING: &str = "redis is installed by `cargo xtask setup`";

pub struct Redis {
    socket: PathBuf,
    child: Option<Child>,
}

impl Redis {
    /// Returns once it takes connections.
    pub fn start(home: &Path) -> Redis {
        let mut redis = Redis { socket: home.join("redis.sock"), child: None };
        redis.start_again();
        redis
    }

    pub fn start_again(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(&self.socket);
        command.current_dir(self.socket.parent().unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect(MISSING));
        eventually("redis-server takes connections", || UnixStream::connect(&self.socket).ok());
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends the process a signal: `STOP` halts it until `CONT`.
    pub fn signal(&self, name: &str) {
        self.child.iter().for_each(|child| signal(child, name));
    }

    /// Forgets everything and cuts everybody off.
    pub fn flush(&self) {
        for words in [&["FLUSHALL"][..], &["CLIENT", "KILL", "TYPE", "pubsub"], &["CLIENT", "KILL", "TYPE", "normal"]] {
            let mut command = Command::new("redis-cli");
            command.arg("-s").arg(&self.socket).args(words).stdout(Stdio::null());
            assert!(command.status().expect(MISSING).success());
        }
    }

    /// What the configuration calls it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
