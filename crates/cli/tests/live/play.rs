//! Runs a script of scenarios: tells it where the hub is, answers what it asks, and counts what held.

use crate::worker::with_many_files;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The folder of the scripts.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live")
}

/// A script in Node, with the packages that it imports.
pub fn node(script: &str) -> Command {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let changed_at = |file: &str| fs::metadata(scripts().join(file)).and_then(|data| data.modified()).ok();
        if changed_at("node_modules/.package-lock.json") < changed_at("package-lock.json") {
            let npm = Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(scripts()).output();
            let npm = npm.expect("npm is installed by `cargo xtask setup`");
            assert!(npm.status.success(), "npm ci failed: {}", String::from_utf8_lossy(&npm.stderr));
        }
    });
    let mut command = with_many_files("node");
    command.arg(scripts().join(script));
    command
}

/// Runs the script to its end. `answer` does what it asks for.
pub fn play(mut script: Command, told: &Value, scenarios: usize, mut answer: impl FnMut(&str)) {
    let mut running = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut says = running.stdin.take().unwrap();
    writeln!(says, "{told}").unwrap();
    let (mut held, mut failed) = (0, Vec::new());
    for line in BufReader::new(running.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(wish) = line.strip_prefix("ask ") {
            answer(wish);
            writeln!(says, "null").unwrap();
        } else if line.starts_with("ok ") {
            held += 1;
        } else {
            failed.push(line);
        }
    }
    let status = running.wait().unwrap();
    assert!(status.success() && failed.is_empty(), "{status}: {}", failed.join("\n"));
    assert_eq!(held, scenarios, "so many scenarios are in the script");
}
