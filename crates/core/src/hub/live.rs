//! Events of the `live` dialect's clients (steps 4 and 5 of the life of a change): which are repeats, which documents
//! a query means now, and what the client must get back because something else stands than it has. What an edit does to
//! a document is the merge rule's business.
//!
//! An insert says that its client had no such document: among whole documents the later time wins, and a removal that
//! it finds was earlier. Updates and removals by query apply in the order of their arrival, to what stands.

mod by_query;
mod insert;
#[cfg(test)]
mod tests;

use super::loaded::DocKey;
use super::progress::Progress;
use super::write_set::{Entry, Quarantined, Return, edit_text};
use crate::model::{Author, DocId, Edit, LiveBatch, LiveEdit, LiveEvent, Lsn, Rejection, Stamp, Version};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::BTreeSet;

/// What became of a client's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveTaken {
    /// The client's number in this space: its changes in the log bear it.
    pub author: Author,
    /// One for each event, in order.
    pub fates: Vec<Fate>,
    /// The first and the last change that this batch made; between them there is nobody else's.
    pub written: Option<(Lsn, Lsn)>,
    /// Documents of which something else stands than the client has: it is to get what stands, also where that is a
    /// change of its own, or nothing. The log holds a return of each, behind `written`.
    pub returned: BTreeSet<DocKey>,
    /// Documents that stand as the client inserted them, and stood before as far as it knew: a client that keeps what it
    /// inserts beside what it has shows them twice.
    pub twice: BTreeSet<DocKey>,
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It changed documents.
    Applied {
        /// Its first change.
        first: Lsn,
        /// Its last change.
        last: Lsn,
    },
    /// What it says stood there already.
    Unchanged,
    /// It lost whole against what stands: a later insert, or the collection's strategy. The ledger has it.
    Superseded,
    /// An insert of a document that its client had, as it was before others changed it: what stands stays. The ledger
    /// has what was sent.
    Stale,
    /// No document is meant by its query.
    NoMatch,
    /// It was decided before.
    Duplicate,
    /// It cannot be applied; the quarantine has it.
    SetAside(Rejection),
}

/// A batch while it is decided.
struct Client<'a> {
    batch: &'a LiveBatch,
    author: Author,
    /// See [`LiveBatch::served`].
    served: Lsn,
    /// See [`LiveTaken::returned`].
    returned: BTreeSet<DocKey>,
    /// See [`LiveTaken::twice`].
    twice: BTreeSet<DocKey>,
}

impl Progress {
    /// Decides the events of one client.
    pub(super) fn live_batch(&mut self, batch: &LiveBatch) -> LiveTaken {
        let author = self.author(&batch.node);
        // Nobody has read further than the log goes: whoever says so read another history.
        let served = if batch.served > self.loaded.head { Lsn::ZERO } else { batch.served };
        let before = self.loaded.head;
        let mut client = Client { batch, author, served, returned: BTreeSet::new(), twice: BTreeSet::new() };
        let fates = batch.events.iter().map(|event| self.live_event(&mut client, event)).collect();
        let written = (self.loaded.head > before).then_some((before.next(), self.loaded.head));
        let Client { returned, twice, .. } = client;
        for (collection, id) in &returned {
            let lsn = self.loaded.head.next();
            self.loaded.head = lsn;
            let (collection, id, lost) = (collection.clone(), id.clone(), BTreeSet::new());
            self.writes.entries.push(Entry::Return(Return { lsn, collection, id, author, lost }));
        }
        LiveTaken { author, fates, written, returned, twice }
    }

    fn live_event(&mut self, client: &mut Client<'_>, event: &LiveEvent) -> Fate {
        if !self.loaded.seen.insert(event.key) {
            return Fate::Duplicate;
        }
        self.writes.seen.push(event.key);
        let before = self.loaded.head;
        let checkpoint = self.checkpoint();
        match self.live_edit(client, event) {
            Ok(fate) => fate.unwrap_or(Fate::Applied { first: before.next(), last: self.loaded.head }),
            Err(why) => {
                self.roll_back(checkpoint);
                self.set_live_aside(client, event, &why);
                Fate::SetAside(why)
            }
        }
    }

