//! Replays one world, or runs many: `cargo run -p syncline-sim -- --seed 7`, `-- --seeds 10000 [--from 1]`,
//! `-- --world packets --seeds 10000`, `-- --world databases --seeds 10000`.

use std::process::ExitCode;
use syncline_sim::world;

const HELP: &str = "\
Runs seeded worlds of devices and a hub under faults, and checks every promise at their end.

Usage: syncline-sim --seed N              replay one world and tell what happened if it fails
       syncline-sim --seeds N [--from M]  run N worlds, from seed M on (default 0)
       syncline-sim --world packets ...   with nodes that exchange packets
       syncline-sim --world databases ... with databases that exchange packets beside those that sync by the log
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|word| word == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let range = match (number("--seed"), number("--seeds")) {
        (Some(seed), None) => seed..seed + 1,
        (None, Some(count)) => {
            let from = number("--from").unwrap_or(0);
            from..from + count
        }
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    let world = arguments.iter().position(|word| word == "--world").and_then(|at| arguments.get(at + 1));
    let run = match world.map(String::as_str) {
        None => world::run,
        Some("packets") => world::packets,
        Some("databases") => world::databases,
        Some(_) => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    let (mut changes, count) = (0, range.end - range.start);
    for seed in range {
        match run(seed) {
            Ok(report) => changes += report.changes,
            Err(history) => {
                eprintln!("{history}");
                return ExitCode::FAILURE;
            }
        }
        if count > 1_000 && (seed + 1) % 1_000 == 0 {
            eprintln!("  {} seeds", seed + 1);
        }
    }
    println!("{count} worlds kept every promise ({changes} changes)");
    ExitCode::SUCCESS
}
