//! What the core must not touch: the outside world and chance.
//!
//! Owns the list. Clippy holds the same line by types; this rule also sees what no type shows.

use super::Violation;
use super::imports;
use super::scan;
use super::source::Source;

/// Paths of the standard library that reach outside.
const PATHS: [&str; 8] = [
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
];
/// Names that bring chance or an order that differs from run to run.
const WORDS: [&str; 6] = ["HashMap", "HashSet", "fastrand", "getrandom", "rand", "RandomState"];

/// The core reads no clock, draws no random number, opens nothing, starts nothing.
pub fn outside_world(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("crates/core/src/") {
        return Vec::new();
    }
    let advice = |what: &str| format!("the core must not use `{what}`: take time, ids and order as arguments");
    let paths = imports::heads(source, "std").into_iter().filter_map(|(line, path)| {
        let path = format!("std::{}", path.join("::"));
        let banned = PATHS.iter().find(|banned| path == **banned || path.starts_with(&format!("{banned}::")))?;
        Some((line, *banned))
    });
    let words = source.code_lines().flat_map(|(line, text)| {
        WORDS.iter().filter(move |word| scan::has_word(text, word)).map(move |word| (line, *word))
    });
    let found = paths.chain(words).filter(|(line, _)| !source.is_test(*line));
    found.map(|(line, what)| Violation::new(&source.path, line, "core", advice(what))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "use std::{fs, time::{Duration, Instant}};\nlet a = std::thread::spawn(f);\n\
                          use std::collections::HashMap;\nlet b = rand::random();\nuse std::fmt;\n";

    #[test]
    fn the_core_may_not_reach_outside() {
        let found = outside_world(&Source::new("crates/core/src/hub/mod.rs", SAMPLE));
        let lines: Vec<usize> = found.iter().map(|violation| violation.line).collect();
        assert_eq!(lines, [1, 1, 2, 3, 4]);
    }

    #[test]
    fn other_crates_may() {
        assert!(outside_world(&Source::new("crates/server/src/lib.rs", SAMPLE)).is_empty());
    }
}
