//! `cargo xtask bench`: builds the package `syncline-bench` for release and hands it the arguments.
//!
//! Owns only the way there. Must never measure: workloads, yardsticks and targets are that
//! package's, in `benches/`.

use crate::cargo;
use crate::failure::Failure;

/// What `--help` prints.
const HELP: &str = "\
Build the benchmarks for release and run them.

Usage: cargo xtask bench [arguments of the benchmarks]

The benchmarks are the package `syncline-bench` in benches/. To see what it takes:
  cargo xtask bench -- --help
";

const PACKAGE: &str = "syncline-bench";

/// Runs the benchmarks with `arguments`.
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let arguments = match arguments.first().map(String::as_str) {
        Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            return Ok(());
        }
        Some("--") => &arguments[1..],
        _ => arguments,
    };
    if !cargo::packages()?.iter().any(|package| package.name == PACKAGE) {
        let reason =
            format!("the workspace has no package `{PACKAGE}`: it belongs into benches/, as a workspace member");
        return Err(Failure::Unreadable { what: "the benchmark package".into(), reason });
    }
    let mut line = vec!["run", "--release", "--package", PACKAGE, "--"];
    line.extend(arguments.iter().map(String::as_str));
    let shown = format!("cargo {}", line.join(" "));
    match cargo::command(&line).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::StepFailed { step: "the benchmark run".into(), command: shown }),
        Err(source) => Err(Failure::CannotRun { command: shown, source }),
    }
}
