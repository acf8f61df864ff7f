//! Names and values as text of SQL, which every engine spells alike. Runs nothing.

use crate::value::Cell;

/// A name as SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Names as a list in SQL.
pub(crate) fn list<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    names.into_iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// `"a" = ?1 AND "b" = ?2`, with numbers from one on.
pub(crate) fn equals<'n>(names: impl IntoIterator<Item = &'n String>, from: usize) -> String {
    let terms = names.into_iter().enumerate().map(|(n, name)| format!("{} = ?{}", quoted(name), from + n));
    terms.collect::<Vec<_>>().join(" AND ")
}

/// `?1, ?2`: so many values.
pub(crate) fn marks(count: usize) -> String {
    marks_from(1, count)
}

/// The same, with numbers from `from` on.
pub(crate) fn marks_from(from: usize, count: usize) -> String {
    let mut text = String::with_capacity(count * "?1000, ".len());
    for n in from..from + count {
        text.push_str(if n == from { "?" } else { ", ?" });
        text.push_str(&n.to_string());
    }
    text
}

/// `(?1, ?2), (?3, ?4)`: so many rows of so many values, with numbers from `from` on.
pub(crate) fn rows_of_marks(count: usize, width: usize, from: usize) -> String {
    let row = |n: usize| format!("({})", marks_from(from + n * width, width));
    (0..count).map(row).collect::<Vec<_>>().join(", ")
}

/// The columns have one of so many values, with numbers from `from` on.
pub(crate) fn any_of(names: &[&String], count: usize, from: usize) -> String {
    if let [name] = names {
        return format!("{} IN ({})", quoted(name), marks_from(from, count));
    }
    let one = |n: usize| equals(names.iter().copied(), from + n * names.len());
    format!("({})", (0..count).map(one).collect::<Vec<_>>().join(" OR "))
}

/// Rows that one statement looks for, at most: each is a way to the server and back.
const SOUGHT_MAX: usize = 1_024;

/// Rows that one statement writes, at most. Those that follow each other are on their way together.
const WRITTEN_MAX: usize = 128;

/// Values that go into one statement, at most: SQLite takes twice as many.
const VALUES_MAX: usize = 16_000;

fn rows_max(most: usize, values_each: usize) -> usize {
    (VALUES_MAX / values_each.max(1)).clamp(1, most)
}

/// Sets columns of the row of a key, whose values stand behind theirs.
pub(crate) fn updating(table: &str, set: &[&String], key: &[String]) -> String {
    let assigned: Vec<String> =
        set.iter().enumerate().map(|(n, name)| format!("{} = ?{}", quoted(name), n + 1)).collect();
    format!("UPDATE {} SET {} WHERE {}", quoted(table), assigned.join(", "), equals(key, assigned.len() + 1))
}

/// As many at a time as one statement writes. The sizes are few, so that statements stay prepared.
pub(crate) fn pieces<T>(all: &[T], values_each: usize) -> impl Iterator<Item = &[T]> {
    let (most, mut rest) = (rows_max(WRITTEN_MAX, values_each), all);
    std::iter::from_fn(move || {
        let count = 1 << rest.len().min(most).checked_ilog2()?;
        let (piece, behind) = rest.split_at(count);
        rest = behind;
        Some(piece)
    })
}

/// As many at a time as one statement looks for. The sizes are few, so that statements stay prepared: the last one is
/// looked for several times.
pub(crate) fn sought<T>(all: &[T], values_each: usize) -> impl Iterator<Item = Vec<&T>> {
    let most = 1 << rows_max(SOUGHT_MAX, values_each).ilog2();
    all.chunks(most).map(|chunk| {
        let last = chunk.iter().cycle().skip(chunk.len() - 1).take(1).cycle();
        chunk.iter().chain(last).take(chunk.len().next_power_of_two()).collect()
    })
}

/// A value that is given to a statement.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a str),
    Blob(&'a [u8]),
}

impl<'a> From<&'a Cell> for Given<'a> {
    fn from(cell: &'a Cell) -> Given<'a> {
        match cell {
            Cell::Null | Cell::Garbled => Given::Null,
            Cell::Integer(number) => Given::Integer(*number),
            Cell::Real(number) => Given::Real(*number),
            Cell::Text(text) => Given::Text(text),
            Cell::Blob(bytes) => Given::Blob(bytes),
        }
    }
}

impl<'a> From<&'a str> for Given<'a> {
    fn from(text: &'a str) -> Given<'a> {
        Given::Text(text)
    }
}

impl<'a> From<&'a String> for Given<'a> {
    fn from(text: &'a String) -> Given<'a> {
        Given::Text(text)
    }
}

impl From<i64> for Given<'_> {
    fn from(number: i64) -> Self {
        Given::Integer(number)
    }
}

/// Counts and packet numbers stay far below the limit.
impl From<u64> for Given<'_> {
    fn from(number: u64) -> Self {
        Given::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl<'a, T: Into<Given<'a>>> From<Option<T>> for Given<'a> {
    fn from(value: Option<T>) -> Given<'a> {
        value.map_or(Given::Null, Into::into)
    }
}

/// Cells as values.
pub(crate) fn given<'c>(cells: impl IntoIterator<Item = &'c Cell>) -> Vec<Given<'c>> {
    cells.into_iter().map(Given::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_takes_rows_in_sizes_of_which_there_are_few() {
        let all: Vec<usize> = (0..300).collect();
        let sizes = |all: &[usize], each| pieces(all, each).map(<[usize]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(&all, 7), [128, 128, 32, 8, 4]);
        assert_eq!(sizes(&all[..5], VALUES_MAX / 2), [2, 2, 1]);
        assert_eq!(sizes(&all[..2], VALUES_MAX * 2), [1, 1]);
        assert!(sizes(&[], 1).is_empty());
        assert_eq!(pieces(&all, 7).flatten().copied().collect::<Vec<_>>(), all);
        assert_eq!(sought(&all[..3], 1).collect::<Vec<_>>(), [[&0, &1, &2, &2]]);
        assert_eq!(sought(&all[..5], VALUES_MAX / 3).map(|some| some.len()).collect::<Vec<_>>(), [2, 2, 1]);
    }

    #[test]
    fn values_of_several_rows_are_numbered_through() {
        let (a, b) = ("a".to_owned(), "b".to_owned());
        assert_eq!(rows_of_marks(2, 2, 2), "(?2, ?3), (?4, ?5)");
        assert_eq!(any_of(&[&a], 2, 2), "\"a\" IN (?2, ?3)");
        assert_eq!(any_of(&[&a, &b], 2, 1), "(\"a\" = ?1 AND \"b\" = ?2 OR \"a\" = ?3 AND \"b\" = ?4)");
    }
}
