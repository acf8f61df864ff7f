//! A data directory that is taken away under a running hub: what would be written there, nobody would
//! ever find, so nothing is receipted, and those who watch the hub are told.

use crate::history::{Deed, Log};
use crate::hub::Hub;
use crate::node::{Node, Unanswered};
use std::fs;

#[test]
fn a_hub_without_its_data_is_not_ready_and_receipts_nothing_until_the_data_is_back() {
    let home = tempfile::tempdir().unwrap();
    let (data, away) = (home.path().join("hub"), home.path().join("away"));
    let hub = Hub::start(&data);
    let mut node = Node::new("n", &hub.address);
    node.write(Deed::Insert, "notes", "before");
    node.push().unwrap();
    assert_eq!(hub.get("/health/ready").status, 200);

    fs::rename(&data, &away).unwrap();

    let reply = hub.get("/health/ready");
    let reason = reply.json()["error"].as_str().unwrap().to_owned();
    assert!(reply.status == 503 && reason.contains("gone"), "{} {reason}", reply.status);
    assert_eq!(hub.get("/health/live").status, 200, "the process itself is fine");
    node.write(Deed::Insert, "notes", "meanwhile");
    let Err(Unanswered::Refused(refusal)) = node.push() else { panic!("nothing may be receipted") };
    assert_eq!(refusal.status, 503, "{}", refusal.json());

    fs::rename(&away, &data).unwrap();

    assert_eq!(hub.get("/health/ready").status, 200);
    node.push().unwrap();
    Log::read(&hub.address).judge(node.notes());
}

#[test]
fn a_hub_whose_data_was_deleted_stays_unready() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("hub");
    let hub = Hub::start(&data);
    assert_eq!(hub.get("/health/ready").status, 200);

    fs::remove_dir_all(&data).unwrap();
    assert_eq!(hub.get("/health/ready").status, 503);

    fs::create_dir_all(data.join("spaces")).unwrap();
    fs::write(data.join("lock"), "").unwrap();
    let reply = hub.get("/health/ready");
    assert_eq!((reply.status, &reply.json()["code"]), (503, &"data_gone".into()), "another directory in its place");
}
