//! Updates and removals by query (steps 4 and 5 of the life of a change): asked of the versions that stand now, and
//! turned into edits of single documents. They apply in the order of their arrival.

use super::Client;
use super::insert::replacement;
use crate::hub::loaded::DocKey;
use crate::hub::progress::{Attempt, Progress};
use crate::live::{Query, Unreadable, Update, deep_equal, document_of};
use crate::model::{
    Author, Base, Body, CollectionName, DocId, Edit, Fields, LiveEvent, Lsn, Malformed, Millis, Rejection, Stamp,
};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

impl Progress {
    /// Takes a step with each candidate that the query still means; tells whether there was one. What the client may not
    /// write is left alone, and told to it as it is to have it; where the query means nothing else, it is refused.
    pub(super) fn each_meant(
        &mut self,
        client: &mut Client<'_>,
        (collection, query, candidates): (&CollectionName, &Query, Option<&BTreeSet<DocId>>),
        mut step: impl FnMut(&mut Progress, &mut Client<'_>, &DocKey, Value) -> Result<(), Rejection>,
    ) -> Result<bool, Rejection> {
        let (mut meant, mut refused) = (false, None);
        for id in candidates.into_iter().flatten() {
            let key = (collection.clone(), id.clone());
            if let Err(why) = self.may_change(&client.batch.rows, &key) {
                client.returned.insert(key);
                refused = Some(why);
                continue;
            }
            if let Some(document) = self.meant(client, query, &key) {
                meant = true;
                step(self, client, &key, document)?;
            }
        }
        refused.filter(|_| !meant).map_or(Ok(meant), Err)
    }

    /// The document as its client knows it, if the query still means it. A candidate that it no longer means has
    /// changed since the client looked, who may have changed its own.
    fn meant(&self, client: &mut Client<'_>, query: &Query, key: &DocKey) -> Option<Value> {
        let standing = self.standing(key)?;
        let document = document_of(standing.body.text()).filter(|document| query.matches(document));
        if document.is_none() {
            client.returned.insert(key.clone());
        }
        document
    }

    pub(super) fn live_update(
        &mut self,
        client: &mut Client<'_>,
        event: &LiveEvent,
        (key, document): (&DocKey, Value),
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
            Some(id) if Some(id) != id_before => return self.moved(client, event, key, (after, new_id)),
            _ => {}
        }
        let (set, unset) = difference(&before, &after);
        if set.is_empty() && unset.is_empty() {
            return Ok(());
        }
        Body::check(set.to_body().text(), key.1.as_str(), &self.moment.limits).map_err(|why| malformed(&why))?;
        // What is computed from what stands loses nothing of it.
        let standing = self.standing(key).map_or(Lsn::ZERO, |version| version.lsn);
        let base = if update.overwrites() { client.served } else { standing };
        self.live_change(client, event, key, &Edit::Update { set, unset }, base)
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
        let (body, _) = Body::parse(&text, &self.moment.limits).map_err(|why| malformed(&why))?;
        let to = (from.0.clone(), new_id.clone());
        self.live_change(client, event, from, &Edit::Remove, client.served)?;
        let edit = match self.standing(&to) {
            Some(standing) => {
                client.twice.insert(to.clone());
                replacement(standing, &body)
            }
            None => Edit::Insert(body),
        };
        self.live_change(client, event, &to, &edit, client.served)
    }

    /// An edit that takes effect in the order of its arrival, whatever clocks say. Where it meets what its client has
    /// not seen, or may not, the client cannot know what it led to.
    pub(super) fn live_change(
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
        let was_hidden = self.is_hidden(client, key);
        let (before, base, committed) = (self.loaded.head, Base::At(base), Millis(0));
        let attempt = Attempt { key: key.clone(), edit, author, base, stamp, strategy: None, committed };
        self.within_rows(&client.batch.rows, attempt)?;
        let is_hidden = was_hidden || self.is_hidden(client, key);
        if self.loaded.head == before || (unseen && !removes) || is_hidden {
            client.returned.insert(key.clone());
        }
        Ok(())
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

fn malformed(why: &Malformed) -> Rejection {
    Rejection { code: why.code().to_owned(), reason: why.to_string() }
}

fn unreadable(why: &Unreadable) -> Rejection {
    Rejection { code: why.code().to_owned(), reason: why.to_string() }
}

fn reserved_field() -> Rejection {
    let reason = "`_id` is the hub's name for the id of a document; set `id`, or name the field otherwise".to_owned();
    Rejection { code: "reserved_field".to_owned(), reason }
}

fn unusable_id() -> Rejection {
    let reason = "an update may give a document another id only by `$set`, and only text or a number".to_owned();
    Rejection { code: "malformed_id".to_owned(), reason }
}
