//! What a path says: which request, in which space, on which collection.

use crate::error::ServerError;
use syncline_core::model::{CollectionName, SpaceName};

/// The requests of the dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `GET …/sync/snapshot`
    Snapshot,
    /// `GET …/sync/pull`
    Pull,
    /// `POST …/sync/push`
    Push,
    /// `GET …/sync/health`
    Health,
    /// `GET …/sync/live`
    Live,
    /// `GET …/sync/digests`
    Digests,
}

/// What stands before `/sync/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// From `/s/{space}`.
    pub space: Option<SpaceName>,
    /// From `/c/{collection}`, or the last segment of any other path.
    pub collection: Option<CollectionName>,
}

/// Takes a path apart.
///
/// # Errors
/// [`ServerError::NotFound`] for other paths, [`ServerError::BadRequest`] for broken escapes,
/// [`ServerError::Malformed`] for names that are none.
pub fn parse_path(path: &str) -> Result<(Verb, Base), ServerError> {
    let unknown = || {
        ServerError::NotFound(format!(
            "there is nothing at `{}`; the interface is described at `/docs`",
            path.chars().take(200).collect::<String>()
        ))
    };
    let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let verb = match segments.pop() {
        Some("snapshot") => Verb::Snapshot,
        Some("pull") => Verb::Pull,
        Some("push") => Verb::Push,
        Some("health") => Verb::Health,
        Some("live") => Verb::Live,
        Some("digests") => Verb::Digests,
        _ => return Err(unknown()),
    };
    if segments.pop() != Some("sync") {
        return Err(unknown());
    }
    let base = match segments.as_slice() {
        [] => Base::default(),
        ["s", space] => Base { space: Some(SpaceName::new(decode(space)?)?), collection: None },
        [.., "s", space, "c", name] => {
            Base { space: Some(SpaceName::new(decode(space)?)?), collection: Some(CollectionName::new(decode(name)?)?) }
        }
        [.., name] => Base { space: None, collection: Some(CollectionName::new(decode(name)?)?) },
    };
    Ok((verb, base))
}

/// Percent-decoding of one segment.
fn decode(segment: &str) -> Result<String, ServerError> {
    let broken = || {
        let shown: String = segment.chars().take(40).collect();
        ServerError::bad("malformed_path", format!("`{shown}` in the path is not percent-encoded UTF-8"))
    };
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = tail.get(..2).and_then(|d| std::str::from_utf8(d).ok()).ok_or_else(broken)?;
        if !digits.bytes().all(|d| d.is_ascii_hexdigit()) {
            return Err(broken());
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| broken())?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> (Option<String>, Option<String>) {
        let (verb, base) = parse_path(path).unwrap();
        assert_eq!(verb, Verb::Pull);
        (base.space.map(String::from), base.collection.map(String::from))
    }

    #[test]
    fn prefixes_name_spaces_and_collections() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(place("/sync/pull"), (None, None));
        assert_eq!(place("/c/users/sync/pull"), (None, some("users")));
        assert_eq!(place("/s/acme/sync/pull"), (some("acme"), None));
        assert_eq!(place("/s/acme/c/users/sync/pull"), (some("acme"), some("users")));
        assert_eq!(place("/tenant/api/articles/sync/pull"), (None, some("articles")));
        assert_eq!(place("/behind/proxy/s/acme/c/users/sync/pull"), (some("acme"), some("users")));
        assert_eq!(place("/a//b%C3%A9/sync/pull"), (None, some("bé")));
    }

    #[test]
    fn other_paths_and_broken_escapes_are_refused() {
        for path in ["/", "/sync", "/sync/other", "/pull", "/x/pull"] {
            assert_eq!(parse_path(path).unwrap_err().code(), "not_found", "{path}");
        }
        for path in ["/c/%/sync/pull", "/c/%zz/sync/pull", "/c/%+1/sync/pull", "/c/%ff/sync/pull"] {
            assert_eq!(parse_path(path).unwrap_err().code(), "malformed_path", "{path}");
        }
        assert_eq!(parse_path("/c/a%2Fb/sync/pull").unwrap_err().code(), "malformed_id");
    }
}
