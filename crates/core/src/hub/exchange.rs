//! Packets of registered nodes (steps 4 and 5 of the life of a change): which of them are repeats, what
//! an acknowledgement moves, and which documents their sender must get back. What an edit does to a
//! document is the merge rule's business; what the answer holds is read from the log afterwards.

use super::decide::{Reply, Taken};
use super::loaded::DocKey;
use super::progress::{Attempt, Progress};
use super::rows::ROW_FORBIDDEN;
use super::rules::{is_rule_code, unnamed};
use super::write_set::{Conflict, Entry, Quarantined, Return};
use crate::merge::Values;
use crate::model::{
    Author, Base, Body, CollectionName, Dispatch, Edit, Entity, EntityEdit, Fields, Holding, LastPacket, Lsn, Millis,
    NodeId, Packet, Refused, Rejection, Stamp, Strategy, Traffic, Version,
};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

impl Progress {
    /// Decides one packet: its acknowledgement, then its entities.
    pub(super) fn packet(&mut self, packet: &Packet) -> Reply {
        let Some(mut traffic) = self.loaded.traffic.get(&packet.node).cloned() else { return Reply::UnknownNode };
        let (author, now) = (self.author(&packet.node), self.moment.now);
        let confirmed = traffic.confirmed;
        traffic.acknowledge(packet.ack, now);
        traffic.settle(packet.settled);
        if traffic.needs() < self.loaded.horizon {
            traffic.fill_again(self.loaded.head);
        }
        // Then what comes into the log now is all that the node has not confirmed.
        let at_end = traffic.fill.is_none() && traffic.cursor == self.loaded.head;
        let written = self.writes.entries.len();
        let passed = packet.entities.is_empty() && packet.number <= traffic.received;
        let seen = self.loaded.seen.contains(&packet.key) || traffic.last.key == packet.key;
        let repeated = (seen || passed) && traffic.confirmed == confirmed;
        let refused = if seen {
            self.packet_again(packet, author, &mut traffic)
        } else if packet.entities.is_empty() {
            traffic.pass(packet.number, packet.ack, self.loaded.head);
            Vec::new()
        } else {
            self.loaded.seen.insert(packet.key);
            self.writes.seen.push(packet.key);
            if packet.number < traffic.received {
                self.late(packet, author)
            } else {
                self.accept(packet, author, &mut traffic)
            }
        };
        traffic.received_at = now;
        traffic.last.whole_objects = packet.whole_objects;
        let (ack, issued, reached) = (traffic.received, traffic.issued, traffic.reached());
        self.note_traffic(&packet.node, traffic);
        let own = |entry: &Entry| matches!(entry, Entry::Change(change) if change.version.author == author);
        let quiet = (at_end && self.writes.entries[written..].iter().all(own)).then_some(self.loaded.head);
        Reply::Packet(Taken { author, ack, repeated, refused, issued, reached, quiet })
    }

    /// Gives a packet of the hub its number.
    pub(super) fn dispatch(&mut self, dispatch: &Dispatch) -> Reply {
        let Some(mut traffic) = self.loaded.traffic.get(&dispatch.node).cloned() else { return Reply::UnknownNode };
        if traffic.reached() != dispatch.from {
            return Reply::Moved;
        }
        let number = traffic.dispatch(dispatch.upto, dispatch.last);
        self.note_traffic(&dispatch.node, traffic);
        self.writes.held.extend(dispatch.held.iter().map(|held| (dispatch.node.clone(), held.clone())));
        Reply::Dispatched { number }
    }
}

impl Progress {
    /// A packet that was applied before. Where another one of its number came after it, its sender may have come back
    /// to what it held (made again and removed once more): nobody can tell, so it hears what stands.
    fn packet_again(&mut self, packet: &Packet, author: Author, traffic: &mut Traffic) -> Vec<Refused> {
        if packet.number != traffic.received {
            return Vec::new(); // Nobody waits for the answer any more.
        }
        let overtaken = digests(packet).into_iter().collect::<BTreeSet<u64>>() != traffic.last.entities;
        let keys = packet.entities.iter().filter(|_| overtaken).filter_map(key_of);
        self.give_back(packet, author, traffic, keys.collect());
        traffic.last.refused.clone()
    }

