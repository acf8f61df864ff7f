//! `cargo xtask test`: every check there is, in the order of what fails fastest.
//!
//! Owns the steps and their order. Must never change what the tools print: CI reads the lines of
//! `cargo test`. All steps share one profile and one feature set, so that a dependency is
//! compiled at most twice: once to be checked (clippy, doc) and once to be run.

use crate::cargo;
use crate::failure::Failure;
use crate::{setup, tidy};
use std::time::Instant;

/// What `--help` prints.
pub const HELP: &str = "\
Run set-up, then every check, stopping at the first that fails:

  1. cargo fmt --check
  2. cargo xtask tidy
  3. cargo clippy --workspace --all-targets -- -D warnings
  4. cargo test --workspace         (unit, integration, property, simulation and doc tests)
  5. cargo doc --workspace --no-deps, with warnings denied

Usage: cargo xtask test
";

/// One tool to run.
struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    /// A variable for this step alone.
    variable: Option<(&'static str, &'static str)>,
}

const STEPS: [Step; 3] = [
    Step {
        name: "clippy",
        arguments: &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
        variable: None,
    },
    Step { name: "tests", arguments: &["test", "--workspace", "--locked"], variable: None },
    Step {
        name: "documentation",
        arguments: &["doc", "--workspace", "--no-deps", "--locked"],
        variable: Some(("RUSTDOCFLAGS", "-D warnings")),
    },
];

const FORMATTING: Step = Step { name: "formatting", arguments: &["fmt", "--all", "--check"], variable: None };

/// Runs everything.
pub fn run() -> Result<(), Failure> {
    let start = Instant::now();
    timed("setup", "cargo xtask setup", setup::run)?;
    FORMATTING.run()?;
    timed("tidy", "cargo xtask tidy", tidy::run)?;
    for step in &STEPS {
        step.run()?;
    }
    println!("==> everything passed: setup, formatting, tidy, clippy, tests, documentation ({})", took(start));
    Ok(())
}

impl Step {
    fn run(&self) -> Result<(), Failure> {
        let line = self.line();
        timed(self.name, &line, || {
            let status = cargo::command(self.arguments).envs(self.variable).status();
            match status {
                Ok(status) if status.success() => Ok(()),
                Ok(_) => Err(Failure::StepFailed { step: self.name.into(), command: line.clone() }),
                Err(source) => Err(Failure::CannotRun { command: line.clone(), source }),
            }
        })
    }

    /// The step as a person would type it.
    fn line(&self) -> String {
        let variable = self.variable.map(|(name, value)| format!("{name}='{value}' ")).unwrap_or_default();
        format!("{variable}cargo {}", self.arguments.join(" "))
    }
}

fn timed(name: &str, line: &str, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    println!("==> {name}: {line}");
    let start = Instant::now();
    work()?;
    println!("==> {name} passed ({})", took(start));
    Ok(())
}

fn took(start: Instant) -> String {
    format!("{:.1} s", start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_can_be_repeated_as_printed() {
        let lines: Vec<String> = STEPS.iter().map(Step::line).collect();
        assert_eq!(lines[0], "cargo clippy --workspace --all-targets --locked -- -D warnings");
        assert_eq!(lines[2], "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked");
    }

    #[test]
    fn a_step_that_fails_names_its_command() {
        let failed = Failure::StepFailed { step: "clippy".into(), command: STEPS[0].line() };
        assert_eq!(
            timed("clippy", "", || Err(failed)).unwrap_err().to_string(),
            format!("clippy failed. To see it again: {}", STEPS[0].line())
        );
    }
}
