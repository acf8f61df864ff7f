//! The hub as a process: started on a data directory, killed, stopped, started again.

use crate::clock;
use crate::eventually::eventually;
use crate::http::{self, Reply, Request};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// The binary under test.
pub const SYNCLINE: &str = env!("CARGO_BIN_EXE_syncline");

/// An admin token; admins read and write everywhere.
pub const TOKEN: &str = "correct-horse-battery-staple";

/// A hub that runs. Dropping it kills it.
pub struct Hub {
    child: Child,
    /// `host:port`.
    pub address: String,
    log: Arc<Mutex<String>>,
}

impl Hub {
    /// Returns once the hub accepts connections.
    pub fn start(data: &Path) -> Hub {
        Hub::spawn(Command::new(SYNCLINE), data)
    }

    /// As [`Hub::start`], with a command line that ends in the binary's path.
    pub fn spawn(command: Command, data: &Path) -> Hub {
        Hub::try_spawn(command, data).unwrap_or_else(|log| panic!("the hub did not start: {log}"))
    }

    /// As [`Hub::spawn`]; a hub that ends instead of listening gives its standard error.
    pub fn try_spawn(mut command: Command, data: &Path) -> Result<Hub, String> {
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SYNCLINE_")) {
            command.env_remove(name);
        }
        let mut child = command
            .args(["--json", "serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .env("SYNCLINE_ADMIN_TOKEN", TOKEN)
            .current_dir(data.parent().unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = child.stdout.take().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let reader = gather(child.stderr.take().unwrap(), Arc::clone(&log));
        let first: Option<Result<Value, _>> = serde_json::Deserializer::from_reader(&mut said).into_iter().next();
        let Some(Ok(started)) = first else {
            child.wait().unwrap();
            reader.join().unwrap();
            return Err(log.lock().unwrap().clone());
        };
        let address = started["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
        Ok(Hub { child, address, log })
    }

    /// Kills the process without a chance to do anything.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        clock::forget(self.child.id());
    }

    /// Sends the process a signal: `TERM` asks it to stop, `STOP` halts it until `CONT`.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the process has ended by itself.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = eventually("the hub ends", || self.child.try_wait().unwrap());
        (status, self.log())
    }

    /// What it has written to standard error so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// A request that is answered.
    pub fn get(&self, path: &str) -> Reply {
        let request = Request { method: "GET", path, token: TOKEN, body: None };
        http::send(&self.address, &request).unwrap()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        clock::forget(self.child.id());
    }
}

/// Sends a process a signal.
pub fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn gather(from: impl Read + Send + 'static, into: Arc<Mutex<String>>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = into.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    })
}
