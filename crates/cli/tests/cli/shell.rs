//! A scratch directory with the real binary in it, and hubs that run there.

use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;

/// The binary under test.
pub const SYNCLINE: &str = env!("CARGO_BIN_EXE_syncline");

/// A working directory of its own, without variables of the machine.
pub struct Shell {
    dir: TempDir,
}

/// What a command left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Shell {
    pub fn new() -> Shell {
        Shell { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SYNCLINE_")) {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(SYNCLINE).args(args))
    }

    pub fn run_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Ran {
        finish(self.command(SYNCLINE).envs(variables.iter().copied()).args(args))
    }

    /// Standard output of a command that must work.
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?} failed: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// The JSON document of a command that must work.
    pub fn json(&self, args: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(args);
        let text = self.ok(&all);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?} printed no JSON ({error}): {text}"))
    }

    /// Standard error of a command that must fail with this code.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, code, "{args:?}: {}{}", ran.stdout, ran.stderr);
        ran.stderr
    }
}

fn finish(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A hub that runs in a shell's directory, on a free port.
pub struct Hub {
    child: Child,
    pub url: String,
    pub admin: Option<String>,
}

impl Hub {
    pub fn start(shell: &Shell, args: &[&str]) -> Hub {
        Hub::start_with(shell, &[], args)
    }

    pub fn start_with(shell: &Shell, variables: &[(&str, &str)], args: &[&str]) -> Hub {
        let mut command = shell.command(SYNCLINE);
        command.envs(variables.iter().copied()).args(["--json", "serve", "--listen", "127.0.0.1:0"]);
        Hub::spawn(command.args(args))
    }

    /// A hub that listens elsewhere than on a free port.
    pub fn start_at(shell: &Shell, listen: &str) -> Hub {
        Hub::spawn(shell.command(SYNCLINE).args(["--json", "serve", "--listen", listen]))
    }

    /// Returns once the hub has said where it listens.
    fn spawn(command: &mut Command) -> Hub {
        let mut child =
            command.args(["--log-format", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = child.stdout.as_mut().unwrap();
        let first: Option<Result<Value, _>> = serde_json::Deserializer::from_reader(said).into_iter().next();
        let Some(Ok(started)) = first else {
            let mut stderr = String::new();
            child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            panic!("the hub did not start: {stderr}");
        };
        let text = |key: &str| started.get(key).and_then(Value::as_str).map(str::to_owned);
        Hub { url: text("url").unwrap(), admin: text("admin_token"), child }
    }

    pub fn admin(&self) -> &str {
        self.admin.as_deref().unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal and waits for the end; also gives the rest of standard output and the log.
    pub fn stop(mut self, signal: &str) -> (ExitStatus, String, String) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let (mut out, mut log) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap(), out, log)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text of every file below a directory, whatever it holds.
pub fn all_bytes_below(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            bytes.extend(all_bytes_below(&path));
        } else {
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
    bytes
}
