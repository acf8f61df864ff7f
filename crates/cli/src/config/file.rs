//! Reading `syncline.toml`: every value checked against the table of keys, with the line it stands
//! on. Knows nothing of variables and flags.

use super::keys::{COLLECTION_KEYS, GRANT_KEYS, KEYS, Key, Kind, ROOM_KEYS, TOKEN_KEYS, nearest};
use super::value::{Value, depth, read};
use crate::error::CliError;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a file sets.
#[derive(Debug, Default)]
pub struct FileLayer {
    /// Keys that stand once, with their line.
    pub values: Vec<(&'static Key, Value, usize)>,
    /// The `[[tokens]]`.
    pub tokens: Vec<Entry>,
    /// The `[[collections]]`.
    pub collections: Vec<Entry>,
    /// The `[[rooms.room]]`.
    pub rooms: Vec<Entry>,
    /// The `[[auth.jwt.grants]]`.
    pub grants: Vec<Entry>,
}

/// One `[[tokens]]`, `[[collections]]`, `[[rooms.room]]` or `[[auth.jwt.grants]]` entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `FILE:LINE` of its beginning.
    pub place: String,
    /// The keys that it sets.
    pub values: BTreeMap<&'static str, Value>,
}

impl Entry {
    /// The text of a key, when it is set.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The items of a list key, when it is set.
    pub fn list(&self, key: &str) -> Option<&[String]> {
        match self.values.get(key) {
            Some(Value::List(items)) => Some(items),
            _ => None,
        }
    }
}

/// Reads the text of a file; `name` is how messages call it.
///
/// # Errors
/// Broken TOML, unknown keys and wrong values, each with file, line, expectation and nearest key.
pub fn parse(name: &str, text: &str) -> Result<FileLayer, CliError> {
    let reader = Reader { name, text };
    let table = DeTable::parse(text).map_err(|error| CliError::Syntax {
        place: reader.place(error.span().unwrap_or(0..0)),
        reason: error.message().to_owned(),
    })?;
    let mut layer = FileLayer::default();
    reader.table("", table.get_ref(), &mut layer)?;
    Ok(layer)
}

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
}

