//! Documents in ranges by a hash of their names, and digests of what stands in a range: two sides that hold the same
//! documents find out without telling each other any. The shapes are in `spec/lsn.md`, part "Digests".

use super::digest::fnv128;
use crate::model::{Lsn, Malformed};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// All documents whose place begins with some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range {
    depth: u8,
    /// The bytes, in the upper end.
    prefix: u32,
}

impl Range {
    /// All documents.
    pub const ALL: Range = Range { depth: 0, prefix: 0 };
    /// The most bytes that a range can begin with.
    pub const DEPTH_MAX: u8 = 4;

    /// How many bytes it begins with.
    #[must_use]
    pub fn depth(self) -> u8 {
        self.depth
    }

    /// Whether a document at this place is in it.
    #[must_use]
    pub fn holds(self, place: u32) -> bool {
        cut(place, self.depth) == self.prefix
    }
}

/// Where a document stands among the ranges.
#[must_use]
pub fn place(collection: &str, id: &str) -> u32 {
    let [a, b, c, d, ..] = fnv128(&[collection.as_bytes(), id.as_bytes()]);
    u32::from_be_bytes([a, b, c, d])
}

fn cut(place: u32, depth: u8) -> u32 {
    place & u32::MAX.checked_shl(32 - 8 * u32::from(depth)).unwrap_or(0)
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.prefix.to_be_bytes().iter().take(self.depth.into()).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<Range> for String {
    fn from(range: Range) -> String {
        range.to_string()
    }
}

impl FromStr for Range {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Range, Malformed> {
        let wrong = || Malformed::element(format!("range `{text}`"), "must be 0, 2, 4, 6 or 8 hexadecimal digits");
        let fits = text.len() <= 8 && text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit());
        let padded = if fits { format!("{text:0<8}") } else { return Err(wrong()) };
        let prefix = u32::from_str_radix(&padded, 16).map_err(|_| wrong())?;
        Ok(Range { depth: u8::try_from(text.len() / 2).map_err(|_| wrong())?, prefix })
    }
}

impl TryFrom<String> for Range {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Range, Malformed> {
        text.parse()
    }
}

/// What stands in a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many documents.
    pub documents: u64,
    /// The sum of their digests.
    pub digest: u128,
}

/// What stands in the parts of some ranges, each one byte longer than the range that it is of.
#[derive(Clone, Debug, Default)]
pub struct Tallies {
    ranges: Vec<Range>,
    depths: Vec<u8>,
    parts: BTreeMap<Range, Tally>,
}

impl Tallies {
    /// The most ranges that are counted at once: each has up to 256 parts.
    pub const RANGES_MAX: usize = 64;

    /// Nothing has been counted yet.
    ///
    /// # Errors
    /// [`Malformed`] when there are more than [`Tallies::RANGES_MAX`] ranges, or one has no parts any more.
    pub fn of(mut ranges: Vec<Range>) -> Result<Tallies, Malformed> {
        ranges.sort_unstable();
        ranges.dedup();
        if ranges.len() > Tallies::RANGES_MAX {
            return Err(Malformed::element("ranges", format!("must be at most {} ranges", Tallies::RANGES_MAX)));
        }
        if let Some(range) = ranges.iter().find(|range| range.depth >= Range::DEPTH_MAX) {
            return Err(Malformed::element(format!("range `{range}`"), "must have at most 6 digits to be parted"));
        }
        let mut depths: Vec<u8> = ranges.iter().map(|range| range.depth).collect();
        depths.dedup();
        Ok(Tallies { ranges, depths, parts: BTreeMap::new() })
    }

    /// Counts a document, where it is in one of the ranges.
    pub fn add(&mut self, (collection, id): (&str, &str), lsn: Lsn, text: &str) {
        let place = place(collection, id);
        let mut digest = None;
        for depth in &self.depths {
            if self.ranges.binary_search(&Range { depth: *depth, prefix: cut(place, *depth) }).is_err() {
                continue;
            }
            let part = Range { depth: depth + 1, prefix: cut(place, depth + 1) };
            let digest = *digest.get_or_insert_with(|| digest_of((collection, id), lsn, text));
            let tally = self.parts.entry(part).or_default();
            tally.documents += 1;
            tally.digest = tally.digest.wrapping_add(digest);
        }
    }

    /// The parts in which there is a document.
    #[must_use]
    pub fn parts(&self) -> &BTreeMap<Range, Tally> {
        &self.parts
    }
}

/// A document's text by its value, for readers that do not keep how it is spelled, nor by which change it came: fields in
/// the order of their names, without `_id`, which is its name.
#[must_use]
pub fn by_value(text: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else { return text.to_owned() };
    fields.shift_remove("_id");
    let mut value = Value::Object(fields);
    value.sort_all_objects();
    value.to_string()
}