    /// A packet in its turn, or one that was composed anew because its reply was lost. What it held before,
    /// without news from the hub in between, is not done twice: a removal must not undo a later revival.
    fn accept(&mut self, packet: &Packet, author: Author, traffic: &mut Traffic) -> Vec<Refused> {
        let since = traffic.last.since;
        let again =
            if traffic.last.ack == packet.ack { std::mem::take(&mut traffic.last) } else { LastPacket::default() };
        let anew = packet.number == traffic.received;
        let since = if anew { since } else { self.loaded.head };
        let sender = Sender { packet, author, known: traffic.known.upto, since: anew.then_some(since) };
        let (mut refused, mut returns) = (Vec::new(), BTreeSet::new());
        let (digests, made_again) = (digests(packet), made_again(packet));
        let mut repeats = repeats(packet, &digests, &again.entities);
        for (n, key) in self.undone(packet, author, &repeats) {
            // Under the same number this may be a late copy. A higher one was composed later: it is a change.
            if anew {
                returns.insert(key);
            } else {
                repeats.remove(&n);
            }
        }
        self.writes.entries.reserve(packet.entities.len());
        for (n, entity) in packet.entities.iter().enumerate() {
            if repeats.contains(&n) {
                let before = |r: &&Refused| r.kind == entity.kind && r.uuid == entity.uuid.as_str();
                refused.extend(again.refused.iter().find(before).cloned());
                continue;
            }
            match self.entity(&sender, entity) {
                Ok(key) => {
                    let key = key.or_else(|| key_of(entity).filter(|_| made_again.contains(&n)));
                    returns.extend(key);
                }
                Err(why) => {
                    returns.extend(self.refused(packet, entity, &why));
                    // Who gets only some documents is told of no other one.
                    let why = match key_of(entity).filter(|key| !packet.may_know_of(&key.0)) {
                        Some(key) => unnamed(&key, why),
                        None => why,
                    };
                    refused.push(self.set_entity_aside(packet, entity, why));
                }
            }
            self.settle();
        }
        self.give_back(packet, author, traffic, returns);
        let mut entities: BTreeSet<u64> = digests.into_iter().collect();
        if anew {
            entities.extend(again.entities);
        }
        let Packet { key, ack, whole_objects, .. } = *packet;
        traffic.last = LastPacket { key, ack, since, entities, refused: refused.clone(), whole_objects };
        traffic.received = packet.number;
        refused
    }

    /// Repeats that are the last word of a packet on their documents, and in whose place later work of the sender
    /// itself stands: it has come back to what it said before. (Work of others it hears of anyway; what has a time
    /// would have a later one.)
    fn undone(&self, packet: &Packet, author: Author, repeats: &BTreeSet<usize>) -> Vec<(usize, DocKey)> {
        let mut last = BTreeMap::new();
        if !repeats.is_empty() {
            last.extend(packet.entities.iter().enumerate().filter_map(|(n, entity)| Some((key_of(entity)?, n))));
        }
        let undone = |key: &DocKey, n: usize| {
            let (entity, version) = (&packet.entities[n], self.loaded.docs.get(key));
            let untimed = repeats.contains(&n) && entity.time.is_none();
            untimed && version.is_some_and(|version| is_undone(&entity.edit, version, author))
        };
        last.into_iter().filter(|(key, n)| undone(key, *n)).map(|(key, n)| (n, key)).collect()
    }

