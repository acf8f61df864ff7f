//! What clients of the `live` dialect write, as readers of the other dialects are told of it, and the other way round.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not take for tests
use serde_json::{Value, json};
use std::collections::BTreeMap;
use syncline_core::hub::{AuthorState, DocKey, Entry, Loaded, Moment, decide, touch};
use syncline_core::model::{
    Author, Body, CollectionName, DocId, ForeignBatch, ForeignEdit, ForeignOp, Intake, Limits, LiveBatch, Lsn, Mark,
    Meta, Millis, NodeId, Version,
};
use syncline_core::wire::exchange::{Telling, put_entity};
use syncline_core::wire::live::{Place, StateWriter, Told, read};
use syncline_core::wire::wise::{Holding, IsoTimes, NetDoc, net_ops};

const UUID: &str = "22222222-2222-4222-8222-000000000001";

/// A store in miniature.
#[derive(Default)]
struct Space {
    state: Loaded,
    versions: BTreeMap<DocKey, Version>,
}

impl Space {
    fn commit(&mut self, intake: Intake) {
        let group = [intake];
        for (n, name) in touch(&group).nodes.into_iter().enumerate() {
            let author = Author(u32::try_from(self.state.nodes.len() + n + 1).unwrap());
            self.state.nodes.entry(name).or_insert(AuthorState { author, ..AuthorState::default() });
        }
        let moment = Moment { now: Millis(9_000), limits: Limits::default() };
        let decision = decide(self.state.clone(), &group, moment);
        for entry in decision.writes.entries {
            self.state.head = entry.lsn();
            if let Entry::Change(change) = entry {
                let key = (change.collection, change.id);
                self.state.docs.insert(key.clone(), change.version.clone());
                self.versions.insert(key, change.version);
            }
        }
        assert_eq!(decision.writes.quarantine, []);
    }

    fn live(&mut self, events: &Value) {
        let events = read(&events.to_string(), Place::default(), "c", &Limits::default()).unwrap().received;
        let events = events.into_iter().map(|received| received.event).collect();
        self.commit(Intake::Live(LiveBatch::whole(NodeId::of_live("c").unwrap(), self.state.head, events)));
    }

    fn version(&self) -> &Version {
        &self.versions[&(notes(), DocId::new(UUID).unwrap())]
    }

    /// As stores keep it: empty for a document that one insert wrote.
    fn meta(&self) -> String {
        let version = self.version();
        let mark = Mark { stamp: version.meta.stamp(), lsn: version.lsn, author: version.author };
        let plain = version.meta == Meta::inserted(mark);
        if plain { String::new() } else { serde_json::to_string(&version.meta).unwrap() }
    }

    /// What a WiseJSON client is told that has everything up to a position.
    fn wise(&self, after: u64) -> Vec<Value> {
        let (version, meta) = (self.version(), self.meta());
        let doc = NetDoc {
            id: UUID,
            lsn: version.lsn,
            live: version.meta.is_live(),
            stamp: version.meta.stamp(),
            born: version.meta.born,
            meta: &meta,
            eventful: version.meta.is_eventful(),
            created: version.meta.created,
            times: version.body.facts().times,
            body: version.body.text(),
        };
        let (mut out, holding) = (b"[".to_vec(), Holding { after: Lsn(after), ..Holding::default() });
        net_ops(&mut out, &doc, &holding, true, &mut IsoTimes::default());
        out.push(b']');
        serde_json::from_slice(&out).unwrap()
    }

    /// What a registered node is told that knows everything up to a position and sets fields by name.
    fn exchange(&self, after: u64) -> Vec<Value> {
        let (version, meta) = (self.version(), self.meta());
        let told = Telling {
            kind: "notes",
            uuid: UUID,
            live: version.meta.is_live(),
            outside: false,
            new: version.meta.created > Lsn(after),
            confirmed: Lsn(after),
            created: version.meta.created,
            whole_objects: false,
            meta: &meta,
            body: version.body.text(),
            lost: &[],
        };
        let mut out = b"[".to_vec();
        put_entity(&mut out, &told, true);
        out.push(b']');
        serde_json::from_slice(&out).unwrap()
    }
}

fn notes() -> CollectionName {
    CollectionName::new("notes").unwrap()
}

fn event(n: u64, kind: &str, rest: Value) -> Value {
    let mut event = json!({ "id": n.to_string(), "type": kind, "collection": "notes", "timestamp": 1_000 * n });
    event.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    event
}

