//! Damaged input: texts that were meant for a decoder, changed at a few places as networks, disks, other programs and
//! strangers change them. Shared by the properties of all decoders; `PROPTEST_CASES` says how many to try.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What decoders are known to stumble over.
const ODD: [&str; 26] = [
    "",
    "null",
    "true",
    "0",
    "-1",
    "1e400",
    "0.1",
    "18446744073709551616",
    "9007199254740993",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "[",
    "]",
    "{",
    "}",
    "{}",
    "[]",
    ",",
    ":",
    "\n",
    "\0",
    "\u{feff}",
    "$",
    "__proto__",
    "\u{1F4BE}",
];
const DEEP: usize = 300;

/// One change of a text.
#[derive(Clone, Debug)]
enum Change {
    /// Another byte.
    Byte(Index, u8),
    /// Some bytes more.
    Insert(Index, Vec<u8>),
    /// An odd word.
    Odd(Index, &'static str),
    /// A part is missing.
    Cut(Index, Index),
    /// A part comes twice.
    Twice(Index, Index),
    /// The end is missing.
    End(Index),
    /// An odd word in the place of a value of JSON, or of a name.
    Value(Index, &'static str),
    /// The end of another text.
    Splice(Index, Index),
    /// Nesting without end.
    Deep(Index, &'static str),
}

/// One of `seeds`, with a few changes. Strategies are boxed: as plain types their state overflows the stack of a test
/// thread.
///
/// # Panics
/// There are no seeds.
pub fn damaged(seeds: Vec<Vec<u8>>) -> BoxedStrategy<Vec<u8>> {
    assert!(!seeds.is_empty(), "something has to be damaged");
    let draw = (any::<Index>(), any::<Index>(), vec(change(), 0..5));
    let damage = move |(one, other, changes): (Index, Index, Vec<Change>)| {
        let (text, other) = (one.get(&seeds).clone(), other.get(&seeds));
        changes.iter().fold(text, |text, change| change.make(text, other))
    };
    draw.prop_map(damage).boxed()
}

/// The same as text: what is no UTF-8 is replaced.
pub fn damaged_text(seeds: &[&str]) -> BoxedStrategy<String> {
    let seeds = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    damaged(seeds).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).boxed()
}

/// Every value in a text of JSON that is itself a list or an object, as a text of its own: a file of recorded traffic gives
/// the seeds of all decoders that the traffic is for. Texts that hold JSON are seeds too.
pub fn seeds_in(json: &str) -> Vec<Vec<u8>> {
    fn gather(value: &serde_json::Value, seeds: &mut Vec<Vec<u8>>) {
        match value {
            serde_json::Value::Object(fields) => fields.values().for_each(|value| gather(value, seeds)),
            serde_json::Value::Array(items) => items.iter().for_each(|value| gather(value, seeds)),
            serde_json::Value::String(text) if text.contains(['{', '[']) => return seeds.push(text.clone().into()),
            _ => return,
        }
        seeds.push(value.to_string().into());
    }
    let mut seeds = Vec::new();
    gather(&serde_json::from_str(json).expect("seeds are JSON"), &mut seeds);
    seeds
}

fn change() -> BoxedStrategy<Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (at(), vec(any::<u8>(), 1..5)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), select(&ODD[..])).prop_map(|(at, odd)| Change::Odd(at, odd)),
        (at(), at()).prop_map(|(from, to)| Change::Cut(from, to)),
        (at(), at()).prop_map(|(from, to)| Change::Twice(from, to)),
        at().prop_map(Change::End),
        (at(), select(&ODD[..])).prop_map(|(at, odd)| Change::Value(at, odd)),
        (at(), at()).prop_map(|(at, from)| Change::Splice(at, from)),
        (at(), select(&["[", "{\"a\":", "(", "{\"$and\":["][..])).prop_map(|(at, open)| Change::Deep(at, open)),
    ]
    .boxed()
}

impl Change {
    fn make(&self, mut text: Vec<u8>, other: &[u8]) -> Vec<u8> {
        let place = |at: &Index, within: &[u8]| at.index(within.len() + 1);
        let part = |from: &Index, to: &Index, within: &[u8]| {
            let (from, to) = (place(from, within), place(to, within));
            from.min(to)..from.max(to)
        };
        match self {
            Change::Byte(at, byte) => {
                if !text.is_empty() {
                    let at = at.index(text.len());
                    text[at] = *byte;
                }
            }
            Change::Insert(at, bytes) => insert(&mut text, at, bytes),
            Change::Odd(at, odd) => insert(&mut text, at, odd.as_bytes()),
            Change::Cut(from, to) => {
                let range = part(from, to, &text);
                drop(text.drain(range));
            }
            Change::Twice(from, to) => {
                let range = part(from, to, &text);
                let again = text[range.clone()].to_vec();
                text.splice(range.start..range.start, again);
            }
            Change::End(at) => {
                let end = place(at, &text);
                text.truncate(end);
            }
            Change::Value(at, odd) => {
                let ends = |byte: &u8| b",:[]{}\n".contains(byte);
                let from = place(at, &text);
                let to = text[from..].iter().position(ends).map_or(text.len(), |more| from + more);
                let from = text[..from].iter().rposition(ends).map_or(0, |before| before + 1);
                text.splice(from..to, odd.bytes());
            }
            Change::Splice(at, from) => {
                let end = place(at, &text);
                text.truncate(end);
                text.extend(&other[place(from, other)..]);
            }
            Change::Deep(at, open) => insert(&mut text, at, open.repeat(DEEP).as_bytes()),
        }
        text
    }
}

fn insert(text: &mut Vec<u8>, at: &Index, bytes: &[u8]) {
    let at = at.index(text.len() + 1);
    text.splice(at..at, bytes.iter().copied());
}
