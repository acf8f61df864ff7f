//! Where a hub keeps its spaces. One small trait, set-oriented, with an implementation per engine.
//!
//! A store owns rows and their order; it decides nothing. The decision is a function that the hub
//! passes in ([`Store::commit`]), so that loading, deciding and writing share one transaction under
//! the space's lock. No method assumes that the engine is embedded.

mod columns;
mod error;
mod feed;
mod ledger;
mod memory;
mod moving;
mod postgres;
mod rows;
mod rules;
mod sqlite;

pub use error::StoreError;
pub use ledger::Json;
pub use memory::MemoryStore;
pub use moving::{Moved, Place as MovePlace, migrate};
pub use postgres::{
    DatabaseFacts, Follower, LongTransaction, Options as PostgresOptions, PostgresStore, Url as PostgresUrl,
    examine as examine_database,
};
pub use rows::{
    ConflictRow, ExpiredRow, Head, Kept, LateRows, ListQuery, NodeRow, QuarantineRow, Record, RecordKind, Row, Scan,
    Scanned, Trim, Trimmed,
};

pub use sqlite::{
    Arriving, Copied, Examined, LeftOut, Manifest, Options as SqliteOptions, Replaced, SavedFile, SavedSpace, Schemas,
    SqliteStore, Stage, adopt, backup, examine, restore, restore_space, strays,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use syncline_core::hub::{DocKey, Loaded, Return, Touch, WriteSet};
pub use syncline_core::model::CollectionRule;
use syncline_core::model::{
    Author, DocId, Holding, Lsn, Millis, NodeId, Registration, SpaceName, Traffic, UniqueValue, Version,
};
use tokio::sync::mpsc;

/// Says what is to be loaded, of all that waits by now. May be called again, and may then name more.
pub type Gather = Box<dyn FnMut() -> Touch + Send>;

/// Turns what was loaded into what to write. May be called again when the engine asks for a retry.
pub type Decide = Box<dyn FnMut(Loaded) -> WriteSet + Send>;

/// Spaces that take no commits, and why.
pub type FailedSpaces = BTreeMap<SpaceName, StoreError>;

/// Who has which values that must be unique.
pub type Holders = Vec<(UniqueValue, Vec<DocId>)>;

/// What another process may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// This space's log.
    Space(SpaceName),
    /// Administrative records.
    Records,
    /// Anything: something may have been missed.
    Anything,
}

/// Turns rows into the bytes of a reply, as they are read.
pub trait Encoder: Send {
    /// Before the first row: the consistent state that all rows come from.
    fn begin(&mut self, head: &Head, out: &mut Vec<u8>);
    /// One row. `false`: the row was left out and does not count toward the limits.
    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> bool;
    /// Whether rows of a [`Scan::Log`] come with what stood in their place before ([`Row::before`]): costs a look-up
    /// for each.
    fn compares(&self) -> bool {
        false
    }
    /// Whether rows of a [`Scan::Snapshot`] may come without times, flags and the LSN of their creation: a store leaves these
    /// at 0 then, or not.
    fn is_brief(&self) -> bool {
        false
    }
    /// Whether it takes the texts of documents apart: one that is no JSON object any more then ends the scan with an error.
    fn takes_apart(&self) -> bool {
        false
    }
    /// Before a row that returns to its node: the fields (a JSON list of names) that the node sent and that the
    /// document does not have. Not called where there are none.
    fn lost(&mut self, _names: &str) {}
    /// Whether what was written so far goes to the reader at once, however little it is.
    fn is_due(&mut self) -> bool {
        false
    }
    /// After the last row.
    fn end(&mut self, scanned: &Scanned, out: &mut Vec<u8>);
}

