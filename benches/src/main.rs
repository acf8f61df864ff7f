//! Benchmarks: the hub beside a yardstick and the embedded database beside raw SQLite, alternating in
//! one run, reported as ratios. Run by `cargo xtask bench`.

mod attach;
mod documents;
mod exchange;
mod hub;
mod live;
mod local;
mod postgres;
mod process;
mod remote;
mod report;
mod scale;
#[path = "../../crates/server/tests/support/postgres.rs"]
mod server;
mod wire;
mod workloads;
mod yardstick;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
Measures the hub beside a yardstick (axum and SQLite with group commit and nothing else), and the embedded
database beside raw SQLite, alternating, and prints medians and ratios.

Usage: cargo xtask bench [PART] [--rounds N] [--documents N]

Parts:
  all       everything (default)
  hub       W1 push, W2 bootstrap, W3 catch-up, wake-up of a waiting client
  memory    peak memory of the hub while 100,000 and 1,000,000 documents are bootstrapped
  exchange  packets of registered nodes beside own pushes and pulls, writes with 10,000 registered nodes
  live      rooms and event sync beside npm socket.io (needs node and npm; left out of `all` without them);
            of it alone: live-rooms, live-idle, live-events, live-workers
  postgres  hubs on PostgreSQL beside its own statements and COPY, two workers beside one, wake-up across workers
            (needs postgresql; left out of `all` without it)
  attach    an application's writes registered beside not registered, packets that become rows beside upserts, memory
            of a backlog: SQLite, and PostgreSQL where it is installed
  scale     how figures change with documents, spaces, nodes and workers, as ratios to the smallest (about five
            minutes; left out of `all`; workers need postgresql)
  local     inserts, queries, live queries and pulled pages of the embedded database

Options:
  --rounds N       rounds of each measurement, of which the median counts (default 5)
  --documents N    documents of W1 to W3, changes of backlogs (default 100000)
";

/// How much to measure.
#[derive(Clone, Copy)]
struct Extent {
    rounds: usize,
    documents: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("\nAt least one goal was missed.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<bool, Box<dyn Error>> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["serve-hub" | "serve-yardstick", dir] = words[..] {
        return serve(words[0], Path::new(dir)).map(|()| true);
    }
    if let ["carry", place, dialect, port, token] = words[..] {
        return attach::carry(place, dialect, port, token).map(|()| true);
    }
    let (mut part, mut extent) = ("all", Extent { rounds: 5, documents: 100_000 });
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let mut number = || -> Result<u64, String> {
            rest.next().and_then(|n| n.parse().ok()).ok_or(format!("{word} needs a number\n\n{HELP}"))
        };
        match *word {
            "--rounds" => extent.rounds = usize::try_from(number()?)?.max(1),
            "--documents" => extent.documents = (number()? / 1_000).max(1) * 1_000,
            "all" | "attach" | "hub" | "memory" | "exchange" | "postgres" | "live" | "local" | "scale" => part = word,
            "live-rooms" | "live-idle" | "live-events" | "live-workers" => part = word,
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(true);
            }
            other => return Err(format!("`{other}` is not known\n\n{HELP}").into()),
        }
    }
    let mut met = true;
    if matches!(part, "all" | "hub") {
        met &= remote::compare(extent)?;
    }
    if matches!(part, "all" | "memory") {
        met &= remote::memory()?;
    }
    if matches!(part, "all" | "exchange") {
        met &= exchange::compare(extent)?;
    }
    if part == "postgres" || part == "all" && postgres::possible() {
        met &= postgres::compare(extent)?;
    }
    if matches!(part, "all" | "attach") {
        met &= attach::compare(extent)?;
    }
    if part == "scale" {
        scale::measure()?;
    }
    if part.starts_with("live") || part == "all" && live::possible() {
        met &= live::compare(part.strip_prefix("live-"), extent)?;
    }
    if matches!(part, "all" | "local") {
        met &= local::compare(extent)?;
    }
    Ok(met)
}

fn serve(role: &str, dir: &Path) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match role {
        "serve-hub" => runtime.block_on(hub::serve(dir)),
        _ => Ok(runtime.block_on(yardstick::serve(dir))?),
    }
}
