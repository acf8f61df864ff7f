//! Every decoder of this crate against damaged input: it never panics, what it gives is no larger than what it was given
//! explains, a refusal says something, and what is read and written again is read the same.

use crate::filter::{Filter, substitute};
use crate::live::{Query, Update, document_of};
use crate::model::{
    Body, CollectionName, DocId, Limits, Millis, NodeId, Page, PageOp, PushReply, SnapshotEnd, SnapshotHead, Stamp,
};
use crate::mutation::{damaged, damaged_text, seeds_in};
use crate::wire::exchange::{Elements, Side, open};
use crate::wire::own::PushRequest;
use crate::wire::{aside, live, own, wise};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Debug;

/// What each byte of input may become in a value's own description, which spells out every part of it.
const GROWTH: usize = 400;
const BASE_BYTES: usize = 20_000;

const OWN_PUSH: &str = r#"{"node":"n1","batchId":"b1","strategy":"merge","epoch":"e","ops":[
    {"seq":1,"op":"insert","collection":"notes","id":"x","stamp":1024,"doc":{"_id":"x","ttl":5,"createdAt":"2026-01-01T00:00:00Z"}},
    {"seq":2,"op":"update","collection":"notes","id":"x","stamp":2048,"base":1,"set":{"a":{"b":[1,2.5,null]}},"unset":["c"]},
    {"seq":3,"op":"replace","collection":"notes","id":"x","stamp":3072,"base":2,"doc":{"_id":"x"},"changed":["a"],"txn":"t"},
    {"seq":4,"op":"remove","collection":"notes","id":"x","stamp":4096,"base":3,"txn":"t"},
    {"seq":5,"op":"clear","collection":"notes","stamp":5120}]}"#;
const PAGE: &str = r#"{"epoch":"e","server_lsn":9,"has_more":true,"ops":[
    {"op":"put","lsn":1,"collection":"notes","id":"x","stamp":1024,"author":1,"doc":{"_id":"x","n":1}},
    {"op":"put","lsn":2,"collection":"notes","id":"y","stamp":2048,"author":2,"meta":{"doc":{"s":1,"l":1,"a":1},"fields":{}},"doc":{"_id":"y"}},
    {"op":"remove","lsn":3,"collection":"notes","id":"x","stamp":4096,"author":1}]}"#;
const PUSH_REPLY: &str = r#"{"status":"ok","server_lsn":4,"epoch":"e","author":1,"receipts":[
    {"seq":1,"result":"applied","lsn":1},{"seq":2,"result":"rejected","lsn":0,"code":"unknown_document","reason":"r"}]}"#;
const SNAPSHOT_HEAD: &str = r#"{"server_lsn":3,"epoch":"e"}"#;
const SNAPSHOT_END: &str = r#"{"end":true,"documents":2}"#;
const FILTERS: [&str; 5] = [
    r#"{"a":1,"b.c":{"$gt":2,"$lte":9.5},"tags":{"$in":["x","y"]}}"#,
    r#"{"$or":[{"a":{"$exists":true}},{"$and":[{"b":{"$ne":null}},{"$not":{"c":{"$nin":[1]}}}]}]}"#,
    r#"{"name":{"$regex":"^a.*z$","$options":"i"},"list":{"$elemMatch":{"q":{"$gte":1}},"$size":2}}"#,
    r#"{"owner":"$node.branch","a":{"$startsWith":"x"},"b":{"$contains":"y"},"c":{"$type":"string"}}"#,
    r#"{"date":{"$gt":{"$date":"2026-01-01T00:00:00Z"}},"x":{"$all":[1,2]}}"#,
];
const UPDATES: [&str; 3] = [
    r#"{"$set":{"a.b":1,"c":{"d":[1]}},"$unset":{"e":""},"$inc":{"n":2.5},"$mul":{"m":3},"$min":{"lo":1},"$max":{"hi":"z"}}"#,
    r#"{"$push":{"list":{"$each":[1,2],"$slice":-3,"$position":0}},"$addToSet":{"set":{"a":1}},"$pull":{"list":{"$gt":1}}}"#,
    r#"{"$rename":{"a":"b.c"},"$set":{"list.40.x":1,"id":"new"}}"#,
];
const DOCUMENTS: [&str; 3] = [
    r#"{"_id":"x","id":"x","a":{"b":[1,2,{"c":"d"}]},"n":1,"m":1e3,"list":[1,2,3],"set":[{"a":1}],"name":"abcz"}"#,
    r#"{"_id":7,"createdAt":"2026-01-01T00:00:00.000Z","ttl":60000,"updatedAt":"x","expireAt":1767225600000}"#,
    r#"{"_id":"y","a":[[["deep"]]],"b":{"c":-0.0,"d":12345678901234567890123},"tags":["x"],"date":"2026-02-02"}"#,
];

