//! Which rows a token opens: the filters of its grant with the token's claims filled in, once, when it is accepted.
//! Knows no document; what the filters mean is asked by the hub and by the encoders of pages.

use crate::error::ServerError;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use syncline_core::filter::{Filter, FilterError, bind_claims};
use syncline_core::model::{CollectionName, NodeId, RowFilters, View, Views};

/// Bytes of all filters of a token, claims filled in.
pub(super) const FILTER_BYTES_MAX: usize = 256 << 10;

/// Filters by collection, as they are written.
pub type RowRules = BTreeMap<CollectionName, Value>;

/// What a token says of rows, and who it is.
pub(super) struct Binding<'a> {
    pub(super) rows: &'a RowRules,
    pub(super) read_rows: &'a RowRules,
    pub(super) write_rows: &'a RowRules,
    pub(super) claims: &'a Map<String, Value>,
    pub(super) name: &'a NodeId,
    pub(super) collections: Option<&'a BTreeSet<CollectionName>>,
}

/// The rows that a token may read and write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowAccess {
    /// Documents that it is told of.
    pub(super) read: Arc<RowFilters>,
    /// Documents that its edits may find and leave.
    pub(super) write: Arc<RowFilters>,
    /// What it sees of the collections that it does not see whole.
    pub(super) views: Views,
    /// Bytes of all filters as text.
    pub(super) bytes: usize,
}

impl RowAccess {
    /// Fills in the claims.
    ///
    /// # Errors
    /// [`ServerError::BadRequest`] naming the collection and what is wrong with its filter: an unknown operator, a list
    /// that is too long, a claim that the token does not have.
    pub(super) fn bind(token: &Binding<'_>) -> Result<RowAccess, ServerError> {
        let mut bytes = 0;
        let (read, texts) = bind(token, token.read_rows, &mut bytes)?;
        let (write, _) = bind(token, token.write_rows, &mut bytes)?;
        let views = texts.into_iter().map(|(name, text)| (name, view(&text))).collect();
        Ok(RowAccess { read: Arc::new(read), write: Arc::new(write), views, bytes })
    }

    /// Whether only some rows of a collection may be read or written.
    pub(super) fn limits(&self, collection: &CollectionName) -> bool {
        self.read.limit(collection.as_str()) || self.write.limit(collection.as_str())
    }

    /// Whether that is so for any collection.
    pub(super) fn limits_any(&self) -> bool {
        !self.read.is_empty() || !self.write.is_empty()
    }
}

/// The filters of one direction: its own, and those for both where it has none.
fn bind(
    token: &Binding<'_>,
    own: &RowRules,
    bytes: &mut usize,
) -> Result<(RowFilters, BTreeMap<CollectionName, String>), ServerError> {
    let mut claims = token.claims.clone();
    claims.entry("sub").or_insert_with(|| Value::from(token.name.as_str()));
    let (mut filters, mut texts) = (BTreeMap::new(), BTreeMap::new());
    let names: BTreeSet<&CollectionName> = token.rows.keys().chain(own.keys()).collect();
    for name in names {
        let Some(rule) = own.get(name).or_else(|| token.rows.get(name)) else { continue };
        if token.collections.is_some_and(|names| !names.contains(name)) {
            return Err(malformed(
                name,
                "the token does not open this collection; name it among its collections, or take the filter away",
            ));
        }
        let room = FILTER_BYTES_MAX.saturating_sub(*bytes);
        let bound = bind_claims(rule, &claims, room).map_err(|why| match why {
            FilterError::TooMuchOfClaims { .. } => too_long(name),
            other => malformed(name, &other.to_string()),
        })?;
        let filter = Filter::parse(&bound).map_err(|why| malformed(name, &why.to_string()))?;
        let text = bound.to_string();
        *bytes += text.len();
        if *bytes > FILTER_BYTES_MAX {
            return Err(too_long(name));
        }
        filters.insert(name.clone(), filter);
        texts.insert(name.clone(), text);
    }
    Ok((RowFilters::new(filters), texts))
}

