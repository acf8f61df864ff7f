//! Python with the packages of `requirements.txt`.

use crate::environment::environment;
use crate::machine::Machine;
use crate::play::scripts;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// The script in Python.
pub fn python() -> Command {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let python = MADE.get_or_init(|| environment("live-python", &scripts().join("requirements.txt")));
    let mut command = Command::new(python);
    command.arg("-B").arg(scripts().join("python_clients.py"));
    command
}

/// A back end that publishes through python-socketio's write-only Redis manager.
pub struct Publisher {
    child: Child,
    says: ChildStdin,
    hears: BufReader<ChildStdout>,
}

impl Publisher {
    pub fn start(machine: &Machine, told: &Value) -> Publisher {
        let mut command = python();
        command.current_dir(machine.at("")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut says = child.stdin.take().unwrap();
        writeln!(says, "{told}").unwrap();
        let hears = BufReader::new(child.stdout.take().unwrap());
        Publisher { child, says, hears }
    }

    /// `{event, data, room}` as JSON.
    pub fn publish(&mut self, event: &str) {
        writeln!(self.says, "{event}").unwrap();
        let mut answer = String::new();
        self.hears.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim(), "ok published");
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