/// The storage engine of a hub. All methods are safe to call from any task; those that change a
/// space take their turn in the space's order.
pub trait Store: Send + Sync + 'static {
    /// Creates the space when it is missing (with a new epoch) and tells where its log stands.
    fn open_space<'a>(&'a self, space: &'a SpaceName) -> BoxFuture<'a, Result<Head, StoreError>>;

    /// The spaces that exist.
    fn spaces(&self) -> BoxFuture<'_, Result<Vec<SpaceName>, StoreError>>;

    /// Where the space's log stands.
    ///
    /// # Errors
    /// [`StoreError::UnknownSpace`].
    fn head<'a>(&'a self, space: &'a SpaceName) -> BoxFuture<'a, Result<Head, StoreError>>;

    /// Locks the space's head, loads what `touch` names, calls `decide`, writes what it returns and
    /// commits durably. Either all rows are there afterwards or none, and then the error says so.
    /// A panic of `decide` is such an error. The space must be open.
    ///
    /// Where `decide` asks who has values ([`WriteSet::asks`]), it is called again with the answer. Which documents
    /// have which unique values is kept here, by the rules of the touched collections as they are at this moment: what
    /// a new rule needs is built from what is there, what no rule asks for is dropped.
    fn commit<'a>(
        &'a self,
        space: &'a SpaceName,
        touch: Touch,
        decide: Decide,
    ) -> BoxFuture<'a, Result<Head, StoreError>>;

    /// The same for whatever has gathered when it is this commit's turn: an engine that has other writers asks as late
    /// as it can.
    fn commit_gathered<'a>(
        &'a self,
        space: &'a SpaceName,
        mut gather: Gather,
        decide: Decide,
    ) -> BoxFuture<'a, Result<Head, StoreError>> {
        self.commit(space, gather(), decide)
    }

    /// Reads rows from one consistent state and sends the encoder's bytes in chunks of at most
    /// about 256 KiB (larger only for a single larger row). Ends early, without error and with
    /// [`Scanned::more`], when the receiver is gone.
    ///
    /// # Errors
    /// [`StoreError::BehindHorizon`] before the first byte: a log scan behind the horizon, or a net
    /// scan behind it other than from 0 (which is answerable: live documents and kept tombstones), or
    /// a packet scan that neither starts nor fills up to where the horizon is.
    /// [`StoreError::SlowReader`] when the receiver takes nothing for too long.
    fn scan<'a>(
        &'a self,
        space: &'a SpaceName,
        scan: Scan,
        encoder: Box<dyn Encoder>,
        out: mpsc::Sender<Bytes>,
    ) -> BoxFuture<'a, Result<Scanned, StoreError>>;

    /// Forgets what its retention no longer asks for. Heads of live documents always stay.
    fn trim<'a>(&'a self, space: &'a SpaceName, trim: Trim) -> BoxFuture<'a, Result<Trimmed, StoreError>>;

    /// At most `limit` live documents that expired at `by` or before, in the order of expiry and LSN,
    /// behind a place in that order.
    fn expired<'a>(
        &'a self,
        space: &'a SpaceName,
        by: Millis,
        after: (Millis, Lsn),
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<ExpiredRow>, StoreError>>;

    /// Rows of the conflict ledger, newest first.
    fn conflicts<'a>(
        &'a self,
        space: &'a SpaceName,
        query: ListQuery,
    ) -> BoxFuture<'a, Result<Vec<ConflictRow>, StoreError>>;

    /// At most `limit` rows of the conflict ledger by which an author lost what had been accepted of it, with numbers
    /// above `after`.
    fn late_conflicts<'a>(
        &'a self,
        space: &'a SpaceName,
        author: Author,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<LateRows, StoreError>>;

    /// Rows of the quarantine, newest first.
    fn quarantine<'a>(
        &'a self,
        space: &'a SpaceName,
        query: ListQuery,
    ) -> BoxFuture<'a, Result<Vec<QuarantineRow>, StoreError>>;

    /// The newest version of each of these documents, removed ones included; those that the space does not know are
    /// left out.
    fn documents<'a>(
        &'a self,
        space: &'a SpaceName,
        docs: Vec<DocKey>,
    ) -> BoxFuture<'a, Result<Vec<(DocKey, Version)>, StoreError>>;

    /// For each of these values at most `most` documents that have it and whose own time is not over at `at`, whoever had
    /// it first before the others. Of keys that no commit has kept yet (see [`Store::commit`]), nobody has any.
    fn holders<'a>(
        &'a self,
        space: &'a SpaceName,
        values: Vec<UniqueValue>,
        most: usize,
        at: Millis,
    ) -> BoxFuture<'a, Result<Holders, StoreError>>;

    /// Nodes and tokens that have pushed to or read from the space.
    fn nodes<'a>(&'a self, space: &'a SpaceName) -> BoxFuture<'a, Result<Vec<NodeRow>, StoreError>>;

    /// One of them, by its name.
    fn node<'a>(&'a self, space: &'a SpaceName, node: &'a NodeId)
    -> BoxFuture<'a, Result<Option<NodeRow>, StoreError>>;

    /// Registers a node for exchange, or changes what is known of it, where what is registered now is `before` (`None`:
    /// nothing); `false`: it is not, somebody else was quicker, and nothing was written. Its traffic goes on. A node with
    /// another plan is given everything again.
    ///
    /// # Errors
    /// [`StoreError::CodeTaken`]: codes are unique in a space.
    fn register<'a>(
        &'a self,
        space: &'a SpaceName,
        registration: Registration,
        before: Option<Registration>,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Ends a registration with all that it remembers; `false`: there was none.
    fn unregister<'a>(&'a self, space: &'a SpaceName, node: &'a NodeId) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// The registered nodes (`None`), or the one with this id, by their codes.
    fn registered<'a>(
        &'a self,
        space: &'a SpaceName,
        node: Option<&'a NodeId>,
    ) -> BoxFuture<'a, Result<Vec<(Registration, Traffic)>, StoreError>>;

    /// Which of these documents a node with a row filter holds or is told to drop.
    fn held<'a>(
        &'a self,
        space: &'a SpaceName,
        node: &'a NodeId,
        docs: Vec<DocKey>,
    ) -> BoxFuture<'a, Result<Vec<Holding>, StoreError>>;

    /// Notes how far nodes have read. Losing the newest notes in a crash is harmless. Where several hubs share the store, an
    /// older note is left out, and the place of a live client only moves on, or ends with 0.
    fn note_cursors<'a>(
        &'a self,
        space: &'a SpaceName,
        cursors: Vec<(NodeId, Lsn, Millis)>,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Small administrative records of the whole hub (tokens, collection rules), by kind.
    fn records(&self, kind: RecordKind) -> BoxFuture<'_, Result<Vec<Record>, StoreError>>;

    /// Writes a record, or with `value: None` removes it.
    fn put_record(&self, kind: RecordKind, key: String, value: Option<String>)
    -> BoxFuture<'_, Result<(), StoreError>>;

    /// Writes a record unless there is one of this key, also where another process is at it; `false`: there is another one.
    fn add_record(&self, kind: RecordKind, key: String, value: String) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Writes a record over the one that was read, `before`; `false`: another one stands there by now, or none.
    fn replace_record(
        &self,
        kind: RecordKind,
        key: String,
        before: String,
        value: String,
    ) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Whether what is committed from now on would last. Answers with the spaces that take no more commits
    /// while others do, each with what is in its way: [`StoreError::Gone`], [`StoreError::Missing`],
    /// [`StoreError::Poisoned`], [`StoreError::Damaged`], or why it cannot be opened.
    ///
    /// # Errors
    /// What is in the way of all: [`StoreError::Gone`], [`StoreError::NoRoom`].
    fn check(&self) -> BoxFuture<'_, Result<FailedSpaces, StoreError>>;

    /// Looks at everything that is stored of a space, in small steps with long pauses, beside its use. Pages that are not
    /// what was written stop the space (see [`Store::check`]). `false`: there is nothing to look at here, or the engine
    /// does it by itself.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::DamagedText`]; or why it cannot be looked at now.
    fn examine<'a>(&'a self, _space: &'a SpaceName) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async { Ok(false) })
    }

    /// The same of what belongs to no space: which spaces there are, and the administrative records.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::Missing`]; or why it cannot be looked at now.
    fn examine_records(&self) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async { Ok(false) })
    }

    /// Sends a backup of everything, in pieces that [`Arriving`] puts together.
    ///
    /// # Errors
    /// [`StoreError::Backup`] when one is on its way already, or when the store has no files of which one could be made; the
    /// engine's own.
    fn hand_out(&self, _out: mpsc::Sender<Bytes>) -> BoxFuture<'_, Result<(), StoreError>> {
        let reason = "it keeps nothing on disk, so there is nothing to back up".into();
        Box::pin(async { Err(StoreError::Backup { place: "this store".into(), reason }) })
    }

    /// Whether other processes may write to it at the same time: then nothing that was read counts for longer than the
    /// request for which it was read.
    fn is_shared(&self) -> bool {
        false
    }

    /// Begins to tell other processes that share the store of commits, and to listen to them. What is heard is a hint
    /// that carries no data, and may be late. `None`: nobody else has it open, or somebody listens already.
    fn listen(&self) -> Option<mpsc::Receiver<Heard>> {
        None
    }

    /// Gives back what is held for spaces that nobody has used for a while; their next use takes it again.
    fn close_idle(&self) -> BoxFuture<'_, ()>;

    /// Ends background work and flushes. Later calls fail with [`StoreError::Closed`].
    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// What a return says of fields that its node is to give up: a JSON list of names, or nothing.
