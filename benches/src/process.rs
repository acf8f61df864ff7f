//! Servers as processes of their own, and what they cost: CPU seconds and peak memory.

use std::io::{BufRead, BufReader, Error, Result};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Server {
    /// Starts this program again in another role and waits until it listens.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(role: &str, dir: &Path) -> Result<Server> {
        Server::spawn(Command::new(std::env::current_exe()?).args([role.as_ref(), dir.as_os_str()]))
    }

    /// Starts a program that prints the port once it listens.
    ///
    /// # Errors
    /// When it does not start.
    pub fn spawn(command: &mut Command) -> Result<Server> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().ok_or_else(|| Error::other("the server has no output"))?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let port = line.trim().parse().map_err(|_| Error::other(format!("{command:?} did not start: `{line}`")))?;
        Ok(Server { child, port })
    }

    /// CPU seconds used so far.
    #[must_use]
    pub fn cpu_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = |n: usize| after_name.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
        // Fields 14 and 15 of the whole line, in hundredths of a second.
        (ticks(11) + ticks(12)) / 100.0
    }

    /// Waits until the server has done what it still owes (checkpoints), so that no figure pays for
    /// the one before it.
    pub fn settle(&self) {
        let mut before = f64::NAN;
        for _ in 0..100 {
            let used = self.cpu_s();
            if (used - before).abs() < f64::EPSILON {
                return;
            }
            before = used;
            std::thread::sleep(Duration::from_millis(150));
        }
    }

    /// Peak memory in MiB.
    #[must_use]
    pub fn peak_mib(&self) -> f64 {
        peak_mib(self.child.id())
    }

    /// Memory that it holds now, in MiB.
    #[must_use]
    pub fn resident_mib(&self) -> f64 {
        status_mib(self.child.id(), "VmRSS:")
    }
}

/// Peak memory of a process in MiB.
#[must_use]
pub fn peak_mib(process: u32) -> f64 {
    status_mib(process, "VmHWM:")
}

fn status_mib(process: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kib = |line: &str| line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok());
    status.lines().find(|line| line.starts_with(field)).and_then(kib).unwrap_or(0.0) / 1024.0
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
