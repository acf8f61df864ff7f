//! Events of the `live` dialect's clients (steps 4 and 5 of the life of a change): which are repeats, which documents
//! a query means now, and what the client must get back because something else stands than it has. What an edit does to
//! a document is the merge rule's business.
//!
//! An insert says that its client had no such document: among whole documents the later time wins, and a removal that
//! it finds was earlier. Updates and removals by query apply in the order of their arrival, to what stands.

use super::loaded::DocKey;
use super::own::edit_text;
use super::progress::{Attempt, Progress};
use super::write_set::{Conflict, Entry, Quarantined, Return};
use crate::live::{Query, Unreadable, Update, deep_equal, same_document, view};
use crate::merge::Values;
use crate::model::{
    Author, Base, Body, DocId, Edit, Fields, LiveBatch, LiveEdit, LiveEvent, Lsn, Millis, Rejection,
    Stamp, Strategy, Version,
};
use serde_json::{Map, Value};
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
}

impl Progress {
    /// Decides the events of one client.
    pub(super) fn live_batch(&mut self, batch: &LiveBatch) -> LiveTaken {
        let author = self.author(&batch.node);
        // Nobody has read further than the log goes: whoever says so read another history.
        let served = if batch.served > self.loaded.head { Lsn::ZERO } else { batch.served };
        let before = self.loaded.head;
        let mut client = Client { batch, author, served, returned: BTreeSet::new() };
        let fates = batch.events.iter().map(|event| self.live_event(&mut client, event)).collect();
        let written = (self.loaded.head > before).then_some((before.next(), self.loaded.head));
        let returned = client.returned;
        for (collection, id) in &returned {
            let lsn = self.loaded.head.next();
            self.loaded.head = lsn;
            let (collection, id, lost) = (collection.clone(), id.clone(), BTreeSet::new());
            self.writes.entries.push(Entry::Return(Return { lsn, collection, id, author, lost }));
        }
        LiveTaken { author, fates, written, returned }
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
        let collection = match (&event.edit, &event.collection) {
            (LiveEdit::Unusable(why), _) => return Err(why.clone()),
            (_, Some(collection)) => collection,
            (_, None) => return Err(without_collection()),
        };
        let nothing = BTreeSet::new();
        let mut meant = false;
        match &event.edit {
            LiveEdit::Insert { id, body } => {
                return self.live_insert(client, event, (collection.clone(), id.clone()), body);
            }
            LiveEdit::Update { query, update, new_id, candidates } => {
                for id in candidates.as_ref().unwrap_or(&nothing) {
                    let key = (collection.clone(), id.clone());
                    let Some(document) = self.meant(client, query, &key) else { continue };
                    meant = true;
                    self.live_update(client, event, (key, document), (update, new_id.as_ref()))?;
                }
            }
            LiveEdit::Remove { query, candidates } => {
                for id in candidates.as_ref().unwrap_or(&nothing) {
                    let key = (collection.clone(), id.clone());
                    if self.meant(client, query, &key).is_some() {
                        meant = true;
                        self.live_change(client, event, &key, &Edit::Remove, client.served)?;
                    }
                }
            }
            LiveEdit::Unusable(_) => {}
        }
        let fate = if meant { Fate::Unchanged } else { Fate::NoMatch };
        Ok((self.loaded.head == before).then_some(fate))
    }

    /// The document as its client knows it, if the query still means it. A candidate that it no longer means has
    /// changed since the client looked, who may have changed its own.
    fn meant(&self, client: &mut Client<'_>, query: &Query, key: &DocKey) -> Option<Value> {
        let standing = self.standing(key)?;
        let document = view(standing.body.text()).filter(|document| query.matches(document));
        if document.is_none() {
            client.returned.insert(key.clone());
        }
        document
    }

    fn standing(&self, key: &DocKey) -> Option<&Version> {
        self.loaded.docs.get(key).filter(|version| version.meta.is_live())
    }

