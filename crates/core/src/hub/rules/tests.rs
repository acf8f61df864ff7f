//! Rules as stories in every dialect, and as a property: however ops of several nodes meet, what stands keeps the rules.

mod anybody;
mod told;

use super::super::{
    AuthorState, Claimed, DocKey, Entry, Fate, KeptLoss, Loaded, Mended, Moment, Quarantined, Reply, decide, touch,
};
use super::*;
use crate::filter::Filter;
use crate::hub::unique::of;
use crate::live::{Query, Update};
use crate::merge::Values;
use crate::model::{
    Author, Base, BatchId, Claim, CollectionRule, Edit, Entity, EntityEdit, Fields, ForeignBatch, ForeignEdit,
    ForeignOp, Intake, Limits, LiveBatch, LiveEdit, LiveEvent, Mend, MendAct, Millis, NodeId, Op, OpKey, OwnBatch,
    Packet, Receipt, RowFilters, Seq, Shape, Stamp, Step, Strategy, Traffic, Verdict,
};
use crate::model::{CollectionName, Lsn};
use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use std::sync::Arc;

const NOW: u64 = 1_000_000;

fn users() -> CollectionName {
    CollectionName::new("users").unwrap()
}

fn id(text: &str) -> DocId {
    DocId::new(text).unwrap()
}

