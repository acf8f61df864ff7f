//! A wall clock that can be set, for one process: libfaketime, which `cargo xtask setup` installs. What a process
//! takes for its running time goes on as it does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The clock of the processes that are started with it.
pub struct Clock {
    file: PathBuf,
    library: String,
}

impl Clock {
    /// A clock that is right.
    ///
    /// # Panics
    /// There is no `faketime`.
    pub fn new(home: &Path) -> Clock {
        let told = Command::new("faketime").args(["-m", "-f", "+0s", "printenv", "LD_PRELOAD"]).output();
        let told = told.expect("`cargo xtask setup` installs faketime").stdout;
        let clock = Clock { file: home.join("clock"), library: String::from_utf8(told).unwrap().trim().into() };
        assert!(!clock.library.is_empty(), "faketime names its library");
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
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.file);
        command.envs([("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
        command
    }
}
