//! Python with the packages of `requirements.txt`, in an environment below `target/` that is made once.

use crate::machine::Machine;
use crate::play::scripts;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// The script in Python.
pub fn python() -> Command {
    static MADE: OnceLock<()> = OnceLock::new();
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("live-python");
    MADE.get_or_init(|| make(&home));
    let mut command = Command::new(home.join("bin/python"));
    command.arg("-B").arg(scripts().join("python_clients.py"));
    command
}

fn make(home: &Path) {
    let (wanted, stamp) = (scripts().join("requirements.txt"), home.join("made-of.txt"));
    let text = fs::read(&wanted).unwrap();
    if fs::read(&stamp).is_ok_and(|made_of| made_of == text) {
        return;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(home));
    let mut install = Command::new(home.join("bin/python"));
    run(install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(wanted));
    fs::write(stamp, text).unwrap();
}

fn run(command: &mut Command) {
    let output = command.output().expect("python3 is installed by `cargo xtask setup`");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
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
