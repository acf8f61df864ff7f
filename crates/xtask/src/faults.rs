//! `cargo xtask faults`: plays many rounds of random faults against the real binary.
//!
//! Owns what is asked for and the way there. Must never judge: the rounds and the judge are tests of the
//! package `syncline-cli`, which play a few rounds without being asked.

use crate::cargo;
use crate::failure::Failure;

/// What `--help` prints.
const HELP: &str = "\
Play rounds of random faults against the real binary and judge what clients saw.

Usage: cargo xtask faults [--workers] [--rounds N] [--seed N] [--release]

  --workers    three workers behind nginx, on PostgreSQL and Redis, instead of one hub
  --rounds N   how many (300)
  --seed N     the first round's seed; each further round takes the next number (1)
  --release    the binary and the clients as they are released

Hubs, clients and nginx are killed, hubs halted, connections cut, delayed and repeated, disks filled, clocks set and the
log trimmed (docs/reliability.md). The round that fails is named with the command that plays it again.
";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    rounds: u64,
    seed: u64,
    release: bool,
    workers: bool,
}

/// Plays rounds as `arguments` ask for them.
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let Some(asked) = read(arguments)? else {
        print!("{HELP}");
        return Ok(());
    };
    let mut line = vec!["test", "--locked", "--package", "syncline-cli", "--test", "faults"];
    line.extend(asked.release.then_some("--release"));
    line.extend(["--", if asked.workers { "workers::" } else { "rounds::" }, "--nocapture"]);
    let shown =
        format!("SYNCLINE_FAULT_ROUNDS={} SYNCLINE_FAULT_SEED={} cargo {}", asked.rounds, asked.seed, line.join(" "));
    let mut command = cargo::command(&line);
    command.env("SYNCLINE_FAULT_ROUNDS", asked.rounds.to_string()).env("SYNCLINE_FAULT_SEED", asked.seed.to_string());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::StepFailed { step: "a round of faults".into(), command: shown }),
        Err(source) => Err(Failure::CannotRun { command: shown, source }),
    }
}

/// `None`: help is asked for.
fn read(arguments: &[String]) -> Result<Option<Asked>, Failure> {
    let mut asked = Asked { rounds: 300, seed: 1, release: false, workers: false };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let place = match argument.as_str() {
            "help" | "--help" | "-h" => return Ok(None),
            "--release" => {
                asked.release = true;
                continue;
            }
            "--workers" => {
                asked.workers = true;
                continue;
            }
            "--rounds" => &mut asked.rounds,
            "--seed" => &mut asked.seed,
            other => return Err(Failure::Usage(format!("unexpected argument `{other}` (see --help)"))),
        };
        let number = arguments.next().and_then(|text| text.parse().ok());
        *place = number.ok_or_else(|| Failure::Usage(format!("`{argument}` takes a number (see --help)")))?;
    }
    Ok(Some(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Option<Asked>, Failure> {
        read(&line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn rounds_and_seed_are_what_is_asked_for() {
        let usual = Asked { rounds: 300, seed: 1, release: false, workers: false };
        assert_eq!(asked("").unwrap(), Some(usual));
        let few = Asked { rounds: 1, seed: 7, release: true, workers: false };
        assert_eq!(asked("--seed 7 --rounds 1 --release").unwrap(), Some(few));
        assert!(asked("--workers").unwrap().is_some_and(|asked| asked.workers));
        assert_eq!(asked("--rounds 1 --help").unwrap(), None);
    }

    /// The guide to reliability.
    fn guide() -> String {
        std::fs::read_to_string(cargo::root().join("docs/reliability.md")).unwrap()
    }

    #[test]
    fn every_file_that_the_guide_names_is_there_and_holds_tests_or_what_they_use() {
        let guide = guide();
        let named: Vec<&str> =
            guide.split('`').filter(|part| part.starts_with("crates/") && part.ends_with(".rs")).collect();
        assert!(named.len() > 20, "{named:?}");
        for file in named {
            assert!(cargo::root().join(file).is_file(), "docs/reliability.md names {file}");
        }
    }

    #[test]
    fn every_command_that_the_guide_names_is_understood() {
        let guide = guide();
        let commands: Vec<&str> = guide.lines().filter(|line| line.contains("cargo ") && !line.contains('`')).collect();
        assert!(commands.len() >= 5, "{commands:?}");
        let packages = cargo::packages().unwrap();
        for line in commands {
            let words: Vec<&str> = line.split_whitespace().skip_while(|word| *word != "cargo").skip(1).collect();
            if let ["xtask", "faults", rest @ ..] = &words[..] {
                assert!(asked(&rest.join(" ")).unwrap().is_some(), "{line}");
                continue;
            }
            let package = words.iter().position(|word| *word == "-p").map(|at| words[at + 1]);
            let package = packages.iter().find(|known| Some(known.name.as_str()) == package);
            let folder = &package.unwrap_or_else(|| panic!("{line}: no such package")).folder;
            if let Some(at) = words.iter().position(|word| *word == "--test") {
                let tests = folder.join("tests");
                let places = [tests.join(format!("{}.rs", words[at + 1])), tests.join(words[at + 1]).join("main.rs")];
                assert!(places.iter().any(|place| place.is_file()), "{line}");
            }
        }
    }

    #[test]
    fn what_is_no_number_or_unknown_is_named() {
        assert!(asked("--rounds many").unwrap_err().to_string().contains("`--rounds`"));
        assert!(asked("--seed").unwrap_err().to_string().contains("`--seed`"));
        assert!(asked("--sed 1").unwrap_err().to_string().contains("`--sed`"));
    }
}
