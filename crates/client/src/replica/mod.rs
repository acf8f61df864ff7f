//! The database as the sync engine sees it: cursors, batches, receipts, pages, snapshots.
//!
//! Every call is one transaction, so a crash leaves data, ops and cursors in step. Owns no network and
//! no clock of its own. [`Replica::carry_out`] takes the writes of
//! [`syncline_core::session`] as they are.

mod absorb;
mod packet;
mod pull;
mod push;
mod retry;
mod snapshot;
mod unsynced;
mod versions;

pub(crate) use absorb::UNTIMED;
pub use packet::packet_of;
pub(crate) use packet::{Ends, Order, Sent};
pub use unsynced::Unsynced;
pub use versions::Correction;

use crate::conflicts::{self, LostEdit};
use crate::error::Result;
use crate::outbox::{self, PendingBatch};
use crate::quarantine::{self, Quarantined};
use crate::rebase::Resolver;
use crate::store::{Named, Store, Unit};
use crate::transaction::enqueue_all;
use rusqlite::params;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::model::{BatchId, CollectionName, NodeId, PushReply, Rejection, Strategy};
use syncline_core::session::interface::{Backlog, Batch, Stored, Write};
use syncline_core::session::notice::{self, Renamed};
use syncline_core::session::positions::Positions;

/// The replica that a sync engine drives. Cheap to clone; safe from any thread.
#[derive(Clone)]
pub struct Replica {
    store: Arc<Store>,
    resolvers: Resolvers,
}

/// The applications' own decisions, by collection.
pub(crate) type Resolvers = Arc<Mutex<BTreeMap<CollectionName, Resolver>>>;

type Scope = BTreeSet<CollectionName>;

impl Replica {
    pub(crate) fn new(store: Arc<Store>, resolvers: Resolvers) -> Replica {
        Replica { store, resolvers }
    }

    /// Who this device is. Made when the file was created.
    ///
    /// # Errors
    /// When the handle is poisoned.
    pub fn node(&self) -> Result<NodeId> {
        self.store.read(|unit| Ok(unit.node().clone()))
    }