fn lost(back: &Return) -> String {
    if back.lost.is_empty() { String::new() } else { serde_json::to_string(&back.lost).expect("names serialize") }
}

/// LSNs continue the head without a gap: a broken decision must not reach the log.
fn check_order(head: Lsn, writes: &WriteSet) -> Result<(), StoreError> {
    let mut last = head;
    for entry in &writes.entries {
        if entry.lsn() != last.next() {
            let source = format!("LSN {} follows {last}; nothing was written", entry.lsn()).into();
            return Err(StoreError::Engine { action: "checking a write set", source });
        }
        last = entry.lsn();
    }
    Ok(())
}

/// Up to where a scan that found no more is complete.
fn complete(scan: &Scan, head: &Head) -> Lsn {
    if matches!(scan, Scan::Packet { .. }) { head.lsn } else { head.last_change }
}

/// Refuses a scan that would miss changes.
fn behind_horizon(scan: &Scan, head: &Head) -> Result<(), StoreError> {
    let refused = match scan {
        Scan::Log { after, .. } | Scan::Returns { after, .. } => *after < head.horizon,
        Scan::Net { after, .. } => *after < head.horizon && *after > Lsn::ZERO,
        Scan::Packet { after, fill, .. } => *after.max(fill) < head.horizon,
        Scan::Snapshot { .. } | Scan::Ticket { .. } => false,
    };
    if refused { Err(StoreError::BehindHorizon { horizon: head.horizon, asked: scan.after() }) } else { Ok(()) }
}