    /// `None`: it was applied.
    fn live_edit(&mut self, client: &mut Client<'_>, event: &LiveEvent) -> Result<Option<Fate>, Rejection> {
        let before = self.loaded.head;
        let conflicts = self.writes.conflicts.len();
        let meant = match (&event.edit, &event.collection) {
            (LiveEdit::Unusable(why), _) => return Err(why.clone()),
            (_, None) => return Err(without_collection()),
            (LiveEdit::Insert { id, body }, Some(collection)) => {
                return self.live_insert(client, event, (collection.clone(), id.clone()), body);
            }
            (LiveEdit::Update { query, update, new_id, candidates }, Some(collection)) => {
                let step = |progress: &mut Progress, client: &mut Client<'_>, key: &DocKey, document| {
                    progress.live_update(client, event, (key, document), (update, new_id.as_ref()))
                };
                self.each_meant(client, (collection, query, candidates.as_ref()), step)?
            }
            (LiveEdit::Remove { query, candidates }, Some(collection)) => {
                let step = |progress: &mut Progress, client: &mut Client<'_>, key: &DocKey, _| {
                    progress.live_change(client, event, key, &Edit::Remove, client.served)
                };
                self.each_meant(client, (collection, query, candidates.as_ref()), step)?
            }
        };
        let fate = match meant {
            true if self.writes.conflicts.len() > conflicts => Fate::Superseded,
            true => Fate::Unchanged,
            false => Fate::NoMatch,
        };
        Ok((self.loaded.head == before).then_some(fate))
    }

    fn standing(&self, key: &DocKey) -> Option<&Version> {
        self.loaded.docs.get(key).filter(|version| version.meta.is_live())
    }

    /// Whether a document stands that the client may not read.
    fn is_hidden(&self, client: &Client<'_>, key: &DocKey) -> bool {
        self.standing(key).is_some_and(|standing| !client.may_read(key, standing))
    }

    fn event_stamp(&self, event: &LiveEvent) -> Stamp {
        self.clamp(Stamp::at(event.time.unwrap_or(self.moment.now)))
    }

    /// The event goes to quarantine. The documents that it names and that stand go back: the client may have changed
    /// its own. Who sees only some rows is told of all that it names, so that nothing shows which of them are there.
    fn set_live_aside(&mut self, client: &mut Client<'_>, event: &LiveEvent, why: &Rejection) {
        let key = |id: &DocId| Some((event.collection.clone()?, id.clone()));
        let told = |key: &DocKey| client.is_limited(key) || self.standing(key).is_some();
        let told: Vec<_> = event.names().filter_map(key).filter(told).collect();
        client.returned.extend(told);
        let (id, op) = match &event.edit {
            LiveEdit::Insert { id, body } => (Some(id.clone()), edit_text(id, &Edit::Insert(body.clone()))),
            _ => (only_document(event), event.raw.clone()),
        };
        self.quarantine(Quarantined {
            collection: event.collection.clone(),
            id,
            node: client.batch.node.clone(),
            seq: None,
            code: why.code.clone(),
            reason: why.reason.clone(),
            op,
        });
    }
}

impl Client<'_> {
    /// Whether it reads or writes only some documents of a collection.
    fn is_limited(&self, (collection, _): &DocKey) -> bool {
        self.batch.rows.limit(collection.as_str()) || self.batch.readable.limit(collection.as_str())
    }

    fn may_read(&self, (collection, _): &DocKey, standing: &Version) -> bool {
        self.batch.readable.mean(collection.as_str(), standing.body.text())
    }

    fn may_write(&self, (collection, _): &DocKey, standing: &Version) -> bool {
        self.batch.rows.mean(collection.as_str(), standing.body.text())
    }
}

/// The one document that an event is about, as far as it can be read.
fn only_document(event: &LiveEvent) -> Option<DocId> {
    #[derive(Deserialize)]
    struct Names {
        #[serde(rename = "documentId", default)]
        document_id: Option<Value>,
        #[serde(default)]
        data: Option<Value>,
        #[serde(default)]
        query: Option<IgnoredAny>,
    }
    if !matches!(event.edit, LiveEdit::Unusable(_)) {
        let mut names = event.names();
        return names.next().filter(|_| names.next().is_none()).cloned();
    }
    let names: Names = serde_json::from_str(&event.raw).ok()?;
    let inside = names.data.and_then(|data| data.get("id")?.as_str().map(str::to_owned));
    let beside = names.document_id.filter(|_| names.query.is_none()).and_then(|id| id.as_str().map(str::to_owned));
    DocId::new(inside.or(beside)?).ok()
}

fn without_collection() -> Rejection {
    let reason = "the event names no collection; send it with the name of one".to_owned();
    Rejection { code: "malformed_element".to_owned(), reason }
}
