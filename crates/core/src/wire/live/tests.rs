//! Lists of events in and out: recorded ones, odd ones, and anything at all.

use super::{HUB_CLIENT, INSERTS, MARK, Mark, Place, Received, StateWriter, Stated, Told, read};
use crate::live::{Query, digest, document_of};
use crate::model::{DocId, Limits, LiveEdit, Lsn, Malformed, Millis};
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

const CLIENT: &str = "8c8e9a2b-a95f-4f59-ae63-79d883a9e53c";

fn vector(name: &str) -> Value {
    let path = format!("{}/../../spec/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn whole(text: &str, client: &str, limits: &Limits) -> Result<Vec<Received>, Malformed> {
    let (mut all, mut place) = (Vec::new(), Some(Place::default()));
    while let Some(from) = place {
        let piece = read(text, from, client, limits)?;
        all.extend(piece.received);
        place = piece.rest;
    }
    Ok(all)
}

fn received(list: &Value) -> Vec<Received> {
    whole(&list.to_string(), CLIENT, &Limits::default()).unwrap()
}

fn one(event: &Value) -> Received {
    received(&json!([event])).remove(0)
}

fn code(event: &Value) -> String {
    match one(event).event.edit {
        LiveEdit::Unusable(why) => why.code,
        other => format!("{other:?}"),
    }
}

fn event(kind: &str, rest: Value) -> Value {
    let mut event = json!({
        "id": "e1", "type": kind, "collection": "users", "documentId": "query-based", "timestamp": 7, "clientId": CLIENT,
    });
    event.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    event
}

#[test]
fn every_recorded_event_is_read_as_it_was_meant() {
    let events = vector("live-events")["events"].clone();
    let received = received(&events);
    assert_eq!(received.len(), 14);
    for (sent, received) in events.as_array().unwrap().iter().zip(&received) {
        let event = &received.event;
        assert_eq!(event.time.map(|time| time.0), sent["timestamp"].as_u64());
        assert_eq!(event.collection.as_ref().unwrap().as_str(), "users");
        assert_eq!(received.mark, None);
        let kind = match &event.edit {
            LiveEdit::Insert { id, body } => {
                assert_eq!(id.as_str(), sent["documentId"]);
                assert_eq!(
                    document_of(body.text()).unwrap(),
                    sent["data"],
                    "as it was, whatever the order of its fields"
                );
                assert_eq!(received.digest, Some(digest(&sent["data"])));
                "insert"
            }
            LiveEdit::Update { .. } => "update",
            LiveEdit::Remove { .. } => "delete",
            LiveEdit::Unusable(why) => panic!("{why:?}"),
        };
        assert_eq!(sent["type"], kind);
        let pinned = sent["query"].get("id").is_some();
        assert_eq!(event.unresolved().is_some(), kind != "insert" && !pinned, "{sent}");
    }
    let keys: std::collections::BTreeSet<_> = received.iter().map(|received| received.event.key).collect();
    assert_eq!(keys.len(), 14);
    let again = self::received(&events);
    assert!(again.iter().zip(&received).all(|(a, b)| a.event.key == b.event.key && a.digest == b.digest));
}

#[test]
fn the_recorded_echo_is_known_by_what_it_says() {
    let frames = vector("live-frames")["frames"].clone();
    let payload = |n: usize, before: &str| {
        let text = frames[n]["data"].as_str().unwrap().strip_prefix(before).unwrap().strip_suffix(']').unwrap();
        serde_json::from_str::<Value>(text).unwrap()
    };
    let (told, echo) = (payload(3, r#"2["server:sync","#), payload(4, r#"20["client:sync","#));
    let mut writer = StateWriter::new(1);
    let body = r#"{"name":"Remote","_id":"r1"}"#;
    writer.put(&Told { collection: "users", id: "r1", body: Some(body), lsn: Lsn(9), at: Millis(1_700_000_000_000) });
    let (text, stated) = writer.finish();

    let sent: Value = serde_json::from_str(&text).unwrap();
    for field in ["type", "collection", "documentId", "data", "timestamp"] {
        assert_eq!(sent[1][field], told[0][field], "{field}");
    }
    let echo = one(&echo[0]);
    assert_eq!((Some(stated[0].digest), stated[0].id.as_str()), (Some(echo.digest), "r1"));
}

#[test]
fn what_no_client_can_hold_is_not_told() {
    let mut writer = StateWriter::new(1);
    let body = r#"{"_id":"x","n":1e999}"#;
    writer.put(&Told { collection: "users", id: "x", body: Some(body), lsn: Lsn(9), at: Millis(1) });
    let (text, stated) = writer.finish();
    let sent: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!((sent.len(), &sent[0]["type"], stated[0].digest), (1, &json!("delete"), None));
}

#[test]
fn state_is_one_marked_removal_for_each_collection_and_what_is_there() {
    let mut writer = StateWriter::new(77);
    let told = |collection, id, body| Told { collection, id, body, lsn: Lsn(5), at: Millis(1_000) };
    writer.put(&told("users", "a", Some(r#"{"_id":"a","n":1.50,"big":12345678901234567890}"#)));
    writer.put(&told("posts", "gone", None));
    writer.put(&told("users", "5", Some(r#"{"x":{"_id":1},"_id":5,"id":"theirs"}"#)));
    assert_eq!((writer.len(), writer.is_empty()), (3, false));
    let (text, stated) = writer.finish();

    let removal = |collection: &str, n: u8, ids: &str, inserts: &str| {
        format!(
            r#"{{"id":"syncline-77-{n}","type":"delete","collection":"{collection}","documentId":"query-based","query":{{"$and":[{{"id":{{"$in":[{ids}]}}}}],"__syncline":77{inserts}}},"timestamp":1000,"clientId":"syncline"}}"#
        )
    };
    let digest = |n: usize| stated[n].digest.unwrap();
    let inserts = format!(r#","__syncline_inserts":{{"a":{},"5":{}}}"#, digest(0), digest(2));
    assert!(digest(0) < 1 << 53, "JavaScript holds it");
    let insert = |id: &str, data: &str| {
        format!(
            r#"{{"id":"syncline-5","type":"insert","collection":"users","documentId":"{id}","data":{data},"timestamp":1000,"clientId":"syncline"}}"#
        )
    };
    let expected = [
        removal("users", 0, r#""a","5",5"#, &inserts),
        insert("a", r#"{"id":"a","n":1.50,"big":12345678901234567890}"#),
        insert("5", r#"{"id":5,"x":{"_id":1}}"#),
        removal("posts", 1, r#""gone""#, ""),
    ];
    assert_eq!(text, format!("[{}]", expected.join(",")));
    let says: Vec<_> = stated.iter().map(|s| (s.collection.as_str(), s.id.as_str(), s.digest.is_some())).collect();
    assert_eq!(says, [("users", "a", true), ("posts", "gone", false), ("users", "5", true)]);
}

#[test]
fn an_id_spelled_otherwise_does_not_take_the_place_of_the_real_one() {
    let mut writer = StateWriter::new(1);
    let body = r#"{"_id":"a","\u0069d":"forged"}"#;
    writer.put(&Told { collection: "users", id: "a", body: Some(body), lsn: Lsn(5), at: Millis(1) });
    let sent: Value = serde_json::from_str(&writer.finish().0).unwrap();
    assert_eq!(sent[1]["data"], json!({ "id": "a" }));
}

#[test]
fn what_a_client_echoes_of_the_hubs_own_is_known_by_its_mark() {
    let mut writer = StateWriter::new(77);
    writer.put(&Told { collection: "users", id: "7", body: None, lsn: Lsn(5), at: Millis(1) });
    let body = Some(r#"{"_id":"8","n":1}"#);
    writer.put(&Told { collection: "users", id: "8", body, lsn: Lsn(6), at: Millis(1) });
    let sent: Value = serde_json::from_str(&writer.finish().0).unwrap();
    let mut echo = sent[0].clone();
    echo["id"] = json!("new");
    echo["clientId"] = json!(CLIENT);
    let received = one(&echo);
    let insert = one(&event("insert", json!({ "data": sent[1]["data"] })));
    let inserts = vec![(DocId::new("8").unwrap(), insert.digest.unwrap())];
    assert_eq!(received.mark, Some(Mark { number: 77, inserts }), "the insert that follows is known by it");
    assert_eq!(received.event.names().map(|id| id.as_str()).collect::<Vec<_>>(), ["7", "8"]);
    assert!(Query::parse(&echo["query"]).unwrap().matches(&json!({ "id": 7 })), "a number at the client");
    let plain = one(&event("delete", json!({ "query": { MARK: 77 } })));
    assert_eq!(plain.mark, None, "a document may have a field of that name");
    for spoiled in [json!([1]), json!({ "8": "x", "": 1 }), json!(null)] {
        let mut echo = echo.clone();
        echo["query"][INSERTS] = spoiled;
        assert_eq!(one(&echo).mark, Some(Mark { number: 77, inserts: Vec::new() }));
    }
}

#[test]
fn the_document_id_form_means_one_document() {
    let fields = one(&event("update", json!({ "documentId": "a", "data": { "x.y": 1 } })));
    let LiveEdit::Update { query, update, candidates, .. } = &fields.event.edit else { panic!("{fields:?}") };
    let mut document = json!({ "id": "a" }).as_object().unwrap().clone();
    assert!(query.matches(&json!({ "id": "a" })) && !query.matches(&json!({ "id": "b" })));
    update.apply(&mut document).unwrap();
    assert_eq!(Value::Object(document), json!({ "id": "a", "x.y": 1 }));
    assert_eq!(candidates.as_ref().unwrap().len(), 1);
    let operators = one(&event("update", json!({ "documentId": 5, "update": { "$inc": { "n": 1 } } })));
    assert_eq!(operators.event.names().map(|id| id.as_str()).collect::<Vec<_>>(), ["5"]);
    let removed = one(&event("delete", json!({ "documentId": "a" })));
    assert!(matches!(&removed.event.edit, LiveEdit::Remove { query, .. } if query.matches(&json!({ "id": "a" }))));
}

#[test]
fn ids_are_texts_or_numbers_and_stand_once() {
    let stored = |data: &str| {
        let text = format!(r#"[{{"id":"e","type":"insert","collection":"c","data":{data}}}]"#);
        match whole(&text, CLIENT, &Limits::default()).unwrap().remove(0).event.edit {
            LiveEdit::Insert { id, body } => format!("{id} {}", body.text()),
            LiveEdit::Unusable(why) => why.code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(stored(r#"{"n":1.50,"id":"a","_id":"a"}"#), r#"a {"_id":"a","n":1.50}"#);
    assert_eq!(stored(r#"{"id":5.0}"#), r#"5 {"_id":5}"#);
    assert_eq!(stored(r#"{"id":"a","_id":"b"}"#), "reserved_field");
    assert_eq!(stored(r#"{"id":null}"#), "malformed_element");
    assert_eq!(stored(r#"{"id":""}"#), "malformed_id");
    assert_eq!(stored(r#"{"n":1}"#), "malformed_element");
    let beside = event("insert", json!({ "documentId": "a", "data": { "n": 1 } }));
    assert!(one(&beside).event.names().any(|id| id.as_str() == "a"), "the event says it");
    assert_eq!(code(&event("insert", json!({ "documentId": "a", "data": { "id": "b" } }))), "malformed_element");
}

#[test]
fn what_is_wrong_with_an_element_is_said_and_stops_no_other() {
    let good = event("insert", json!({ "id": "good", "data": { "id": "a" } }));
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let cases = [
        (json!(null), "malformed_element"),
        (json!([]), "malformed_element"),
        (json!("x"), "malformed_element"),
        (json!({}), "malformed_element"),
        (event("insert", json!({ "id": null, "data": { "id": "a" } })), "malformed_element"),
        (event("insert", json!({ "id": "", "data": { "id": "a" } })), "malformed_element"),
        (event("upsert", json!({})), "malformed_element"),
        (event("insert", json!({ "type": 5 })), "malformed_element"),
        (event("insert", json!({ "collection": null, "data": { "id": "a" } })), "malformed_element"),
        (event("insert", json!({ "collection": "no/name", "data": { "id": "a" } })), "malformed_id"),
        (event("insert", json!({ "data": null })), "malformed_element"),
        (event("insert", json!({ "data": [1] })), "malformed_element"),
        (event("insert", json!({ "data": { "id": "a", "deep": deep } })), "too_deep"),
        (event("insert", json!({ "data": { "id": "a", "long": "x".repeat(2_000) } })), "document_too_large"),
        (event("update", json!({ "query": {} })), "malformed_element"),
        (event("update", json!({ "query": {}, "update": [] })), "malformed_update"),
        (event("update", json!({ "query": {}, "update": { "$set": { "id": {} } } })), "malformed_element"),
        (event("update", json!({ "query": {}, "update": { "$set": { "a": deep } } })), "too_deep"),
        (event("delete", json!({})), "malformed_element"),
        (event("delete", json!({ "query": "x" })), "malformed_query"),
        (event("delete", json!({ "query": { "s": { "$regex": "(?=a)" } } })), "unsupported_pattern"),
    ];
    let limits = Limits { document_bytes: 1_000, ..Limits::default() };
    for (bad, expected) in cases {
        let text = json!([good, bad, good]).to_string();
        let received = whole(&text, CLIENT, &limits).unwrap();
        let LiveEdit::Unusable(why) = &received[1].event.edit else { panic!("{bad}") };
        assert_eq!(why.code, expected, "{bad}");
        assert_eq!(received[1].event.raw, bad.to_string(), "the quarantine shows it as it was sent");
        assert!([0, 2].iter().all(|n| matches!(received[*n].event.edit, LiveEdit::Insert { .. })));
        assert_eq!(received[0].event.key, received[2].event.key);
    }
}

#[test]
fn what_is_too_large_is_named_as_far_as_it_has_a_name() {
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let said = |bad: Value| {
        let received = whole(&json!([bad]).to_string(), CLIENT, &Limits::default()).unwrap();
        let LiveEdit::Unusable(why) = &received[0].event.edit else { panic!("{bad}") };
        why.reason.clone()
    };
    for (bad, words) in [
        (event("delete", json!({ "query": { "a": deep } })), "delete in `users` nests this deep"),
        (event("update", json!({ "query": {}, "update": { "$set": { "a": deep } } })), "update in `users` nests"),
        (
            event("insert", json!({ "documentId": "ann", "data": { "id": "ann", "a": deep } })),
            "document `ann` for `users`",
        ),
        (event("insert", json!({ "data": { "id": "ann", "a": deep } })), "a document for `users` nests"),
    ] {
        let said = said(bad);
        assert!(said.starts_with(words), "{said}");
    }
}

#[test]
fn only_what_is_no_list_is_refused_as_a_whole() {
    for text in ["null", "{}", "\"x\"", "7", "", "[", "[1,", "\u{0}"] {
        let refused = whole(text, CLIENT, &Limits::default());
        assert!(matches!(refused, Err(Malformed::Json { .. })), "{text}");
    }
    assert!(received(&json!([])).is_empty());
}

#[test]
fn a_long_list_is_read_in_pieces_and_each_element_once() {
    let insert = |n: usize| event("insert", json!({ "id": format!("e{n}"), "data": { "id": n } })).to_string();
    let list = format!(" [ {} ]\n", (0..2_500).map(insert).collect::<Vec<_>>().join(" ,\n"));
    let (mut sizes, mut ids, mut place) = (Vec::new(), Vec::new(), Some(Place::default()));
    while let Some(from) = place {
        let piece = read(&list, from, CLIENT, &Limits::default()).unwrap();
        sizes.push(piece.received.len());
        for one in piece.received {
            let spelled: Value = serde_json::from_str(&list[one.place.clone()]).unwrap();
            let LiveEdit::Insert { id, .. } = one.event.edit else { panic!("an insert") };
            assert_eq!(spelled["data"]["id"].to_string(), id.as_str());
            ids.push(id.as_str().to_owned());
        }
        place = piece.rest;
    }
    assert_eq!(sizes, [1_000, 1_000, 500]);
    assert_eq!(ids, (0..2_500).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn the_same_garbage_again_and_again_is_one_event() {
    let list = format!("[{}0]", "0,".repeat(100_000));
    let piece = read(&list, Place::default(), CLIENT, &Limits::default()).unwrap();
    assert_eq!((piece.received.len(), piece.rest), (1, None));
}

#[test]
fn a_query_is_refused_before_its_values_take_memory() {
    let asks = |value: Value, many: usize| code(&event("delete", json!({ "query": { "a": vec![value; many] } })));
    assert_eq!(asks(json!(0), 200_002), "query_too_large");
    let text = json!(",\"\\,".repeat(10));
    let listed = event("delete", json!({ "query": { "a": { "$in": vec![text; 100_000] } } }));
    assert!(matches!(one(&listed).event.edit, LiveEdit::Remove { .. }), "commas in texts are none");
}

#[test]
fn a_piece_ends_with_its_patterns() {
    let fields = |many: usize| (0..many).map(|n| (format!("a{n}"), json!({ "$regex": "\\w{40}" }))).collect::<Value>();
    let asks = |n: usize, many: usize| event("delete", json!({ "id": format!("e{n}"), "query": fields(many) }));
    let list = json!([asks(0, 30), asks(1, 30), asks(2, 51), asks(3, 1)]).to_string();
    let (mut codes, mut place) = (Vec::new(), Some(Place::default()));
    while let Some(from) = place {
        let piece = read(&list, from, CLIENT, &Limits::default()).unwrap();
        let code = |one: &Received| match &one.event.edit {
            LiveEdit::Unusable(why) => why.code.clone(),
            _ => "read".to_owned(),
        };
        codes.push(piece.received.iter().map(code).collect::<Vec<_>>());
        place = piece.rest;
    }
    assert_eq!(codes, [vec!["read", "read"], vec!["query_too_large"], vec!["read"]]);
}

#[test]
fn the_same_id_of_another_client_is_another_event() {
    let list = json!([event("insert", json!({ "data": { "id": "a" } }))]).to_string();
    let key = |client: &str| whole(&list, client, &Limits::default()).unwrap()[0].event.key;
    assert_ne!(key("a"), key("b"));
    assert_eq!(key("a"), key("a"));
}

#[test]
fn an_id_is_the_same_however_it_is_spelled_and_no_garbage_has_it() {
    let list = r#"[{"id":"5"},{"id":5},{"id":"\u0035"},"5",5,{"id":"6"}]"#;
    let keys: Vec<_> = whole(list, CLIENT, &Limits::default()).unwrap().iter().map(|one| one.event.key).collect();
    // Unusable ones with the same id are one.
    assert_eq!(keys.len(), 4);
    assert!((1..4).all(|n| !keys[..n].contains(&keys[n])));
}

#[test]
fn a_time_is_a_number_of_milliseconds() {
    let time = |time: Value| one(&event("delete", json!({ "query": {}, "timestamp": time }))).event.time;
    assert_eq!(time(json!(1_795_251_315_046_u64)), Some(Millis(1_795_251_315_046)));
    assert_eq!(time(json!(5.9)), Some(Millis(5)));
    for odd in [json!(null), json!("5"), json!(-5), json!(1e300), json!({})] {
        assert_eq!(time(odd.clone()), None, "{odd}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}", brackets in r#"[\[\]{}",:a-c0-9 ]{0,100}"#) {
        for text in [text.as_str(), brackets.as_str(), &format!("[{brackets}]"), &format!("[{{{brackets}}}]")] {
            if let Ok(list) = whole(text, CLIENT, &Limits::default()) {
                prop_assert!(list.iter().all(|element| element.mark.is_none()));
            }
        }
    }

    #[test]
    fn an_event_with_a_wound_is_read_or_set_aside(cut in 0usize..400, put in any::<u8>()) {
        let event = event("update", json!({
            "query": { "$and": [{ "id": { "$in": ["a"] } }], "n": { "$regex": "^a" } }, "update": { "$set": { "a.b": [1] } },
        }));
        let mut bytes = json!([event]).to_string().into_bytes();
        let cut = cut % bytes.len();
        bytes[cut] = put;
        if let Ok(text) = String::from_utf8(bytes)
            && let Ok(list) = whole(&text, CLIENT, &Limits::default())
        {
            prop_assert!(list.len() <= 2);
        }
    }

    #[test]
    fn what_is_told_comes_back_with_the_same_digest(
        id in "[a-z\"\\\\é0-9-]{1,8}", names in prop::collection::vec("[a-zé_$.\"]{1,4}", 0..4), n in any::<f64>(),
    ) {
        let mut stored = json!({ "_id": id });
        for name in names {
            stored[&name] = json!([n, id]);
        }
        stored["_id"] = json!(id);
        let body = stored.to_string();
        let mut writer = StateWriter::new(3);
        writer.put(&Told { collection: "users", id: &id, body: Some(&body), lsn: Lsn(1), at: Millis(1) });
        let (text, stated) = writer.finish();
        let sent: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(sent[0]["clientId"].as_str(), Some(HUB_CLIENT));
        let received = one(&sent[1]);
        prop_assert_eq!(&stated, &[Stated { collection: "users".into(), id: id.clone(), digest: received.digest }]);
        let LiveEdit::Insert { id: read, .. } = received.event.edit else { panic!("an insert") };
        prop_assert_eq!(read.as_str(), id);
    }
}