fn words(ops: &[Value], name: &str) -> Vec<String> {
    ops.iter().map(|op| op[name].as_str().unwrap().to_owned()).collect()
}

/// Inserted at 1, changed at 2 so that a field is gone, removed at 3.
fn edited(upto: usize) -> Space {
    let change = json!({ "query": { "id": UUID }, "update": { "$set": { "n": 2 }, "$unset": { "gone": 1 } } });
    let events = [
        event(1, "insert", json!({ "data": { "id": UUID, "n": 1, "gone": true } })),
        event(2, "update", change),
        event(3, "delete", json!({ "query": { "id": UUID } })),
    ];
    let mut space = Space::default();
    space.live(&json!(events[..upto]));
    space
}

#[test]
fn a_wise_client_is_told_of_live_documents_with_times_and_removals() {
    let new = edited(1).wise(0);
    let time = "1970-01-01T00:00:01.000Z";
    let doc = json!({ "_id": UUID, "n": 1, "gone": true, "createdAt": time, "updatedAt": time });
    assert_eq!((words(&new, "op"), &new[0]["doc"]), (vec!["INSERT".to_owned()], &doc));

    let changed = edited(2).wise(1);
    assert_eq!(words(&changed, "op"), ["REMOVE", "INSERT"], "it never takes a field away by itself");
    assert_eq!((&changed[1]["doc"]["n"], changed[1]["doc"].get("gone")), (&json!(2), None));
    assert!(words(&changed, "ts").iter().all(|ts| ts.as_str() > time), "or it would keep its own");

    assert_eq!(words(&edited(3).wise(2), "op"), ["REMOVE"]);
}

#[test]
fn a_registered_node_is_told_of_live_documents_by_their_fields() {
    let new = edited(1).exchange(0);
    assert_eq!((&new[0]["operation"], &new[0]["data"]), (&json!("INSERT"), &json!({ "n": 1, "gone": true })));
    let changed = edited(2).exchange(1);
    assert_eq!((&changed[0]["operation"], &changed[0]["data"]), (&json!("UPDATE"), &json!({ "n": 2, "gone": null })));
    let removed = edited(3).exchange(2);
    assert_eq!((&removed[0]["operation"], &removed[0]["data"]), (&json!("DELETE"), &json!(null)));
}

#[test]
fn a_document_that_a_live_client_replaced_leaves_no_field_behind_anywhere() {
    let mut space = edited(1);
    space.live(&json!([event(5, "insert", json!({ "data": { "id": UUID, "n": 5 } }))]));
    assert_eq!(space.version().body.text(), format!(r#"{{"_id":"{UUID}","n":5}}"#));
    assert_eq!(words(&space.exchange(1), "operation"), ["DELETE", "INSERT"]);
    assert_eq!(words(&space.wise(1), "op"), ["REMOVE", "INSERT"]);
}

#[test]
fn a_live_client_is_told_of_a_wise_document_under_its_id() {
    let time = "2026-11-21T08:52:38.756Z";
    let body = format!(r#"{{"_id":"{UUID}","n":1.50,"createdAt":"{time}","updatedAt":"{time}"}}"#);
    let insert = ForeignEdit::Insert(DocId::new(UUID).unwrap(), Body::trusted(body));
    let op = ForeignOp { key: None, edit: insert, time: Some(Millis(5)), txn: None, raw: String::new() };
    let mut space = Space::default();
    space.commit(Intake::Foreign(ForeignBatch {
        node: NodeId::of_token(&NodeId::new("key").unwrap()),
        collection: notes(),
        batch: None,
        digest: 0,
        ops: vec![op],
        served: Lsn(0),
        own: Vec::new(),
        sole: true,
        cleared: false,
        numbered: true,
        rows: std::sync::Arc::default(),
    }));
    space.live(&json!([event(9, "update", json!({ "documentId": UUID, "update": { "$inc": { "n": 1 } } }))]));

    let mut writer = StateWriter::new(1);
    let (version, at) = (space.version(), Millis(9_000));
    writer.put(&Told { collection: "notes", id: UUID, body: Some(version.body.text()), lsn: version.lsn, at });
    let told: Value = serde_json::from_str(&writer.finish().0).unwrap();
    assert_eq!(told[1]["data"], json!({ "id": UUID, "n": 2.5, "createdAt": time, "updatedAt": time }));
    assert_eq!(words(&space.wise(2), "op"), ["UPDATE"], "later than what the device has, although its own time stays");
    assert!(space.wise(2)[0]["ts"].as_str().unwrap() > Millis(5).iso().as_str());
}
