//! Background work of a hub: writes noted cursors, removes what has expired, trims what its retention no
//! longer asks for, and lets the store give back what idle spaces hold.

use super::{Hub, Space};
use crate::error::ServerError;
use crate::store::{CollectionRule, Encoder, Head, RecordKind, Row, Scan, Scanned, Trim, Trimmed};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use syncline_core::hub::Reply;
use syncline_core::model::{CollectionName, DocId, Expiry, Intake, Lsn, Millis};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

const CURSORS_EVERY: Duration = Duration::from_secs(5);
/// However short `retention.trim_every` is.
const TICK_AT_LEAST: Duration = Duration::from_millis(10);
/// Which clients nothing names any more is found by walking along the whole log.
const CLIENTS_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Expired documents that one commit removes, so that pushes get their turn between.
const EXPIRED_PER_COMMIT: usize = 200;
const ROWS_PER_LOOK: usize = 10_000;

/// Runs until the hub closes or is gone.
pub(super) async fn run(hub: Weak<Hub>, mut closing: watch::Receiver<bool>) {
    let Some(trim_every) = hub.upgrade().map(|hub| hub.settings.retention.trim_every) else { return };
    // Trimming that is asked for more often than cursors are noted happens as often as it is asked for.
    let mut tick = interval(CURSORS_EVERY.min(trim_every).max(TICK_AT_LEAST));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut trimmed_at, mut clients_at) = (Instant::now(), None::<Instant>);
    loop {
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            _ = tick.tick() => {}
        }
        let Some(hub) = hub.upgrade() else { return };
        let trim = trimmed_at.elapsed() >= trim_every;
        if trim {
            trimmed_at = Instant::now();
        }
        let clients = trim && clients_at.is_none_or(|at| at.elapsed() >= CLIENTS_EVERY);
        if clients {
            clients_at = Some(Instant::now());
        }
        for space in hub.open_spaces() {
            let done = async {
                space.write_cursors().await?;
                if trim {
                    let expired = space.expire().await;
                    space.forget(clients).await?;
                    expired?;
                }
                Ok::<_, ServerError>(())
            };
            if let Err(error) = done.await {
                tracing::warn!(space = %space.name(), %error, "upkeep failed and is tried again later");
            }
        }
        hub.store.close_idle().await;
    }
}

impl Space {
    /// Removes documents that expired longer ago than clocks may differ, and those that nobody has changed for longer
    /// than their collection keeps them, for every reader. Returns how many went.
    ///
    /// # Errors
    /// Those of a push and of the store; what is left goes with the next round.
    pub async fn expire(&self) -> Result<u64, ServerError> {
        let by = Millis(self.settings.clock.now().0.saturating_sub(self.settings.limits.clock_drift_ms));
        let (mut after, mut removed) = ((Millis(0), Lsn::ZERO), 0);
        loop {
            let rows = self.store.expired(&self.name, by, after, EXPIRED_PER_COMMIT).await?;
            let Some(last) = rows.last() else { break };
            after = (last.at, last.lsn);
            let docs = rows.into_iter().map(|row| (row.collection, row.id)).collect();
            removed += self.remove(Expiry { docs, unchanged_since: None }).await?;
        }
        let prefix = format!("{}/", self.name);
        for record in self.store.records(RecordKind::Collection).await? {
            let name = record.key.strip_prefix(&prefix).and_then(|name| CollectionName::new(name).ok());
            let rule: CollectionRule = serde_json::from_str(&record.value).unwrap_or_default();
            if let (Some(name), Some(keep_ms)) = (name, rule.retention_ms) {
                removed += self.remove_unchanged(&name, keep_ms).await?;
            }
        }
        Ok(removed)
    }

