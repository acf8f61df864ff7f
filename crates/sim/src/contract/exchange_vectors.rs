//! The recorded packets of the exchange, played against the hub's decisions and a store: the dialect above
//! them adds the envelope only.

use super::pen::{collection, id, node, open, scan, space};
use super::{AnyStore, Bench};
use serde_json::{Value, json};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use syncline_core::hub::{Decision, Moment, Reply, Taken, decide, touch};
use syncline_core::model::{
    Body, Dispatch, Entity, EntityEdit, Intake, Limits, Lsn, Millis, NodeId, Packet, Plan, Reached, Registration,
    Settled,
};
use syncline_server::store::Scan;

const VECTORS: &str = include_str!("../../../../spec/vectors/exchange-sequences.json");

/// Every packet that the recorded hub accepted is answered as it answered.
pub async fn the_recorded_exchange_comes_out(bench: &dyn Bench) {
    let store = bench.store();
    open(&store).await;
    let vectors: Value = serde_json::from_str(VECTORS).expect("the vectors are JSON");
    let steps = vectors["sequences"].as_array().expect("sequences").iter().flat_map(|sequence| {
        let steps = sequence["steps"].as_array().expect("steps").iter();
        steps.filter(|step| step["status"] == 200).map(move |step| (&sequence["name"], step))
    });
    let mut settled = BTreeMap::new();
    for (n, (name, step)) in steps.enumerate() {
        let sender = node(step["request"]["header"]["sender_node_id"].as_str().expect("a sender"));
        if store.registered(&space(), Some(&sender)).await.expect("readable").is_empty() {
            let (code, name) = (step["node"].to_string(), String::new());
            let registration = Registration { id: sender.clone(), code, name, plan: Plan::default() };
            store.register(&space(), registration, None).await.expect("a node is registered");
        }
        let answer = exchange(&store, &sender, &step["request"], &mut settled).await;
        let header = &step["response"]["header"];
        let recorded = json!([header["packet_no"], header["ack_packet_no"], step["response"]["body"]["entities"]]);
        assert_eq!(answer, recorded, "step {n}, {name}");
    }
}

/// Number, acknowledgement and entities of the answer to a packet.
async fn exchange(
    store: &AnyStore,
    sender: &NodeId,
    request: &Value,
    settled: &mut BTreeMap<NodeId, Settled>,
) -> Value {
    let packet = packet_of(sender, request, settled.remove(sender));
    let Reply::Packet(taken) = decided(store, Intake::Packet(packet)).await else { panic!("the node is registered") };
    assert!(taken.refused.is_empty(), "{taken:?}");
    let (entities, upto) = read(store, &taken).await;
    if entities.is_empty() {
        settled.insert(sender.clone(), Settled { from: taken.reached, upto, last: true });
        return json!([taken.issued, taken.ack, entities]);
    }
    let dispatch = Dispatch { node: sender.clone(), from: taken.reached, upto, last: true, held: Vec::new() };
    let Reply::Dispatched { number } = decided(store, Intake::Dispatch(dispatch)).await else { panic!("not moved") };
    json!([number, taken.ack, entities])
}

async fn read(store: &AnyStore, taken: &Taken) -> (Vec<Value>, Lsn) {
    let Reached { cursor, fill, .. } = taken.reached;
    let packet = Scan::Packet {
        after: cursor,
        author: taken.author,
        fill: fill.map_or(Lsn::ZERO, |fill| fill.start),
        own: false,
        collections: None,
        max_rows: 1_000,
        max_bytes: 1 << 20,
    };
    let heard = scan(store, packet).await.expect("readable");
    let entities = heard.rows.iter().map(|row| {
        let operation = match row.live {
            false => "DELETE",
            true if row.created > cursor => "INSERT",
            true => "UPDATE",
        };
        let mut data: Value = serde_json::from_str(&row.body).expect("a document is JSON");
        if row.live {
            data.as_object_mut().expect("an object").remove("_id");
        } else {
            data = Value::Null;
        }
        json!({ "type": row.collection, "uuid": row.id, "operation": operation, "data": data })
    });
    (entities.collect(), heard.scanned.upto)
}

/// Commits one push as the hub decides it.
pub(super) async fn decided(store: &AnyStore, intake: Intake) -> Reply {
    let reply = Arc::new(Mutex::new(None));
    let (group, seen) = ([intake], Arc::clone(&reply));
    let touch = touch(&group);
    let moment = Moment { now: Millis(1_800_000_000_000), limits: Limits::default() };
    let decide = move |loaded| {
        let Decision { writes, replies } = decide(loaded, &group, moment);
        *seen.lock().expect("no panic inside") = replies.into_iter().next();
        writes
    };
    store.commit(&space(), touch, Box::new(decide)).await.expect("a commit succeeds");
    reply.lock().expect("no panic inside").take().expect("one reply")
}

fn packet_of(sender: &NodeId, request: &Value, settled: Option<Settled>) -> Packet {
    let header = &request["header"];
    let number = |name: &str| header[name].as_u64().expect("a number");
    let entities = request["body"]["entities"].as_array().expect("entities").iter().map(entity_of).collect();
    let digest = digest(&(sender.as_str(), number("packet_no"), request["body"].to_string()));
    Packet {
        node: sender.clone(),
        number: number("packet_no"),
        ack: number("ack_packet_no"),
        key: u128::from(digest).to_be_bytes(),
        settled,
        readable: Arc::default(),
        writable: Arc::default(),
        whole_objects: false,
        entities,
    }
}

fn entity_of(entity: &Value) -> Entity {
    let text = |name: &str| entity[name].as_str().expect("text").to_owned();
    let (kind, uuid) = (text("type"), id(&text("uuid")));
    let collection = collection(&kind);
    let edit = if text("operation") == "DELETE" {
        EntityEdit::Remove { collection }
    } else {
        let sent = Body::of_fields(uuid.as_str(), Body::trusted(entity["data"].to_string()).fields().iter());
        EntityEdit::Put { collection, insert: text("operation") == "INSERT", sent, unset: BTreeSet::new() }
    };
    let time = entity["data"]["updated_at"].as_str().and_then(Millis::parse);
    let raw = entity.to_string();
    Entity { kind, uuid, edit, time, digest: digest(&raw), raw }
}

fn digest(content: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}
