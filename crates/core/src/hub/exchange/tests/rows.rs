//! Packets of nodes that get, and may write, only some rows.

use super::{Space, delete, insert, packet, reports, update};
use crate::filter::Filter;
use crate::hub::Taken;
use crate::model::{Lsn, Packet, RowFilters};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The reports whose `v` is 1.
fn ones() -> Arc<RowFilters> {
    let filter = Filter::parse(&serde_json::json!({ "v": 1 })).unwrap();
    Arc::new(RowFilters::new(BTreeMap::from([(reports(), filter)])))
}

#[test]
fn a_node_with_a_row_filter_holds_what_it_sends_and_learns_what_it_is_not_to_hold() {
    let mut space = Space::new();
    let readable = ones();
    let entities = vec![insert("x", r#"{"v":1}"#, 10), insert("y", r#"{"v":2}"#, 10)];
    space.take(Packet { readable: readable.clone(), ..packet("a", 1, 0, entities) });
    assert_eq!(space.news(), "a x, a y, a gets y", "what matches does not come back");
    space.take(Packet { readable, ..packet("a", 2, 0, vec![delete("x")]) });
    let held: Vec<_> = space.held.iter().map(|held| (held.since, held.gone)).collect();
    assert_eq!(held, [(Lsn(0), None), (Lsn(0), None), (Lsn(0), Some(Lsn(4)))]);
}

#[test]
fn a_node_with_a_row_filter_holds_what_it_sends_in_vain() {
    let mut space = Space::new();
    let readable = ones();
    space.take(packet("b", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
    space.take(packet("b", 2, 0, vec![delete("x")]));
    space.take(Packet { readable, ..packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 5)]) });
    assert_eq!((space.text("x"), space.held[0].gone), (None, None), "only a packet of the hub takes it away");
}

/// A packet of a node that gets and may write those reports alone.
fn within(packet: Packet) -> Packet {
    Packet { readable: ones(), writable: ones(), ..packet }
}

fn forbidden(taken: &Taken) -> Vec<&str> {
    taken.refused.iter().filter(|one| one.why.code == "row_forbidden").map(|one| one.uuid.as_str()).collect()
}

#[test]
fn a_node_with_a_row_filter_writes_what_it_gets_and_nothing_else() {
    let mut space = Space::new();
    let others = [insert("theirs", r#"{"v":2,"s":1}"#, 10), insert("ours", r#"{"v":1,"s":1}"#, 10)];
    space.take(packet("b", 1, 0, others.to_vec()));
    space.news();
    let entities = vec![
        update("theirs", r#"{"v":1}"#, 20), // takes
        insert("theirs", r#"{"v":1}"#, 20),
        delete("theirs"),
        update("ours", r#"{"v":2}"#, 20), // gives away
        insert("new", r#"{"v":2}"#, 20),
        insert("mine", r#"{"v":1}"#, 20),
    ];
    let taken = space.take(within(packet("a", 1, 0, entities)));
    assert_eq!(forbidden(&taken), ["theirs", "theirs", "theirs", "ours", "new"]);
    assert_eq!((taken.ack, space.quarantine.len()), (1, 5), "the rest is taken");
    assert!(taken.refused.iter().all(|one| !one.why.reason.contains('2')), "nothing is said of documents: {taken:?}");
    assert_eq!(
        space.news(),
        "a mine, a gets new -v, a gets ours, a gets theirs",
        "it hears of each what it is to have"
    );
    assert_eq!(space.text("theirs").unwrap(), r#"{"_id":"theirs","v":2,"s":1}"#);
    assert_eq!(space.text("ours").unwrap(), r#"{"_id":"ours","v":1,"s":1}"#);
    let held: BTreeSet<_> = space.held.iter().map(|held| held.id.as_str()).collect();
    assert_eq!(held, BTreeSet::from(["theirs", "ours", "new", "mine"]), "what it made for itself is taken away");
}

#[test]
fn a_node_with_a_row_filter_does_not_bring_back_what_was_removed_of_others() {
    let mut space = Space::new();
    space.take(packet("b", 1, 0, vec![insert("x", r#"{"v":2,"s":1}"#, 10), insert("y", r#"{"v":1,"s":1}"#, 10)]));
    space.take(packet("b", 2, 0, vec![delete("x"), delete("y")]));
    let later = 2_000_000;
    let revive = |id| update(id, r#"{"v":1}"#, later);
    let taken = space.take(within(packet("a", 1, 0, vec![revive("x"), revive("y")])));
    assert_eq!((forbidden(&taken), space.text("x")), (vec!["x"], None));
    assert!(space.text("y").is_some(), "what was its own comes back as ever");
    space.now = later + 1;
    let taken = space.take(within(packet("a", 2, 0, vec![insert("x", r#"{"v":1}"#, later)])));
    assert_eq!((forbidden(&taken), space.text("x")), (vec![], Some(r#"{"_id":"x","v":1}"#)), "made anew");
}

#[test]
fn what_a_node_may_write_can_be_said_apart_from_what_it_gets() {
    let mut space = Space::new();
    space.take(Packet { readable: ones(), ..packet("a", 1, 0, vec![insert("x", r#"{"v":2}"#, 10)]) });
    assert!(space.text("x").is_some());
    let taken = space.take(Packet { writable: ones(), ..packet("b", 1, 0, vec![update("x", r#"{"s":1}"#, 20)]) });
    assert_eq!(forbidden(&taken), ["x"], "it gets all");
}

#[test]
fn a_first_fill_stays_one_although_a_node_makes_what_it_may_not() {
    let mut space = Space::new();
    space.take(within(packet("a", 1, 0, vec![insert("x", r#"{"v":2}"#, 10)])));
    assert_eq!(space.traffic("a").fill.map(|fill| fill.again), Some(false), "or it were told the ids of all documents");
}
