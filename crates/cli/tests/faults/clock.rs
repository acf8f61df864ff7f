//! A wall clock that can be set, for one process: libfaketime, which `cargo xtask setup` installs. What a process
//! takes for its running time goes on as it does.

use crate::eventually::eventually;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The clock of the processes that are started with it.
pub struct Clock {
    file: PathBuf,
    library: &'static str,
}

/// Found once.
static LIBRARY: OnceLock<String> = OnceLock::new();

/// Where libfaketime is, as its own command tells.
fn library() -> String {
    eventually("faketime names its library", || {
        let told = Command::new("faketime").args(["-m", "-f", "+0s", "printenv", "LD_PRELOAD"]).output();
        let told = told.expect("`cargo xtask setup` installs faketime").stdout;
        // It says nothing where somebody of its process number was killed and left shared memory behind.
        Some(String::from_utf8(told).unwrap().trim().to_owned()).filter(|library| !library.is_empty())
    })
}

/// Takes away what a killed process leaves of its clock.
pub fn forget(process: u32) {
    for left in [format!("faketime_shm_{process}"), format!("sem.faketime_sem_{process}")] {
        // Most processes go by the machine's clock.
        let _ = fs::remove_file(Path::new("/dev/shm").join(left));
    }
}

impl Clock {
    /// A clock that is right.
    ///
    /// # Panics
    /// There is no `faketime`.
    pub fn new(home: &Path) -> Clock {
        let clock = Clock { file: home.join("clock"), library: LIBRARY.get_or_init(library) };
        clock.set(0);
        clock
    }

    /// Sets it so many seconds ahead of the right time, or behind it.
    pub fn set(&self, seconds: i64) {
        let whole = self.file.with_extension("new");
        fs::write(&whole, format!("{seconds:+}s\n")).unwrap();
        fs::rename(whole, &self.file).unwrap();
    }

    /// Makes a command go by this clock.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LD_PRELOAD", self.library).env("FAKETIME_TIMESTAMP_FILE", &self.file);
        command.envs([("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
        command
    }
}
