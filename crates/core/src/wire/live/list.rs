//! The list of a `client:sync` message, read piece by piece: an element takes two bytes and the event of it hundreds,
//! and clients send everything that they have, however long it is.

use super::decode::{Reader, Received};
use crate::live::PATTERNS_MAX;
use crate::model::{Limits, LiveEdit, Malformed};
use serde::Deserialize;
use serde_json::Deserializer;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// Events in one piece.
const PIECE_EVENTS: usize = 1_000;
/// Bytes after which a piece takes no further element.
const PIECE_BYTES: usize = 4 << 20;

/// Some of the events of a list.
#[derive(Debug)]
pub struct Piece {
    /// At most 1,000. Of elements that are the same and cannot be used there is one.
    pub received: Vec<Received>,
    /// Where the list goes on; `None`: it is over.
    pub rest: Option<Place>,
}

/// A place between two elements of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Behind the last element that was read; 0 before the first.
    at: usize,
}

/// Reads the next events of a list, from `place` on. `client`: who sends; ids of events are its own.
///
/// # Errors
/// [`Malformed::Json`] when it is no list, or where it stops being one.
pub fn read(text: &str, place: Place, client: &str, limits: &Limits) -> Result<Piece, Malformed> {
    let mut reader = Reader { client, limits, patterns: 0 };
    let mut elements = Elements { text, place };
    let (mut received, mut unusable) = (Vec::new(), BTreeSet::new());
    while let Some((start, raw)) = elements.next()? {
        let one = reader.element(start, raw);
        if !matches!(one.event.edit, LiveEdit::Unusable(_)) || unusable.insert(one.event.key) {
            received.push(one);
        }
        let bytes = elements.place.at - place.at;
        if received.len() >= PIECE_EVENTS || reader.patterns >= PATTERNS_MAX || bytes >= PIECE_BYTES {
            return Ok(Piece { received, rest: Some(elements.place) });
        }
    }
    Ok(Piece { received, rest: None })
}

struct Elements<'a> {
    text: &'a str,
    place: Place,
}

impl<'a> Elements<'a> {
    /// The next element and where it begins.
    fn next(&mut self) -> Result<Option<(usize, &'a RawValue)>, Malformed> {
        let first = self.place == Place::default();
        let rest = self.text[self.place.at..].trim_start_matches(is_space);
        let after = rest.strip_prefix(if first { '[' } else { ',' }).map(|rest| rest.trim_start_matches(is_space));
        let end = if first { after.unwrap_or_default() } else { rest };
        if let Some(behind) = end.strip_prefix(']') {
            return if behind.trim_start_matches(is_space).is_empty() { Ok(None) } else { Err(no_list()) };
        }
        let element = after.ok_or_else(no_list)?;
        let raw = <&RawValue>::deserialize(&mut Deserializer::from_str(element)).map_err(|_| no_list())?;
        let start = self.text.len() - element.len();
        self.place = Place { at: start + raw.get().len() };
        Ok(Some((start, raw)))
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn no_list() -> Malformed {
    Malformed::json("client:sync", "must be a list of events")
}
