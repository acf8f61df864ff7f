//! Hubs as processes: one on a port, or workers as the unit of `docs/deploy` starts them.

use crate::eventually::eventually;
use crate::machine::{Machine, TOKEN};
use serde_json::Value;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

/// The binary under test.
pub const SYNCLINE: &str = env!("CARGO_BIN_EXE_syncline");

/// Allows as many files as the machine lets this process have: connections are files.
const MANY_FILES: &str = "ulimit -n \"$(ulimit -H -n)\"; exec \"$0\" \"$@\"";

/// A hub that runs. Dropping it kills it.
pub struct Worker {
    child: Child,
    log: PathBuf,
    /// `http://127.0.0.1:PORT`, or the path of its socket file.
    pub address: String,
}

impl Worker {
    /// A hub on a free port.
    pub fn on_a_port(machine: &Machine, settings: &[&str]) -> Worker {
        Worker::listening(machine, "127.0.0.1:0", settings)
    }

    /// Kills it and starts it again on its port, with the usual settings.
    pub fn restart(&mut self, machine: &Machine) {
        self.kill();
        fs::remove_file(machine.at("run/ready")).unwrap();
        *self = Worker::listening(machine, self.address.trim_start_matches("http://"), &[]);
    }

    fn listening(machine: &Machine, address: &str, settings: &[&str]) -> Worker {
        let ready = machine.at("run/ready");
        let mut command = syncline();
        command.args(["serve", "--listen", address, "--data"]).arg(machine.at("var/lib/syncline/alone"));
        command.args(settings.iter().flat_map(|setting| ["--set", setting])).arg("--ready-file").arg(&ready);
        command.env("SYNCLINE_ADMIN_TOKEN", TOKEN);
        let mut worker = Worker::spawn(machine, "alone", command);
        let ready: Value = worker.until(|| serde_json::from_slice(&fs::read(&ready).ok()?).ok());
        worker.address = ready["url"].as_str().unwrap().to_owned();
        worker
    }

    /// As systemd starts `syncline@NAME`.
    pub fn of_unit(machine: &Machine, name: &str) -> Worker {
        let unit = machine.deployed("syncline@.service").replace("%i", name);
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/syncline ")).unwrap();
        let socket = line.rsplit_once("--listen unix:").unwrap().1.to_owned();
        fs::create_dir_all(PathBuf::from(&socket).parent().unwrap()).unwrap();
        let mut command = syncline();
        command.args(line.split(' '));
        let mut worker = Worker::spawn(machine, name, command);
        worker.until(|| UnixStream::connect(&socket).ok());
        worker.address = socket;
        worker
    }

    fn spawn(machine: &Machine, name: &str, mut command: Command) -> Worker {
        let log = machine.at(&format!("var/log/{name}.log"));
        let errors = fs::File::options().create(true).append(true).open(&log).unwrap();
        command.current_dir(machine.at("")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        Worker { child: command.spawn().unwrap(), log, address: String::new() }
    }

    /// Waits for a sign of a hub that starts.
    fn until<T>(&mut self, sign: impl Fn() -> Option<T>) -> T {
        let found = eventually("the hub starts or ends", || match sign() {
            Some(found) => Some(Ok(found)),
            None => self.child.try_wait().unwrap().map(Err),
        });
        found.unwrap_or_else(|status| panic!("the hub ended with {status}: {}", self.log()))
    }

    /// Kills the process without a chance to do anything.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the process to stop and waits until it has.
    pub fn stop(mut self) -> ExitStatus {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap()
    }

    /// What it has written to standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

/// The binary, without variables of the machine.
fn syncline() -> Command {
    let mut command = with_many_files(SYNCLINE);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SYNCLINE_")) {
        command.env_remove(name);
    }
    command
}

/// A program that may have many files open.
pub fn with_many_files(program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", MANY_FILES, program]);
    command
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
