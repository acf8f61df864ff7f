//! Identifiers and positions. Each is a type of its own so that two of them cannot be swapped.

use super::Malformed;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A position in a space's log: 1, 2, 3 … in commit order. 0 is "before everything".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The position before the first change.
    pub const ZERO: Lsn = Lsn(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Lsn {
        Lsn(self.0 + 1)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The number of an op in its node's outbox: 1, 2, 3 … `(NodeId, Seq)` is the op id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// Who made a change, as a small number that the hub's store assigns to a node or token.
/// [`Author::SELF`] is this replica's own, not yet pushed work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Author(pub u32);

impl Author {
    /// The replica itself, before the hub has named it.
    pub const SELF: Author = Author(0);
}

/// How far a reader has got in which history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The history that `lsn` counts in.
    pub epoch: Epoch,
    /// Everything up to and including this has been read.
    pub lsn: Lsn,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the rule of this identifier and wraps the text.
            ///
            /// # Errors
            /// [`Malformed`] with the rule that the text breaks.
            pub fn new(text: impl AsRef<str>) -> Result<Self, Malformed> {
                let text = text.as_ref();
                let rule: fn(&str) -> Option<&'static str> = $rule;
                match rule(text) {
                    None => Ok(Self(text.into())),
                    Some(rule) => Err(Malformed::id($what, text, rule)),
                }
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Malformed;
            fn try_from(text: String) -> Result<Self, Malformed> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }
    };
}

fn name_rule(text: &str) -> Option<&'static str> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    if text.is_empty() || text.len() > 128 {
        Some("must have 1 to 128 bytes")
    } else if !text.chars().all(plain) || text.starts_with('.') {
        Some("may hold letters, digits, `_`, `-` and `.`, and must not start with `.`")
    } else {
        None
    }
}

fn token_rule(text: &str) -> Option<&'static str> {
    if text.is_empty() || text.len() > 128 {
        Some("must have 1 to 128 bytes")
    } else if !text.bytes().all(|b| b.is_ascii_graphic()) {
        Some("may hold visible ASCII characters only")
    } else {
        None
    }
}

text_id!(
    /// An isolated database inside a hub.
    SpaceName, "space", name_rule
);
text_id!(
    /// A named set of documents.
    CollectionName, "collection", name_rule
);
text_id!(
    /// The `_id` of a document inside its collection: 1 to 512 bytes without U+0000, which not every
    /// engine can hold in text.
    DocId, "document id", |text| {
        if text.is_empty() || text.len() > 512 {
            Some("must have 1 to 512 bytes")
        } else if text.contains('\0') {
            Some("must not hold the character U+0000")
        } else {
            None
        }
    }
);
text_id!(
    /// A registered participant; a UUID for our own clients, the token's name for foreign ones.
    NodeId, "node id", token_rule
);
/// The names by which the hub writes.
const HUB: &str = "(hub)";
const LEDGER: &str = "(ledger)";
const QUARANTINE: &str = "(quarantine)";

impl NodeId {
    /// The hub itself, as the author of the changes that it makes. No client may use the name.
    #[must_use]
    pub fn hub() -> NodeId {
        NodeId(HUB.into())
    }

    /// The hub, as the author of what was restored from the conflict ledger.
    #[must_use]
    pub fn of_ledger() -> NodeId {
        NodeId(LEDGER.into())
    }

    /// The hub, as the author of what was tried again from the quarantine.
    #[must_use]
    pub fn of_quarantine() -> NodeId {
        NodeId(QUARANTINE.into())
    }

    /// The foreign clients of a token, as the author of their changes.
    #[must_use]
    pub fn of_token(name: &NodeId) -> NodeId {
        NodeId(format!("(token:{name})").into())
    }

    /// Whether it is the hub itself, which reads nothing and is never behind.
    #[must_use]
    pub fn is_hub(&self) -> bool {
        matches!(&*self.0, HUB | LEDGER | QUARANTINE)
    }

    /// Whether it is no client, but where one of event sync is.
    #[must_use]
    pub fn is_live_place(&self) -> bool {
        self.is_live() && self.live_client().is_none()
    }

    /// Whether the name is the hub's to give: no client is to use it for itself.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('(')
    }
}
text_id!(
    /// Names one push; chosen by the client.
    BatchId, "batch id", token_rule
);
text_id!(
    /// Identity of a log's history. It changes when a hub is restored from a backup.
    Epoch, "epoch", |text| if text.is_empty() { None } else { token_rule(text) }
);
text_id!(
    /// What a token sees of a collection, as a digest: another one means that the same position stands for other
    /// documents.
    View, "view", token_rule
);
text_id!(
    /// A named group of live listeners: 1 to 64 of `a-z`, `0-9`, `_` and `-`.
    RoomName, "room", |text| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
        if text.is_empty() || text.len() > 64 {
            Some("must have 1 to 64 bytes")
        } else if text.bytes().all(plain) {
            None
        } else {
            Some("may hold `a-z`, `0-9`, `_` and `-`")
        }
    }
);
text_id!(
    /// What listeners of a room are told, such as `files:changed`. Names by which the event sync or Socket.IO
    /// itself speak are not to be had: whoever may publish an event could otherwise forge documents.
    EventName, "event", |text| {
        if text.is_empty() || text.len() > 128 {
            Some("must have 1 to 128 bytes")
        } else if text.chars().any(char::is_control) {
            Some("must not hold control characters")
        } else if is_taken(text) {
            Some("is a name of the protocol's own; take another one, such as `files:changed`")
        } else {
            None
        }
    }
);
impl EventName {
    /// The part before the first colon, where it is the name of a room.
    #[must_use]
    pub fn topic(&self) -> Option<RoomName> {
        RoomName::new(self.0.split_once(':')?.0).ok()
    }
}

fn is_taken(event: &str) -> bool {
    const TAKEN: [&str; 7] =
        ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener", "error"];
    TAKEN.contains(&event) || event.starts_with("client:") || event.starts_with("server:")
}
