//! `cargo xtask <command>`: the entry to everything a contributor or CI runs.
//!
//! Owns the choice of the command and the exit code. Must never hold what a command does: each has
//! a file of its own. It stands outside the life of a change.

mod bench;
mod cargo;
mod failure;
mod faults;
mod setup;
mod test;
mod tidy;

use failure::Failure;
use std::process::ExitCode;

const HELP: &str = "\
Set-up, tests, style rules and benchmarks of Syncline: what CI runs.

Usage: cargo xtask <command> [--help]

Commands:
  setup   Install what this machine lacks for building and testing
  test    Run set-up, then every check: formatting, style, lints, tests, documentation
  tidy    Check the style rules alone
  bench   Build the benchmarks for release and run them
  faults  Play many rounds of random faults against the real binary
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<(), Failure> {
    let Some((command, rest)) = arguments.split_first() else {
        print!("{HELP}");
        return Err(Failure::Usage("name a command: setup, test, tidy, bench or faults".into()));
    };
    match command.as_str() {
        "setup" => plain(rest, setup::HELP, setup::run),
        "test" => plain(rest, test::HELP, test::run),
        "tidy" => plain(rest, tidy::HELP, tidy::run),
        "bench" => bench::run(rest),
        "faults" => faults::run(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => {
            let commands = "setup, test, tidy, bench or faults";
            Err(Failure::Usage(format!("there is no command `{other}`: use {commands} (see --help)")))
        }
    }
}

/// Runs a command that takes no arguments but `--help`.
fn plain(rest: &[String], help: &str, run: fn() -> Result<(), Failure>) -> Result<(), Failure> {
    match rest.first().map(String::as_str) {
        None => run(),
        Some("help" | "--help" | "-h") => {
            print!("{help}");
            Ok(())
        }
        Some(other) => {
            Err(Failure::Usage(format!("unexpected argument `{other}`: this command takes none (see --help)")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        dispatch(&arguments).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_command_or_argument_names_what_would_do() {
        assert!(refusal(&["tets"]).contains("`tets`"));
        assert!(refusal(&["tets"]).contains("setup, test, tidy, bench or faults"));
        assert!(refusal(&["tidy", "--fix"]).contains("`--fix`"));
        assert!(refusal(&[]).contains("name a command"));
    }

    #[test]
    fn every_command_explains_itself() {
        for command in ["setup", "test", "tidy", "bench", "faults"] {
            assert!(HELP.contains(command));
            assert!(dispatch(&[command.into(), "--help".into()]).is_ok());
        }
    }
}