    /// The collections take part in sync from now on: their edits are recorded, and documents that they
    /// hold already are recorded as inserts. `strategy` decides where the hub sets none.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn join(&self, scope: &BTreeSet<CollectionName>, strategy: Strategy) -> Result<()> {
        self.store.write(|unit| {
            for name in scope {
                enqueue_all(unit, name)?;
                let sql = "UPDATE collections SET strategy = ?2 WHERE name = ?1 AND strategy <> ?2";
                unit.conn.prepare_cached(sql)?.execute(params![name.as_str(), strategy.as_str()])?;
                unit.renamed(name);
            }
            Ok(())
        })
    }

    /// Whether edits of a collection are recorded for a hub. They are from its first sync on, which also sends what the
    /// collection held before.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn takes_part(&self, collection: &CollectionName) -> Result<bool> {
        self.store.read(|unit| Ok(unit.find(collection)?.is_some_and(|named| named.syncable)))
    }

    /// Lets the application decide conflicts of this collection; `None`: the strategy decides.
    pub fn set_resolver(&self, collection: CollectionName, resolver: Option<Resolver>) {
        let mut resolvers = self.resolvers.lock().unwrap_or_else(PoisonError::into_inner);
        match resolver {
            Some(resolver) => drop(resolvers.insert(collection, resolver)),
            None => drop(resolvers.remove(&collection)),
        }
    }

    /// How far the collections have got, and a snapshot of them that was begun and not finished.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn positions(&self, scope: &BTreeSet<CollectionName>) -> Result<Positions> {
        self.store.read(|unit| {
            let mut positions = Positions::fresh(scope.iter().cloned());
            for (name, cursor) in &mut positions.cursors {
                let Some(named) = unit.find(name)? else { continue };
                *cursor = named.cursor();
                positions.views.extend(named.view.clone().map(|view| (name.clone(), view)));
            }
            positions.snapshot = snapshot::begun(unit, scope)?;
            Ok(positions)
        })
    }

    /// What waits for the hub.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn backlog(&self, scope: &BTreeSet<CollectionName>) -> Result<Backlog> {
        self.store.read(|unit| backlog(unit, scope))
    }

    /// Carries out one write of a session on these collections.
    ///
    /// # Errors
    /// When the file cannot be written; nothing of the write is then kept.
    pub fn carry_out(&self, scope: &BTreeSet<CollectionName>, write: Write) -> Result<Stored> {
        match write {
            Write::SnapshotBegin { scope: loaded, head } => {
                let mut stored = self.edit(|unit, _| snapshot::begin(unit, &loaded, &head))?;
                // What another history had receipted waits again.
                stored.backlog = Some(self.backlog(scope)?);
                Ok(stored)
            }
            Write::SnapshotPart(ops) => self.edit(|unit, apply| snapshot::part(unit, apply, scope, &ops)),
            Write::SnapshotFinish => self.edit(|unit, apply| snapshot::finish(unit, apply, scope)),
            Write::Page { scope, page } if page.receipt.is_some() => self.take_packet(&scope, &page, Order::Certain),
            Write::Page { scope, page } => self.edit(|unit, apply| pull::page(unit, apply, &scope, &page)),
            Write::NextBatch { scope, limit, recompose } => {
                let batch = self.next_batch(&scope, limit, recompose)?;
                let batch = batch.map(|batch| Batch { id: batch.batch_id, ops: batch.ops, body: batch.body });
                Ok(Stored { batch, ..Stored::default() })
            }
            Write::Receipts { reply: PushReply { page: Some(page), .. }, .. } => {
                self.take_packet(scope, &page, Order::Certain)
            }
            Write::Receipts { batch, reply, unread } => {
                let mut stored = self.edit(|unit, apply| push::receipts(unit, apply, &batch, (&reply, unread)))?;
                stored.backlog = Some(self.backlog(scope)?);
                Ok(stored)
            }
            Write::Refuse { batch, reason } => {
                let mut stored = self.refuse(&batch, &reason)?;
                stored.backlog = Some(self.backlog(scope)?);
                Ok(stored)
            }
            Write::Withdraw(name) => self.edit(|unit, _| snapshot::withdraw(unit, &name)),
            Write::Resync(scope) => {
                self.resync(&scope)?;
                Ok(Stored::default())
            }
        }
    }

    /// The batch under way, or else the next one; its name is on disk when this returns. `recompose`
    /// gives the one under way up first: the hub refused its form and applied nothing of it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn next_batch(
        &self,
        scope: &BTreeSet<CollectionName>,
        ops_max: usize,
        recompose: bool,
    ) -> Result<Option<PendingBatch>> {
        self.store.write(|unit| {
            let scope = known(unit, scope)?;
            if recompose {
                outbox::dissolve_under_way(unit, &scope)?;
            }
            // A database that went by packets before offers their ops again.
            outbox::dissolve_packets(unit)?;
            outbox::next_batch(unit, &scope, ops_max.max(1))
        })
    }

    /// The hub refuses the ops of this batch in any form: they are taken back and set aside.
    ///
    /// # Errors
    /// [`Error::UnknownBatch`](crate::Error::UnknownBatch), or when the file cannot be written.
    pub fn refuse(&self, batch: &BatchId, reason: &str) -> Result<Stored> {
        let rejection = Rejection { code: "refused".into(), reason: reason.into() };
        self.edit(|unit, apply| push::refuse(unit, apply, batch, &rejection))
    }

    /// The hub's history is another one now: forget how far the collections have got. Documents and
    /// outbox stay; the next snapshot sorts them out.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn resync(&self, scope: &BTreeSet<CollectionName>) -> Result<()> {
        self.store.write(|unit| snapshot::forget(unit, scope))
    }

    /// Gives up what waits for the hub; the documents go back to the hub's. Returns how many ops went.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn clear_pending(&self, scope: &BTreeSet<CollectionName>) -> Result<u64> {
        self.store.write(|unit| retry::clear_pending(unit, scope))
    }

    /// Everything that is set aside, oldest first; of one collection, or of all.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn quarantined(&self, collection: Option<&CollectionName>) -> Result<Vec<Quarantined>> {
        self.store.read(|unit| quarantine::list(unit, collection))
    }

    /// Makes the edit of a quarantined op once more, as a new local edit; `content`: with this content, as
    /// [`Replica::edit_unsynced`] takes it, in the place of its own.
    ///
    /// # Errors
    /// [`Error::NotQuarantined`](crate::Error::NotQuarantined), [`Error::NoContent`](crate::Error::NoContent), or those of
    /// the edit; the op then stays in quarantine.
    pub fn retry_quarantined(&self, number: i64, content: Option<&Value>) -> Result<()> {
        self.store.write(|unit| retry::retry(&self.store, unit, number, content))
    }

    /// Throws a quarantined op away. Returns it.
    ///
    /// # Errors
    /// [`Error::NotQuarantined`](crate::Error::NotQuarantined).
    pub fn discard_quarantined(&self, number: i64) -> Result<Quarantined> {
        self.store.write(|unit| quarantine::take(unit, number))
    }

    /// Own edits that did not stand whole at the hub, oldest first; of one collection, or of all.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn conflicts(&self, collection: Option<&CollectionName>) -> Result<Vec<LostEdit>> {
        self.store.read(|unit| conflicts::list(unit, collection))
    }

    /// How far the hub's conflict ledger has been told to this database.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn ledger_told(&self) -> Result<u64> {
        self.store.read(|unit| conflicts::told(unit.conn))
    }

    /// Makes an edit that did not stand once more, as a new local edit.
    ///
    /// # Errors
    /// [`Error::NoConflict`](crate::Error::NoConflict), or those of the edit; it is then kept.
    pub fn restore_conflict(&self, number: i64) -> Result<()> {
        self.store.write(|unit| retry::restore(&self.store, unit, number))
    }

    /// Takes an edit that did not stand off the list. Returns it.
    ///
    /// # Errors
    /// [`Error::NoConflict`](crate::Error::NoConflict).
    pub fn discard_conflict(&self, number: i64) -> Result<LostEdit> {
        self.store.write(|unit| conflicts::take(unit, number).map(|(edit, _)| edit))
    }

    /// Every op that the hub has not receipted, oldest first; of one collection, or of all.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn unsynced(&self, collection: Option<&CollectionName>) -> Result<Vec<Unsynced>> {
        self.store.read(|unit| unsynced::list(unit, collection))
    }

    /// Gives an op up that the hub has not receipted.
    ///
    /// # Errors
    /// [`Error::NotUnsynced`](crate::Error::NotUnsynced), [`Error::UnderWay`](crate::Error::UnderWay).
    pub fn discard_unsynced(&self, number: i64) -> Result<Vec<Unsynced>> {
        self.store.write(|unit| unsynced::discard(unit, number))
    }

    /// Puts another content into an op that no hub has seen.
    ///
    /// # Errors
    /// [`Error::NotUnsynced`](crate::Error::NotUnsynced), [`Error::Offered`](crate::Error::Offered),
    /// [`Error::NoContent`](crate::Error::NoContent), or the content is none for it.
    pub fn edit_unsynced(&self, number: i64, content: &Value) -> Result<()> {
        self.store.write(|unit| unsynced::edit(&self.store, unit, number, content))
    }

    /// One transaction whose outcome is told to the session; what it set aside is logged after the commit.
    fn edit(&self, work: impl FnOnce(&mut Unit<'_>, &mut Applying) -> Result<()>) -> Result<Stored> {
        let resolvers = self.resolvers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let applying = self.store.write(|unit| {
            let mut applying = Applying { resolvers, ..Applying::default() };
            work(unit, &mut applying)?;
            Ok(applying)
        })?;
        quarantine::log(self.store.path(), &applying.quarantined);
        let told = applying.quarantined.into_iter().map(|aside| notice::Quarantined {
            quarantined_at: aside.quarantined_at,
            collection: aside.collection,
            operation: aside.operation,
            message: aside.message,
        });
        Ok(Stored {
            settled: applying.settled,
            echoes: applying.echoes,
            conflicts: applying.conflicts,
            quarantined: told.collect(),
            renumbered: applying.renumbered,
            renamed: applying.renamed,
            ..Stored::default()
        })
    }
}

/// What one write has come to so far.
#[derive(Default)]
struct Applying {
    resolvers: BTreeMap<CollectionName, Resolver>,
    settled: usize,
    echoes: u64,
    conflicts: Vec<notice::Conflict>,
    quarantined: Vec<Quarantined>,
    renumbered: usize,
    renamed: Option<Renamed>,
}

fn known(unit: &mut Unit<'_>, scope: &Scope) -> Result<Vec<Arc<Named>>> {
    scope.iter().map(|name| unit.make(name)).collect()
}

fn backlog(unit: &mut Unit<'_>, scope: &Scope) -> Result<Backlog> {
    let mut backlog = Backlog::default();
    for named in known_only(unit, scope)? {
        let (pending, oldest) = outbox::backlog(unit, named.cid)?;
        backlog.pending += pending;
        let oldest = oldest.map(|stamp| stamp.millis());
        backlog.oldest = [backlog.oldest, oldest].into_iter().flatten().min();
    }
    Ok(backlog)
}

fn known_only(unit: &mut Unit<'_>, scope: &Scope) -> Result<Vec<Arc<Named>>> {
    scope.iter().filter_map(|name| unit.find(name).transpose()).collect()
}
