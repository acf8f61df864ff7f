//! What becomes of live clients' events, as stories.

mod rows;

use super::{Fate, LiveTaken};
use crate::hub::{AuthorState, Conflict, DocKey, Entry, Loaded, Moment, Quarantined, Reply, decide, touch};
use crate::live::{Query, Update};
use crate::merge::Values;
use crate::model::{
    Author, Base, BatchId, Body, Claim, CollectionName, CollectionRule, Demands, DocId, Edit, Intake, Limits,
    LiveBatch, LiveEdit, LiveEvent, Lsn, Millis, NodeId, Op, OpKey, OwnBatch, Rejection, Seq, Stamp, Step, Strategy,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const NOW: u64 = 1_000_000;

fn notes() -> CollectionName {
    CollectionName::new("notes").unwrap()
}

fn id(text: &str) -> DocId {
    DocId::new(text).unwrap()
}

fn key(text: &str) -> DocKey {
    (notes(), id(text))
}

fn event(n: u8, time: u64, edit: LiveEdit) -> LiveEvent {
    LiveEvent { key: [n; 16], collection: Some(notes()), time: Some(Millis(time)), edit, raw: format!("event {n}") }
}

fn insert(n: u8, time: u64, body: &str) -> LiveEvent {
    let body = Body::trusted(body);
    event(n, time, LiveEdit::Insert { id: id(body.facts().id.as_deref().unwrap()), body })
}

fn update(n: u8, time: u64, query: &Value, change: &Value, candidates: &[&str]) -> LiveEvent {
    let (query, update) = (Query::parse(query).unwrap(), Update::parse(change).unwrap());
    let new_id = update.new_id().and_then(Value::as_str).map(id);
    let candidates = Some(candidates.iter().map(|text| id(text)).collect());
    event(n, time, LiveEdit::Update { query, update, new_id, candidates })
}

fn remove(n: u8, time: u64, query: &Value, candidates: &[&str]) -> LiveEvent {
    let candidates = Some(candidates.iter().map(|text| id(text)).collect());
    event(n, time, LiveEdit::Remove { query: Query::parse(query).unwrap(), candidates })
}

/// A store in miniature.
#[derive(Default)]
struct Space {
    state: Loaded,
    log: Vec<Entry>,
    conflicts: Vec<Conflict>,
    quarantine: Vec<Quarantined>,
    limits: Limits,
}

impl Space {
    fn commit(&mut self, intake: Intake) -> Reply {
        let group = [intake];
        let touch = touch(&group);
        for name in touch.nodes {
            let author = Author(u32::try_from(self.state.nodes.len()).unwrap() + 1);
            self.state.nodes.entry(name).or_insert(AuthorState { author, ..AuthorState::default() });
        }
        let mut loaded = self.state.clone();
        loaded.docs.retain(|key, _| touch.docs.contains(key));
        loaded.seen.retain(|key| touch.keys.contains(key));
        let mut decision = decide(loaded, &group, Moment { now: Millis(NOW), limits: self.limits });
        for entry in &decision.writes.entries {
            assert_eq!(entry.lsn(), self.state.head.next(), "LSNs have no gap");
            self.state.head = entry.lsn();
            if let Entry::Change(change) = entry {
                self.state.docs.insert((change.collection.clone(), change.id.clone()), change.version.clone());
            }
        }
        self.state.seen.extend(decision.writes.seen.iter().copied());
        self.log.extend(decision.writes.entries);
        self.conflicts.extend(decision.writes.conflicts);
        self.quarantine.extend(decision.writes.quarantine);
        decision.replies.remove(0)
    }

    /// Events of a client that has been served up to a position.
    fn from(&mut self, client: &str, served: u64, events: Vec<LiveEvent>) -> LiveTaken {
        self.take(LiveBatch::whole(NodeId::of_live(client).unwrap(), Lsn(served), events))
    }

    fn take(&mut self, batch: LiveBatch) -> LiveTaken {
        match self.commit(Intake::Live(batch)) {
            Reply::Live(taken) => taken,
            other => panic!("{other:?}"),
        }
    }

    /// The fate of one event.
    fn fate(&mut self, client: &str, served: u64, event: LiveEvent) -> Fate {
        self.from(client, served, vec![event]).fates.remove(0)
    }

    /// An edit by a device of our own, which knew nothing.
    fn own(&mut self, seq: u64, text: &str, edit: Edit, time: u64) {
        let op = Op {
            key: OpKey::Seq(Seq(seq)),
            collection: notes(),
            id: id(text),
            edit,
            base: Base::At(self.state.head),
            stamp: Stamp::at(Millis(time)),
            txn: None,
        };
        self.commit(Intake::Own(OwnBatch {
            node: NodeId::new("device").unwrap(),
            claim: Claim::Free,
            rows: Default::default(),
            readable: None,
            batch: BatchId::new(format!("b{seq}")).unwrap(),
            digest: seq,
            strategy: None,
            steps: vec![Step::Edit(op)],
        }));
    }

    fn text(&self, text: &str) -> Option<Value> {
        let version = self.state.docs.get(&key(text)).filter(|version| version.meta.is_live())?;
        Some(serde_json::from_str(version.body.text()).unwrap())
    }
}

fn applied(at: u64) -> Fate {
    Fate::Applied { first: Lsn(at), last: Lsn(at) }
}

fn returned(ids: &[&str]) -> BTreeSet<DocKey> {
    ids.iter().map(|text| key(text)).collect()
}

#[test]
fn events_take_effect_in_the_order_of_their_arrival() {
    let mut space = Space::default();
    let events = vec![
        insert(1, 10, r#"{"_id":"x","n":1}"#),
        insert(2, 11, r#"{"_id":"y","n":1}"#),
        update(3, 12, &json!({ "n": 1 }), &json!({ "$inc": { "n": 1 } }), &["x", "y"]),
        remove(4, 13, &json!({ "id": "y" }), &["y"]),
        update(5, 14, &json!({ "id": "y" }), &json!({ "$inc": { "n": 1 } }), &["y"]),
    ];
    let taken = space.from("a", 0, events);
    let both = Fate::Applied { first: Lsn(3), last: Lsn(4) };
    assert_eq!(taken.fates, [applied(1), applied(2), both, applied(5), Fate::NoMatch]);
    assert_eq!((taken.written, taken.returned), (Some((Lsn(1), Lsn(5))), returned(&[])));
    assert_eq!((space.text("x"), space.text("y")), (Some(json!({ "_id": "x", "n": 2 })), None));
    assert_eq!((space.conflicts.len(), space.quarantine.len()), (0, 0));
}

#[test]
fn an_event_counts_once_whatever_else_is_in_its_message() {
    let mut space = Space::default();
    space.from("a", 0, vec![insert(1, 10, r#"{"_id":"x","n":1}"#)]);
    let more = || update(2, 11, &json!({}), &json!({ "$inc": { "n": 1 } }), &["x"]);
    let taken = space.from("a", 0, vec![insert(1, 10, r#"{"_id":"x","n":1}"#), more(), more()]);
    assert_eq!(taken.fates, [Fate::Duplicate, applied(2), Fate::Duplicate]);
    assert_eq!(space.fate("a", 0, more()), Fate::Duplicate);
    assert_eq!(space.text("x"), Some(json!({ "_id": "x", "n": 2 })));
}

#[test]
fn of_two_whole_documents_the_later_stands_in_either_order_of_arrival() {
    let (early, late) = (r#"{"_id":"x","v":"early","only":"early"}"#, r#"{"_id":"x","v":"late"}"#);
    for early_first in [true, false] {
        let mut space = Space::default();
        let (first, second) = if early_first { ((early, 10), (late, 20)) } else { ((late, 20), (early, 10)) };
        space.from("a", 0, vec![insert(1, first.1, first.0)]);
        let taken = space.from("b", 0, vec![insert(2, second.1, second.0)]);
        assert_eq!(space.text("x"), Some(json!({ "_id": "x", "v": "late" })), "early first: {early_first}");
        let (fate, back) = if early_first { (applied(2), returned(&[])) } else { (Fate::Superseded, returned(&["x"])) };
        assert_eq!((&taken.fates[0], taken.returned), (&fate, back));
        assert!(!space.conflicts.is_empty(), "what was lost can be found");
        let lost = format!("{:?}", space.conflicts);
        assert!(lost.contains("early"), "{lost}");
    }
}

#[test]
fn the_same_document_twice_is_one_change() {
    let mut space = Space::default();
    space.from("a", 0, vec![insert(1, 10, r#"{"_id":"x","n":1.0,"o":{"a":1,"b":2}}"#)]);
    let taken = space.from("b", 0, vec![insert(2, 20, r#"{"_id":"x","o":{"b":2,"a":1},"n":1}"#)]);
    assert_eq!((&taken.fates[0], taken.written, space.log.len()), (&Fate::Unchanged, None, 1));
    assert_eq!(taken.returned, returned(&[]));
}

#[test]
fn an_insert_of_what_stands_is_named_because_its_client_may_show_it_twice() {
    let mut space = Space::default();
    let v = |n: u8, v: u8| insert(n, 10 + u64::from(n), &format!(r#"{{"_id":"x","v":{v}}}"#));
    assert_eq!(space.from("a", 0, vec![v(1, 1)]).twice, returned(&[]));
    for (n, fate) in [(2, applied(2)), (3, Fate::Unchanged)] {
        let taken = space.from("a", 1, vec![v(n, 2)]);
        assert_eq!((&taken.fates[0], taken.twice, taken.returned), (&fate, returned(&["x"]), returned(&[])));
    }
    let removed = |n| remove(n, 20, &json!({ "id": "x" }), &["x"]);
    assert_eq!(space.from("a", 2, vec![removed(4), v(5, 3)]).twice, returned(&[]), "it has removed its own before");
    assert_eq!(space.from("a", 4, vec![removed(6), v(7, 4), v(8, 5)]).twice, returned(&["x"]));
    space.from("a", 7, vec![removed(9)]);
    let told = space.state.head.0;
    assert_eq!(space.from("b", told - 1, vec![v(10, 6)]).twice, returned(&["x"]), "it has not heard of the removal");
    space.from("a", 0, vec![removed(11)]);
    let told = space.state.head.0;
    assert_eq!(space.from("b", told, vec![v(12, 7)]).twice, returned(&[]));
}

#[test]
fn an_insert_brings_a_removed_document_back_anew_whatever_its_clock_says() {
    let mut space = Space::default();
    space.from("a", 0, vec![insert(1, 10, r#"{"_id":"x","old":1}"#), remove(2, 900, &json!({ "id": "x" }), &["x"])]);
    assert_eq!(space.fate("b", 2, insert(3, 20, r#"{"_id":"x","new":1}"#)), applied(3));
    assert_eq!(space.text("x"), Some(json!({ "_id": "x", "new": 1 })));
    assert_eq!(space.conflicts.len(), 0);
}

#[test]
fn a_client_replaces_its_own_document_although_its_clock_went_back() {
    let mut space = Space::default();
    space.from("a", 0, vec![insert(1, 500, r#"{"_id":"x","n":1}"#), insert(2, 400, r#"{"_id":"x","n":2}"#)]);
    assert_eq!(space.text("x"), Some(json!({ "_id": "x", "n": 2 })));
    assert_eq!(space.conflicts.len(), 0);
}

#[test]
fn a_time_from_the_future_counts_as_made_now() {
    let mut space = Space::default();
    space.from("a", 0, vec![insert(1, NOW * 1_000, r#"{"_id":"x","n":1}"#)]);
    let allowed = NOW + space.limits.clock_drift_ms;
    assert_eq!(space.state.docs[&key("x")].meta.born, Stamp::at(Millis(allowed)));
}

#[test]
fn what_is_overwritten_unseen_is_in_the_ledger_and_what_was_seen_is_not() {
    for (served, rows) in [(0, 1), (1, 0)] {
        let mut space = Space::default();
        space.from("a", 0, vec![insert(1, 10, r#"{"_id":"x","v":"theirs"}"#)]);
        space.from("b", served, vec![insert(2, 20, r#"{"_id":"x","v":"mine"}"#)]);
        assert_eq!(space.text("x"), Some(json!({ "_id": "x", "v": "mine" })));
        assert_eq!(space.conflicts.len(), rows, "served up to {served}");
        for row in space.conflicts {
            assert_eq!(row.losing, Values::Fields(r#"{"v":"theirs"}"#.into()));
        }
    }
}

#[test]
fn counters_of_two_clients_add_up_and_both_learn_the_sum() {
    let mut space = Space::default();
    space.from("a", 0, vec![insert(1, 10, r#"{"_id":"x","n":0}"#)]);
    let more = |n| update(n, 11, &json!({ "id": "x" }), &json!({ "$inc": { "n": 1 } }), &["x"]);
    let alone = space.from("a", 0, vec![more(2), more(3)]);
    let other = space.from("b", 1, vec![more(4)]);
    let after = space.from("a", 0, vec![more(5)]);
    assert_eq!(space.text("x"), Some(json!({ "_id": "x", "n": 4 })));
    assert_eq!(alone.returned, returned(&[]), "it has counted so itself");
    assert_eq!((other.returned, after.returned), (returned(&["x"]), returned(&["x"])));
    assert_eq!(space.conflicts.len(), 0, "nothing is lost by adding");
    let returns = space.log.iter().filter(|entry| matches!(entry, Entry::Return(back) if back.id == id("x"))).count();
    assert_eq!(returns, 2, "also if the hub should die before it tells them");
}

#[test]
fn a_candidate_that_the_query_no_longer_means_is_left_alone_and_told() {
    let mut space = Space::default();
    space.from("a", 0, vec![insert(1, 10, r#"{"_id":"x","open":true}"#), insert(2, 10, r#"{"_id":"y","open":true}"#)]);
    space.from("b", 2, vec![update(3, 11, &json!({ "id": "x" }), &json!({ "$set": { "open": false } }), &["x"])]);
    let close = |n| remove(n, 12, &json!({ "open": true }), &["x", "y", "gone"]);
    let taken = space.from("a", 0, vec![close(4)]);
    assert_eq!((&taken.fates[0], taken.returned), (&applied(4), returned(&["x"])));
    assert_eq!((space.text("x").is_some(), space.text("y")), (true, None));
    assert_eq!(space.fate("a", 0, close(5)), Fate::NoMatch);
}

#[test]
fn a_removal_takes_effect_on_arrival_and_the_ledger_has_what_its_client_had_not_seen() {
    let mut space = Space::default();
    space.from("a", 0, vec![insert(1, 900, r#"{"_id":"x","v":1}"#)]);
    let taken = space.from("b", 0, vec![remove(2, 10, &json!({ "id": "x" }), &["x"])]);
    assert_eq!((&taken.fates[0], space.text("x")), (&applied(2), None));
    assert_eq!(space.conflicts[0].losing, Values::Document(r#"{"_id":"x","v":1}"#.into()));
    assert_eq!(taken.returned, returned(&[]), "it has removed its own");
}

#[test]
fn a_document_that_gets_another_id_moves() {
    let mut space = Space::default();
    space.from("a", 0, vec![insert(1, 10, r#"{"_id":"x","v":1.50}"#), insert(2, 10, r#"{"_id":"taken","w":1}"#)]);
    let rename = |n, from: &str, to: &str| {
        update(n, 11, &json!({ "id": from }), &json!({ "$set": { "id": to, "moved": true } }), &[from])
    };
    assert_eq!(space.from("a", 0, vec![rename(3, "x", "free")]).twice, returned(&[]));
    let taken = space.from("a", 0, vec![rename(4, "free", "taken")]);
    assert_eq!(taken.twice, returned(&["taken"]), "it has both under one id");
    assert_eq!((space.text("x"), space.text("free")), (None, None));
    assert_eq!(space.text("taken"), Some(json!({ "_id": "taken", "v": 1.5, "moved": true })));
    let odd = update(5, 12, &json!({ "id": "taken" }), &json!({ "$rename": { "v": "id" } }), &["taken"]);
    let Fate::SetAside(why) = space.fate("a", 0, odd) else { panic!("an id can be set only") };
    assert_eq!((why.code.as_str(), space.quarantine[0].op.as_str()), ("malformed_id", "event 5"));
    assert!(space.text("taken").is_some());
}

#[test]
fn what_is_set_aside_is_found_by_the_document_that_it_is_about() {
    let why = Rejection { code: "malformed_collection".into(), reason: "no such name".into() };
    let set_aside = |raw: &str| {
        let mut space = Space::default();
        let edit = LiveEdit::Unusable(why.clone());
        space.from("a", 0, vec![LiveEvent { collection: None, raw: raw.into(), ..event(1, 10, edit) }]);
        space.quarantine[0].id.clone().map(String::from)
    };
    assert_eq!(set_aside(r#"{"type":"insert","data":{"id":"k1"}}"#).as_deref(), Some("k1"));
    assert_eq!(set_aside(r#"{"type":"delete","documentId":"k2"}"#).as_deref(), Some("k2"));
    assert_eq!(set_aside(r#"{"type":"delete","documentId":"x","query":{"n":1}}"#), None, "a query means many");
    assert_eq!(set_aside("no event at all"), None);
}

#[test]
fn what_cannot_be_applied_is_set_aside_once_and_stops_nothing() {
    let mut space = Space { limits: Limits { document_bytes: 50, depth: 3, ..Limits::default() }, ..Space::default() };
    let why = Rejection { code: "unknown_type".into(), reason: "no such type".into() };
    let unusable = || LiveEvent { collection: None, ..event(1, 10, LiveEdit::Unusable(why.clone())) };
    let grow = |n| update(n, 11, &json!({}), &json!({ "$push": { "l": "0123456789" } }), &["x", "y"]);
    let taken = space.from(
        "a",
        0,
        vec![
            unusable(),
            unusable(),
            insert(2, 10, r#"{"_id":"x"}"#),
            insert(3, 10, r#"{"_id":"y","l":["0123456789","0123456789"]}"#),
            grow(4),
            update(5, 12, &json!({ "id": "x" }), &json!({ "$set": { "a.b.c.d": 1 } }), &["x"]),
            update(6, 12, &json!({ "id": "x" }), &json!({ "$set": { "_id": "z" } }), &["x"]),
            insert(7, 13, r#"{"_id":"z"}"#),
        ],
    );
    let codes = taken.fates.iter().map(|fate| match fate {
        Fate::SetAside(why) => why.code.clone(),
        Fate::Applied { .. } => "applied".to_owned(),
        other => format!("{other:?}"),
    });
    let expected = [
        "unknown_type",
        "Duplicate",
        "applied",
        "applied",
        "document_too_large",
        "too_deep",
        "reserved_field",
        "applied",
    ];
    assert_eq!(codes.collect::<Vec<_>>(), expected);
    assert_eq!(space.text("x"), Some(json!({ "_id": "x" })), "an event is carried out whole or not at all");
    assert_eq!(taken.returned, returned(&["x", "y"]), "its client may have carried it out");
    assert_eq!(space.quarantine.len(), 4);
    assert!(space.quarantine.iter().all(|row| row.node.as_str() == "(live:a)" && row.op.starts_with("event")));
}

#[test]
fn an_echo_that_comes_after_newer_work_does_not_undo_it() {
    let mut space = Space::default();
    space.from("a", 0, vec![insert(1, 10, r#"{"_id":"x","n":1,"v":"old"}"#)]);
    // The client "b" was told of it, and the hub that knew that has gone meanwhile.
    space.from("a", 0, vec![update(2, 20, &json!({ "id": "x" }), &json!({ "$set": { "v": "new", "w": 1 } }), &["x"])]);
    let taken = space.from("b", 1, vec![insert(3, 900, r#"{"_id":"x","n":1,"v":"old"}"#)]);
    assert_eq!((&taken.fates[0], taken.returned), (&Fate::Stale, returned(&["x"])));
    assert_eq!(space.text("x"), Some(json!({ "_id": "x", "n": 1, "v": "new", "w": 1 })));
    assert_eq!(space.conflicts.len(), 1, "should it have been meant, it is not lost without a trace");

    let changed = space.fate("b", 1, insert(4, 901, r#"{"_id":"x","n":2,"v":"old"}"#));
    assert!(matches!(changed, Fate::Applied { .. }), "it has changed what nobody else did: {changed:?}");
    let unaware = space.fate("c", 0, insert(5, 902, r#"{"_id":"x","n":2,"v":"other"}"#));
    assert!(matches!(unaware, Fate::Applied { .. }), "it was never told of the document: {unaware:?}");
}

#[test]
fn documents_of_other_dialects_keep_what_live_clients_are_not_shown() {
    let mut space = Space::default();
    let text = r#"{"_id":"x","id":"legacy","createdAt":"2026-01-01T00:00:00.000Z","n":1}"#;
    space.own(1, "x", Edit::Insert(Body::trusted(text)), 10);
    let by_other = update(1, 20, &json!({ "id": "legacy" }), &json!({ "$set": { "n": 0 } }), &["x"]);
    assert_eq!(space.fate("a", 1, by_other), Fate::NoMatch);
    space.from("a", 1, vec![update(2, 21, &json!({ "id": "x" }), &json!({ "$set": { "n": 2 } }), &["x"])]);
    let version = space.text("x").unwrap();
    assert_eq!((&version["id"], &version["n"]), (&json!("legacy"), &json!(2)));
    let taken = space.from("a", 2, vec![insert(3, 30, r#"{"_id":"x","n":3}"#)]);
    assert_eq!(space.text("x"), Some(json!({ "_id": "x", "id": "legacy", "n": 3 })));
    assert_eq!(taken.returned, returned(&[]), "what it is shown is what it sent");
}

#[test]
fn edits_of_other_dialects_and_live_ones_merge_field_by_field() {
    let mut space = Space::default();
    space.from("a", 0, vec![insert(1, 10, r#"{"_id":"x","a":1,"b":1}"#)]);
    let set = Body::trusted(r#"{"a":2}"#).fields();
    space.own(1, "x", Edit::Update { set, unset: BTreeSet::new() }, 50);
    space.from(
        "a",
        0,
        vec![update(2, 20, &json!({ "id": "x" }), &json!({ "$set": { "b": 2 }, "$inc": { "a": 1 } }), &["x"])],
    );
    assert_eq!(space.text("x"), Some(json!({ "_id": "x", "a": 3, "b": 2 })), "on top of what stood when it came");
    space.own(2, "x", Edit::Remove, 60);
    assert_eq!(space.text("x"), None);
    assert_eq!(space.fate("a", 0, update(3, 70, &json!({}), &json!({ "$set": { "a": 9 } }), &["x"])), Fate::NoMatch);
}

#[test]
fn where_the_server_wins_an_unseen_change_is_not_overwritten() {
    let mut space = Space::default();
    space.state.rules.insert(notes(), server_wins());
    space.from("a", 0, vec![insert(1, 10, r#"{"_id":"x","n":1}"#)]);
    let set = |n| update(n, 20, &json!({ "id": "x" }), &json!({ "$set": { "n": 5 } }), &["x"]);
    let taken = space.from("b", 0, vec![insert(2, 20, r#"{"_id":"x","n":2}"#), set(3)]);
    assert_eq!(taken.fates, [Fate::Superseded, Fate::Superseded]);
    assert_eq!((taken.written, taken.returned), (None, returned(&["x"])));
    assert_eq!(space.text("x"), Some(json!({ "_id": "x", "n": 1 })));
    assert_eq!(space.fate("b", 2, set(4)), applied(3), "now it knows");
}

#[test]
fn a_position_ahead_of_the_log_is_one_of_another_history() {
    let mut space = Space::default();
    space.from("a", 0, vec![insert(1, 10, r#"{"_id":"x","n":1}"#)]);
    space.from("b", 77, vec![insert(2, 20, r#"{"_id":"x","n":2}"#)]);
    assert_eq!(space.conflicts.len(), 1, "it knew nothing of this one");
}

#[test]
fn a_live_client_cannot_take_the_name_of_anybody_else() {
    assert_eq!(NodeId::of_live("c-1").unwrap().as_str(), "(live:c-1)");
    assert!(NodeId::of_live("c-1").unwrap().is_reserved());
    for odd in ["", "a b", "\u{e9}", &"x".repeat(121)] {
        assert!(NodeId::of_live(odd).is_err(), "{odd}");
    }
}

fn server_wins() -> Arc<Demands> {
    let rule = CollectionRule { strategy: Some(Strategy::ServerWins), ..CollectionRule::default() };
    Arc::new(Demands { rule, shape: None })
}
