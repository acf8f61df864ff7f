//! Which object a row is: UUIDs in the forms in which columns hold them, and the keys of rows.

use crate::value::Cell;
use syncline_core::wire::digest::fnv128;
use syncline_core::wire::exchange::is_uuid;
use uuid::Uuid;

/// How a column holds UUIDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UuidForm {
    /// With hyphens.
    Hyphens,
    /// 32 digits.
    Digits,
    /// 16 bytes.
    Bytes,
}

impl UuidForm {
    /// The id as packets spell it; `None`: the column holds no UUID.
    pub(crate) fn read(cell: &Cell) -> Option<String> {
        match cell {
            Cell::Text(text) if is_uuid(text) => Some(text.clone()),
            Cell::Text(text) if text.len() == 32 => Uuid::try_parse(text).ok().map(|uuid| uuid.to_string()),
            Cell::Blob(bytes) => Uuid::from_slice(bytes).ok().map(|uuid| uuid.to_string()),
            _ => None,
        }
    }

    /// The id as the column holds it.
    pub(crate) fn write(self, uuid: &str) -> Cell {
        match (self, Uuid::try_parse(uuid)) {
            (UuidForm::Digits, Ok(uuid)) => Cell::Text(uuid.simple().to_string()),
            (UuidForm::Bytes, Ok(uuid)) => Cell::Blob(uuid.as_bytes().to_vec()),
            _ => Cell::Text(uuid.to_owned()),
        }
    }
}

/// An id for a row that has none.
pub(crate) fn new_uuid() -> String {
    Uuid::new_v4().to_string()
}

/// The id of a row that two databases may both hold before they meet: the same in both.
pub(crate) fn uuid_of(kind: &str, natural_key: &str) -> String {
    let digest = fnv128(&[b"natural key", kind.as_bytes(), natural_key.as_bytes()]);
    uuid::Builder::from_custom_bytes(digest).into_uuid().to_string()
}

/// What tells the rows of a table apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key(pub Vec<Cell>);

impl Key {
    /// As it stands in `entity_key`: the number itself, or the values as SQL's `quote` spells them.
    pub(crate) fn stored(&self) -> Cell {
        match &self.0[..] {
            [Cell::Integer(number)] => Cell::Integer(*number),
            cells => Cell::Text(cells.iter().map(quoted).collect::<Vec<_>>().join(",")),
        }
    }

    /// Back from `entity_key`; `None`: somebody has written something else there.
    pub(crate) fn parse(stored: &Cell) -> Option<Key> {
        match stored {
            Cell::Integer(number) => Some(Key(vec![Cell::Integer(*number)])),
            Cell::Text(text) => unquoted(text).map(Key),
            _ => None,
        }
    }
}

fn quoted(cell: &Cell) -> String {
    match cell {
        Cell::Null | Cell::Garbled => "NULL".into(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => format!("{number:?}"),
        Cell::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Cell::Blob(bytes) => format!("X'{}'", bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>()),
    }
}

fn unquoted(text: &str) -> Option<Vec<Cell>> {
    let mut cells = Vec::new();
    let mut rest = text;
    loop {
        let (cell, after) = one(rest)?;
        cells.push(cell);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return after.is_empty().then_some(cells),
        }
    }
}

fn one(text: &str) -> Option<(Cell, &str)> {
    if let Some(inside) = text.strip_prefix("X'") {
        let (digits, after) = inside.split_once('\'')?;
        let byte = |n: usize| u8::from_str_radix(digits.get(n..n + 2)?, 16).ok();
        return Some((Cell::Blob((0..digits.len()).step_by(2).map(byte).collect::<Option<_>>()?), after));
    }
    if let Some(mut inside) = text.strip_prefix('\'') {
        let mut string = String::new();
        loop {
            let (part, after) = inside.split_once('\'')?;
            string.push_str(part);
            match after.strip_prefix('\'') {
                Some(more) => {
                    string.push('\'');
                    inside = more;
                }
                None => return Some((Cell::Text(string), after)),
            }
        }
    }
    let (word, _) = text.split_once(',').unwrap_or((text, ""));
    let cell = match word {
        "NULL" => Cell::Null,
        word => word.parse().map(Cell::Integer).or_else(|_| word.parse().map(Cell::Real)).ok()?,
    };
    Some((cell, &text[word.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_stored_form() {
        let text = |text: &str| Cell::Text(text.into());
        for cells in [
            vec![Cell::Integer(-5)],
            vec![text("it's, a 'test'")],
            vec![text("")],
            vec![Cell::Integer(1), text("a,b"), Cell::Blob(vec![1, 255]), Cell::Null],
        ] {
            let key = Key(cells);
            assert_eq!(Key::parse(&key.stored()), Some(key));
        }
        assert_eq!(Key(vec![Cell::Integer(7)]).stored(), Cell::Integer(7));
        assert_eq!(Key(vec![text("a'b"), Cell::Integer(2)]).stored(), text("'a''b',2"));
        for broken in ["'a", "X'1", "a", "1,", ""] {
            assert_eq!(Key::parse(&text(broken)), None, "{broken}");
        }
    }

    #[test]
    fn a_uuid_is_the_same_in_every_form() {
        let uuid = "22222222-2222-4222-8222-00000000000a";
        for form in [UuidForm::Hyphens, UuidForm::Digits, UuidForm::Bytes] {
            assert_eq!(UuidForm::read(&form.write(uuid)).as_deref(), Some(uuid));
        }
        assert_eq!(UuidForm::read(&Cell::Text("7".into())), None);
        assert_eq!(uuid_of("A", "x"), uuid_of("A", "x"));
        assert!(is_uuid(&uuid_of("A", "x")) && uuid_of("A", "x") != uuid_of("B", "x"));
    }
}
