//! Servers as processes of their own, and what they cost: CPU seconds and peak memory.

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};
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

/// This thread and a server that it asks again and again, on one processor until this is dropped. On two of them a figure
/// tells above all how long it takes a sleeping one to wake, which is another time with each place that the system finds.
pub struct OnOneProcessor {
    before: CpuSet,
}

impl OnOneProcessor {
    /// Moves this thread and these processes there.
    ///
    /// # Errors
    /// When the system does not let them.
    pub fn with(processes: impl IntoIterator<Item = i32>) -> Result<OnOneProcessor> {
        let before = sched_getaffinity(None)?;
        let mut one = CpuSet::new();
        one.set((0..CpuSet::MAX_CPU).find(|processor| before.is_set(*processor)).unwrap_or_default());
        sched_setaffinity(None, &one)?;
        let moved = OnOneProcessor { before };
        for process in processes {
            sched_setaffinity(Pid::from_raw(process), &one)?;
        }
        Ok(moved)
    }
}

impl Drop for OnOneProcessor {
    fn drop(&mut self) {
        let _stays = sched_setaffinity(None, &self.before);
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
