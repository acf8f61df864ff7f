//! A token as words of the command line or the configuration, and the grant that they mean.

use super::plan::{filters, named_value};
use crate::config::{Entry, read_millis};
use crate::error::CliError;
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};
use syncline_core::model::{CollectionName, Millis, NodeId, RoomName, SpaceName};
use syncline_server::auth::{RowRules, TokenSpec};

/// What somebody wants a token to be.
#[derive(Clone, Debug, Default)]
pub struct TokenWish {
    /// Its name.
    pub name: String,
    /// `read`, `write`, `read-write` or `admin`; `None`: `read-write`.
    pub access: Option<String>,
    /// A space, or `*`; `None`: the default space, for an admin every one.
    pub space: Option<String>,
    /// Its collections; empty: all.
    pub collections: Vec<String>,
    /// Its collection on bare paths.
    pub collection: Option<String>,
    /// The only node that may use it.
    pub node: Option<String>,
    /// Whether it may publish events to rooms.
    pub emit: bool,
    /// Its rooms; empty: all that need no grant.
    pub rooms: Vec<String>,
    /// Filters for reading and writing, as JSON; `None`: it opens whole collections.
    pub rows: Option<String>,
    /// Filters for reading, where they differ.
    pub read_rows: Option<String>,
    /// Filters for writing, where they differ.
    pub write_rows: Option<String>,
    /// What the filters ask for, as `NAME=VALUE`.
    pub claims: Vec<String>,
    /// Its end: a time, or a duration from now on.
    pub expires: Option<String>,
}

impl TokenWish {
    /// Reads a `[[tokens]]` entry.
    pub fn from_entry(entry: &Entry) -> TokenWish {
        let text = |key| entry.text(key).map(str::to_owned);
        TokenWish {
            name: text("name").unwrap_or_default(),
            access: text("access"),
            space: text("space"),
            collections: entry.list("collections").unwrap_or_default().to_vec(),
            collection: text("collection"),
            node: text("node"),
            emit: entry.text("emit") == Some("true"),
            rooms: entry.list("rooms").unwrap_or_default().to_vec(),
            rows: text("rows"),
            read_rows: text("read_rows"),
            write_rows: text("write_rows"),
            claims: entry.list("claims").unwrap_or_default().to_vec(),
            expires: text("expires"),
        }
    }

    /// The grant that the words mean.
    ///
    /// # Errors
    /// A name that breaks its rule, or an expiry that is none.
    pub fn spec(&self, default_space: &SpaceName) -> Result<TokenSpec, CliError> {
        let access = self.access.as_deref().unwrap_or("read-write");
        let space = match self.space.as_deref() {
            Some("*") => None,
            Some(name) => Some(SpaceName::new(name)?),
            None if access == "admin" => None,
            None => Some(default_space.clone()),
        };
        let collections: Result<_, _> = self.collections.iter().map(CollectionName::new).collect();
        let rooms: Result<_, _> = self.rooms.iter().map(RoomName::new).collect();
        Ok(TokenSpec {
            name: NodeId::new(&self.name)?,
            space,
            collections: if self.collections.is_empty() { None } else { Some(collections?) },
            collection: self.collection.as_ref().map(CollectionName::new).transpose()?,
            read: access != "write",
            write: access != "read",
            admin: access == "admin",
            emit: self.emit,
            rooms: if self.rooms.is_empty() { None } else { Some(rooms?) },
            expires_at: self.expires.as_deref().map(read_expiry).transpose()?,
            node: self.node.as_ref().map(NodeId::new).transpose()?,
            rows: rules("--rows", self.rows.as_deref())?,
            read_rows: rules("--read-rows", self.read_rows.as_deref())?,
            write_rows: rules("--write-rows", self.write_rows.as_deref())?,
            claims: self.claims.iter().map(|pair| claim(pair)).collect::<Result<_, _>>()?,
            packets: false,
        })
    }
}

fn rules(what: &str, argument: Option<&str>) -> Result<RowRules, CliError> {
    argument.map_or_else(|| Ok(RowRules::new()), |argument| filters(what, argument))
}

fn claim(pair: &str) -> Result<(String, Value), CliError> {
    let (name, value) = named_value("--claim", pair)?;
    Ok((name.to_owned(), value))
}

/// The words for what a grant allows.
pub fn access_of(spec: &TokenSpec) -> &'static str {
    match (spec.admin, spec.read, spec.write) {
        (true, _, _) => "admin",
        (_, true, true) => "read-write",
        (_, true, false) => "read",
        (_, false, true) => "write",
        (_, false, false) => "nothing",
    }
}

/// A time to come, or a duration from now on.
///
/// # Errors
/// It is neither, or past.
pub(super) fn read_expiry(text: &str) -> Result<Millis, CliError> {
    let end = read_millis(text).map(|ms| Millis(now().0.saturating_add(ms))).or_else(|| Millis::parse(text));
    match end {
        Some(end) if end > now() => Ok(end),
        Some(_) => Err(CliError::Usage(format!("the expiry `{text}` is in the past; give a later time"))),
        None => Err(CliError::Usage(format!(
            "the expiry `{text}` is neither a duration (30d, 12h) nor a time (2027-01-31T00:00:00Z)"
        ))),
    }
}

/// This machine's time.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(wish: TokenWish) -> Result<TokenSpec, CliError> {
        wish.spec(&SpaceName::new("main").unwrap())
    }

    fn named() -> TokenWish {
        TokenWish { name: "phone".into(), ..TokenWish::default() }
    }

    #[test]
    fn an_ordinary_token_stays_in_the_default_space_and_an_admin_does_not() {
        let ordinary = spec(named()).unwrap();
        assert_eq!(ordinary.space.as_ref().map(SpaceName::as_str), Some("main"));
        assert!(ordinary.read && ordinary.write && !ordinary.admin);
        let admin = spec(TokenWish { access: Some("admin".into()), ..named() }).unwrap();
        assert!(admin.admin && admin.read && admin.write && admin.space.is_none());
        assert_eq!(spec(TokenWish { space: Some("*".into()), ..named() }).unwrap().space, None);
    }

    #[test]
    fn rows_and_claims_are_json_and_a_claim_may_be_plain_text() {
        let rows = Some(r#"{"tasks": {"owner": "$sub", "team": {"$in": "$teams"}}}"#.to_owned());
        let claims = vec!["sub=anna".to_owned(), "teams=[1,2]".to_owned()];
        let made = spec(TokenWish { rows, claims, ..named() }).unwrap();
        assert_eq!(made.claims["sub"], "anna");
        assert_eq!(made.claims["teams"], serde_json::json!([1, 2]));
        assert_eq!(made.rows.len(), 1);
        let wrong = spec(TokenWish { read_rows: Some("tasks".into()), ..named() }).unwrap_err().to_string();
        assert!(wrong.contains("--read-rows") && wrong.contains("$sub"), "{wrong}");
    }

    #[test]
    fn an_expiry_is_a_duration_or_a_time_to_come() {
        let day = |text: &str| spec(TokenWish { expires: Some(text.into()), ..named() });
        let end = day("30d").unwrap().expires_at.unwrap();
        assert!(end.0.abs_diff(now().0 + 30 * 86_400_000) < 60_000);
        assert!(day("2999-01-01T00:00:00Z").unwrap().expires_at.is_some());
        assert!(day("2001-01-01T00:00:00Z").unwrap_err().to_string().contains("past"));
        assert!(day("soon").unwrap_err().to_string().contains("30d"));
    }
}
