//! A document as the log knows it: its text, and when and by whom each field was written.
//! That is what the merge rule needs, and all that it needs.

use super::{Author, Body, Lsn, Millis, Stamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// When, at which LSN and by whom something was written. On the wire and in stores: `[stamp, lsn, author]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(Stamp, Lsn, Author)", into = "(Stamp, Lsn, Author)")]
pub struct Mark {
    /// Hybrid time of the edit: decides who wins.
    pub stamp: Stamp,
    /// The change that carried it: decides who knew of it.
    pub lsn: Lsn,
    /// Who made it.
    pub author: Author,
}

impl From<(Stamp, Lsn, Author)> for Mark {
    fn from((stamp, lsn, author): (Stamp, Lsn, Author)) -> Mark {
        Mark { stamp, lsn, author }
    }
}

impl From<Mark> for (Stamp, Lsn, Author) {
    fn from(mark: Mark) -> Self {
        (mark.stamp, mark.lsn, mark.author)
    }
}

/// Who wrote what when, beside the document's text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The write that every present field not listed in `fields` comes from.
    #[serde(rename = "w")]
    pub whole: Mark,
    /// The newest insert or replacement. Zero: only updates have been seen, the document is not born yet.
    #[serde(rename = "b", default)]
    pub born: Stamp,
    /// Fields that are absent and not listed were absent by decision at this time.
    #[serde(rename = "f", default, skip_serializing_if = "is_zero")]
    pub floor: Stamp,
    /// The newest removal.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Mark>,
    /// Older removals that a birth arriving late could still fall between, newest 16.
    #[serde(rename = "o", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub buried: BTreeSet<Stamp>,
    /// The LSN from which on the document exists for readers (since its last absence).
    #[serde(rename = "c", default)]
    pub created: Lsn,
    /// Whether readers have seen this id with fields that it lost since: it was removed and created
    /// again, or fields were taken away. Stays, because a reader may have ignored the change.
    #[serde(rename = "g", default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// The change that last took fields away without a trace in `fields`; zero: none. A reader that merges by name
    /// and knows an earlier version cannot learn from this one what to drop.
    #[serde(rename = "l", default, skip_serializing_if = "is_nowhere")]
    pub shrunk: Lsn,
    /// A foreign transaction wrote here, and the copy of the device that made it may bear any time up
    /// to this one: a device is told of the document under no earlier time, or it would ignore it.
    /// Decides nothing.
    #[serde(rename = "t", default, skip_serializing_if = "is_never")]
    pub committed: Millis,
    /// Fields written after `whole`, present or taken away.
    #[serde(rename = "m", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Mark>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde asks for
fn is_zero(stamp: &Stamp) -> bool {
    *stamp == Stamp::ZERO
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde asks for
fn is_nowhere(lsn: &Lsn) -> bool {
    *lsn == Lsn::ZERO
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde asks for
fn is_never(time: &Millis) -> bool {
    *time == Millis(0)
}

impl Meta {
    /// The meta of a document that one insert wrote and nothing touched since.
    #[must_use]
    pub fn inserted(mark: Mark) -> Meta {
        Meta { whole: mark, born: mark.stamp, created: mark.lsn, ..Meta::default() }
    }

    /// Everything that was written and still stands, the newest removal included.
    pub fn marks(&self) -> impl Iterator<Item = Mark> + '_ {
        self.fields.values().copied().chain([self.whole]).chain(self.removed)
    }

    /// The newest edit other than a removal.
    #[must_use]
    pub fn newest(&self) -> Stamp {
        self.fields.values().map(|m| m.stamp).fold(self.whole.stamp, Stamp::max)
    }

    /// Whether readers see the document: it was born, and an edit is newer than its removal.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.born > Stamp::ZERO && self.removed.is_none_or(|r| self.newest() > r.stamp)
    }

    /// Whether it tells more than who wrote what: of a removal, of fields that readers still have, or of a
    /// foreign transaction. Then an update alone may not bring a foreign client to this version.
    #[must_use]
    pub fn is_eventful(&self) -> bool {
        self.removed.is_some() || self.again || self.committed > Millis(0)
    }

    /// The newest stamp of all.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.removed.map_or(self.newest(), |r| self.newest().max(r.stamp))
    }
}

/// A document after some change.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// The change that made it.
    pub lsn: Lsn,
    /// Who made that change.
    pub author: Author,
    /// The text; of a removed document its last text, so that a later edit can bring it back.
    pub body: Body,
    /// Who wrote what when.
    pub meta: Meta,
}

impl Version {
    /// What is left of a removed document behind the horizon, where somebody may not have heard of it: that it
    /// was there. A document that takes the place is known to have been gone.
    #[must_use]
    pub fn buried(lsn: Lsn, author: Author) -> Version {
        Version { lsn, author, body: Body::trusted("{}"), meta: Meta { created: lsn, ..Meta::default() } }
    }
}
