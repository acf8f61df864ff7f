//! What a person reads when a promise was broken: what was expected and what happened, who did what and when, and how to
//! see it again. Bounded, whatever the world was like.

use std::collections::BTreeSet;

/// Problems that are told.
const PROBLEMS_MAX: usize = 8;
/// Lines of the history that are told, of those that concern the problems.
const LINES_MAX: usize = 60;
/// Letters of one line.
const LETTERS_MAX: usize = 400;

/// Marks the moment in the history at which somebody could see it.
pub const BROKEN: &str = "(broken)";

/// A world's name and number, as its command has them.
pub struct Place {
    pub world: &'static str,
    pub seed: u64,
    /// The planted bug.
    pub bug: Option<String>,
    /// All lines of the history are wanted, at any length.
    pub full: bool,
}

/// The story of a world that broke a promise.
pub fn tell(place: &Place, problems: &[String], history: &[String]) -> String {
    let mut told = format!("world `{}`, seed {}{}: a promise was broken\n", place.world, place.seed, planted(place));
    told.push_str("\nwhat was expected, and what happened:\n");
    for (n, problem) in problems.iter().take(PROBLEMS_MAX).enumerate() {
        told.push_str(&format!("  {}. {}\n", n + 1, if place.full { problem.clone() } else { clipped(problem, 4) }));
    }
    if problems.len() > PROBLEMS_MAX {
        told.push_str(&format!("  … and {} more\n", problems.len() - PROBLEMS_MAX));
    }
    let concerned = if place.full { history.iter().collect() } else { concerned(problems, history) };
    let left_out = history.len() - concerned.len();
    told.push_str("\nwho did what, and when (virtual time)");
    told.push_str(&if left_out > 0 {
        format!("; {left_out} lines that seem to be of no concern: --full\n")
    } else {
        ":\n".to_owned()
    });
    for line in concerned {
        told.push_str(&if place.full { line.clone() } else { clipped(line, 1) });
        told.push('\n');
    }
    told.push_str(&format!("\nplay it again: {}\n", command(place)));
    told
}

/// The command that plays a world again.
pub fn command(place: &Place) -> String {
    let bug = place.bug.as_ref().map(|bug| format!(" --bug {bug}")).unwrap_or_default();
    format!("cargo run -p syncline-sim -- --world {} --seed {}{bug}", place.world, place.seed)
}

fn planted(place: &Place) -> String {
    place.bug.as_ref().map(|bug| format!(", with the planted bug `{bug}`")).unwrap_or_default()
}

/// The lines that name what the problems name, and those about the hub and the world; of too many, the newest.
fn concerned<'a>(problems: &[String], history: &'a [String]) -> Vec<&'a String> {
    let told = || problems.iter().take(PROBLEMS_MAX);
    let mut marks: BTreeSet<&str> = told().flat_map(|problem| marks(problem)).collect();
    if marks.is_empty() {
        marks.extend(told().flat_map(|problem| actors(problem)));
    }
    let wide =
        |line: &&String| [" the hub ", " the network ", "(fault)", BROKEN].iter().any(|word| line.contains(word));
    let narrow = |line: &&String| marks.iter().any(|mark| line.contains(mark));
    // What came after the moment explains nothing.
    let end = history.iter().position(|line| line.contains(BROKEN)).map_or(history.len(), |at| at + 1);
    let mut lines: Vec<&String> = history[..end].iter().filter(|line| narrow(line) || wide(line)).collect();
    lines.drain(..lines.len().saturating_sub(LINES_MAX));
    lines
}

/// Places of documents (`notes/a`) and values (`d0e4.`): what is told apart by a glance.
fn marks(problem: &str) -> impl Iterator<Item = &str> {
    let is_mark = |word: &&str| {
        let place = word.split_once('/').is_some_and(|(kind, id)| super::part::TYPES.contains(&kind) && !id.is_empty());
        let value = word.len() > 3 && word.ends_with('.') && word.contains('e') && word.as_bytes()[1].is_ascii_digit();
        place || value
    };
    problem.split(|letter: char| letter.is_whitespace() || "\"'`,:;(){}[]".contains(letter)).filter(is_mark)
}

/// Who is meant: `device 1`, `node 0`, `client 2`.
fn actors(problem: &str) -> impl Iterator<Item = &str> {
    ["device ", "node ", "client "].into_iter().filter_map(move |kind| {
        let at = problem.find(kind)?;
        problem.get(at..at + kind.len() + 1)
    })
}

/// A text cut to some lines and letters.
fn clipped(text: &str, lines: usize) -> String {
    let line = |line: &str| {
        let mut cut: String = line.chars().take(LETTERS_MAX).collect();
        if cut.len() < line.len() {
            cut.push('…');
        }
        cut
    };
    text.lines().take(lines).map(line).collect::<Vec<_>>().join("\n")
}
