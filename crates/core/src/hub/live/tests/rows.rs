//! Events of clients that see and write only some rows.

use super::{Space, applied, event, id, insert, key, remove, returned, update};
use crate::filter::Filter;
use crate::hub::{Fate, LiveTaken};
use crate::model::{CollectionName, LiveBatch, LiveEdit, LiveEvent, Lsn, NodeId, RowFilters};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

fn rows(filter: &Value) -> Arc<RowFilters> {
    let notes = CollectionName::new("notes").unwrap();
    Arc::new(RowFilters::new(BTreeMap::from([(notes, Filter::parse(filter).unwrap())])))
}

/// Events of a client of Anna's, who reads and writes what is hers.
fn annas(space: &mut Space, events: Vec<LiveEvent>) -> LiveTaken {
    let (node, hers) = (NodeId::of_live("anna").unwrap(), rows(&json!({ "o": "anna" })));
    let served = space.state.head;
    space.take(LiveBatch { node, served, rows: hers.clone(), readable: hers, events })
}

fn fates(taken: &LiveTaken) -> Vec<&'static str> {
    let word = |fate: &Fate| -> &'static str {
        match fate {
            Fate::SetAside(why) if why.code == "row_forbidden" => "forbidden",
            Fate::Applied { .. } => "applied",
            Fate::NoMatch => "no match",
            _ => "otherwise",
        }
    };
    taken.fates.iter().map(word).collect()
}

fn both(space: &mut Space) {
    let events = vec![
        insert(1, 10, r#"{"_id":"hers","o":"anna","n":1}"#),
        insert(2, 10, r#"{"_id":"his","o":"ben","n":1}"#),
        insert(3, 10, r#"{"_id":"gone","o":"ben","n":1}"#),
        remove(4, 11, &json!({ "id": "gone" }), &["gone"]),
    ];
    space.from("boss", 0, events);
}

#[test]
fn a_query_means_only_documents_that_may_be_written() {
    let mut space = Space::default();
    both(&mut space);
    let all = ["hers", "his", "gone", "never"];
    let taken = annas(&mut space, vec![update(5, 12, &json!({ "n": 1 }), &json!({ "$set": { "n": 2 } }), &all)]);
    assert_eq!(fates(&taken), ["applied"]);
    assert_eq!(
        (space.text("hers").unwrap()["n"].clone(), space.text("his").unwrap()["n"].clone()),
        (json!(2), json!(1))
    );
    assert_eq!(taken.returned, returned(&["his", "gone", "never"]), "what is not hers, there or not");
    let taken = annas(&mut space, vec![remove(6, 13, &json!({}), &all)]);
    assert_eq!((fates(&taken), space.text("hers"), space.text("his").is_some()), (vec!["applied"], None, true));
    let taken = annas(&mut space, vec![remove(7, 14, &json!({ "id": "hers" }), &["hers"])]);
    assert_eq!(fates(&taken), ["no match"], "her own was there");
}

#[test]
fn what_may_not_be_written_is_set_aside_whole_and_told_alike_whether_it_is_there_or_not() {
    let mut space = Space::default();
    both(&mut space);
    let give = json!({ "$set": { "o": "ben" } });
    for (n, name) in [(10, "his"), (20, "gone"), (30, "never")] {
        let one = json!({ "id": name });
        let taken = annas(
            &mut space,
            vec![update(n, 12, &one, &json!({ "$set": { "o": "anna" } }), &[name]), remove(n + 1, 12, &one, &[name])],
        );
        assert_eq!((fates(&taken), taken.returned), (vec!["forbidden"; 2], returned(&[name])), "{name}");
    }
    let taken = annas(
        &mut space,
        vec![
            insert(40, 12, r#"{"_id":"his","o":"anna"}"#),
            insert(41, 12, r#"{"_id":"for-ben","o":"ben"}"#),
            update(42, 12, &json!({}), &give, &["hers"]),
            update(43, 12, &json!({ "id": "hers" }), &json!({ "$set": { "id": "his" } }), &["hers"]),
            insert(44, 12, r#"{"_id":"gone","o":"anna"}"#),
        ],
    );
    assert_eq!(fates(&taken), ["forbidden", "forbidden", "forbidden", "forbidden", "applied"]);
    assert_eq!(taken.returned, returned(&["his", "for-ben", "hers"]));
    assert_eq!(space.text("gone"), Some(json!({ "_id": "gone", "o": "anna" })), "anew, and nothing of Ben's");
    assert!(space.quarantine.iter().all(|row| !row.reason.contains("ben")), "{:?}", space.quarantine);
}

#[test]
fn who_may_write_more_than_it_reads_is_told_to_drop_what_it_gives_away() {
    let mut space = Space::default();
    both(&mut space);
    let (node, readable) = (NodeId::of_live("anna").unwrap(), rows(&json!({ "o": "anna" })));
    let events = vec![
        update(5, 12, &json!({ "id": "hers" }), &json!({ "$set": { "o": "ben" } }), &["hers"]),
        insert(6, 12, r#"{"_id":"for-ben","o":"ben"}"#),
    ];
    let taken = space.take(LiveBatch { node, served: Lsn(5), rows: Arc::default(), readable, events });
    assert_eq!((fates(&taken), taken.returned), (vec!["applied"; 2], returned(&["hers", "for-ben"])));
}

#[test]
fn who_reads_more_than_it_may_write_gets_its_copies_back() {
    let mut space = Space::default();
    both(&mut space);
    let (node, hers) = (NodeId::of_live("anna").unwrap(), rows(&json!({ "o": "anna" })));
    let late_echo = insert(5, 9, r#"{"_id":"his","o":"ben","n":1}"#);
    let events = vec![
        late_echo,
        update(6, 12, &json!({}), &json!({ "$set": { "n": 7 } }), &["hers", "his"]),
        event(7, 12, LiveEdit::Insert { id: id("his"), body: crate::model::Body::trusted(r#"{"_id":"his","n":8}"#) }),
    ];
    let served = space.state.head;
    let taken = space.take(LiveBatch { node, served, rows: hers, readable: Arc::default(), events });
    assert_eq!(taken.fates[..2], [Fate::Unchanged, applied(5)]);
    assert_eq!((fates(&taken)[2], taken.returned), ("forbidden", returned(&["his"])));
    assert!(!space.state.docs[&key("his")].body.text().contains('7'));
}

#[test]
fn who_brings_a_document_into_its_sight_is_told_all_of_it() {
    let mut space = Space::default();
    both(&mut space);
    let (node, served, rows_of_all) = (NodeId::of_live("anna").unwrap(), space.state.head, Arc::default());
    let change = update(5, 12, &json!({ "id": "his" }), &json!({ "$set": { "o": "anna" } }), &["his"]);
    let readable = rows(&json!({ "o": "anna" }));
    let taken = space.take(LiveBatch { node, served, rows: rows_of_all, readable, events: vec![change] });
    assert_eq!((fates(&taken), taken.returned), (vec!["applied"], returned(&["his"])));
}
