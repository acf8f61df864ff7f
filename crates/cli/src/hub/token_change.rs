//! What somebody wants a token to allow otherwise than before, in words of the command line.

use super::plan::{filters, named_value};
use super::wish::read_expiry;
use crate::config::ACCESS;
use crate::error::CliError;
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};
use syncline_core::model::{CollectionName, NodeId, RoomName, SpaceName};
use syncline_server::auth::TokenChange;

/// The word for no limit.
const ALL: &str = "*";

/// What somebody wants changed; what is not named stays as it is.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TokenChangeWish {
    /// What it may do; admin includes reading and writing
    #[arg(long, value_parser = PossibleValuesParser::new(ACCESS))]
    access: Option<String>,
    /// The space that it opens, `*` for every one
    #[arg(long)]
    space: Option<String>,
    /// The only collections that it opens, `*` for all
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    collections: Vec<String>,
    /// Its collection on the bare /sync/… paths, `*` for the hub's default collection
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// Whether it may publish events to rooms
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "true|false")]
    emit: Option<bool>,
    /// The only rooms that it opens, `*` for all that need no grant
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    rooms: Vec<String>,
    /// When it ends: a duration from now on (30d, 12h), a time (2027-01-31T00:00:00Z), or `never`
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// Filters of these collections: a JSON object, or @FILE that holds one; null takes a filter away
    #[arg(long, value_name = "JSON|@FILE")]
    rows: Option<String>,
    /// The same for reading, where it differs from --rows
    #[arg(long, value_name = "JSON|@FILE")]
    read_rows: Option<String>,
    /// The same for writing, where it differs from --rows
    #[arg(long, value_name = "JSON|@FILE")]
    write_rows: Option<String>,
    /// What "$NAME" stands for in filters: a text or JSON; null takes it away (repeatable)
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// The only node (device id) that may use it, `*` for any
    #[arg(long, value_name = "ID")]
    node: Option<String>,
}

impl TokenChangeWish {
    /// The change that the words mean.
    ///
    /// # Errors
    /// Nothing is named; a name, a filter, a claim or an expiry that cannot be one.
    pub fn change(&self) -> Result<TokenChange, CliError> {
        let mut change = TokenChange::new();
        if let Some(access) = self.access.as_deref() {
            change.insert("read".into(), json!(access != "write"));
            change.insert("write".into(), json!(access != "read"));
            change.insert("admin".into(), json!(access == "admin"));
        }
        if let Some(emit) = self.emit {
            change.insert("emit".into(), json!(emit));
        }
        let mut name = |field: &str, text: Option<&String>, read: fn(&str) -> Result<Value, CliError>| {
            text.map_or(Ok(()), |text| {
                let value = if text == ALL { Value::Null } else { read(text)? };
                change.insert(field.into(), value);
                Ok::<_, CliError>(())
            })
        };
        name("space", self.space.as_ref(), |text| Ok(json!(SpaceName::new(text)?)))?;
        name("collection", self.collection.as_ref(), |text| Ok(json!(CollectionName::new(text)?)))?;
        name("node", self.node.as_ref(), |text| Ok(json!(NodeId::new(text)?)))?;
        let mut names = |field: &str, all: &[String], read: fn(&String) -> Result<Value, CliError>| {
            if !all.is_empty() {
                let listed = all.iter().map(read).collect::<Result<Vec<_>, _>>();
                change.insert(
                    field.into(),
                    if all.iter().any(|text| text == ALL) { Value::Null } else { json!(listed?) },
                );
            }
            Ok::<_, CliError>(())
        };
        names("collections", &self.collections, |text| Ok(json!(CollectionName::new(text)?)))?;
        names("rooms", &self.rooms, |text| Ok(json!(RoomName::new(text)?)))?;
        if let Some(text) = &self.expires {
            change.insert("expires_at".into(), if text == "never" { Value::Null } else { json!(read_expiry(text)?) });
        }
        for (field, flag, text) in [
            ("rows", "--rows", &self.rows),
            ("read_rows", "--read-rows", &self.read_rows),
            ("write_rows", "--write-rows", &self.write_rows),
        ] {
            if let Some(text) = text {
                change.insert(field.into(), json!(filters(flag, text)?));
            }
        }
        if !self.claims.is_empty() {
            let claims = self.claims.iter().map(|pair| named_value("--claim", pair));
            let claims = claims.map(|claim| claim.map(|(name, value)| (name.to_owned(), value)));
            change.insert("claims".into(), Value::Object(claims.collect::<Result<_, _>>()?));
        }
        if change.is_empty() {
            let flags = "--access, --space, --collections, --collection, --emit, --rooms, --expires, --rows, --read-rows, \
                         --write-rows, --claim or --node";
            return Err(CliError::Usage(format!("nothing to change is named; use {flags}")));
        }
        Ok(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        wish: TokenChangeWish,
    }

    fn change(words: &[&str]) -> Result<TokenChange, CliError> {
        Words::try_parse_from([&["token"], words].concat()).unwrap().wish.change()
    }

    #[test]
    fn only_what_is_named_is_in_the_change() {
        let said = change(&["--collections", "a,b", "--expires", "never", "--rows", r#"{"a": {"n": 1}, "b": null}"#]);
        let expected = json!({"collections": ["a", "b"], "expires_at": null, "rows": {"a": {"n": 1}, "b": null}});
        assert_eq!(Value::Object(said.unwrap()), expected);
        let said = change(&["--access", "read", "--emit=false", "--claim", "team=7", "--claim", "old=null"]).unwrap();
        let expected =
            json!({"read": true, "write": false, "admin": false, "emit": false, "claims": {"team": 7, "old": null}});
        assert_eq!(Value::Object(said), expected);
        let open = change(&["--space", "*", "--collections", "*", "--collection", "*", "--rooms", "*", "--node", "*"]);
        let expected = json!({"space": null, "collections": null, "collection": null, "rooms": null, "node": null});
        assert_eq!(Value::Object(open.unwrap()), expected);
        assert_eq!(Value::Object(change(&["--emit"]).unwrap()), json!({"emit": true}));
    }

    #[test]
    fn a_change_of_nothing_or_of_what_cannot_be_is_refused() {
        for (words, why) in [
            (&[][..], "nothing to change is named"),
            (&["--rows", "[]"], "a list stands where"),
            (&["--rows", r#"{"a": {}, "a": {"n": 1}}"#], "`a` stands twice"),
            (&["--expires", "soon"], "30d"),
            (&["--claim", "team"], "NAME=VALUE"),
        ] {
            let said = change(words).unwrap_err();
            assert!(said.to_string().contains(why) && said.exit_code() == 2, "{said}");
        }
    }
}