    /// Applies one entity; tells which document its sender must get back.
    fn entity(&mut self, sender: &Sender<'_>, entity: &Entity) -> Result<Option<DocKey>, Rejection> {
        let Sender { packet, author, known, .. } = *sender;
        let collection = match &entity.edit {
            EntityEdit::Put { collection, .. } | EntityEdit::Remove { collection } => collection,
            EntityEdit::Unusable(why) => return Err(why.clone()),
        };
        let key = (collection.clone(), entity.uuid.clone());
        let before = self.loaded.docs.get(&key);
        let edit = edit_of(entity, before.is_none_or(|version| version.meta.born == Stamp::ZERO));
        self.may_touch(&packet.writable, &key, &edit)?;
        let unseen = before.is_some_and(|version| version.lsn > known && version.author != author);
        // Copies of one number may overtake each other: whichever stands, its sender is told.
        let again = before.and_then(|version| sender.wrote(version));
        if again.is_some_and(|written| entity.time.is_some_and(|time| Stamp::at(time) < written)) {
            self.overtaken(&key, entity, author);
            self.note_held(packet, entity, &key);
            return Ok(Some(key));
        }
        let missing = before.is_none_or(|version| !version.meta.is_live());
        let stamp = self.clamp(Stamp::at(entity.time.unwrap_or(self.moment.now)));
        // An edit without a time is later than all that its sender knew, whatever clocks say of that.
        let seen = before.filter(|_| entity.time.is_none()).and_then(|version| newest(version, known));
        let stamp = seen.map_or(stamp, |seen| stamp.max(seen.next()));
        let (base, strategy, committed) = (Base::At(known), None, Millis(0));
        let attempt = Attempt { key: key.clone(), edit: &edit, author, base, stamp, strategy, committed };
        self.within_rows(&packet.writable, attempt)?;
        self.note_held(packet, entity, &key);
        let standing = self.live_version(&key);
        let outside = standing.is_some_and(|version| !packet.readable.mean(collection.as_str(), version.body.text()));
        let EntityEdit::Put { insert, sent, .. } = &entity.edit else {
            return Ok((again.is_some() || standing.is_some()).then_some(key));
        };
        // Whoever keeps whole objects has put its update on a text of its own, which need not be the one that stood here
        // last.
        let revived = missing && !insert && packet.whole_objects;
        let as_sent = |body: &Body| *body == *sent || fields_of(body) == fields_of(sent);
        let as_sent = standing.is_some_and(|version| as_sent(&version.body));
        Ok((!as_sent || unseen || outside || revived || again.is_some()).then_some(key))
    }

    /// What its sender must get back of a document that it has changed for itself alone, and knows what stands only if
    /// it is told. Where it may not write, it hears the same of what others have and of what is not there.
    fn refused(&mut self, packet: &Packet, entity: &Entity, why: &Rejection) -> Option<DocKey> {
        let key = key_of(entity)?;
        if why.code == ROW_FORBIDDEN {
            self.note_held(packet, entity, &key);
            return Some(key);
        }
        (is_rule_code(&why.code) && self.live_version(&key).is_some()).then_some(key)
    }

    /// The sender's next packet brings documents as they stand, and takes away what it sent and is not there.
    fn give_back(&mut self, packet: &Packet, author: Author, traffic: &mut Traffic, keys: BTreeSet<DocKey>) {
        // A first fill leaves removals out; but what the node sent and does not stand, it holds. (Under a filter it is
        // known what it holds.)
        let gone = |key: &DocKey| self.live_version(key).is_none() && !packet.readable.limit(key.0.as_str());
        if let Some(fill) = traffic.fill.as_mut().filter(|_| keys.iter().any(gone)) {
            fill.again = true;
        }
        let mut returns: BTreeMap<DocKey, Vec<&Body>> = keys.into_iter().map(|key| (key, Vec::new())).collect();
        if !packet.whole_objects {
            note_sent(&mut returns, packet);
        }
        for (key, sent) in returns {
            let standing = self.live_version(&key).map(|version| version.body.fields()).unwrap_or_default();
            let mut lost = BTreeSet::new();
            for set in sent.into_iter().map(fields_of) {
                let names = set.iter().map(|(name, _)| name);
                lost.extend(names.filter(|name| standing.get(name).is_none()).map(str::to_owned));
            }
            let (lsn, (collection, id)) = (self.loaded.head.next(), key);
            self.loaded.head = lsn;
            self.writes.entries.push(Entry::Return(Return { lsn, collection, id, author, lost }));
        }
    }

    /// An entity of a copy that comes after a later one goes to the ledger. (Its time may also be that of a slow
    /// clock, which a removal does not have.)
    fn overtaken(&mut self, (collection, id): &DocKey, entity: &Entity, author: Author) {
        let EntityEdit::Put { sent, .. } = &entity.edit else { return };
        let set = fields_of(sent);
        let standing = self.live_version(&(collection.clone(), id.clone()));
        let fields = standing.map(|version| version.body.fields());
        let same = |name: &str, value: &RawValue| {
            fields.as_ref().is_some_and(|fields| fields.get(name).map(RawValue::get) == Some(value.get()))
        };
        if set.iter().all(|(name, value)| same(name, value)) {
            return;
        }
        let winning = standing.map_or(Values::Removal, |version| Values::Document(version.body.text().to_owned()));
        self.writes.conflicts.push(Conflict {
            collection: collection.clone(),
            id: id.clone(),
            lsn: Lsn::ZERO,
            rule: Strategy::LastWriteWins,
            winner: author,
            loser: author,
            late: false,
            losing: Values::Fields(set.to_text()),
            winning,
        });
    }

