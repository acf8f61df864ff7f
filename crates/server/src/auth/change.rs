//! A change of what a token allows: what it does not name stays as it is. Decides nothing about what is allowed; the
//! result is checked like a new token.

use super::spec::TokenSpec;
use crate::error::ServerError;
use serde_json::{Map, Value};
use syncline_core::model::plain_words;

/// Fields of a [`TokenSpec`] with their new values. In `rows`, `read_rows`, `write_rows` and `claims` each name is a part of
/// its own: those that are not named stay, and one with null goes.
pub type TokenChange = Map<String, Value>;

/// Fields whose parts are changed one by one.
const BY_NAME: [&str; 4] = ["rows", "read_rows", "write_rows", "claims"];

/// What the token allows after a change.
pub(super) fn changed(old: &TokenSpec, change: &TokenChange) -> Result<TokenSpec, ServerError> {
    let bad = |reason: String| ServerError::bad("malformed_token", reason);
    let name = &old.name;
    if change.is_empty() {
        return Err(bad(format!("nothing to change of token `{name}` is named")));
    }
    if change.get("name").is_some_and(|other| other.as_str() != Some(name.as_str())) {
        return Err(bad(format!("a token keeps its name: this change is for `{name}`")));
    }
    if old.packets || change.contains_key("packets") {
        return Err(bad(format!("token `{name}` is that of a registered node; change the node (`syncline node set`)")));
    }
    let Value::Object(mut fields) = serde_json::to_value(old).expect("a token serializes") else {
        return Err(ServerError::Bug("a token is no object".to_owned()));
    };
    for (field, value) in change {
        match (fields.get_mut(field), value) {
            (Some(Value::Object(parts)), Value::Object(named)) if BY_NAME.contains(&field.as_str()) => {
                parts.extend(named.clone());
            }
            (_, value) => drop(fields.insert(field.clone(), value.clone())),
        }
    }
    for field in BY_NAME {
        match fields.get_mut(field) {
            Some(Value::Object(parts)) => parts.retain(|_, value| !value.is_null()),
            Some(Value::Null) => drop(fields.remove(field)),
            _ => {}
        }
    }
    let read =
        |error: serde_json::Error| bad(format!("the change of token `{name}`: {}", plain_words(error.to_string())));
    serde_json::from_value(Value::Object(fields)).map_err(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use syncline_core::model::NodeId;

    fn limited() -> TokenSpec {
        let spec = json!({
            "name": "kiosk", "space": "shop", "collections": ["tasks", "notes"], "write": false, "expires_at": 9,
            "rows": {"tasks": {"owner": "$sub"}, "notes": {"team": "$team"}}, "claims": {"team": 7, "old": 1},
        });
        serde_json::from_value(spec).unwrap()
    }

    fn after(change: &Value) -> TokenSpec {
        changed(&limited(), change.as_object().unwrap()).unwrap()
    }

    #[test]
    fn what_is_not_named_stays() {
        let later = after(&json!({"expires_at": 10}));
        assert_eq!(later, TokenSpec { expires_at: later.expires_at, ..limited() });
        assert_ne!(later.expires_at, limited().expires_at);
        assert_eq!(after(&json!({"name": "kiosk"})), limited());
        let opened = after(&json!({"space": null, "expires_at": null, "node": "n1"}));
        assert_eq!((opened.space, opened.expires_at, opened.node), (None, None, Some(NodeId::new("n1").unwrap())));
        assert_eq!((opened.rows, opened.collections, opened.write), (limited().rows, limited().collections, false));
    }

    #[test]
    fn filters_and_claims_are_changed_by_their_names_and_null_takes_one_away() {
        let one =
            after(&json!({"rows": {"tasks": {"owner": {"$in": ["$sub", "x"]}}}, "claims": {"old": null, "new": 2}}));
        assert_eq!(json!(one.rows), json!({"tasks": {"owner": {"$in": ["$sub", "x"]}}, "notes": {"team": "$team"}}));
        assert_eq!(json!(one.claims), json!({"team": 7, "new": 2}));
        assert_eq!(json!(after(&json!({"rows": {"notes": null}})).rows), json!({"tasks": {"owner": "$sub"}}));
        assert_eq!(json!(after(&json!({"write_rows": {"tasks": {}}})).write_rows), json!({"tasks": {}}));
        assert_eq!(json!(after(&json!({"rows": null})).rows), json!({}));
    }

    #[test]
    fn a_change_that_cannot_be_says_why() {
        for (change, words) in [
            (json!({}), "nothing to change"),
            (json!({"name": "other"}), "keeps its name"),
            (json!({"packets": true}), "node set"),
            (json!({"collectoins": ["a"]}), "unknown field `collectoins`"),
            (json!({"rows": []}), "a list stands where an object is expected"),
            (json!({"write": null}), "null stands where a boolean is expected"),
        ] {
            let said = changed(&limited(), change.as_object().unwrap()).unwrap_err().to_string();
            assert!(said.contains(words), "{change}: {said}");
        }
    }
}
