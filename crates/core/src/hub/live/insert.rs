//! Whole documents (steps 4 and 5 of the life of a change). An insert says that its client had no such document: among
//! whole documents the later time wins, and a removal that it finds was earlier.

use super::{Client, Fate};
use crate::hub::loaded::DocKey;
use crate::hub::progress::{Attempt, Progress};
use crate::hub::rows::foreign_row;
use crate::hub::write_set::Conflict;
use crate::live::{deep_equal, document_of, same_document};
use crate::merge::Values;
use crate::model::{Base, Body, Edit, LiveEvent, Mark, Millis, Rejection, Stamp, Strategy, Version};
use serde_json::Value;

impl Progress {
    /// `None`: it was applied.
    pub(super) fn live_insert(
        &mut self,
        client: &mut Client<'_>,
        event: &LiveEvent,
        key: DocKey,
        body: &Body,
    ) -> Result<Option<Fate>, Rejection> {
        let Some(standing) = self.standing(&key) else { return self.live_birth(client, event, key, body) };
        let (reads, writes) = (client.may_read(&key, standing), client.may_write(&key, standing));
        if !reads && !writes {
            return Err(foreign_row(&key.0));
        }
        if same_document(standing.body.text(), body.text()) {
            client.twice.insert(key);
            return Ok(Some(Fate::Unchanged));
        }
        if old_version(standing, body, client) {
            self.not_taken(client, key, body);
            return Ok(Some(Fate::Stale));
        }
        if !writes {
            return Err(foreign_row(&key.0));
        }
        let mine = standing.meta.marks().filter(|mark| mark.author == client.author).map(|mark| mark.stamp.next());
        let stamp = mine.fold(self.event_stamp(event), Stamp::max);
        let rule = self.loaded.strategy(&key.0).unwrap_or_default();
        let later = (stamp, body.text()) > (standing.meta.born, standing.body.text());
        if !later && matches!(rule, Strategy::LastWriteWins | Strategy::Merge) {
            self.not_taken(client, key, body);
            return Ok(Some(Fate::Superseded));
        }
        let edit = replacement(standing, body);
        let before = self.loaded.head;
        let (base, committed, author) = (Base::At(client.served), Millis(0), client.author);
        let attempt = Attempt { key: key.clone(), edit: &edit, author, base, stamp, strategy: None, committed };
        self.within_rows(&client.batch.rows, attempt)?;
        let as_sent = self.standing(&key).is_some_and(|now| same_document(now.body.text(), body.text()));
        let told = if !as_sent || self.is_hidden(client, &key) { &mut client.returned } else { &mut client.twice };
        told.insert(key);
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
        let gone = self.loaded.docs.get(&key);
        // Who has not heard of the removal has the document still.
        let keeps = gone.is_some_and(|gone| gone.author != client.author && gone.lsn > client.served);
        let removed = gone.and_then(|version| version.meta.removed);
        let stamp = removed.map_or(Stamp::ZERO, |removed| removed.stamp.next()).max(self.event_stamp(event));
        let (base, committed, author) = (Base::At(client.served), Millis(0), client.author);
        let edit = &Edit::Insert(body.clone());
        let attempt = Attempt { key: key.clone(), edit, author, base, stamp, strategy: None, committed };
        self.within_rows(&client.batch.rows, attempt)?;
        let as_sent = self.standing(&key).is_some_and(|now| same_document(now.body.text(), body.text()));
        if !as_sent || self.is_hidden(client, &key) {
            client.returned.insert(key);
        } else if keeps {
            client.twice.insert(key);
        }
        Ok(None)
    }

    /// A whole document that changes nothing: the ledger has it, and its client gets what stands.
    fn not_taken(&mut self, client: &mut Client<'_>, key: DocKey, body: &Body) {
        let Some(standing) = self.standing(&key) else { return };
        let values = |body: &Body| Values::Document(body.text().to_owned());
        let conflict = Conflict {
            collection: key.0.clone(),
            id: key.1.clone(),
            lsn: standing.lsn,
            rule: Strategy::LastWriteWins,
            winner: standing.author,
            loser: client.author,
            late: false,
            losing: values(body),
            winning: values(&standing.body),
        };
        self.writes.conflicts.push(conflict);
        client.returned.insert(key);
    }
}

/// Whether a client says of a document that it had only what it knew of it before: every difference to what stands was
/// made by others, and behind what the client was served. So an echo that comes late (the client was away, or the hub
/// started anew and has forgotten what it told) does not undo newer work, and no old text needs to be kept to know it.
fn old_version(standing: &Version, body: &Body, client: &Client<'_>) -> bool {
    let meta = &standing.meta;
    if meta.created > client.served {
        return false; // It was never told of the document: this is another one under the same id.
    }
    let (now, sent) = (document_of(standing.body.text()), document_of(body.text()));
    let (Some(Value::Object(now)), Some(Value::Object(sent))) = (now, sent) else { return false };
    let missed = |mark: Mark| mark.author != client.author && mark.lsn > client.served;
    let gone = Mark { lsn: meta.shrunk, author: standing.author, ..Mark::default() };
    let mark = |name: &String| match meta.fields.get(name) {
        Some(mark) => *mark,
        None if now.contains_key(name) => meta.whole,
        None => gone,
    };
    let differs = |name: &String| match (now.get(name), sent.get(name)) {
        (Some(now), Some(sent)) => !deep_equal(now, sent),
        (now, sent) => now.is_some() != sent.is_some(),
    };
    now.keys().chain(sent.keys()).filter(|name| differs(name)).all(|name| missed(mark(name)))
}

/// The whole document anew. A field `id` that another dialect gave it is not shown to these clients, and stays.
pub(super) fn replacement(standing: &Version, body: &Body) -> Edit {
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
