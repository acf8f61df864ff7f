//! Packets as stories: repeats, packets composed anew, gaps, acknowledgements, and what returns.

mod again;
mod rows;
mod told;

use crate::hub::{AuthorState, Entry, Loaded, Moment, Quarantined, Reply, Taken, decide, touch};
use crate::model::{
    Author, Body, CollectionName, CollectionRule, Demands, Dispatch, DocId, Entity, EntityEdit, Fill, Holding, Intake,
    Limits, Lsn, Mark, Meta, Millis, NodeId, Packet, Reached, Rejection, Settled, Stamp, Strategy, Traffic, Version,
};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

fn reports() -> CollectionName {
    CollectionName::new("Report").unwrap()
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn sent(id: &str, data: &str) -> Body {
    Body::of_fields(id, Body::trusted(data).fields().iter())
}

fn entity(id: &str, edit: EntityEdit, time: Option<u64>) -> Entity {
    let raw = format!("{id} {edit:?} {time:?}");
    let mut digest = DefaultHasher::new();
    raw.hash(&mut digest);
    let (kind, uuid, time) = ("Report".to_owned(), DocId::new(id).unwrap(), time.map(Millis));
    Entity { kind, uuid, edit, time, digest: digest.finish(), raw }
}

fn insert(id: &str, data: &str, time: u64) -> Entity {
    let edit = EntityEdit::Put { collection: reports(), insert: true, sent: sent(id, data), unset: BTreeSet::new() };
    entity(id, edit, Some(time))
}

fn update(id: &str, data: &str, time: u64) -> Entity {
    let edit = EntityEdit::Put { collection: reports(), insert: false, sent: sent(id, data), unset: BTreeSet::new() };
    entity(id, edit, Some(time))
}

fn delete(id: &str) -> Entity {
    entity(id, EntityEdit::Remove { collection: reports() }, None)
}

fn packet(name: &str, number: u64, ack: u64, entities: Vec<Entity>) -> Packet {
    let mut key = DefaultHasher::new();
    (name, number, entities.iter().map(|e| e.digest).collect::<Vec<_>>()).hash(&mut key);
    let key = u128::from(key.finish()).to_be_bytes();
    Packet {
        node: node(name),
        number,
        ack,
        key,
        settled: None,
        readable: Arc::default(),
        writable: Arc::default(),
        whole_objects: false,
        entities,
    }
}

/// A store in miniature.
struct Space {
    state: Loaded,
    log: Vec<String>,
    quarantine: Vec<Quarantined>,
    held: Vec<Holding>,
    now: u64,
    names: BTreeMap<Author, &'static str>,
}

impl Space {
    /// With the registered nodes `a` and `b`.
    fn new() -> Space {
        let mut space = Space {
            state: Loaded::default(),
            log: Vec::new(),
            quarantine: Vec::new(),
            held: Vec::new(),
            now: 1_000_000,
            names: BTreeMap::from([(Author(1), "a"), (Author(2), "b")]),
        };
        for (author, name) in &space.names {
            space.state.nodes.insert(node(name), AuthorState { author: *author, ..AuthorState::default() });
            space.state.traffic.insert(node(name), Traffic::new(Lsn::ZERO));
        }
        space
    }

    fn commit(&mut self, intake: Intake) -> Reply {
        let group = [intake];
        for wanted in touch(&group).docs {
            assert_eq!(wanted.0, reports());
        }
        let moment = Moment { now: Millis(self.now), limits: Limits { document_bytes: 100, ..Limits::default() } };
        let decision = decide(self.state.clone(), &group, moment);
        for entry in &decision.writes.entries {
            assert_eq!(entry.lsn(), self.state.head.next(), "LSNs have no gap");
            self.state.head = entry.lsn();
            match entry {
                Entry::Change(change) => {
                    let key = (change.collection.clone(), change.id.clone());
                    self.state.docs.insert(key, change.version.clone());
                    self.log.push(format!("{} {}", self.names[&change.version.author], change.id));
                }
                Entry::Return(back) => {
                    let lost: String = back.lost.iter().map(|name| format!(" -{name}")).collect();
                    self.log.push(format!("{} gets {}{lost}", self.names[&back.author], back.id));
                }
                Entry::Ticket(ticket) => panic!("{ticket:?}"),
            }
        }
        self.state.seen.extend(decision.writes.seen.iter().copied());
        self.state.traffic.extend(decision.writes.traffic);
        self.quarantine.extend(decision.writes.quarantine);
        self.held.extend(decision.writes.held.into_iter().map(|(_, held)| held));
        decision.replies.into_iter().next().unwrap()
    }

    fn take(&mut self, packet: Packet) -> Taken {
        match self.commit(Intake::Packet(packet)) {
            Reply::Packet(taken) => taken,
            other => panic!("{other:?}"),
        }
    }

    /// Sends everything up to the head to a node.
    fn send(&mut self, name: &str) -> u64 {
        let (from, upto) = (self.traffic(name).reached(), self.state.head);
        match self.commit(Intake::Dispatch(Dispatch { node: node(name), from, upto, last: true, held: Vec::new() })) {
            Reply::Dispatched { number } => number,
            other => panic!("{other:?}"),
        }
    }

    fn traffic(&self, name: &str) -> &Traffic {
        &self.state.traffic[&node(name)]
    }

    fn text(&self, id: &str) -> Option<&str> {
        let version = self.state.docs.get(&(reports(), DocId::new(id).unwrap()))?;
        version.meta.is_live().then(|| version.body.text())
    }

    /// The log since the last look.
    fn news(&mut self) -> String {
        std::mem::take(&mut self.log).join(", ")
    }
}

#[test]
fn a_packet_is_applied_once_however_often_it_comes() {
    let mut space = Space::new();
    let first = packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]);
    assert_eq!(space.take(first.clone()).ack, 1);
    space.take(packet("b", 1, 0, vec![update("x", r#"{"v":2}"#, 20)]));
    space.news();
    assert_eq!(space.take(first.clone()).ack, 1);
    space.take(packet("a", 2, 0, vec![]));
    assert_eq!(space.take(first).ack, 2, "also when it is much older");
    assert_eq!((space.news().as_str(), space.text("x")), ("", Some(r#"{"_id":"x","v":2}"#)));
    assert!(space.quarantine.is_empty());
}

#[test]
fn a_packet_that_was_taken_before_is_named_as_a_repeat_while_it_changes_nothing() {
    let mut space = Space::new();
    let first = packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]);
    assert!(!space.take(first.clone()).repeated);
    assert!(space.take(first.clone()).repeated);
    assert!(!space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":2}"#, 20)])).repeated);
    assert!(!space.take(packet("a", 2, 0, vec![])).repeated);
    assert!(space.take(packet("a", 2, 0, vec![])).repeated);
    space.take(packet("b", 1, 0, vec![insert("y", r#"{"v":1}"#, 10)]));
    let number = space.send("a");
    assert!(!space.take(Packet { ack: number, ..first.clone() }).repeated, "it confirms what was not confirmed");
    assert!(space.take(Packet { ack: number, ..first }).repeated);
}

#[test]
fn the_last_packet_is_known_again_when_the_keys_of_its_time_are_forgotten() {
    let mut space = Space::new();
    let unusable = EntityEdit::Unusable(Rejection { code: "unknown_type".into(), reason: "none".into() });
    let first = packet("a", 1, 0, vec![delete("x"), entity("u", unusable, None)]);
    let refused = space.take(first.clone()).refused;
    space.take(packet("b", 1, 0, vec![insert("x", r#"{"v":2}"#, 1_000_001)]));
    let number = space.send("a");
    space.state.seen.clear();
    space.news();
    let again = space.take(first.clone());
    assert_eq!((again.repeated, again.refused == refused, refused.len()), (true, true, 1));
    space.take(Packet { ack: number, ..first });
    assert_eq!((space.news().as_str(), space.quarantine.len()), ("", 1), "nor with a later acknowledgement");
    assert!(space.text("x").is_some());
}

#[test]
fn asking_for_news_costs_no_memory_and_forgets_nothing() {
    let mut space = Space::new();
    space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10), delete("x")]));
    space.take(packet("b", 1, 0, vec![insert("x", r#"{"v":2}"#, 1_000_001)]));
    let known = space.state.seen.len();
    assert_eq!(space.take(packet("a", 2, 0, vec![])).ack, 2);
    assert_eq!(space.take(packet("a", 2, 0, vec![])).ack, 2);
    assert_eq!(space.state.seen.len(), known);
    space.take(packet("a", 3, 0, vec![delete("x")]));
    assert!(space.text("x").is_some(), "still the removal of the first packet");
}

#[test]
fn a_gap_is_fine_and_a_late_packet_is_only_acknowledged() {
    let mut space = Space::new();
    space.take(packet("a", 5, 0, vec![insert("x", r#"{"v":"two"}"#, 20)]));
    let late = packet("a", 4, 0, vec![insert("x", r#"{"v":"one"}"#, 10), insert("y", r#"{"v":1}"#, 11)]);
    let taken = space.take(late.clone());
    assert_eq!((taken.ack, space.text("x"), space.text("y")), (5, Some(r#"{"_id":"x","v":"two"}"#), None));
    let named: Vec<_> = taken.refused.iter().map(|r| (r.uuid.as_str(), r.why.code.as_str())).collect();
    assert_eq!(named, [("y", "late_packet")], "what no packet of the node has brought is never dropped in silence");
    assert_eq!((space.quarantine.len(), space.quarantine[0].code.as_str()), (1, "late_packet"));
    space.take(late);
    assert_eq!(space.quarantine.len(), 1);
}

#[test]
fn where_a_node_knows_the_whole_log_and_adds_to_it_as_it_sent_nothing_is_to_be_read() {
    let mut space = Space::new();
    assert_eq!(space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)])).quiet, None, "it is being filled");
    let settled =
        |space: &Space| Some(Settled { from: space.traffic("a").reached(), upto: space.state.head, last: true });
    let at_end = |space: &Space, packet| Packet { settled: settled(space), ..packet };
    let second = at_end(&space, packet("a", 2, 0, vec![insert("y", r#"{"v":1}"#, 10), delete("x")]));
    assert_eq!(space.take(second.clone()).quiet, Some(Lsn(3)));
    assert_eq!(space.take(second).quiet, None, "its own changes are not passed yet");
    let again = at_end(&space, packet("a", 3, 0, vec![]));
    assert_eq!(space.take(again).quiet, Some(Lsn(3)), "without a change");
    space.take(packet("b", 1, 0, vec![insert("z", r#"{"v":1}"#, 10)]));
    assert_eq!(space.take(packet("a", 4, 0, vec![])).quiet, None, "another node's change waits");
    let lost = at_end(&space, packet("a", 5, 0, vec![update("z", r#"{"v":0}"#, 5)]));
    assert_eq!(space.take(lost).quiet, None, "what it sent does not stand");
}

#[test]
fn only_an_acknowledgement_of_what_was_sent_moves_the_cursor() {
    let mut space = Space::new();
    space.take(packet("b", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
    assert_eq!((space.send("a"), space.send("a")), (1, 2));
    space.take(packet("a", 1, 987_654_321, vec![]));
    assert_eq!((space.traffic("a").cursor, space.traffic("a").confirmed), (Lsn(0), 0));
    space.take(packet("a", 2, 1, vec![]));
    assert_eq!((space.traffic("a").cursor, space.traffic("a").confirmed), (Lsn(1), 1));
    assert_eq!(
        (space.traffic("a").sent.as_slice(), space.traffic("a").confirmed_at),
        (&[(2, Lsn(1))][..], Millis(1_000_000))
    );
    space.take(packet("a", 3, 2, vec![]));
    let taken = space.take(packet("a", 4, 1, vec![]));
    assert_eq!((space.traffic("a").confirmed, taken.issued), (2, 2), "an old one changes nothing");
}

#[test]
fn an_acknowledgement_from_before_a_restored_backup_confirms_no_packet_that_was_not_received() {
    let mut space = Space::new();
    space.take(packet("b", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
    assert_eq!(space.send("a"), 1);
    // The backup knows one packet for the node; the node has had two more.
    for (number, lost) in [(7, 2), (8, 4), (9, 5)] {
        space.take(packet("a", number, 3, vec![]));
        assert_eq!((space.traffic("a").cursor, space.send("a")), (Lsn(0), lost), "its answer is lost");
    }
    space.take(packet("a", 10, 5, vec![]));
    assert_eq!(space.traffic("a").cursor, Lsn(1));
    assert_eq!(space.send("a"), 6, "from then on numbers go up by one");
}

#[test]
fn packets_wait_for_their_acknowledgement_up_to_a_limit() {
    let mut space = Space::new();
    for _ in 0..=Traffic::SENT_MAX {
        space.send("a");
    }
    assert_eq!((space.traffic("a").sent.len(), space.traffic("a").sent[0].0), (Traffic::SENT_MAX, 2));
}

#[test]
fn a_settled_stretch_is_passed_only_from_where_it_was_read() {
    let mut space = Space::new();
    space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
    let from = space.traffic("a").reached();
    let elsewhere = Settled {
        from: Reached { fill: Some(Fill { start: Lsn(1), again: true, since: Lsn(1) }), ..from },
        upto: Lsn(1),
        last: true,
    };
    space.take(Packet { settled: Some(elsewhere), ..packet("a", 2, 0, vec![]) });
    assert_eq!(space.traffic("a").cursor, Lsn(0));
    space.take(Packet { settled: Some(Settled { from, upto: Lsn(1), last: true }), ..packet("a", 3, 0, vec![]) });
    assert_eq!(space.traffic("a").cursor, Lsn(1));
}

#[test]
fn a_removal_counts_from_its_arrival_and_a_later_update_revives() {
    let mut space = Space::new();
    space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, 10), delete("never-seen")]));
    space.take(packet("a", 2, 0, vec![delete("x")]));
    space.take(packet("a", 3, 0, vec![delete("x"), delete("never-seen")]));
    assert_eq!(space.text("x"), None, "twice is harmless");
    space.news();
    space.take(packet("b", 1, 0, vec![update("x", r#"{"v":2}"#, 999_999)]));
    assert!(space.news().contains("b gets x"), "earlier: its sender is told");
    assert_eq!(space.text("x"), None);
    space.take(packet("b", 2, 0, vec![update("x", r#"{"v":3}"#, 1_000_001)]));
    assert_eq!(space.text("x"), Some(r#"{"_id":"x","v":3}"#));
}

#[test]
fn an_edit_without_a_time_is_later_than_all_that_its_sender_knew() {
    let mut space = Space::new();
    let ahead = space.now + 50_000;
    space.take(packet("a", 1, 0, vec![insert("x", r#"{"v":1}"#, ahead), insert("y", r#"{"v":1}"#, ahead)]));
    let untimed = Entity { time: None, ..update("y", r#"{"v":2}"#, 0) };
    space.take(packet("b", 1, 0, vec![delete("x"), untimed.clone()]));
    assert_eq!(space.text("x"), Some(r#"{"_id":"x","v":1}"#), "it did not know of that");
    let number = space.send("b");
    space.take(packet("b", 2, number, vec![delete("x"), untimed]));
    assert_eq!((space.text("x"), space.text("y")), (None, Some(r#"{"_id":"y","v":2}"#)), "though a clock is ahead");
}

#[test]
fn insert_and_update_both_make_the_object_where_it_is_missing() {
    let mut space = Space::new();
    space.take(packet("a", 1, 0, vec![update("x", r#"{"v":1}"#, 10)]));
    assert_eq!(space.text("x"), Some(r#"{"_id":"x","v":1}"#));
    space.take(packet("a", 2, 0, vec![insert("x", r#"{"w":1}"#, 20)]));
    assert_eq!(space.text("x"), Some(r#"{"_id":"x","v":1,"w":1}"#));
}

#[test]
fn an_entity_that_cannot_be_applied_is_set_aside_and_named_again_to_repeats() {
    let mut space = Space::new();
    let why = Rejection { code: "unknown_type".into(), reason: "no such type".into() };
    let large = format!(r#"{{"v":"{}"}}"#, "v".repeat(100));
    let strange = entity("s", EntityEdit::Unusable(why), None);
    let good = insert("x", r#"{"v":1}"#, 10);
    let sent = packet("a", 1, 0, vec![strange.clone(), insert("l", &large, 10), good]);
    let taken = space.take(sent.clone());
    let codes: Vec<_> = taken.refused.iter().map(|r| r.why.code.as_str()).collect();
    assert_eq!((codes.as_slice(), space.text("x").is_some()), (&["unknown_type", "document_too_large"][..], true));
    assert_eq!(space.take(sent.clone()).refused, taken.refused);
    assert_eq!(space.take(Packet { entities: Vec::new(), ..sent }).refused, taken.refused, "the key says it all");
    let anew = packet("a", 1, 0, vec![strange, insert("y", r#"{"v":1}"#, 10)]);
    assert_eq!(space.take(anew).refused, taken.refused[..1]);
    assert_eq!(space.quarantine.len(), 2, "but set aside once");
}

#[test]
fn an_unknown_node_gets_nothing_done() {
    let mut space = Space::new();
    let reply = space.commit(Intake::Packet(packet("stranger", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)])));
    assert_eq!((reply, space.news().as_str()), (Reply::UnknownNode, ""));
    let dispatch =
        Dispatch { node: node("stranger"), from: Reached::default(), upto: Lsn(1), last: true, held: Vec::new() };
    assert_eq!(space.commit(Intake::Dispatch(dispatch)), Reply::UnknownNode);
}

#[test]
fn a_node_that_was_silent_for_too_long_is_filled_again() {
    let mut space = Space::new();
    space.take(packet("b", 1, 0, vec![insert("x", r#"{"v":1}"#, 10), insert("y", r#"{"v":1}"#, 10)]));
    let number = space.send("a");
    space.state.horizon = Lsn(1);
    let taken = space.take(packet("a", 1, 0, vec![]));
    assert_eq!(
        taken.reached,
        Reached { cursor: Lsn(0), known: Lsn(0), fill: Some(Fill { start: Lsn(2), again: true, since: Lsn(2) }) }
    );
    space.take(packet("a", 2, number, vec![]));
    assert_eq!(space.traffic("a").cursor, Lsn(0), "what was sent before does not count for the fill");
    let number = space.send("a");
    let taken = space.take(packet("a", 3, number, vec![]));
    assert_eq!(taken.reached, Reached { cursor: Lsn(2), known: Lsn(2), fill: None });
}

#[test]
fn a_packet_of_the_hub_that_was_read_before_a_fill_began_is_not_sent() {
    let mut space = Space::new();
    space.take(packet("b", 1, 0, vec![insert("x", r#"{"v":1}"#, 10)]));
    let from = space.traffic("a").reached();
    space.state.traffic.get_mut(&node("a")).unwrap().fill_again(Lsn(1));
    let stale = Dispatch { node: node("a"), from, upto: Lsn(1), last: true, held: Vec::new() };
    assert_eq!(space.commit(Intake::Dispatch(stale)), Reply::Moved);
    assert_eq!(space.traffic("a").issued, 0);
}

fn server_wins() -> Arc<Demands> {
    let rule = CollectionRule { strategy: Some(Strategy::ServerWins), ..CollectionRule::default() };
    Arc::new(Demands { rule, shape: None })
}