    /// A packet that comes after a later one: what it holds was sent again with that, unless its sender
    /// composes packets otherwise. What no packet of the node has brought is set aside and named.
    fn late(&mut self, packet: &Packet, author: Author) -> Vec<Refused> {
        let mut refused = Vec::new();
        for entity in &packet.entities {
            let why = match &entity.edit {
                EntityEdit::Put { collection, .. } | EntityEdit::Remove { collection } => {
                    let key = (collection.clone(), entity.uuid.clone());
                    if self.loaded.docs.get(&key).is_some_and(|version| bears_mark(version, author)) {
                        continue;
                    }
                    late_packet(packet, &key)
                }
                EntityEdit::Unusable(why) => why.clone(),
            };
            refused.push(self.set_entity_aside(packet, entity, why));
        }
        refused
    }

    /// Under a filter it must be known what a node holds: what it sends, also in vain, until a packet of the hub takes
    /// that away; and no longer what it removes.
    fn note_held(&mut self, packet: &Packet, entity: &Entity, key: &DocKey) {
        if packet.readable.limit(key.0.as_str()) {
            let ((collection, id), live) = (key.clone(), self.live_version(key).is_some());
            let removed = matches!(entity.edit, EntityEdit::Remove { .. }) && !live;
            let gone = removed.then_some(self.loaded.head);
            self.writes.held.push((packet.node.clone(), Holding { collection, id, since: Lsn::ZERO, gone }));
        }
    }

    fn live_version(&self, key: &DocKey) -> Option<&Version> {
        self.loaded.docs.get(key).filter(|version| version.meta.is_live())
    }

    fn set_entity_aside(&mut self, packet: &Packet, entity: &Entity, why: Rejection) -> Refused {
        let collection = match &entity.edit {
            EntityEdit::Put { collection, .. } | EntityEdit::Remove { collection } => Some(collection.clone()),
            EntityEdit::Unusable(_) => CollectionName::new(&entity.kind).ok(),
        };
        self.quarantine(Quarantined {
            collection,
            id: Some(entity.uuid.clone()),
            node: packet.node.clone(),
            seq: None,
            code: why.code.clone(),
            reason: why.reason.clone(),
            op: entity.raw.clone(),
        });
        Refused { kind: entity.kind.clone(), uuid: entity.uuid.to_string(), why }
    }

    fn note_traffic(&mut self, node: &NodeId, traffic: Traffic) {
        self.loaded.traffic.insert(node.clone(), traffic.clone());
        self.writes.traffic.insert(node.clone(), traffic);
    }
}

/// One for each entity: what a node does twice in one packet, like deleting an object that it made again, is two
/// things.
fn digests(packet: &Packet) -> Vec<u64> {
    let digest = |n: &usize| packet.entities[*n].digest;
    let mut order: Vec<usize> = (0..packet.entities.len()).collect();
    order.sort_by_key(digest);
    let mut digests = vec![0; order.len()];
    for alike in order.chunk_by(|a, b| digest(a) == digest(b)) {
        for (times, n) in (0..).zip(alike) {
            digests[*n] = digest(n).wrapping_add(times);
        }
    }
    digests
}

/// Which entities were in an earlier packet. What stands behind something new of its document is no repeat: an
/// object that is made again may be removed again.
fn repeats(packet: &Packet, digests: &[u64], before: &BTreeSet<u64>) -> BTreeSet<usize> {
    let (mut repeats, mut fresh) = (BTreeSet::new(), BTreeSet::new());
    if !digests.iter().any(|digest| before.contains(digest)) {
        return repeats;
    }
    for (n, (entity, digest)) in packet.entities.iter().zip(digests).enumerate() {
        let key = key_of(entity);
        if before.contains(digest) && key.as_ref().is_none_or(|key| !fresh.contains(key)) {
            repeats.insert(n);
        } else {
            fresh.extend(key);
        }
    }
    repeats
}

/// The document of an entity that has one.
fn key_of(entity: &Entity) -> Option<DocKey> {
    match &entity.edit {
        EntityEdit::Put { collection, .. } | EntityEdit::Remove { collection } => {
            Some((collection.clone(), entity.uuid.clone()))
        }
        EntityEdit::Unusable(_) => None,
    }
}

