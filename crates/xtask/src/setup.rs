//! `cargo xtask setup`: what a machine needs beside Rust, installed where it is missing.
//!
//! Owns the list of needs. Must never touch what is already there, nor go past the system's own
//! package manager; on a complete machine it only looks, in well under a second.

use crate::failure::Failure;
use std::process::{Command, Stdio};

/// What `--help` prints.
pub const HELP: &str = "\
Install what this machine lacks for building and testing Syncline.

Usage: cargo xtask setup

Looks for each program below and installs the missing ones with apt-get (as root). Running it again
changes nothing. SQLite itself is compiled in; sqlite3 is its shell.

  cc              compiles SQLite, zstd and the cryptography of TLS
  git             lists the files that the style rules read
  node, npm       run the JavaScript packages and their tests
  curl, sqlite3   run the commands of the guides
  python3         runs a strict client of the exchange dialect, python-socketio and SQLAlchemy in environments of their own
  chromium        opens the pages of the example as a person would
  redis-server    stands between the workers of the tests
  postgresql      holds the stores that workers share
  pgbouncer       stands between some of them and it
  nginx           stands before them
  faketime        sets the clocks of the processes that tests start
  systemd-analyze judges the unit of docs/deploy
  rustfmt, clippy parts of the Rust toolchain; set-up says how to add them
";

/// One thing the machine has to have.
struct Need {
    name: &'static str,
    /// A command that succeeds where the need is met.
    probe: &'static [&'static str],
    /// The apt packages that meet it.
    packages: &'static [&'static str],
}

const NEEDS: [Need; 15] = [
    Need {
        name: "C compiler and headers",
        probe: &["cc", "-fsyntax-only", "-include", "stdio.h", "-x", "c", "/dev/null"],
        packages: &["gcc", "libc6-dev"],
    },
    Need { name: "git", probe: &["git", "--version"], packages: &["git"] },
    Need { name: "node", probe: &["node", "--version"], packages: &["nodejs"] },
    Need { name: "npm", probe: &["npm", "--version"], packages: &["npm"] },
    Need { name: "curl", probe: &["curl", "--version"], packages: &["curl"] },
    Need { name: "sqlite3", probe: &["sqlite3", "--version"], packages: &["sqlite3"] },
    Need { name: "python3", probe: &["python3", "--version"], packages: &["python3"] },
    Need {
        name: "python3 environments",
        probe: &["python3", "-c", "import venv, ensurepip"],
        packages: &["python3-venv"],
    },
    Need { name: "chromium", probe: &["chromium", "--version"], packages: &["chromium"] },
    Need { name: "redis-server", probe: &["redis-server", "--version"], packages: &["redis-server"] },
    Need { name: "postgresql", probe: &["sh", "-c", "ls /usr/lib/postgresql/*/bin/initdb"], packages: &["postgresql"] },
    Need { name: "pgbouncer", probe: &["pgbouncer", "--version"], packages: &["pgbouncer"] },
    Need { name: "nginx", probe: &["nginx", "-v"], packages: &["nginx-light"] },
    Need { name: "faketime", probe: &["faketime", "--version"], packages: &["faketime"] },
    Need { name: "systemd-analyze", probe: &["systemd-analyze", "--version"], packages: &["systemd"] },
];

const COMPONENTS: [Need; 2] = [
    Need { name: "rustfmt", probe: &["cargo", "fmt", "--version"], packages: &["rustfmt"] },
    Need { name: "clippy", probe: &["cargo", "clippy", "--version"], packages: &["clippy"] },
];

/// Looks for every need and installs those that are missing.
pub fn run() -> Result<(), Failure> {
    let absent = missing(&COMPONENTS);
    if !absent.is_empty() {
        let command = format!("rustup component add {}", packages(&absent).join(" "));
        return Err(Failure::Missing { what: names(&absent), command });
    }
    let absent = missing(&NEEDS);
    if absent.is_empty() {
        println!("setup: nothing to install (found {})", names(&NEEDS.iter().chain(&COMPONENTS).collect::<Vec<_>>()));
        return Ok(());
    }
    install(&absent)?;
    let absent = missing(&NEEDS);
    if absent.is_empty() {
        println!("setup: done");
        return Ok(());
    }
    Err(Failure::Missing { what: names(&absent), command: by_hand(&packages(&absent)) })
}

fn install(absent: &[&Need]) -> Result<(), Failure> {
    let packages = packages(absent);
    println!("setup: missing: {}", names(absent));
    if !(succeeds(&["apt-get", "--version"]) && is_root()) {
        return Err(Failure::Missing { what: names(absent), command: by_hand(&packages) });
    }
    apt(&["update"])?;
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(&packages);
    apt(&install)
}

fn apt(arguments: &[&str]) -> Result<(), Failure> {
    let line = format!("apt-get {}", arguments.join(" "));
    println!("setup: {line}");
    let status = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::StepFailed { step: "installing packages".into(), command: line }),
        Err(source) => Err(Failure::CannotRun { command: line, source }),
    }
}

fn missing(needs: &'static [Need]) -> Vec<&'static Need> {
    needs.iter().filter(|need| !succeeds(need.probe)).collect()
}

fn succeeds(line: &[&str]) -> bool {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn names(needs: &[&Need]) -> String {
    needs.iter().map(|need| need.name).collect::<Vec<_>>().join(", ")
}

fn packages(needs: &[&Need]) -> Vec<&'static str> {
    needs.iter().flat_map(|need| need.packages).copied().collect()
}

/// What a person types, as another user than root or with another package manager at hand.
fn by_hand(packages: &[&str]) -> String {
    let packages = packages.join(" ");
    let elsewhere = "elsewhere: what your package manager has under these names";
    format!("sudo apt-get update && sudo apt-get install --yes {packages}   ({elsewhere})")
}

#[cfg(test)]
mod tests {
    use super::*;

    static ABSENT: [Need; 2] = [
        Need { name: "a shell", probe: &["sh", "-c", "exit 0"], packages: &["dash"] },
        Need {
            name: "a program of no such name",
            probe: &["syncline-no-such-program"],
            packages: &["nothing", "at-all"],
        },
    ];

    #[test]
    fn only_what_does_not_answer_is_missing() {
        let absent = missing(&ABSENT);
        assert_eq!(names(&absent), "a program of no such name");
        assert_eq!(packages(&absent), ["nothing", "at-all"]);
    }

    #[test]
    fn a_person_without_rights_gets_the_line_to_type() {
        assert!(by_hand(&["gcc", "npm"]).starts_with("sudo apt-get update && sudo apt-get install --yes gcc npm "));
    }

    #[test]
    fn a_program_that_fails_counts_as_missing() {
        assert!(!succeeds(&["sh", "-c", "exit 3"]));
    }
}
