//! Deterministic documents of about 300 bytes with 8 fields, and pushes made of them.

use std::fmt::Write;

const WORDS: [&str; 16] = [
    "anchor", "basin", "canyon", "delta", "estuary", "fjord", "glacier", "harbour", "island", "jetty", "kelp",
    "lagoon", "meadow", "narrows", "oxbow", "plateau",
];

/// A small generator; good enough to vary texts.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn words(&mut self, count: usize) -> String {
        let picked: Vec<&str> = (0..count).map(|_| WORDS[usize::try_from(self.roll(16)).unwrap_or(0)]).collect();
        picked.join(" ")
    }
}

/// The id of document `n`.
#[must_use]
pub fn id(n: u64) -> String {
    format!("doc-{n:09}")
}

/// The fields of document `n` in its version `v`, without braces and id.
#[must_use]
pub fn fields(n: u64, v: u64) -> String {
    let mut dice = Dice((n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (v << 32));
    format!(
        r#""title":"{}","state":"{}","rank":{},"owner":"user-{:04}","tags":["{}","{}"],"text":"{}","mark":{}"#,
        dice.words(4),
        ["open", "doing", "review", "done"][usize::try_from(dice.roll(4)).unwrap_or(0)],
        dice.roll(5),
        dice.roll(500),
        dice.words(1),
        dice.words(1),
        dice.words(23),
        1_000_000_000_000 + n + v,
    )
}

/// Document `n` in its version `v`.
#[must_use]
pub fn document(n: u64, v: u64) -> String {
    format!(r#"{{"_id":"{}",{}}}"#, id(n), fields(n, v))
}

/// What a push does with its documents.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// New documents.
    Insert,
    /// All fields of existing documents anew.
    Update,
}

/// The body of a foreign push of `count` ops from document `first` on.
#[must_use]
pub fn push_body(batch: &str, kind: Kind, first: u64, count: u64) -> String {
    let mut body = format!(r#"{{"batchId":"{batch}","ops":["#);
    for n in first..first + count {
        if n > first {
            body.push(',');
        }
        let written = match kind {
            Kind::Insert => write!(body, r#"{{"op":"INSERT","doc":{}}}"#, document(n, 0)),
            Kind::Update => write!(body, r#"{{"op":"UPDATE","id":"{}","data":{{{}}}}}"#, id(n), fields(n, 1)),
        };
        written.expect("writing to a string cannot fail");
    }
    body.push_str("]}");
    body
}