/// Another text is another view, even where it means the same documents.
fn view(text: &str) -> View {
    let hex = Sha256::digest(text.as_bytes()).iter().take(12).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    View::new(hex).expect("hexadecimal digits are a view")
}

fn too_long(name: &CollectionName) -> ServerError {
    let why = format!(
        "the filters of a token may have {FILTER_BYTES_MAX} bytes together; give each document a field that says who may see it, and ask for that"
    );
    malformed(name, &why)
}

fn malformed(name: &CollectionName, why: &str) -> ServerError {
    ServerError::bad("malformed_rows", format!("the rows of `{name}`: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::TokenSpec;
    use serde_json::json;

    fn spec(rows: Value, claims: Value) -> TokenSpec {
        let rows = serde_json::from_value(rows).unwrap();
        let claims = claims.as_object().unwrap().clone();
        TokenSpec { rows, claims, ..TokenSpec::named(NodeId::new("anna").unwrap()) }
    }

    fn refusal(spec: &TokenSpec) -> String {
        spec.row_access().unwrap_err().to_string()
    }

    #[test]
    fn claims_are_filled_in_and_each_direction_may_have_a_rule_of_its_own() {
        let mut spec = spec(json!({"tasks": {"owner": "$sub"}, "notes": {"team": "$team"}}), json!({"team": 7}));
        spec.read_rows = [(CollectionName::new("notes").unwrap(), json!({"team": {"$gte": 7}}))].into();
        let access = spec.row_access().unwrap();
        assert!(access.read.mean("tasks", r#"{"owner":"anna"}"#) && !access.write.mean("tasks", r#"{"owner":"ben"}"#));
        assert!(access.read.mean("notes", r#"{"team":8}"#) && !access.write.mean("notes", r#"{"team":8}"#));
        assert_eq!(access.views.len(), 2);
    }

    #[test]
    fn another_claim_is_another_view_and_another_right_to_write_is_none() {
        let rows = json!({"tasks": {"team": "$team"}});
        let of = |claims| spec(rows.clone(), claims).row_access().unwrap().views;
        assert_eq!(of(json!({"team": 1, "other": 1})), of(json!({"team": 1, "other": 2})));
        assert_ne!(of(json!({"team": 1})), of(json!({"team": 2})));
        let mut writes = spec(rows.clone(), json!({"team": 1}));
        writes.write_rows = [(CollectionName::new("tasks").unwrap(), json!({}))].into();
        assert_eq!(writes.row_access().unwrap().views, of(json!({"team": 1})));
    }

    #[test]
    fn refusals_name_the_collection_and_what_is_wrong() {
        let unknown = refusal(&spec(json!({"tasks": {"owner": {"$regex": "a"}}}), json!({})));
        assert!(unknown.contains("`tasks`") && unknown.contains("`$regex`") && unknown.contains("$in"), "{unknown}");
        let list = refusal(&spec(json!({"tasks": {"owner": {"$in": "$list"}}}), json!({"list": vec![0; 10_001]})));
        assert!(list.contains("10001 values; the limit is 10000"), "{list}");
        let long = refusal(&spec(json!({"tasks": {"owner": "$long"}}), json!({"long": "x".repeat(FILTER_BYTES_MAX)})));
        assert!(long.contains("262144 bytes together"), "{long}");
        let missing = refusal(&spec(json!({"tasks": {"org": "$org"}}), json!({})));
        assert!(missing.contains("the claim `org`"), "{missing}");
        let often = json!({"tasks": {"owner": {"$in": vec!["$long"; 5_000]}}});
        let often = refusal(&spec(often, json!({"long": "x".repeat(200_000)})));
        assert!(often.contains("262144 bytes together"), "counted before it is filled in: {often}");
        let closed = [CollectionName::new("notes").unwrap()].into();
        let elsewhere = TokenSpec { collections: Some(closed), ..spec(json!({"tasks": {}}), json!({})) };
        assert!(refusal(&elsewhere).contains("does not open this collection"));
    }
}