fn vectors(names: &[&str]) -> Vec<Vec<u8>> {
    let read = |name: &&str| {
        let path = format!("{}/../../spec/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
        seeds_in(&std::fs::read_to_string(path).unwrap())
    };
    names.iter().flat_map(read).collect()
}

fn seeds(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A refusal says what it is about, and nothing grows beyond what came in.
fn sound<T: Debug, E: Debug + ToString>(read: &Result<T, E>, input: &[u8]) {
    let shown = match read {
        Ok(value) => format!("{value:?}"),
        Err(error) => {
            assert!(!error.to_string().is_empty(), "a refusal without a word: {error:?}");
            format!("{error:?}")
        }
    };
    assert!(shown.len() <= BASE_BYTES + GROWTH * input.len(), "{} bytes became {}", input.len(), shown.len());
}

/// What is read and written again is read the same.
fn comes_back<T: Debug + Serialize + DeserializeOwned>(input: &[u8]) {
    let read = serde_json::from_slice::<T>(input);
    sound(&read, input);
    if let Ok(value) = read {
        let text = serde_json::to_vec(&value).unwrap();
        let again: T = serde_json::from_slice(&text).unwrap();
        assert_eq!(serde_json::to_vec(&again).unwrap(), text);
    }
}

fn packet(input: &[u8], side: Side) {
    let opened = open(input, side);
    sound(&opened, input);
    let Ok(opened) = opened else { return };
    let entities = opened.elements().and_then(|elements: Elements<'_>| {
        elements.entities(&Limits::default(), |kind| CollectionName::new(kind).map_err(|_| rejection()))
    });
    sound(&entities, input);
}

fn rejection() -> crate::model::Rejection {
    crate::model::Rejection { code: "x".into(), reason: "y".into() }
}

proptest! {
    #[test]
    fn a_push_of_our_own(input in damaged([seeds(&[OWN_PUSH]), seeds_in(OWN_PUSH)].concat())) {
        let read = own::decode_push(&input, &Limits::default());
        sound(&read, &input);
        if read.is_ok() {
            let request: PushRequest<'_> = serde_json::from_slice(&input).unwrap();
            let text = serde_json::to_vec(&request).unwrap();
            let again = own::decode_push(&text, &Limits::default()).unwrap();
            prop_assert_eq!(format!("{:?}", again.batch.steps), format!("{:?}", read.unwrap().batch.steps));
        }
    }

    #[test]
    fn what_a_hub_answers(input in damaged(seeds(&[PAGE, PUSH_REPLY, SNAPSHOT_HEAD, SNAPSHOT_END]))) {
        comes_back::<Page>(&input);
        comes_back::<PageOp>(&input);
        comes_back::<PushReply>(&input);
        comes_back::<SnapshotHead>(&input);
        comes_back::<SnapshotEnd>(&input);
    }

    #[test]
    fn a_push_of_a_wisejson_client(
        input in damaged(vectors(&["lsn-http", "lsn-op-shapes", "lsn-transaction-order", "lsn-legacy-g1", "lsn-legacy-g2"]))
    ) {
        let collection = CollectionName::new("notes").unwrap();
        let read = wise::decode_push(&input, &collection, &Limits::default());
        sound(&read, &input);
    }

    #[test]
    fn a_packet(input in damaged(vectors(&["exchange-sequences"]))) {
        packet(&input, Side::Node);
        packet(&input, Side::Hub);
    }

    #[test]
    fn a_list_of_live_events(input in damaged(vectors(&["live-events", "live-query-matrix", "live-update-matrix"]))) {
        let text = String::from_utf8_lossy(&input).into_owned();
        let mut place = Some(live::Place::default());
        while let Some(from) = place {
            let piece = live::read(&text, from, "client", &Limits::default());
            sound(&piece, text.as_bytes());
            place = piece.ok().and_then(|piece| piece.rest);
            prop_assert_ne!(place, Some(from), "reading goes on");
        }
    }

    #[test]
    fn an_op_that_was_set_aside(
        input in damaged([seeds_in(OWN_PUSH), vectors(&["lsn-op-shapes", "live-events", "exchange-sequences"])].concat())
    ) {
        let text = String::from_utf8_lossy(&input);
        let (collection, id) = (CollectionName::new("notes").unwrap(), DocId::new("x").unwrap());
        for place in [(None, None), (Some(&collection), Some(&id))] {
            match aside::read(&text, place, &Limits::default()) {
                Ok(aside) => sound(&Ok::<_, String>(aside), text.as_bytes()),
                Err(why) => prop_assert!(!why.code.is_empty() && !why.reason.is_empty()),
            }
        }
    }

    #[test]
    fn a_document(text in damaged_text(&DOCUMENTS)) {
        let read = Body::parse(&text, &Limits::default());
        sound(&read, text.as_bytes());
        if let Ok((body, facts)) = read {
            prop_assert_eq!(body.text(), text.as_str());
            prop_assert_eq!(Body::parse(body.text(), &Limits::default()).unwrap().1, facts);
        }
        // Numbers without end are in a document, and in no document as it is known.
        let _ = document_of(&text);
    }

    #[test]
    fn a_filter(filter in damaged_text(&FILTERS), document in damaged_text(&DOCUMENTS)) {
        let Ok(filter) = serde_json::from_str::<Value>(&filter) else { return Ok(()) };
        let read = Filter::parse(&filter);
        sound(&read, filter.to_string().as_bytes());
        let given = [("branch".to_owned(), Value::from("north"))].into();
        sound(&substitute(&filter, &given), filter.to_string().as_bytes());
        if let (Ok(read), Ok(document)) = (read, serde_json::from_str::<Value>(&document)) {
            prop_assert_eq!(read.matches(&document), Filter::parse(&filter).unwrap().matches(&document));
        }
    }

    #[test]
    fn a_query_of_a_live_client(query in damaged_text(&FILTERS), document in damaged_text(&DOCUMENTS)) {
        let Ok(query) = serde_json::from_str::<Value>(&query) else { return Ok(()) };
        let Ok(read) = Query::parse(&query) else { return Ok(()) };
        let ids = read.pinned();
        if let Some(document) = document_of(&document) && read.matches(&document) && let Some(ids) = ids {
            prop_assert!(!ids.is_empty(), "{query} is pinned to nothing and means {document}");
        }
    }

    #[test]
    fn an_update_of_a_live_client(update in damaged_text(&UPDATES), document in damaged_text(&DOCUMENTS)) {
        let Ok(update) = serde_json::from_str::<Value>(&update) else { return Ok(()) };
        let read = Update::parse(&update);
        sound(&read, update.to_string().as_bytes());
        if let (Ok(read), Some(Value::Object(mut document))) = (read, document_of(&document)) {
            let before = Value::Object(document.clone()).to_string().len();
            if read.apply(&mut document).is_ok() {
                let (after, told) = (Value::Object(document).to_string().len(), update.to_string().len());
                prop_assert!(after <= before + GROWTH * told + BASE_BYTES, "{before} bytes and {told} became {after}");
            }
        }
    }

    #[test]
    fn names_and_times(text in damaged_text(&["n1", "2026-11-21T08:52:38.756Z", "2026-11-21 08:52", "00000000-0000-4000-8000-000000000001"])) {
        for name in [NodeId::new(&text).map(|name| name.to_string()), CollectionName::new(&text).map(|name| name.to_string()), DocId::new(&text).map(|name| name.to_string())] {
            sound(&name, text.as_bytes());
            prop_assert!(name.map_or(true, |name| name == text));
        }
        if let Some(time) = Millis::parse_utc(&text) {
            prop_assert_eq!(Millis::parse(&time.iso()).map(Stamp::at), Some(Stamp::at(time)));
        }
    }
}