fn key(text: &str) -> DocKey {
    (users(), id(text))
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// Stands in for a schema: `a` is no text.
#[derive(Debug)]
struct NoText;

impl Shape for NoText {
    fn breach(&self, document: &str) -> Option<String> {
        document.contains(r#""a":""#).then(|| "`/a` must not be text (`type`)".to_owned())
    }
}

fn demands(unique: &[&[&str]]) -> Arc<Demands> {
    let names = |names: &&[&str]| UniqueKey::new(names.iter().map(|name| (*name).to_owned()).collect()).unwrap();
    let rule =
        CollectionRule { unique: unique.iter().map(names).collect(), max_bytes: Some(80), ..CollectionRule::default() };
    Arc::new(Demands { rule, shape: Some(Arc::new(NoText)) })
}

/// A store in miniature, which loads only what is touched and answers what is asked.
struct Space {
    state: Loaded,
    index: BTreeMap<UniqueValue, BTreeSet<(Lsn, DocId)>>,
    quarantine: Vec<Quarantined>,
    /// Loads every document, so that nothing needs to be asked.
    sees_all: bool,
}

impl Space {
    fn new(demands: Arc<Demands>) -> Space {
        let state = Loaded { rules: [(users(), demands)].into(), ..Loaded::default() };
        Space { state, index: BTreeMap::new(), quarantine: Vec::new(), sees_all: false }
    }

    fn commit(&mut self, group: &[Intake]) -> Vec<Reply> {
        let touch = touch(group);
        for name in touch.nodes {
            let author = Author(u32::try_from(self.state.nodes.len()).unwrap() + 1);
            self.state.nodes.entry(name).or_insert(AuthorState { author, ..AuthorState::default() });
        }
        let mut loaded = self.state.clone();
        if !self.sees_all {
            loaded.docs.retain(|key, _| touch.docs.contains(key) || touch.whole.contains(&key.0));
        }
        let moment = Moment { now: Millis(NOW), limits: Limits::default() };
        let decision = loop {
            let decision = decide(loaded.clone(), group, moment);
            if decision.writes.asks.is_empty() {
                break decision;
            }
            for asked in decision.writes.asks {
                let holders = self.index.get(&asked).into_iter().flatten().map(|(_, id)| id.clone());
                let before = loaded.holders.insert(asked, holders.collect());
                assert_eq!(before, None, "nothing is asked twice");
            }
        };
        for entry in &decision.writes.entries {
            assert_eq!(entry.lsn(), self.state.head.next(), "LSNs have no gap");
            self.state.head = entry.lsn();
            if let Entry::Change(change) = entry {
                self.state.docs.insert((change.collection.clone(), change.id.clone()), change.version.clone());
            }
        }
        for Claimed { value, id, since } in decision.writes.unique {
            let ids = self.index.entry(value.clone()).or_default();
            match since {
                Some(lsn) => drop(ids.insert((lsn, id))),
                None => ids.retain(|(_, other)| *other != id),
            }
            if ids.is_empty() {
                self.index.remove(&value);
            }
        }
        for (name, receipts) in &decision.writes.receipts {
            let kept = receipts.iter().map(|receipt| ((name.clone(), receipt.seq), receipt.clone()));
            self.state.receipts.extend(kept);
        }
        self.state.seen.extend(decision.writes.seen);
        self.quarantine.extend(decision.writes.quarantine);
        decision.replies
    }

    fn one(&mut self, intake: Intake) -> Reply {
        self.commit(&[intake]).remove(0)
    }

    fn own(&mut self, seq: u64, doc: &str, edit: Edit) -> Receipt {
        match self.one(push("n1", seq, vec![step(seq, doc, edit)])) {
            Reply::Own { mut receipts, .. } => receipts.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn text(&self, doc: &str) -> Option<&str> {
        self.state.docs.get(&key(doc)).filter(|v| v.meta.is_live()).map(|v| v.body.text())
    }

    /// Every living document keeps the rules, and the index holds what they have and nothing else.
    fn check(&self) {
        let demands = &self.state.rules[&users()];
        let mut held = BTreeMap::<UniqueValue, BTreeSet<DocId>>::new();
        for (key, version) in self.state.docs.iter().filter(|(_, version)| version.meta.is_live()) {
            assert_eq!(NoText.breach(version.body.text()), None, "{key:?}");
            assert!(version.body.text().len() <= 80, "{key:?}");
            for value in demands.values(&version.body) {
                held.entry(of(&key.0, value)).or_default().insert(key.1.clone());
            }
        }
        assert!(held.values().all(|ids| ids.len() == 1), "{held:?}");
        let index =
            self.index.iter().map(|(value, ids)| (value.clone(), ids.iter().map(|(_, id)| id.clone()).collect()));
        assert_eq!(index.collect::<BTreeMap<_, BTreeSet<_>>>(), held);
    }
}

fn step(seq: u64, doc: &str, edit: Edit) -> Step {
    let stamp = Stamp::at(Millis(1_000 + seq));
    let (key, collection, base) = (OpKey::Seq(Seq(seq)), users(), Base::At(Lsn(u64::MAX >> 12)));
    Step::Edit(Op { key, collection, id: id(doc), edit, base, stamp, txn: None })
}

fn push(name: &str, batch: u64, steps: Vec<Step>) -> Intake {
    let batch = BatchId::new(format!("b{batch}")).unwrap();
    let (node, rows) = (node(name), Arc::default());
    let readable = Some(Arc::default());
    Intake::Own(OwnBatch { node, claim: Claim::Free, rows, readable, batch, digest: 1, strategy: None, steps })
}

fn insert(doc: &str, fields: &str) -> Edit {
    Edit::Insert(body(doc, fields))
}

fn body(doc: &str, fields: &str) -> Body {
    Body::trusted(format!(r#"{{"_id":"{doc}",{fields}}}"#))
}

fn set(fields: &str) -> Edit {
    Edit::Update { set: Body::trusted(format!("{{{fields}}}")).fields(), unset: BTreeSet::new() }
}

fn why(receipt: &Receipt) -> (&str, &str) {
    assert_eq!(receipt.result, Verdict::Rejected);
    let rejection = receipt.rejection.as_ref().expect("it says why");
    (&rejection.code, &rejection.reason)
}

#[test]
fn a_taken_value_is_refused_with_the_name_of_its_holder_until_it_is_free() {
    let mut space = Space::new(demands(&[&["a"], &["b", "c"]]));
    assert_eq!(space.own(1, "x", insert("x", r#""a":1,"b":1,"c":1"#)).result, Verdict::Applied);
    let refused = space.own(2, "y", insert("y", r#""a":1.0"#));
    let (code, reason) = why(&refused);
    assert_eq!(code, "unique_violation");
    assert!(reason.contains("`y`") && reason.contains("`a`") && reason.contains("`x` has it"), "{reason}");
    assert!(reason.contains("`users`") && reason.contains("`unique`"), "{reason}");
    assert_eq!(
        space.own(3, "y", insert("y", r#""a":2,"b":1,"c":2"#)).result,
        Verdict::Applied,
        "half of it is no harm"
    );
    assert_eq!(why(&space.own(4, "y", set(r#""c":1"#))).0, "unique_violation", "after the merge it is whole");
    assert_eq!(space.own(5, "y", set(r#""b":null"#)).result, Verdict::Applied);
    assert_eq!(space.own(6, "y", set(r#""c":1"#)).result, Verdict::Applied, "null is no value");
    assert_eq!(space.own(7, "x", Edit::Remove).result, Verdict::Applied);
    assert_eq!(space.own(8, "y", set(r#""a":1"#)).result, Verdict::Applied, "a removed document has nothing");
    assert_eq!(why(&space.own(9, "x", set(r#""a":1"#))).0, "unique_violation", "and cannot come back with it");
    space.check();
    let aside: Vec<(&str, Option<Seq>)> = space.quarantine.iter().map(|row| (row.code.as_str(), row.seq)).collect();
    assert_eq!(aside, [2, 4, 9].map(|seq| ("unique_violation", Some(Seq(seq)))), "nothing of them is lost");
}

#[test]
fn an_edit_is_refused_for_want_of_an_answer_only_where_nobody_else_asked() {
    let demands = demands(&[&["a"]]);
    let loaded = || {
        let author = |n| AuthorState { author: Author(n), ..AuthorState::default() };
        let nodes = [(node("n1"), author(1)), (node("n2"), author(2))].into();
        Loaded { rules: [(users(), Arc::clone(&demands))].into(), last_look: true, nodes, ..Loaded::default() }
    };
    let moment = Moment { now: Millis(NOW), limits: Limits::default() };
    let one = push("n1", 1, vec![step(1, "x", insert("x", r#""a":1"#))]);
    let other = push("n2", 2, vec![step(2, "y", insert("y", r#""a":2"#))]);
    let together = decide(loaded(), &[one.clone(), other], moment);
    assert_eq!(together.writes.asks.len(), 2, "they are taken apart instead");
    let alone = decide(loaded(), &[one], moment);
    assert!(alone.writes.asks.is_empty());
    assert_eq!(alone.writes.quarantine[0].code, "unique_violation");
}

#[test]
fn ops_of_one_group_see_each_other() {
    let mut space = Space::new(demands(&[&["a"]]));
    space.own(1, "x", insert("x", r#""a":1"#));
    let first = vec![step(2, "x", set(r#""a":2"#)), step(3, "y", insert("y", r#""a":1"#))];
    let second = vec![step(11, "z", insert("z", r#""a":1"#)), step(12, "x", set(r#""a":1"#))];
    let replies = space.commit(&[push("n1", 2, first), push("n2", 3, second)]);
    let said: Vec<Verdict> = (replies.iter())
        .flat_map(|reply| match reply {
            Reply::Own { receipts, .. } => receipts.iter().map(|receipt| receipt.result),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said, [Verdict::Applied, Verdict::Applied, Verdict::Rejected, Verdict::Rejected]);
    space.check();
}

#[test]
fn size_and_schema_are_those_of_the_result() {
    let mut space = Space::new(demands(&[]));
    let (schema, size) = (space.own(1, "x", insert("x", r#""a":"t""#)), "y".repeat(70));
    assert_eq!(why(&schema).0, "schema_violation");
    assert!(why(&schema).1.contains("`/a` must not be text (`type`)"), "{schema:?}");
    space.own(2, "x", insert("x", r#""b":1"#));
    let size = space.own(3, "x", set(&format!(r#""c":"{size}""#)));
    assert!(why(&size).0 == "size_violation" && why(&size).1.contains("`max_bytes`"), "{size:?}");
    assert_eq!(space.text("x"), Some(r#"{"_id":"x","b":1}"#));
    // Set before the rule: what is too large may shrink, and no document is held to the rule by its removal.
    let large = body("x", &format!(r#""c":"{}""#, "y".repeat(100)));
    space.state.docs.get_mut(&key("x")).unwrap().body = large;
    assert_eq!(space.own(4, "x", set(&format!(r#""c":"{}""#, "y".repeat(90)))).result, Verdict::Applied);
    assert_eq!(space.own(5, "x", Edit::Remove).result, Verdict::Applied);
}

#[test]
fn documents_that_share_a_value_since_before_the_rule_may_be_edited() {
    let mut space = Space::new(demands(&[&["a"]]));
    space.own(1, "x", insert("x", r#""a":1"#));
    let twin = space.state.docs[&key("x")].clone();
    space.state.docs.insert(key("y"), crate::model::Version { body: body("y", r#""a":1"#), ..twin });
    let value = UniqueValue { collection: users(), key: UniqueKey::new(vec!["a".into()]).unwrap(), value: "1".into() };
    space.index.get_mut(&value).unwrap().insert((Lsn(1), id("y")));
    assert_eq!(space.own(2, "y", set(r#""b":1"#)).result, Verdict::Applied);
    let third = space.own(3, "z", insert("z", r#""a":1"#));
    assert!(why(&third).1.contains("`x` has it"), "the first one counts: {third:?}");
    assert_eq!(space.own(4, "x", set(r#""a":2"#)).result, Verdict::Applied);
    assert!(why(&space.own(5, "z", insert("z", r#""a":1"#))).1.contains("`y` has it"));
    assert_eq!(space.own(6, "y", Edit::Remove).result, Verdict::Applied);
    assert_eq!(space.own(7, "z", insert("z", r#""a":1"#)).result, Verdict::Applied);
    space.check();
}

#[test]
fn a_push_of_a_foreign_client_goes_on_without_the_op_and_its_sender_hears_what_stands() {
    let mut space = Space::new(demands(&[&["a"]]));
    space.own(1, "x", insert("x", r#""a":1"#));
    space.own(2, "y", insert("y", r#""a":2"#));
    let op = |edit| ForeignOp { key: None, edit, time: Some(Millis(5_000)), txn: None, raw: "raw".into() };
    let taken = Body::trusted(r#"{"a":1}"#).fields();
    let reply = space.one(Intake::Foreign(ForeignBatch {
        node: NodeId::of_token(&node("shop")),
        collection: users(),
        batch: None,
        digest: 0,
        ops: vec![
            op(ForeignEdit::Insert(id("v"), body("v", r#""a":1"#))),
            op(ForeignEdit::Update(id("y"), taken)),
            op(ForeignEdit::Insert(id("w"), body("w", r#""a":3"#))),
        ],
        served: Lsn::ZERO,
        own: Vec::new(),
        sole: true,
        cleared: false,
        numbered: false,
        rows: std::sync::Arc::default(),
    }));
    assert!(matches!(reply, Reply::Foreign { .. }), "{reply:?}");
    assert_eq!((space.text("v"), space.text("w").is_some()), (None, true));
    assert_eq!(space.text("y"), Some(r#"{"_id":"y","a":2}"#));
    assert!(space.state.docs[&key("y")].lsn > Lsn(2), "it is told again");
    assert_eq!(space.quarantine.iter().map(|row| row.code.as_str()).collect::<Vec<_>>(), ["unique_violation"; 2]);
    space.check();
}

#[test]
fn a_packet_is_taken_without_the_entity_and_names_it() {
    let mut space = Space::new(demands(&[&["a"]]));
    space.own(1, "x", insert("x", r#""a":1"#));
    space.own(2, "y", insert("y", r#""a":2"#));
    space.state.traffic.insert(node("desk"), Traffic::new(Lsn(2)));
    let entity = |n: u64, doc: &str, fields: &str| Entity {
        kind: "users".into(),
        uuid: id(doc),
        edit: EntityEdit::Put { collection: users(), insert: false, sent: body(doc, fields), unset: BTreeSet::new() },
        time: None,
        digest: n,
        raw: "raw".into(),
    };
    let packet = Packet {
        node: node("desk"),
        number: 1,
        ack: 0,
        key: [1; 16],
        settled: None,
        readable: Arc::default(),
        writable: Arc::default(),
        whole_objects: true,
        entities: vec![entity(1, "y", r#""a":1"#), entity(2, "v", r#""a":1"#), entity(3, "w", r#""a":3"#)],
    };
    let reply = space.one(Intake::Packet(packet.clone()));
    let Reply::Packet(taken) = reply else { panic!("{reply:?}") };
    let named: Vec<_> =
        taken.refused.iter().map(|refused| (refused.uuid.as_str(), refused.why.code.as_str())).collect();
    assert_eq!(named, [("y", "unique_violation"), ("v", "unique_violation")]);
    assert!(taken.refused[0].why.reason.contains("`x` has it"), "{taken:?}");
    assert_eq!((taken.ack, taken.quiet, space.text("w").is_some()), (1, None, true), "what stands of `y` goes back");
    space.check();

    let filters = Arc::new(RowFilters::new([(users(), Filter::all())].into()));
    let entities = vec![entity(4, "u", r#""a":1"#)];
    let reply = space.one(Intake::Packet(Packet { number: 2, key: [2; 16], readable: filters, entities, ..packet }));
    let Reply::Packet(taken) = reply else { panic!("{reply:?}") };
    assert!(!taken.refused[0].why.reason.contains("`x`"), "whoever gets only some documents: {taken:?}");
}

#[test]
fn a_live_event_is_set_aside_whole_and_its_client_gets_what_stands() {
    let mut space = Space::new(demands(&[&["a"]]));
    space.own(1, "x", insert("x", r#""a":1"#));
    space.own(2, "y", insert("y", r#""a":5"#));
    let event = |n: u8, edit| LiveEvent {
        key: [n; 16],
        collection: Some(users()),
        time: Some(Millis(5_000)),
        edit,
        raw: "raw".into(),
    };
    let update = |to: u64| LiveEdit::Update {
        query: Query::parse(&json!({})).unwrap(),
        update: Update::parse(&json!({"$set": {"a": to}})).unwrap(),
        new_id: None,
        candidates: Some([id("x"), id("y")].into()),
    };
    let events = vec![
        event(1, update(7)),
        event(2, LiveEdit::Insert { id: id("z"), body: body("z", r#""a":1"#) }),
        event(3, LiveEdit::Insert { id: id("v"), body: body("v", r#""a":9"#) }),
    ];
    let batch = LiveBatch::whole(NodeId::of_live("page").unwrap(), Lsn(2), events);
    let reply = space.one(Intake::Live(batch));
    let Reply::Live(taken) = reply else { panic!("{reply:?}") };
    let aside = |fate: &Fate| matches!(fate, Fate::SetAside(why) if why.code == "unique_violation");
    assert_eq!(taken.fates.iter().map(aside).collect::<Vec<_>>(), [true, true, false], "{taken:?}");
    assert_eq!(taken.returned, [key("x"), key("y")].into());
    assert_eq!((space.text("x"), space.text("y")), (Some(r#"{"_id":"x","a":1}"#), Some(r#"{"_id":"y","a":5}"#)));
    space.check();
}

#[test]
fn what_a_person_brings_back_keeps_the_rules_too() {
    let mut space = Space::new(demands(&[&["a"]]));
    space.own(1, "x", insert("x", r#""a":1"#));
    space.own(2, "y", insert("y", r#""a":2"#));
    let losing = Values::Fields(r#"{"a":1}"#.to_owned());
    let kept = KeptLoss { losing, winning: Values::Fields("{}".to_owned()), restored: None };
    space.state.ledger.insert(7, kept);
    space.state.quarantine.insert(8);
    let restore = MendAct::Restore { collection: users(), id: id("y") };
    let retry = MendAct::Retry { collection: users(), id: id("z"), edit: insert("z", r#""a":"t""#) };
    for (n, act, code) in [(7, restore, "unique_violation"), (8, retry, "schema_violation")] {
        let reply = space.one(Intake::Mend(Mend { n, act }));
        assert!(matches!(&reply, Reply::Mended(Mended::Refused(why)) if why.code == code), "{reply:?}");
    }
    space.check();
}

#[test]
fn a_push_whose_values_hang_on_each_other_without_end_is_refused_op_by_op() {
    let mut space = Space::new(demands(&[&["a"]]));
    space.state.last_look = true;
    let refused = space.own(1, "x", insert("x", r#""a":1"#));
    assert!(why(&refused).1.contains("fewer"), "{refused:?}");
    assert_eq!(space.own(2, "x", insert("x", r#""b":1"#)).result, Verdict::Applied);
}