/// Which entities make again what the packet has removed. Between the two a packet of the hub may have reached the
/// sender: one that sets fields by name then has those of the old object in the new one.
fn made_again(packet: &Packet) -> BTreeSet<usize> {
    let (mut removed, mut again) = (BTreeSet::new(), BTreeSet::new());
    if packet.whole_objects {
        return again;
    }
    let removes = |entity: &Entity| matches!(entity.edit, EntityEdit::Remove { .. });
    for (n, entity) in packet.entities.iter().enumerate().skip_while(|(_, entity)| !removes(entity)) {
        let Some(key) = key_of(entity) else { continue };
        if removes(entity) {
            removed.insert(key);
        } else if removed.contains(&key) {
            again.insert(n);
        }
    }
    again
}

/// Whose entities are applied.
struct Sender<'a> {
    packet: &'a Packet,
    author: Author,
    /// Up to where it knows every document.
    known: Lsn,
    /// Where the packet's number was taken before: where the log stood then.
    since: Option<Lsn>,
}

impl Sender<'_> {
    /// The newest stamp of what an earlier packet of this number has written of a document.
    fn wrote(&self, version: &Version) -> Option<Stamp> {
        let since = self.since?;
        let mine = version.meta.marks().filter(|mark| mark.author == self.author && mark.lsn > since);
        mine.map(|mark| mark.stamp).max()
    }
}

/// What a packet sent of the documents that go back.
fn note_sent<'a>(returns: &mut BTreeMap<DocKey, Vec<&'a Body>>, packet: &'a Packet) {
    if returns.is_empty() {
        return;
    }
    for entity in &packet.entities {
        if let EntityEdit::Put { collection, sent, .. } = &entity.edit
            && let Some(all) = returns.get_mut(&(collection.clone(), entity.uuid.clone()))
        {
            all.push(sent);
        }
    }
}

/// INSERT and UPDATE both make the object where it is missing.
fn edit_of(entity: &Entity, unborn: bool) -> Edit {
    match &entity.edit {
        EntityEdit::Put { insert, sent, unset, .. } if !insert && !unborn => {
            Edit::Update { set: fields_of(sent), unset: unset.clone() }
        }
        EntityEdit::Put { sent, .. } => Edit::Insert(sent.clone()),
        EntityEdit::Remove { .. } | EntityEdit::Unusable(_) => Edit::Remove,
    }
}

/// The fields of a document, or of what was sent, without its id.
fn fields_of(body: &Body) -> Fields {
    let mut fields = body.fields();
    fields.remove("_id");
    fields
}

/// Whether something of the document, or its removal, is the node's work.
fn bears_mark(version: &Version, author: Author) -> bool {
    version.author == author || version.meta.marks().any(|mark| mark.author == author)
}

/// Whether another edit of the same node stands in the place of this one.
fn is_undone(edit: &EntityEdit, version: &Version, author: Author) -> bool {
    let meta = &version.meta;
    match (edit, meta.removed) {
        (EntityEdit::Put { .. }, Some(removal)) if !meta.is_live() => removal.author == author,
        (EntityEdit::Put { sent, unset, .. }, _) if meta.is_live() => {
            let fields = version.body.fields();
            // Of an absent field without a mark nobody knows who took it away.
            let whole = |name: &str| fields.get(name).map(|_| &meta.whole);
            let own = |name: &str| meta.fields.get(name).or(whole(name)).is_some_and(|mark| mark.author == author);
            let same = |name, value: &RawValue| fields.get(name).map(RawValue::get) == Some(value.get());
            fields_of(sent).iter().any(|(name, value)| !same(name, value) && own(name))
                || unset.iter().any(|name| fields.get(name).is_some() && own(name))
        }
        (EntityEdit::Remove { .. }, Some(removal)) => {
            meta.is_live() && meta.marks().any(|mark| mark.author == author && mark.stamp > removal.stamp)
        }
        _ => false,
    }
}

/// The latest stamp of what stands in a document and is known up to here.
fn newest(version: &Version, known: Lsn) -> Option<Stamp> {
    version.meta.marks().filter(|mark| mark.lsn <= known).map(|mark| mark.stamp).max()
}

fn late_packet(packet: &Packet, (collection, id): &DocKey) -> Rejection {
    let reason = format!(
        "packet {} came after a later one of its node, which did not hold `{id}` in `{collection}`; it was not \
         applied: send the change again in a new packet",
        packet.number
    );
    Rejection { code: "late_packet".into(), reason }
}

#[cfg(test)]
mod tests;
