//! Rows as stores return them, and the questions that they answer.

use super::Json;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use syncline_core::model::{Author, CollectionName, DocId, Epoch, Lsn, Millis, Stamp, TimeFields};

/// Where a space's log stands, all read at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Identity of the history.
    pub epoch: Epoch,
    /// The last LSN taken.
    pub lsn: Lsn,
    /// The last LSN that is a change of a document. Pages end here, never on a ticket.
    pub last_change: Lsn,
    /// Changes after this LSN can be read.
    pub horizon: Lsn,
    /// How much the space keeps aside.
    pub kept: Kept,
}

/// Which rows to read.
#[derive(Clone, Debug)]
pub enum Scan {
    /// Every change after a position, in LSN order, as it was logged.
    Log {
        /// Changes after this.
        after: Lsn,
        /// Only these collections; `None`: all.
        collections: Option<BTreeSet<CollectionName>>,
        /// Stop after so many rows.
        max_rows: usize,
        /// Stop after about so many bytes of text.
        max_bytes: usize,
    },
    /// The newest version of each document of one collection that changed after a position, removed
    /// ones included, in LSN order.
    Net {
        /// Which collection.
        collection: CollectionName,
        /// Changed after this.
        after: Lsn,
        /// The reader does without commit times and authors, and without the metas of live documents that were
        /// there at `after` and whose version is not eventful. A store may leave these at 0 and empty.
        brief: bool,
    },
    /// Live documents in the order of their LSNs. A later part, with `after` set to the last LSN that
    /// was received, holds every document not received yet and those changed since; one that was
    /// removed meanwhile shows up as a removal when the reader pulls from the *first* part's LSN.
    Snapshot {
        /// Which collections; `None`: all.
        collections: Option<BTreeSet<CollectionName>>,
        /// Continue after this LSN; 0: from the beginning.
        after: Lsn,
        /// Leave out what has expired by now; `None`: leave out nothing.
        expired_by: Option<Millis>,
        /// Stop after so many rows.
        max_rows: usize,
        /// Stop after about so many bytes of text.
        max_bytes: usize,
    },
    /// What a registered node is to be told, in LSN order: the newest versions that others made after a
    /// position, removed ones included, and what stands where the node is owed a return. Removals behind the
    /// horizon are kept by name for as long as a registered node has not heard of them.
    Packet {
        /// The node has everything up to here.
        after: Lsn,
        /// The node: its own changes are left out.
        author: Author,
        /// While it is filled: up to here its own changes count like those of others, for it may have lost
        /// them; and those of documents that were there, wherever they are logged: what stands may be logged once more
        /// as its author's. Otherwise 0.
        fill: Lsn,
        /// Whether all of its own changes count like those of others, for it may not have them as they stand.
        own: bool,
        /// Only these collections; `None`: all.
        collections: Option<BTreeSet<CollectionName>>,
        /// Stop after so many rows.
        max_rows: usize,
        /// Stop after about so many bytes of text.
        max_bytes: usize,
    },
    /// What a node is owed, by name, in LSN order: a row says no more than which document, whatever stands there now.
    Returns {
        /// Owed after this.
        after: Lsn,
        /// The node.
        author: Author,
        /// Only these collections.
        collections: BTreeSet<CollectionName>,
    },
    /// The ticket with this LSN (none or one), to look up a foreign cursor.
    Ticket {
        /// The position that the foreign client came with.
        lsn: Lsn,
    },
}

/// Behind every position.
const LAST: Lsn = Lsn(u64::MAX);

impl Scan {
    /// The position that its rows come after.
    #[must_use]
    pub fn after(&self) -> Lsn {
        match self {
            Scan::Log { after, .. }
            | Scan::Net { after, .. }
            | Scan::Packet { after, .. }
            | Scan::Returns { after, .. }
            | Scan::Snapshot { after, .. } => *after,
            Scan::Ticket { lsn } => Lsn(lsn.0.saturating_sub(1)),
        }
    }

