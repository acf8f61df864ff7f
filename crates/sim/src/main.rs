//! Plays one world again, or runs many: `cargo run -p syncline-sim -- --help`.

use std::process::ExitCode;
use syncline_sim::world::{Bug, Kind, Run};

const HELP: &str = "\
Runs seeded worlds of devices, foreign clients and a hub under faults, and checks every promise on the way and at their
end. The same world and seed give the same history.

Usage: syncline-sim --seed N               play one world, and tell what happened if a promise was broken
       syncline-sim --seeds N [--from M]   play N worlds, from seed M on (default 0); stop at the first broken promise

Options:
  --world NAME   the kind of world (default `devices`), or `all`
  --bug NAME     plant a bug, to see what the checks are worth; the exit status then still says whether they held
  --twice        play each world twice, and fail where it does not have the same history both times
  --full         tell all of a history, at any length
  --help         this text

Exit status: 0 every promise was kept, 1 one was broken (its story is on the error output), 2 the words above were not
understood.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|word| word == "--help" || word == "-h") {
        println!("{HELP}\nWorlds: {}\nBugs: {}", worlds(), bugs());
        return ExitCode::SUCCESS;
    }
    let wish = match Wish::read(&arguments) {
        Ok(wish) => wish,
        Err(why) => {
            eprintln!("{why}; `--help` tells what there is");
            return ExitCode::from(2);
        }
    };
    for kind in &wish.kinds {
        if let Err(story) = wish.play(*kind) {
            eprintln!("{story}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// What the words ask for.
struct Wish {
    kinds: Vec<Kind>,
    from: u64,
    count: u64,
    bug: Option<Bug>,
    full: bool,
    twice: bool,
}

impl Wish {
    fn read(arguments: &[String]) -> Result<Wish, String> {
        let mut wish = Wish { kinds: vec![Kind::Devices], from: 0, count: 0, bug: None, full: false, twice: false };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("`{word}` needs a value"));
            match word.as_str() {
                "--seed" => (wish.from, wish.count) = (number(value()?)?, 1),
                "--seeds" => wish.count = number(value()?)?,
                "--from" => wish.from = number(value()?)?,
                "--world" => wish.kinds = kinds(value()?)?,
                "--bug" => wish.bug = Some(bug(value()?)?),
                "--full" => wish.full = true,
                "--twice" => wish.twice = true,
                _ => return Err(format!("`{word}` is no option")),
            }
        }
        if wish.count == 0 { Err("neither `--seed` nor `--seeds` says what to play".to_owned()) } else { Ok(wish) }
    }

    /// Plays the worlds of one kind.
    fn play(&self, kind: Kind) -> Result<(), String> {
        let mut changes = 0;
        for seed in self.from..self.from.saturating_add(self.count) {
            let run = Run { kind, seed, bug: self.bug, full: self.full };
            changes += if self.twice { run.play_twice()? } else { run.play()? }.changes;
            if self.count > 1_000 && (seed + 1) % 1_000 == 0 {
                eprintln!("  {}: seed {}", kind.name(), seed + 1);
            }
        }
        println!("{} worlds `{}` kept every promise ({changes} changes)", self.count, kind.name());
        Ok(())
    }
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("`{word}` is no whole number"))
}

fn kinds(word: &str) -> Result<Vec<Kind>, String> {
    if word == "all" {
        return Ok(Kind::ALL.to_vec());
    }
    Kind::named(word).map(|kind| vec![kind]).ok_or_else(|| format!("`{word}` is no world; there are {}", worlds()))
}

fn bug(word: &str) -> Result<Bug, String> {
    Bug::named(word).ok_or_else(|| format!("`{word}` is no bug; there are {}", bugs()))
}

fn worlds() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}

fn bugs() -> String {
    Bug::ALL.map(Bug::name).join(", ")
}
