//! Python with packages of PyPI, in environments below `target/` that are made once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter of an environment with what a `requirements.txt` names.
///
/// # Panics
/// There is no Python, or the packages cannot be had.
pub fn environment(name: &str, wanted: &Path) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (text, stamp) = (fs::read(wanted).unwrap(), home.join("made-of.txt"));
    if !fs::read(&stamp).is_ok_and(|made_of| made_of == text) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home));
        let mut install = Command::new(home.join("bin/python"));
        run(install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(wanted));
        fs::write(stamp, text).unwrap();
    }
    home.join("bin/python")
}

fn run(command: &mut Command) {
    let output = command.output().expect("python3 is installed by `cargo xtask setup`");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