    /// Goes on from where it has come: changes only move documents to the log's end.
    async fn remove_unchanged(&self, collection: &CollectionName, keep_ms: u64) -> Result<u64, ServerError> {
        let cutoff = Millis(self.settings.clock.now().0.saturating_sub(keep_ms));
        let places = || self.unchanged.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut after, mut removed) = (places().get(collection).copied().unwrap_or(Lsn::ZERO), 0);
        let mut most = 1;
        loop {
            let looked = Arc::new(Mutex::new(Looked::default()));
            let scan = Scan::Snapshot {
                collections: Some([collection.clone()].into()),
                after,
                expired_by: None,
                max_rows: most,
                max_bytes: usize::MAX,
            };
            let places_of = Places { cutoff, looked: Arc::clone(&looked) };
            let scanned = self.read(scan, Box::new(places_of)).await?.scanned().await?;
            let Looked { old, newer } = std::mem::take(&mut *looked.lock().unwrap_or_else(PoisonError::into_inner));
            let last = old.last().map(|(lsn, _)| *lsn);
            if let Some(last) = last {
                let docs = old.into_iter().map(|(_, id)| (collection.clone(), id)).collect();
                removed += self.remove(Expiry { docs, unchanged_since: Some(last) }).await?;
            }
            after = match newer {
                Some(newer) => Lsn(newer.0.saturating_sub(1)),
                None => last.unwrap_or(after).max(scanned.upto),
            };
            places().insert(collection.clone(), after);
            if newer.is_some() || !scanned.more {
                return Ok(removed);
            }
            // Most rounds find the first one young enough; where not, there may be many.
            most = EXPIRED_PER_COMMIT;
        }
    }

    async fn remove(&self, expiry: Expiry) -> Result<u64, ServerError> {
        match self.push(Intake::Expiry(expiry), None).await?.reply {
            Reply::Expired { removed } => Ok(removed),
            other => Err(ServerError::Bug(format!("the upkeep got another's answer: {other:?}"))),
        }
    }

    /// Forgets what the retention no longer asks for. Changes stay that a live node has not read.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn trim(&self) -> Result<Trimmed, ServerError> {
        self.forget(true).await
    }

    /// `clients`: whether to look for clients of event sync that nothing names any more.
    async fn forget(&self, clients: bool) -> Result<Trimmed, ServerError> {
        let (now, keep) = (self.settings.clock.now(), self.settings.retention);
        let ago = |age: Duration| Millis(now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)));
        let old = self.last_before(ago(keep.log)).await?;
        let silent = ago(keep.nodes);
        let nodes = self.store.nodes(&self.name).await?;
        let registered = self.store.registered(&self.name, None).await?;
        // A node that has read nothing yet starts from a snapshot: it holds nothing back. Nor does a
        // registered one that has never called.
        let readers = nodes.iter().filter(|node| node.seen_at > silent && node.cursor > Lsn::ZERO);
        let exchanging = registered.iter().filter(|(_, traffic)| traffic.received_at > silent);
        let needed = readers.map(|node| node.cursor).chain(exchanging.map(|(_, traffic)| traffic.needs()));
        let horizon = needed.fold(old, Lsn::min);
        let trim = Trim {
            horizon,
            receipts_before: ago(keep.receipts),
            ledger_before: ago(keep.ledger),
            quarantine_before: ago(keep.quarantine),
            clients_before: if clients { ago(keep.clients) } else { Millis(0) },
        };
        self.trim_to(trim).await
    }

    /// Forgets what may go.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn trim_to(&self, trim: Trim) -> Result<Trimmed, ServerError> {
        let trimmed = self.store.trim(&self.name, trim).await?;
        if trimmed.clients > 0 {
            self.forget_clients(&self.store.nodes(&self.name).await?);
        }
        let head = self.store.head(&self.name).await?;
        self.log.keep(head.kept);
        self.log.head.send_if_modified(|known| {
            let moved = known.horizon < head.horizon;
            known.horizon = known.horizon.max(head.horizon);
            moved
        });
        Ok(trimmed)
    }

    /// The last change that was committed before a time, found by looking from the horizon on.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn last_before(&self, cutoff: Millis) -> Result<Lsn, ServerError> {
        let mut found = self.head().horizon;
        loop {
            let seen = Arc::new(Seen { last_old: AtomicU64::new(found.0), met_newer: AtomicBool::new(false) });
            let look = Scan::Log { after: found, collections: None, max_rows: ROWS_PER_LOOK, max_bytes: usize::MAX };
            let reading = self.read(look, Box::new(Look { cutoff, seen: Arc::clone(&seen) })).await?;
            let last = Lsn(seen.last_old.load(Ordering::Acquire));
            let more = matches!(reading, super::Reading::Whole(_, Scanned { more: true, .. }));
            if last == found || !more || seen.met_newer.load(Ordering::Acquire) {
                return Ok(last);
            }
            found = last;
        }
    }
}

struct Seen {
    last_old: AtomicU64,
    met_newer: AtomicBool,
}

/// Reads commit times and writes nothing.
struct Look {
    cutoff: Millis,
    seen: Arc<Seen>,
}

impl Encoder for Look {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        if row.at < self.cutoff && !self.seen.met_newer.load(Ordering::Acquire) {
            self.seen.last_old.store(row.lsn.0, Ordering::Release);
        } else {
            self.seen.met_newer.store(true, Ordering::Release);
        }
        true
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}

/// What a look at a collection's documents has found, in the order of their newest changes.
#[derive(Default)]
struct Looked {
    /// Documents whose newest change is old.
    old: Vec<(Lsn, DocId)>,
    /// The first one whose newest change is not; no later one is looked at.
    newer: Option<Lsn>,
}

/// Keeps the places of documents whose newest change is old: those before the first one that is not.
struct Places {
    cutoff: Millis,
    looked: Arc<Mutex<Looked>>,
}

impl Encoder for Places {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if row.at >= self.cutoff && looked.newer.is_none() {
            looked.newer = Some(row.lsn);
        }
        if let (None, Ok(id)) = (looked.newer, DocId::new(row.id)) {
            looked.old.push((row.lsn, id));
        }
        true
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}