    fn live_insert(
        &mut self,
        client: &mut Client<'_>,
        event: &LiveEvent,
        key: DocKey,
        body: &Body,
    ) -> Result<Option<Fate>, Rejection> {
        let Some(standing) = self.standing(&key) else { return self.live_birth(client, event, key, body) };
        if same_document(standing.body.text(), body.text()) {
            return Ok(Some(Fate::Unchanged));
        }
        let mine = standing.meta.marks().filter(|mark| mark.author == client.author).map(|mark| mark.stamp.next());
        let stamp = mine.fold(self.event_stamp(event), Stamp::max);
        let rule = self.loaded.strategies.get(&key.0).copied().unwrap_or_default();
        let later = (stamp, body.text()) > (standing.meta.born, standing.body.text());
        if !later && matches!(rule, Strategy::LastWriteWins | Strategy::Merge) {
            self.superseded(client, key, body);
            return Ok(Some(Fate::Superseded));
        }
        let edit = replacement(standing, body);
        let before = self.loaded.head;
        let (base, committed, author) = (Base::At(client.served), Millis(0), client.author);
        self.apply(Attempt { key: key.clone(), edit: &edit, author, base, stamp, strategy: None, committed })?;
        let as_sent = self.standing(&key).is_some_and(|now| same_document(now.body.text(), body.text()));
        if !as_sent {
            client.returned.insert(key);
        }
        Ok((self.loaded.head == before).then_some(Fate::Superseded))
    }

    /// The document was not there, or not any more.
    fn live_birth(
        &mut self,
        client: &mut Client<'_>,
        event: &LiveEvent,
        key: DocKey,
        body: &Body,
    ) -> Result<Option<Fate>, Rejection> {
        let removed = self.loaded.docs.get(&key).and_then(|version| version.meta.removed);
        let stamp = removed.map_or(Stamp::ZERO, |removed| removed.stamp.next()).max(self.event_stamp(event));
        let (base, committed, author) = (Base::At(client.served), Millis(0), client.author);
        let edit = &Edit::Insert(body.clone());
        self.apply(Attempt { key: key.clone(), edit, author, base, stamp, strategy: None, committed })?;
        let as_sent = self.standing(&key).is_some_and(|now| same_document(now.body.text(), body.text()));
        if !as_sent {
            client.returned.insert(key);
        }
        Ok(None)
    }

    /// A whole document that is older than the one that stands.
    fn superseded(&mut self, client: &mut Client<'_>, key: DocKey, body: &Body) {
        let Some(standing) = self.standing(&key) else { return };
        let values = |body: &Body| Values::Document(body.text().to_owned());
        let conflict = Conflict {
            collection: key.0.clone(),
            id: key.1.clone(),
            lsn: standing.lsn,
            rule: Strategy::LastWriteWins,
            winner: standing.author,
            loser: client.author,
            losing: values(body),
            winning: values(&standing.body),
        };
        self.writes.conflicts.push(conflict);
        client.returned.insert(key);
    }

    fn live_update(
        &mut self,
        client: &mut Client<'_>,
        event: &LiveEvent,
        (key, document): (DocKey, Value),
        (update, new_id): (&Update, Option<&DocId>),
    ) -> Result<(), Rejection> {
        let Value::Object(before) = document else { return Ok(()) };
        let mut after = before.clone();
        update.apply(&mut after).map_err(|why| unreadable(&why))?;
        if after.contains_key("_id") {
            return Err(reserved_field());
        }
        let id_before = before.get("id");
        match after.get("id") {
            Some(id) if Some(id) != id_before => return self.moved(client, event, &key, (after, new_id)),
            _ => {}
        }
        let (set, unset) = difference(&before, &after);
        if set.is_empty() && unset.is_empty() {
            return Ok(());
        }
        Body::check(set.to_body().text(), key.1.as_str(), &self.rules.limits)
            .map_err(|e| Rejection { code: e.code().to_owned(), reason: e.to_string() })?;
        // What is computed from what stands loses nothing of it.
        let standing = self.standing(&key).map_or(Lsn::ZERO, |version| version.lsn);
        let base = if update.overwrites() { client.served } else { standing };
        self.live_change(client, event, &key, &Edit::Update { set, unset }, base)
    }

    /// A document that gets another id: the old one goes, and the new one stands as a whole.
    fn moved(
        &mut self,
        client: &mut Client<'_>,
        event: &LiveEvent,
        from: &DocKey,
        (mut document, new_id): (Map<String, Value>, Option<&DocId>),
    ) -> Result<(), Rejection> {
        let id = document.shift_remove("id").filter(|id| id.is_string() || id.is_number());
        let (Some(id), Some(new_id)) = (id, new_id) else { return Err(unusable_id()) };
        let mut stored = Map::with_capacity(document.len() + 1);
        stored.insert("_id".to_owned(), id);
        stored.extend(document);
        let text = Value::Object(stored).to_string();
        let (body, _) = Body::parse(&text, &self.rules.limits)
            .map_err(|e| Rejection { code: e.code().to_owned(), reason: e.to_string() })?;
        let to = (from.0.clone(), new_id.clone());
        self.live_change(client, event, from, &Edit::Remove, client.served)?;
        let edit = match self.standing(&to) {
            Some(standing) => replacement(standing, &body),
            None => Edit::Insert(body),
        };
        self.live_change(client, event, &to, &edit, client.served)
    }