    /// For a [`Scan::Packet`], up to where the node's own changes count like those of others, and those of documents
    /// that exist since then.
    #[must_use]
    pub(super) fn own_upto(&self) -> Lsn {
        match self {
            Scan::Packet { own: true, .. } => LAST,
            Scan::Packet { fill, .. } => *fill,
            _ => Lsn::ZERO,
        }
    }

    /// Whether a [`Scan::Packet`] tells its node a version that the node itself has made, logged at `lsn`, of a document
    /// that exists from `created` on.
    #[must_use]
    pub(super) fn tells_own(&self, lsn: Lsn, created: Lsn) -> bool {
        let upto = self.own_upto();
        lsn <= upto || created > Lsn::ZERO && created <= upto
    }
}

/// One row, borrowed from the engine for as long as the encoder looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its position. In a [`Scan::Packet`] a returned document stands at the position of its return.
    pub lsn: Lsn,
    /// When it was committed.
    pub at: Millis,
    /// The collection's name.
    pub collection: &'a str,
    /// The document's id.
    pub id: &'a str,
    /// Whether readers see the document.
    pub live: bool,
    /// Who made the change.
    pub author: Author,
    /// Newest stamp of the version (see `Meta::stamp`).
    pub stamp: Stamp,
    /// When the document was born (see `Meta::born`).
    pub born: Stamp,
    /// The version's `Meta` as JSON; empty for a document that one insert wrote: then it is
    /// `Meta::inserted` of stamp, lsn and author.
    pub meta: &'a str,
    /// See `Meta::is_eventful`.
    pub eventful: bool,
    /// From which LSN on the document exists for readers.
    pub created: Lsn,
    /// Which times are among the document's fields.
    pub times: TimeFields,
    /// The document's text (of a removed one: its last text). For [`Scan::Ticket`] the
    /// [`Ticket`](syncline_core::hub::Ticket) as JSON.
    pub body: &'a str,
    /// The text of the version that this one took the place of, where readers saw that. Only for encoders that
    /// compare ([`Encoder::compares`](super::Encoder::compares)).
    pub before: Option<&'a str>,
}

impl<'a> Row<'a> {
    /// A removed document of which no version is left.
    pub(super) fn gone(collection: &'a str, id: &'a str) -> Row<'a> {
        Row {
            lsn: Lsn::ZERO,
            at: Millis(0),
            collection,
            id,
            live: false,
            author: Author::default(),
            stamp: Stamp::ZERO,
            meta: "",
            created: Lsn::ZERO,
            times: TimeFields::default(),
            born: Stamp::ZERO,
            eventful: true,
            body: "{}",
            before: None,
        }
    }
}

/// How a scan ended. Positions are those of changes: a ticket's LSN never shows up here. Only a
/// [`Scan::Packet`] ends on any row, [`Head::lsn`] when nothing is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The rows are complete up to here. When nothing is left this is [`Head::last_change`] (or the
    /// position asked for, where that is later).
    pub upto: Lsn,
    /// Rows that the encoder took.
    pub rows: u64,
    /// Whether there is more after `upto`.
    pub more: bool,
}

/// What may go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trim {
    /// Tickets, returns and tombstones up to here, and what was superseded up to here: of a version that stood at this
    /// position a reader may have to be told that it is gone. Becomes the horizon, but never passes
    /// [`Head::last_change`] and never goes back.
    pub horizon: Lsn,
    /// Receipts, batch ids and foreign op ids older than this.
    pub receipts_before: Millis,
    /// Rows of the conflict ledger older than this.
    pub ledger_before: Millis,
    /// Rows of the quarantine older than this.
    pub quarantine_before: Millis,
    /// Clients of event sync that were last heard of before this, and that nothing names any more: no row of the log
    /// and no mark in one, no row of the ledger. Their numbers are never used again.
    pub clients_before: Millis,
}

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trimmed {
    /// Superseded changes, tickets and returns.
    pub changes: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Receipts, batch ids and foreign op ids.
    pub receipts: u64,
    /// Rows of the conflict ledger.
    pub conflicts: u64,
    /// Rows of the quarantine.
    pub quarantined: u64,
    /// Clients of event sync, and their places.
    pub clients: u64,
}

