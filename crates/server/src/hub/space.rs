//! One open space: its queue of pushes, its readers, and what is known of its log right now.

use super::committer::{Committer, Job, Pushed, Share};
use super::lag::{Lag, Sighting};
use super::log_state::LogState;
use super::looks::Looks;
use super::reading::Reading;
use crate::error::ServerError;
use crate::meters::Meters;
use crate::options::Settings;
use crate::store::{Encoder, Head, Kept, NodeRow, Scan, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::hub::Reply;
use syncline_core::model::{
    Author, CollectionName, Dispatch, ForeignBatch, Intake, Limits, LiveBatch, Lsn, Mend, Millis, NodeId, OwnBatch,
    Packet, SpaceName, Verdict,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// A space that is open for pushes and readers.
pub struct Space {
    pub(super) name: SpaceName,
    pub(super) store: Arc<dyn Store>,
    looks: Arc<Looks>,
    pub(super) settings: Settings,
    queue: mpsc::Sender<Job>,
    drained: watch::Receiver<bool>,
    opened_at: Lsn,
    pub(super) log: Arc<LogState>,
    cursors: Mutex<Cursors>,
    /// Held from taking notes of cursors to writing them, so that older ones do not overwrite what was decided meanwhile.
    writing_cursors: tokio::sync::Mutex<()>,
    /// Of collections with a retention: nothing that stands is older than this.
    pub(super) unchanged: Mutex<BTreeMap<CollectionName, Lsn>>,
}

/// How far nodes have read, until it is written.
#[derive(Default)]
struct Cursors {
    noted: BTreeMap<NodeId, (Lsn, Millis)>,
    /// What each was handed last; it confirms that with its next request.
    handed: BTreeMap<NodeId, Sighting>,
    /// Nodes that have only read since the space was opened.
    readers: BTreeSet<NodeId>,
    /// The same for clients of event sync: there is one for each page that was ever open.
    places: BTreeSet<NodeId>,
}

impl Space {
    pub(super) fn start(
        name: SpaceName,
        (store, meters, looks): (Arc<dyn Store>, Arc<Meters>, Arc<Looks>),
        settings: Settings,
        (head, nodes): (Head, Vec<NodeRow>),
        closing: watch::Receiver<bool>,
    ) -> Arc<Space> {
        let (queue, jobs) = mpsc::channel(settings.bounds.queued_pushes.max(1));
        let (drained_tx, drained) = watch::channel(false);
        let opened_at = head.last_change;
        let log = Arc::new(LogState::new(head, nodes));
        let committer =
            Committer { space: name.clone(), store: Arc::clone(&store), settings, meters, log: Arc::clone(&log) };
        tokio::spawn(async move {
            committer.run(jobs, closing).await;
            drained_tx.send_replace(true);
        });
        let (cursors, writing_cursors, unchanged) = Default::default();
        Arc::new(Space {
            name,
            store,
            looks,
            settings,
            queue,
            drained,
            opened_at,
            log,
            cursors,
            writing_cursors,
            unchanged,
        })
    }

    /// The space's name.
    #[must_use]
    pub fn name(&self) -> &SpaceName {
        &self.name
    }

    /// Where the log stands, as of the last commit through this hub.
    #[must_use]
    pub fn head(&self) -> Head {
        self.log.head.borrow().clone()
    }

    /// What time it is here.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.settings.clock.now()
    }

    /// How much is kept aside, as of the last commit through this hub.
    #[must_use]
    pub fn kept(&self) -> Kept {
        self.log.kept()
    }

    /// How many ops were refused because of rules of their collections, since the space is in use here.
    #[must_use]
    pub fn rule_refusals(&self) -> u64 {
        self.log.rule_refusals()
    }

    /// Changes with every commit.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Head> {
        self.log.head.subscribe()
    }

    /// The last LSN that was committed through this hub; further ones are other workers'.
    #[must_use]
    pub fn committed(&self) -> Lsn {
        self.log.committed()
    }

    /// Where the log stood when the space was taken into use here: what comes after it passes through
    /// [`Space::watch`].
    #[must_use]
    pub fn opened_at(&self) -> Lsn {
        self.opened_at
    }

    /// Looks where the log stands in the store, after another worker may have committed there. Readers wake if
    /// there is news; `false`: there is none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn refresh(&self) -> Result<bool, ServerError> {
        let head = self.store.head(&self.name).await.inspect_err(|error| {
            if let StoreError::SetBack { why } = error {
                self.log.set_back(why.clone());
            }
        });
        Ok(self.log.refresh(head?))
    }

    /// Whether the history that is known here has ended: the store was set back to an earlier moment.
    #[must_use]
    pub fn is_set_back(&self) -> bool {
        self.log.is_set_back()
    }

    /// Where the log stands, for a reader at a position. Where that is ahead of what is known here, another worker has
    /// handed it out, and the store is asked.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn head_for(&self, position: Lsn) -> Result<Head, ServerError> {
        if position > self.head().lsn {
            self.refresh().await?;
        }
        Ok(self.head())
    }

    /// Whether there may be changes of these collections (`None`: any) after a position.
    #[must_use]
    pub fn may_have_news(&self, collections: Option<&BTreeSet<CollectionName>>, after: Lsn) -> bool {
        self.log.may_have_news(collections, after)
    }

    /// The number of a node that has pushed.
    #[must_use]
    pub fn author(&self, node: &NodeId) -> Option<Author> {
        self.log.author(node)
    }

    /// The token that a node belongs to.
    #[must_use]
    pub fn owner(&self, node: &NodeId) -> Option<NodeId> {
        self.log.owner(node)
    }

    /// Whether other workers serve it as well.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    /// Looks a node up that is not known here, or not to whom it belongs: it may have pushed at another worker.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn meet(&self, node: &NodeId) -> Result<(), ServerError> {
        if !self.store.is_shared() || (self.author(node).is_some() && self.owner(node).is_some()) {
            return Ok(());
        }
        if let Some(row) = self.store.node(&self.name, node).await? {
            self.log.meet(node, row);
        }
        Ok(())
    }

    /// How far a node was handed the log: here, or at another worker later.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn place_of(&self, node: &NodeId) -> Result<Option<Lsn>, ServerError> {
        let here = self.cursors.lock().unwrap_or_else(PoisonError::into_inner).handed.get(node).copied();
        let noted = match here {
            Some(_) if !self.store.is_shared() => None,
            _ => self.store.node(&self.name, node).await?,
        };
        Ok(match (here, noted) {
            (Some(here), Some(row)) if here.seen_at < row.seen_at => Some(row.cursor),
            // Another worker may have noted what it knew earlier later.
            (Some(here), Some(row)) if here.handed > Lsn::ZERO => Some(here.handed.max(row.cursor)),
            (here, row) => here.map(|here| here.handed).or(row.map(|row| row.cursor)),
        })
    }

    /// Why the space commits nothing any more, after a failed durable write.
    #[must_use]
    pub fn failure(&self) -> Option<StoreError> {
        self.log.failure()
    }

    /// Pushes that wait for their commit.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Commits a push of our own client and answers it after that. Its `share` is given back when nothing
    /// of it is in memory any more.
    ///
    /// # Errors
    /// [`ServerError::Overloaded`] when the queue is full or the commit takes too long (it may still
    /// happen; a repeat is answered from its receipts), or the store's error.
    pub async fn push_own(&self, batch: OwnBatch, share: Share) -> Result<Pushed, ServerError> {
        let node = batch.node.clone();
        let pushed = self.push(Intake::Own(batch), share).await?;
        if let Reply::Own { receipts, .. } = &pushed.reply {
            let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(place) = cursors.handed.get_mut(&node) {
                let own = receipts.iter().filter(|r| matches!(r.result, Verdict::Applied | Verdict::Merged));
                place.write(own.map(|receipt| receipt.lsn));
            }
        }
        Ok(pushed)
    }

    /// Commits a push of a foreign client and answers it after that.
    ///
    /// # Errors
    /// As [`Space::push_own`].
    pub async fn push_foreign(&self, batch: ForeignBatch, share: Share) -> Result<Pushed, ServerError> {
        self.push(Intake::Foreign(batch), share).await
    }

    /// Commits a packet of a registered node; its answer is read from the log after that.
    ///
    /// # Errors
    /// As [`Space::push_own`].
    pub async fn push_packet(&self, packet: Packet, share: Share) -> Result<Pushed, ServerError> {
        self.push(Intake::Packet(packet), share).await
    }

    /// Gives a packet of the hub its number, durably, before it is sent.
    ///
    /// # Errors
    /// As [`Space::push_own`].
    pub async fn dispatch(&self, dispatch: Dispatch) -> Result<Pushed, ServerError> {
        self.push(Intake::Dispatch(dispatch), None).await
    }

    /// Commits events of a client of the `live` dialect and tells what became of each.
    ///
    /// # Errors
    /// As [`Space::push_own`].
    pub async fn push_live(&self, batch: LiveBatch, share: Share) -> Result<Pushed, ServerError> {
        self.push(Intake::Live(batch), share).await
    }

    /// Commits what a person decided about a row of the ledger or of the quarantine.
    ///
    /// # Errors
    /// As [`Space::push_own`].
    pub async fn mend(&self, mend: Mend) -> Result<Pushed, ServerError> {
        self.push(Intake::Mend(mend), None).await
    }

    pub(super) async fn push(&self, intake: Intake, share: Share) -> Result<Pushed, ServerError> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Job { intake, share, answer }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => {
                ServerError::Overloaded { what: "too many pushes wait for their commit", limit: "limits.queued_pushes" }
            }
            mpsc::error::TrySendError::Closed(_) => ServerError::Closing,
        })?;
        match timeout(self.settings.bounds.request_timeout, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ServerError::Closing),
            Err(_) => {
                Err(ServerError::Overloaded { what: "the commit takes too long", limit: "limits.request_timeout" })
            }
        }
    }

    /// Starts to read rows; returns once the first bytes (or all of them) are there.
    ///
    /// # Errors
    /// [`ServerError::Resync`] behind the horizon, or the store's error.
    pub async fn read(&self, scan: Scan, encoder: Box<dyn Encoder>) -> Result<Reading, ServerError> {
        let (store, looks) = (Arc::clone(&self.store), Arc::clone(&self.looks));
        Reading::start((store, looks), self.name.clone(), scan, encoder).await.map_err(|e| match e {
            StoreError::BehindHorizon { .. } => self.resync(e.to_string()),
            other => ServerError::Store(other),
        })
    }

    /// The refusal for a reader whose position is not one of this log's.
    #[must_use]
    pub fn resync(&self, why: impl Into<String>) -> ServerError {
        let head = self.head();
        ServerError::Resync { why: why.into(), epoch: head.epoch, horizon: head.horizon }
    }

    /// Notes how far a node has read; written to the store later, together with others. Past
    /// `limits.reading_nodes`, new ones that never push are not noted. Clients of event sync are counted by themselves:
    /// however many there are, devices find room.
    pub fn note_cursor(&self, node: &NodeId, lsn: Lsn) {
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        let Cursors { noted, handed, readers, places } = &mut *cursors;
        let alike = if node.is_live() { places } else { readers };
        if self.log.author(node).is_none() && !alike.contains(node) {
            if alike.len() + self.log.known(node.is_live()) >= self.settings.bounds.reading_nodes {
                return;
            }
            alike.insert(node.clone());
        }
        let now = self.settings.clock.now();
        noted.insert(node.clone(), (lsn, now));
        handed.entry(node.clone()).or_default().ask(lsn, now, node.is_live());
    }

    /// Takes over that clients of event sync are gone from the store; one that is back by now is known again with its
    /// next push.
    pub(super) fn forget_clients(&self, left: &[NodeRow]) {
        let left: BTreeSet<&str> = left.iter().map(|row| row.node.as_str()).collect();
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        let Cursors { noted, handed, places, .. } = &mut *cursors;
        let is_gone = |node: &NodeId| node.is_live() && !left.contains(node.as_str()) && !noted.contains_key(node);
        handed.retain(|node, _| !is_gone(node));
        places.retain(|node| !is_gone(node));
        self.log.forget(is_gone);
    }

    /// Notes what a node is handed, for those who watch it. What it has read, it says with its next request.
    pub fn note_handed(&self, node: &NodeId, upto: Lsn) {
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = cursors.handed.get_mut(node) {
            place.hand(upto);
        }
    }

    /// Where each node is that has read since the space is in use.
    #[must_use]
    pub fn places(&self) -> BTreeMap<NodeId, Sighting> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner).handed.clone()
    }

    /// How far the readers that are there are behind, and who of them stalls. Asks nobody.
    #[must_use]
    pub fn lag(&self) -> Lag {
        let cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        Lag::of(&cursors.handed, self.head().last_change, self.settings.clock.now())
    }

    /// Keeps nothing of the log for a node any more. If it comes back behind the horizon, it is sent to a snapshot and
    /// keeps its outbox; one that comes back before goes on. `false`: there is no such node.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn expire_node(&self, node: &NodeId) -> Result<bool, ServerError> {
        let known = self.store.nodes(&self.name).await?.into_iter().find(|row| row.node == node.as_str());
        let Some(row) = known else { return Ok(false) };
        let _alone = self.writing_cursors.lock().await;
        {
            let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
            cursors.noted.remove(node);
            cursors.handed.remove(node);
        }
        self.store.note_cursors(&self.name, vec![(node.clone(), Lsn::ZERO, row.seen_at)]).await?;
        Ok(true)
    }

    /// Limits on what one push may weigh.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.settings.limits
    }

    /// The nodes that have pushed to or read from the space.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, ServerError> {
        Ok(self.store.nodes(&self.name).await?)
    }

    /// Writes the noted cursors.
    ///
    /// # Errors
    /// Those of the store; the notes are then written with the next ones.
    pub async fn write_cursors(&self) -> Result<(), ServerError> {
        let _alone = self.writing_cursors.lock().await;
        let noted = std::mem::take(&mut self.cursors.lock().unwrap_or_else(PoisonError::into_inner).noted);
        if noted.is_empty() {
            return Ok(());
        }
        let rows = noted.iter().map(|(node, (lsn, at))| (node.clone(), *lsn, *at)).collect();
        let written = self.store.note_cursors(&self.name, rows).await;
        if written.is_err() {
            // A reader that is there must not pass for one that is silent.
            let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
            for (node, note) in noted {
                cursors.noted.entry(node).or_insert(note);
            }
        }
        Ok(written?)
    }

    /// Waits until every accepted push is answered, then writes the noted cursors.
    pub(super) async fn finish(&self) {
        let mut drained = self.drained.clone();
        if drained.wait_for(|done| *done).await.is_err() {
            tracing::error!(space = %self.name, "the committer ended before its queue was empty");
        }
        if let Err(error) = self.write_cursors().await {
            tracing::warn!(space = %self.name, %error, "the last cursor notes were not written");
        }
    }
}
