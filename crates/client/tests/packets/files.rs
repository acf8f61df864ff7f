//! Packets that travel as files.

use super::world::{Device, Hub, options};
use super::{A, B, plain};
use serde_json::{Value, json};
use std::sync::Arc;
use syncline::Database;
use syncline::sync::Imported;

fn export(db: &Database, hub: &Arc<Hub>) -> Value {
    serde_json::from_str(&db.export_packet(&options(hub)).unwrap()).unwrap()
}

fn import(db: &Database, hub: &Arc<Hub>, packet: &Value) -> Imported {
    db.import_packet(&options(hub), &packet.to_string()).unwrap()
}

#[test]
fn a_site_without_a_network_exchanges_files() {
    let hub = Hub::new();
    let db = Database::open_in_memory().unwrap();
    let notes = db.collection("notes").unwrap();
    notes.insert(json!({"_id": A, "n": 1})).unwrap();
    hub.put("notes", B, &json!({"n": 9}));
    let answer = hub.exchange(&export(&db, &hub));
    let imported = import(&db, &hub, &answer);
    assert_eq!((imported.applied, imported.settled, imported.pending), (1, 1, 0));
    assert_eq!(plain(notes.get(B).unwrap()), Some(json!({"n": 9})));
    assert_eq!(export(&db, &hub)["header"]["ack_packet_no"], 1);

    let again = import(&db, &hub, &answer);
    assert!(again.repeated && again.applied == 0 && again.settled == 0, "{again:?}");
}

#[test]
fn lost_files_cost_nothing_and_their_order_does_not_matter() {
    let hub = Hub::new();
    let db = Database::open_in_memory().unwrap();
    let notes = db.collection("notes").unwrap();
    notes.insert(json!({"_id": A, "n": 1})).unwrap();
    let first = export(&db, &hub);
    assert_eq!(export(&db, &hub), first, "nothing was added: it is the same packet");
    notes.update(A, &json!({"n": 2})).unwrap();
    notes.insert(json!({"_id": B, "n": 1})).unwrap();
    let second = export(&db, &hub);
    assert_eq!(second["header"]["packet_no"], 2);

    // The second arrives, then the first; the answers come back in the other order.
    hub.put("notes", A, &json!({"n": 50}));
    let newer = hub.exchange(&second);
    hub.put("notes", A, &json!({"n": 51}));
    let newest = hub.exchange(&first);
    import(&db, &hub, &newest);
    let late = import(&db, &hub, &newer);
    assert!(late.repeated, "{late:?}");
    assert_eq!((plain(notes.get(A).unwrap()), late.pending), (Some(json!({"n": 51})), 0));
    assert_eq!(plain(hub.get("notes", B)), Some(json!({"n": 1})));
}

#[test]
fn a_packet_of_somebody_else_is_refused_by_name() {
    let hub = Hub::new();
    let (ada, bob) = (Device::new(&hub), Database::open_in_memory().unwrap());
    let answer = hub.exchange(&export(&bob, &hub));
    let why = ada.db.import_packet(&options(&hub), &answer.to_string()).unwrap_err().to_string();
    assert!(why.contains(&ada.node()) && why.contains("is for node"), "{why}");
    let own = export(&bob, &hub).to_string();
    let why = bob.import_packet(&options(&hub), &own).unwrap_err().to_string();
    assert!(why.contains("not from hub"), "{why}");
    let why = bob.import_packet(&options(&hub), "{}").unwrap_err().to_string();
    assert!(why.contains("`header`"), "{why}");
}
