//! Whether two histories of one seed are the same. Names that are drawn at random (nodes, batches, epochs) or counted in the
//! process (marks of event sync) may differ; which of them stands where may not.

use std::collections::BTreeMap;

/// The groups of a UUID.
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// Where two histories part, in words.
pub fn parted(first: &[String], again: &[String]) -> Option<String> {
    let (mut names, mut others) = (BTreeMap::new(), BTreeMap::new());
    let differs = |n: &usize| {
        let (one, other) = (first.get(*n), again.get(*n));
        one.map(|line| plain(line, &mut names)) != other.map(|line| plain(line, &mut others))
    };
    let at = (0..first.len().max(again.len())).find(differs)?;
    let line = |history: &[String]| history.get(at).cloned().unwrap_or_else(|| "(it is over)".to_owned());
    Some(format!(
        "played twice, it is not the same from line {} of {} on\n  first: {}\n  again: {}",
        at + 1,
        first.len(),
        line(first),
        line(again)
    ))
}

/// A line with its random names by the order of their first use.
fn plain(line: &str, names: &mut BTreeMap<String, usize>) -> String {
    let (mut plain, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(letter) = rest.chars().next() {
        let length = uuid_at(rest).max(long_number_at(rest));
        if length > 0 {
            let next = names.len();
            let number = *names.entry(rest[..length].to_owned()).or_insert(next);
            plain.push_str(&format!("<{number}>"));
        } else {
            plain.push(letter);
        }
        rest = &rest[length.max(letter.len_utf8())..];
    }
    plain
}

/// The length of the number with which a text begins, if it has the digits of a time in milliseconds, from which marks are
/// counted.
fn long_number_at(text: &str) -> usize {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits >= 13 { digits } else { 0 }
}

/// The length of the UUID with which a text begins, or 0.
fn uuid_at(text: &str) -> usize {
    let mut rest = text;
    for (n, length) in GROUPS.into_iter().enumerate() {
        rest = match rest.strip_prefix('-') {
            Some(behind) if n > 0 => behind,
            None if n == 0 => rest,
            _ => return 0,
        };
        match rest.as_bytes().get(..length) {
            Some(letters) if letters.iter().all(u8::is_ascii_hexdigit) => rest = &rest[length..],
            _ => return 0,
        }
    }
    text.len() - rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_differ_and_their_places_may_not() {
        let history = |lines: [&str; 2], names: [&str; 2]| {
            lines.map(|line| line.replace("ONE", names[0]).replace("TWO", names[1])).to_vec()
        };
        let (a, b) = ("0198f3a2-0000-4000-8000-00000000000a", "0198f3a2-0000-4000-8000-00000000000b");
        let lines = ["ONE meets TWO", "TWO goes"];
        assert_eq!(parted(&history(lines, [a, b]), &history(lines, [b, a])), None);
        let other = history(["ONE meets TWO", "ONE goes"], [a, b]);
        assert!(parted(&history(lines, [a, b]), &other).is_some_and(|words| words.contains("line 2 of 2")));
        assert!(parted(&history(lines, [a, b]), &history(lines, [a, b])[..1]).is_some(), "one is over earlier");
    }
}
