//! The page client: taken from `packages/page` of this repository, and built there when it is missing or older
//! than its source.
//!
//! Owns the way to the script. Must never be needed by an application: that one has it from npm.

use crate::error::RegistryError;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// The script that pages load.
pub fn script() -> Result<String, RegistryError> {
    let package = package();
    let script = package.join("dist/sync.bundle.js");
    if changed_at(&script) < sources(&package).iter().filter_map(|file| changed_at(file)).max() {
        build(&package)?;
    }
    let failed = |source| RegistryError::Io { action: format!("reading {}", script.display()), source };
    fs::read_to_string(&script).map_err(failed)
}

fn package() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the example lives in examples/");
    root.join("packages/page")
}

/// `None` where there is no such file.
fn changed_at(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|data| data.modified()).ok()
}

fn sources(package: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(package.join("src")).into_iter().flatten().flatten().map(|entry| entry.path());
    files.chain([package.join("package-lock.json")]).collect()
}

fn build(package: &Path) -> Result<(), RegistryError> {
    eprintln!("registry: building the page client in {}", package.display());
    if changed_at(&package.join("node_modules/.package-lock.json")) < changed_at(&package.join("package-lock.json")) {
        npm(package, &["ci", "--ignore-scripts"])?;
    }
    npm(package, &["run", "build"])
}

fn npm(package: &Path, arguments: &[&str]) -> Result<(), RegistryError> {
    let failed = || {
        let command = format!("npm {}", arguments.join(" "));
        RegistryError::PageClient { command, folder: package.display().to_string() }
    };
    let status = Command::new("npm").args(arguments).current_dir(package).stdout(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => Err(failed()),
    }
}
