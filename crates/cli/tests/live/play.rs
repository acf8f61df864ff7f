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
    INSTALLED.get_or_init(|| install(&scripts()));
    let mut command = with_many_files("node");
    command.arg(scripts().join(script));
    command
}

/// The page client as one script with everything in it, built once for all tests.
pub fn page_client() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let package = root.join("packages/page");
        install(&package);
        npm(&package, &["run", "build"]);
        package.join("dist/sync.bundle.js")
    })
}

/// What a package needs, unless that is there already.
fn install(package: &Path) {
    let changed_at = |file: &str| fs::metadata(package.join(file)).and_then(|data| data.modified()).ok();
    if changed_at("node_modules/.package-lock.json") < changed_at("package-lock.json") {
        npm(package, &["ci", "--ignore-scripts"]);
    }
}

fn npm(package: &Path, arguments: &[&str]) {
    let npm = Command::new("npm").args(arguments).current_dir(package).output();
    let npm = npm.expect("npm is installed by `cargo xtask setup`");
    assert!(npm.status.success(), "npm {arguments:?} failed: {}", String::from_utf8_lossy(&npm.stderr));
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