impl Reader<'_> {
    fn table(&self, prefix: &str, table: &DeTable<'_>, layer: &mut FileLayer) -> Result<(), CliError> {
        for (name, value) in table {
            let path = format!("{prefix}{}", name.get_ref());
            let inside = format!("{path}.");
            match (path.as_str(), value.get_ref()) {
                ("tokens", _) => layer.tokens = self.entries("tokens", TOKEN_KEYS, value)?,
                ("collections", _) => layer.collections = self.entries("collections", COLLECTION_KEYS, value)?,
                ("auth.jwt.grants", _) => layer.grants = self.entries("auth.jwt.grants", GRANT_KEYS, value)?,
                ("rooms.room", _) => layer.rooms = self.entries("rooms.room", ROOM_KEYS, value)?,
                (_, DeValue::Table(inner)) if KEYS.iter().any(|key| key.name.starts_with(&inside)) => {
                    self.table(&inside, inner, layer)?;
                }
                _ => {
                    let key = self.known(&path, KEYS, name.span())?;
                    layer.values.push((key, self.value(key, value)?, self.line(name.span())));
                }
            }
        }
        Ok(())
    }

    /// The elements of an array of tables.
    fn entries(
        &self,
        what: &'static str,
        keys: &'static [Key],
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Vec<Entry>, CliError> {
        let wrong = |span| CliError::WrongValue {
            place: self.place(span),
            key: what.into(),
            found: value.get_ref().type_str().into(),
            expected: format!("entries that begin with [[{what}]]"),
        };
        let array = value.get_ref().as_array().ok_or_else(|| wrong(value.span()))?;
        array
            .iter()
            .map(|element| {
                let table = element.get_ref().as_table().ok_or_else(|| wrong(element.span()))?;
                self.entry(keys, table, element.span())
            })
            .collect()
    }

    fn entry(&self, keys: &'static [Key], table: &DeTable<'_>, span: Range<usize>) -> Result<Entry, CliError> {
        let mut values = BTreeMap::new();
        for (name, value) in table {
            let key = self.known(name.get_ref(), keys, name.span())?;
            values.insert(key.name, self.value(key, value)?);
        }
        let place = self.place(span);
        if values.contains_key("name") {
            Ok(Entry { place, values })
        } else {
            Err(CliError::MissingKey { place, key: "name" })
        }
    }

    fn known(&self, path: &str, keys: &'static [Key], span: Range<usize>) -> Result<&'static Key, CliError> {
        keys.iter().find(|key| key.name == path).ok_or_else(|| {
            let tables = ["tokens", "collections", "rooms.room", "auth.jwt.grants"]
                .into_iter()
                .filter(|_| std::ptr::eq(keys, KEYS));
            CliError::UnknownKey {
                place: self.place(span),
                key: path.to_owned(),
                nearest: nearest(path, keys.iter().map(|key| key.name).chain(tables)).map(str::to_owned),
            }
        })
    }

    fn value(&self, key: &Key, value: &Spanned<DeValue<'_>>) -> Result<Value, CliError> {
        typed(key.kind, value.get_ref()).ok_or_else(|| {
            let shown = self.text.get(value.span()).filter(|_| key.kind != Kind::Secret).unwrap_or("(hidden)");
            CliError::WrongValue {
                place: self.place(value.span()),
                key: key.name.into(),
                found: format!("{} ({})", shown, value.get_ref().type_str()),
                expected: key.kind.expectation(),
            }
        })
    }

    fn line(&self, span: Range<usize>) -> usize {
        self.text.as_bytes()[..span.start.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn place(&self, span: Range<usize>) -> String {
        format!("{}:{}", self.name, self.line(span))
    }
}

/// TOML has types of its own: a number in quotes is not a number, and a list is an array.
fn typed(kind: Kind, value: &DeValue<'_>) -> Option<Value> {
    match (kind, value) {
        (Kind::Count | Kind::Whole | Kind::Depth | Kind::List | Kind::Switch, DeValue::String(_)) => None,
        (Kind::Switch, DeValue::Boolean(on)) => Some(Value::Text(on.to_string())),
        (_, DeValue::String(text)) => read(kind, text),
        (Kind::Count | Kind::Bytes | Kind::Millis, DeValue::Integer(number)) => {
            u64::from_str_radix(number.as_str(), number.radix()).ok().filter(|n| *n > 0).map(Value::Number)
        }
        (Kind::Whole, DeValue::Integer(number)) => {
            u64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::Number)
        }
        (Kind::Depth, DeValue::Integer(number)) => {
            u64::from_str_radix(number.as_str(), number.radix()).ok().and_then(depth).map(Value::Number)
        }
        (Kind::List, DeValue::Array(items)) => {
            items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect::<Option<_>>().map(Value::List)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use syncline_core::mutation::damaged_text;

    const EXAMPLE: &str = include_str!("../../../../syncline.example.toml");
    const SHORT: &str = "data = 'x'\n[limits]\nbody_bytes = \"1 MiB\"\nwait = \"5s\"\n[[collections]]\nname = \"notes\"\n\
        strategy = \"merge\"\n[[tokens]]\nname = \"t\"\nsecret = \"0123456789abcdef\"\ncollections = [\"a\"]\nexpires = \"2027-01-31T00:00:00Z\"\n";

    proptest! {
        #[test]
        fn a_damaged_file_is_read_or_refused_by_its_name(text in damaged_text(&[EXAMPLE, SHORT])) {
            if let Err(error) = parse("syncline.toml", &text) {
                prop_assert!(error.to_string().contains("syncline.toml"), "{}", error);
            }
        }
    }

    fn refused(text: &str) -> String {
        parse("syncline.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn values_come_with_their_line() {
        let layer =
            parse("f", "listen = \"0.0.0.0:1\"\n\n[limits]\npage_changes = 5\nbody_bytes = \"1 MiB\"\n").unwrap();
        let found: Vec<_> = layer.values.iter().map(|(key, value, line)| (key.name, value.clone(), *line)).collect();
        assert!(found.contains(&("limits.page_changes", Value::Number(5), 4)), "{found:?}");
        assert!(found.contains(&("limits.body_bytes", Value::Number(1 << 20), 5)), "{found:?}");
    }

    #[test]
    fn a_refusal_names_key_place_expectation_and_nearest_key() {
        let unknown = refused("[limits]\npage_change = 5\n");
        assert!(unknown.contains("limits.page_change") && unknown.contains("syncline.toml:2"), "{unknown}");
        assert!(unknown.contains("`limits.page_changes`"), "{unknown}");
        let wrong = refused("listen = 7460\n");
        assert!(wrong.contains("listen") && wrong.contains("7460 (integer)") && wrong.contains("a text"), "{wrong}");
        let entry = refused("[[tokens]]\nname = \"a\"\nacess = \"read\"\n");
        assert!(entry.contains("syncline.toml:3") && entry.contains("`access`"), "{entry}");
        assert!(refused("[tokens]\nname = \"a\"\n").contains("[[tokens]]"));
        assert!(refused("[[collections]]\nstrategy = \"merge\"\n").contains("name"));
        assert!(refused("listen = \n").contains("syncline.toml:1"));
    }

    #[test]
    fn a_secret_is_never_part_of_a_message() {
        let message = refused("[[tokens]]\nname = \"a\"\nsecret = 12345\n");
        assert!(!message.contains("12345"), "{message}");
    }
}