/// Line breaks between tokens count as spaces, as which snapshots carry them.
fn digest_of((collection, id): (&str, &str), lsn: Lsn, text: &str) -> u128 {
    let lsn = lsn.0.to_be_bytes();
    let of = |text: &[u8]| u128::from_be_bytes(fnv128(&[collection.as_bytes(), id.as_bytes(), &lsn, text]));
    if text.contains('\n') { of(text.replace('\n', " ").as_bytes()) } else { of(text.as_bytes()) }
}

/// What stands in one part, on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TallyLine {
    /// The part.
    pub range: Range,
    /// How many documents.
    pub documents: u64,
    /// The sum of their digests: 32 hexadecimal digits.
    pub digest: String,
}

impl TallyLine {
    /// As it is written.
    #[must_use]
    pub fn new(range: Range, tally: &Tally) -> TallyLine {
        TallyLine { range, documents: tally.documents, digest: format!("{:032x}", tally.digest) }
    }

    /// As it was counted.
    ///
    /// # Errors
    /// [`Malformed`] when the digest is none.
    pub fn tally(&self) -> Result<Tally, Malformed> {
        let digest = u128::from_str_radix(&self.digest, 16);
        let digest =
            digest.map_err(|_| Malformed::element(format!("digest of `{}`", self.range), "must be hexadecimal"))?;
        Ok(Tally { documents: self.documents, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_value_neither_the_order_of_fields_nor_spelling_counts() {
        assert_eq!(
            by_value("{\"b\": {\"y\":1.50,\"x\":\"\\u0041\"},\n\"_id\":\"i\",\"a\":[2]}"),
            r#"{"a":[2],"b":{"x":"A","y":1.5}}"#
        );
        assert_eq!(by_value("no object"), "no object");
    }

    fn counted(ranges: &[&str], docs: &[(&str, u64, &str)]) -> Tallies {
        let mut tallies = Tallies::of(ranges.iter().map(|text| text.parse().unwrap()).collect()).unwrap();
        docs.iter().for_each(|(id, lsn, text)| tallies.add(("notes", id), Lsn(*lsn), text));
        tallies
    }

    #[test]
    fn ranges_are_written_as_the_bytes_that_they_begin_with() {
        for text in ["", "00", "3f", "3fa0", "3fa0ff", "3fa0ff01"] {
            let range: Range = text.parse().unwrap();
            assert_eq!((range.to_string().as_str(), usize::from(range.depth())), (text, text.len() / 2));
        }
        for text in ["3", "3fa", "zz", "+1", "3fa0ff0102"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
        let range: Range = "3fa0".parse().unwrap();
        assert!(range.holds(0x3fa0_1234) && !range.holds(0x3fa1_0000) && Range::ALL.holds(7));
    }

    #[test]
    fn the_order_of_documents_and_the_spelling_of_line_breaks_make_no_difference_and_all_else_does() {
        let base = [("a", 1, "{ }"), ("b", 2, "{}")];
        let same = counted(&[""], &[base[1], ("a", 1, "{\n}")]);
        assert_eq!(counted(&[""], &base).parts(), same.parts());
        for other in
            [[("a", 1, "{ }"), ("b", 3, "{}")], [("a", 1, "{ }"), ("c", 2, "{}")], [("a", 2, "{ }"), ("b", 1, "{}")]]
        {
            assert_ne!(counted(&[""], &base).parts(), counted(&[""], &other).parts(), "{other:?}");
        }
    }

    #[test]
    fn parts_of_parts_hold_the_same_documents() {
        let ids: Vec<String> = (0..500).map(|n| format!("n{n}")).collect();
        let docs: Vec<_> = ids.iter().map(|id| (id.as_str(), 1, "{}")).collect();
        let all = counted(&[""], &docs);
        assert!(all.parts().len() > 150, "names are spread: {}", all.parts().len());
        let (range, tally) = all.parts().iter().max_by_key(|(_, tally)| tally.documents).unwrap();
        let deeper = counted(&[&range.to_string()], &docs);
        assert_eq!(deeper.parts().values().map(|part| part.documents).sum::<u64>(), tally.documents);
        let sum = deeper.parts().values().fold(0u128, |sum, part| sum.wrapping_add(part.digest));
        assert_eq!(sum, tally.digest);
        let line = TallyLine::new(*range, tally);
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<TallyLine>(&text).unwrap().tally().unwrap(), *tally);
    }

    #[test]
    fn too_many_ranges_and_those_without_parts_are_refused() {
        let many = (0..65).map(|n| format!("{n:02x}").parse().unwrap()).collect();
        assert!(Tallies::of(many).unwrap_err().to_string().contains("64"));
        assert!(Tallies::of(vec!["00000000".parse().unwrap()]).is_err());
    }
}