    /// An edit that takes effect in the order of its arrival, whatever clocks say. Where it meets what its client has
    /// not seen, the client cannot know what it led to.
    fn live_change(
        &mut self,
        client: &mut Client<'_>,
        event: &LiveEvent,
        key: &DocKey,
        edit: &Edit,
        base: Lsn,
    ) -> Result<(), Rejection> {
        let version = self.loaded.docs.get(key);
        let stamp = version.map_or(Stamp::ZERO, |version| version.meta.stamp().next()).max(self.event_stamp(event));
        let (author, removes) = (client.author, *edit == Edit::Remove);
        let unseen = version.is_some_and(|version| {
            let others = |author: Author, lsn: Lsn| author != client.author && lsn > client.served;
            others(version.author, version.lsn) || version.meta.marks().any(|mark| others(mark.author, mark.lsn))
        });
        let (before, base, committed) = (self.loaded.head, Base::At(base), Millis(0));
        self.apply(Attempt { key: key.clone(), edit, author, base, stamp, strategy: None, committed })?;
        if self.loaded.head == before || (unseen && !removes) {
            client.returned.insert(key.clone());
        }
        Ok(())
    }

    fn event_stamp(&self, event: &LiveEvent) -> Stamp {
        self.clamp(Stamp::at(event.time.unwrap_or(self.rules.now)))
    }

    /// The event goes to quarantine. The documents that it names and that stand go back: the client may have changed
    /// its own.
    fn set_live_aside(&mut self, client: &mut Client<'_>, event: &LiveEvent, why: &Rejection) {
        let key = |id: &DocId| Some((event.collection.clone()?, id.clone()));
        let inserts = matches!(event.edit, LiveEdit::Insert { .. });
        client.returned.extend(event.names().filter_map(key).filter(|key| self.standing(key).is_some()));
        let (id, op) = match &event.edit {
            LiveEdit::Insert { id, body } => (Some(id.clone()), edit_text(id, &Edit::Insert(body.clone()))),
            _ => (None, event.raw.clone()),
        };
        debug_assert!(inserts || !event.raw.is_empty(), "only inserts go without their text");
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

/// The whole document anew. A field `id` that another dialect gave it is not shown to these clients, and stays.
fn replacement(standing: &Version, body: &Body) -> Edit {
    let mut fields = body.fields();
    let changed = fields.iter().map(|(name, _)| name.to_owned()).collect();
    match standing.body.fields().get("id") {
        Some(kept) => {
            fields.set("id", kept.to_owned());
            Edit::Replace { body: fields.to_body(), changed }
        }
        None => Edit::Replace { body: body.clone(), changed },
    }
}

/// Fields that differ, and fields that are gone. The id is the document's place.
fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> (Fields, BTreeSet<String>) {
    let differs = |name: &str, value: &Value| {
        before.get(name).is_none_or(|old| !deep_equal(old, value) || old.is_array() != value.is_array())
    };
    let named = |name: &str| name != "id" && name != "_id";
    let text = |value: &Value| serde_json::value::to_raw_value(value).expect("a value serializes");
    let set = after.iter().filter(|(name, value)| named(name) && differs(name, value));
    let set = set.map(|(name, value)| (name.clone(), text(value))).collect();
    let unset = before.keys().filter(|name| named(name) && !after.contains_key(*name)).cloned().collect();
    (set, unset)
}

fn unreadable(why: &Unreadable) -> Rejection {
    Rejection { code: why.code().to_owned(), reason: why.to_string() }
}

fn without_collection() -> Rejection {
    let reason = "the event names no collection; send it with the name of one".to_owned();
    Rejection { code: "malformed_element".to_owned(), reason }
}

fn reserved_field() -> Rejection {
    let reason = "`_id` is the hub's name for the id of a document; set `id`, or name the field otherwise".to_owned();
    Rejection { code: "reserved_field".to_owned(), reason }
}

fn unusable_id() -> Rejection {
    let reason = "an update may give a document another id only by `$set`, and only text or a number".to_owned();
    Rejection { code: "malformed_id".to_owned(), reason }
}