/// Which rows of the ledger or the quarantine.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Only this collection.
    pub collection: Option<CollectionName>,
    /// Only this document.
    pub id: Option<DocId>,
    /// Only rows with a number below this (for paging); `None`: from the newest.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// A live document whose time is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiredRow {
    /// When it expired.
    pub at: Millis,
    /// Its newest change.
    pub lsn: Lsn,
    /// Where it lives.
    pub collection: CollectionName,
    /// Which document.
    pub id: DocId,
}

/// A row of the conflict ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictRow {
    /// Its number.
    pub n: u64,
    /// When it was decided.
    pub at: Millis,
    /// Where the document lives.
    pub collection: String,
    /// Which document.
    pub id: String,
    /// The deciding change.
    pub lsn: Lsn,
    /// The rule that decided.
    pub rule: String,
    /// Name of the node that won; empty when the space does not know it.
    pub winner: String,
    /// Name of the node that lost; empty when the space does not know it.
    pub loser: String,
    /// `fields`, `document` or `removal`.
    pub losing_kind: String,
    /// The losing values; null for a removal. Of fields that this side did not have, the other one knows the names.
    pub losing: Json,
    /// As `losing_kind`.
    pub winning_kind: String,
    /// The winning values; null for a removal.
    pub winning: Json,
    /// The change by which the losing side was restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Lsn>,
}

/// Rows of the ledger whose losing side had been accepted before, of one author.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LateRows {
    /// The rows, the oldest first.
    pub rows: Vec<ConflictRow>,
    /// The last number that was looked at; the ledger's last one where no more rows follow.
    pub upto: u64,
}

/// How much a space keeps aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Rows of the conflict ledger.
    pub conflicts: u64,
    /// Rows of the quarantine.
    pub quarantined: u64,
    /// Number of the newest row that the conflict ledger ever had; 0: it never had one.
    pub last_conflict: u64,
}

/// A row of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineRow {
    /// Its number.
    pub n: u64,
    /// When it was set aside.
    pub at: Millis,
    /// The collection, where it is known.
    pub collection: Option<String>,
    /// The document, where it is known.
    pub id: Option<String>,
    /// Who sent it.
    pub node: String,
    /// Its number in the node's outbox.
    pub seq: Option<u64>,
    /// A short, stable word.
    pub code: String,
    /// Why it cannot be applied.
    pub reason: String,
    /// The op as it was sent.
    pub op: String,
}

/// A node or token as the space knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Its number in this space.
    pub author: Author,
    /// Its id (own clients) or `(token:name)` (foreign clients).
    pub node: String,
    /// The highest op number answered.
    #[serde(default)]
    pub last_seq: u64,
    /// How far it has read, as last noted.
    #[serde(default)]
    pub cursor: Lsn,
    /// When it was last seen; 0: never since it was made.
    #[serde(default)]
    pub seen_at: Millis,
    /// The token that it belongs to: no other pushes as it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// Kinds of administrative records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKind {
    /// Access tokens, by name.
    Token,
    /// Collection rules ([`CollectionRule`](syncline_core::model::CollectionRule)), by `space/collection`.
    Collection,
    /// Spaces whose log was filled from an application's storage of events, by name.
    Filled,
    /// Settings that hubs on a shared store have in common.
    Setting,
    /// What declared tokens grant and granted before, by name.
    Declared,
}

/// An administrative record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its key within the kind.
    pub key: String,
    /// Its content as JSON.
    pub value: String,
}
