//! Packets of any form are read without harm, and what is wrong is named by its place.

use super::{Header, Side, Telling, UNKNOWN_TYPE, open, packet_key, put_entity, put_packet};
use crate::model::{
    Author, CollectionName, Entity, EntityEdit, Limits, Lsn, Malformed, Mark, Meta, Millis, NodeId, Rejection, Stamp,
};
use proptest::prelude::{any, prop, prop_assert_eq, proptest};
use serde_json::{Value, json};

const NODE: &str = "11111111-1111-4111-8111-000000000001";
const HUB: &str = "00000000-0000-4000-8000-000000000000";
const DOC: &str = "22222222-2222-4222-8222-000000000001";

fn packet(entities: &Value) -> Value {
    json!({
        "header": { "sender_node_id": NODE, "recipient_node_id": HUB, "packet_no": 1, "ack_packet_no": 0,
                    "schema_version": "1.2.0", "timestamp": "2025-12-12T10:00:00Z" },
        "body": { "entities": entities }
    })
}

fn any_type(kind: &str) -> Result<CollectionName, Rejection> {
    CollectionName::new(kind).map_err(|e| Rejection { code: UNKNOWN_TYPE.to_owned(), reason: e.to_string() })
}

fn read(packet: &Value, limits: &Limits) -> Result<(Header, Vec<Entity>), Malformed> {
    let text = packet.to_string();
    let opened = open(text.as_bytes(), Side::Node)?;
    let entities = opened.elements()?.entities(limits, any_type)?;
    Ok((opened.header, entities))
}

fn entities(list: &Value) -> Vec<Entity> {
    read(&packet(list), &Limits::default()).unwrap().1
}

/// The place that a refusal names.
fn place(packet: &Value) -> String {
    match read(packet, &Limits::default()) {
        Err(Malformed::Element { at, .. }) => at,
        other => panic!("{packet}: {other:?}"),
    }
}

#[test]
fn whatever_is_wrong_with_the_head_is_named() {
    let with = |name: &str, value: Value| {
        let mut packet = packet(&json!([]));
        packet["header"][name] = value;
        packet
    };
    for name in ["sender_node_id", "recipient_node_id", "packet_no", "ack_packet_no", "schema_version"] {
        for wrong in [json!(null), json!([1]), json!({}), json!("x"), json!(-1), json!(1.5), json!(true)] {
            assert_eq!(place(&with(name, wrong)), format!("header.{name}"));
        }
    }
    for wrong in [json!(0), json!(1_u64 << 53), json!(u64::MAX), json!("1")] {
        assert_eq!(place(&with("packet_no", wrong)), "header.packet_no");
    }
    for wrong in ["1", "1.2", "1.2.x", "1.2.3.4", "v1.2.3", ""] {
        assert_eq!(place(&with("schema_version", json!(wrong))), "header.schema_version");
    }
    assert_eq!(place(&json!({ "body": { "entities": [] } })), "header");
    assert_eq!(place(&json!([])), "packet");
    for body in [json!(null), json!([]), json!([[]]), json!({}), json!({ "entities": {} }), json!({ "entities": null })]
    {
        let mut packet = packet(&json!([]));
        packet["body"] = body;
        assert!(place(&packet).starts_with("body"), "{packet}");
    }
}

#[test]
fn a_byte_order_mark_before_a_packet_is_passed_over_and_nowhere_else() {
    let text = packet(&json!([{ "type": "Report", "uuid": DOC, "operation": "DELETE" }])).to_string();
    let opened = |text: &str| {
        let opened = open(text.as_bytes(), Side::Node)?;
        let count = opened.elements().map(|elements| elements.count());
        Ok::<_, Malformed>((opened.header, count))
    };
    let plain = opened(&text).unwrap();
    assert_eq!(format!("{:?}", opened(&format!("\u{feff}{text}")).unwrap()), format!("{plain:?}"));
    for wrong in [format!("\u{feff}\u{feff}{text}"), format!("{text}\u{feff}"), "\u{feff}".to_owned()] {
        assert!(matches!(opened(&wrong), Err(Malformed::Json { .. })), "{wrong}");
    }
}

#[test]
fn whatever_is_wrong_with_an_entity_is_named() {
    let good = json!({ "type": "Report", "uuid": DOC, "operation": "UPDATE", "data": { "a": 1 } });
    let cases = [
        ("type", vec![json!(null), json!(7), json!("")]),
        ("uuid", vec![json!(null), json!(7), json!("abc"), json!(format!("{DOC}0")), json!(DOC.replace('-', "_"))]),
        ("operation", vec![json!(null), json!("insert"), json!("UPSERT"), json!(1)]),
        ("data", vec![json!(null), json!([]), json!("x"), json!(1)]),
        ("unset", vec![json!("a"), json!([1])]),
    ];
    for (name, values) in cases {
        for value in values {
            let mut bad = good.clone();
            bad[name] = value;
            assert_eq!(place(&packet(&json!([good, bad]))), format!("body.entities[1].{name}"), "{bad}");
        }
        let mut bad = good.clone();
        if name != "unset" {
            bad.as_object_mut().unwrap().remove(name);
            assert_eq!(place(&packet(&json!([bad]))), format!("body.entities[0].{name}"));
        }
    }
    assert_eq!(place(&packet(&json!([good, 7]))), "body.entities[1]");
    let delete = json!({ "type": "Report", "uuid": DOC, "operation": "DELETE", "data": {} });
    assert_eq!(place(&packet(&json!([delete]))), "body.entities[0].data");
}

#[test]
fn text_that_is_no_json_is_no_packet() {
    for text in ["", "{\"header\":", "nonsense", "{} {}", "{\"header\":{}}x"] {
        assert!(matches!(open(text.as_bytes(), Side::Node), Err(Malformed::Json { .. })), "{text}");
    }
    assert!(matches!(open(b"\"\xff\"", Side::Node), Err(Malformed::Json { .. })));
}

#[test]
fn an_entity_over_a_limit_or_of_a_strange_type_is_set_aside_alone() {
    let of = |kind: &str, data: Value| json!({ "type": kind, "uuid": DOC, "operation": "INSERT", "data": data });
    let limits = Limits { document_bytes: 100, depth: 3, ..Limits::default() };
    let list = json!([
        of("Report", json!({ "long": "x".repeat(100) })),
        of("Report", json!({ "deep": [[[1]]] })),
        of("no/name", json!({})),
        of("Report", json!({ "_id": "another" })),
        of("Report", json!({ "_id": DOC, "a": 1 })),
    ]);
    let (_, read) = read(&packet(&list), &limits).unwrap();
    let codes: Vec<_> = read
        .iter()
        .map(|entity| match &entity.edit {
            EntityEdit::Unusable(why) => why.code.as_str(),
            EntityEdit::Put { sent, .. } => sent.text(),
            EntityEdit::Remove { .. } => "removed",
        })
        .collect();
    let kept = format!(r#"{{"_id":"{DOC}","a":1}}"#);
    assert_eq!(codes, ["document_too_large", "too_deep", UNKNOWN_TYPE, "reserved_field", &kept]);
}

#[test]
fn what_was_sent_stands_behind_its_id_each_field_once() {
    let data = format!(r#"{{ "a": 1, "_id": "{DOC}", "b\u0063": [ 1.50 ], "a": 2 }}"#);
    let entity = format!(r#"{{"type":"R","uuid":"{DOC}","operation":"INSERT","data":{data}}}"#);
    let packet = packet(&json!([])).to_string().replace(r#""entities":[]"#, &format!(r#""entities":[{entity}]"#));
    let elements = open(packet.as_bytes(), Side::Node).unwrap().elements().unwrap();
    let read = elements.entities(&Limits::default(), any_type).unwrap();
    let EntityEdit::Put { sent, .. } = &read[0].edit else { panic!("{read:?}") };
    assert_eq!(sent.text(), format!(r#"{{"_id":"{DOC}","a":2,"bc":[ 1.50 ]}}"#));
    assert_eq!(read[0].raw, entity);
}

#[test]
fn the_time_comes_from_the_data_then_from_the_entity() {
    let at = |data: Value, beside: Value| {
        let entity = json!({ "type": "R", "uuid": DOC, "operation": "UPDATE", "data": data, "updated_at": beside });
        entities(&json!([entity]))[0].time
    };
    let time = |text| Millis::parse(text);
    let (early, late) = ("2025-12-12T10:00:01.000Z", "2025-12-12T10:00:02.000Z");
    assert_eq!(at(json!({ "updated_at": early }), json!(late)), time(early));
    assert_eq!(at(json!({ "updated_at": "2025-12-12T10:00:01" }), json!(null)), time(early));
    assert_eq!(at(json!({}), json!(late)), time(late));
    assert_eq!(at(json!({ "updated_at": 7 }), json!("soon")), None);
}

#[test]
fn a_packet_is_known_by_its_contents_not_by_its_layout() {
    let node = NodeId::new(NODE).unwrap();
    let list = json!([{ "type": "R", "uuid": DOC, "operation": "UPDATE",
                         "data": { "a": "b \\\" c", "deep": [{ "d e": [" f\t", 1] }, []] } }]);
    let pretty = serde_json::to_string_pretty(&packet(&list)).unwrap();
    let elements = open(pretty.as_bytes(), Side::Node).unwrap().elements().unwrap();
    let other = elements.entities(&Limits::default(), any_type).unwrap();
    let key = packet_key(&node, 1, &entities(&list));
    assert_eq!(key, packet_key(&node, 1, &other));
    assert_ne!(key, packet_key(&node, 2, &other));
    assert_ne!(key, packet_key(&node, 1, &[]));
    for (there, then) in [("b ", "b"), ("d e", "de"), (" f", "f"), ("1]", "11]"), ("[]", "[[]]"), ("UPDATE", "INSERT")]
    {
        let changed = serde_json::from_str(&list.to_string().replacen(there, then, 1)).unwrap();
        assert_ne!(key, packet_key(&node, 1, &entities(&changed)), "{changed}");
    }
}

fn told(meta: &str, confirmed: u64, created: u64, whole_objects: bool) -> Value {
    let body = format!(r#"{{"_id":"{DOC}","n":1.50,"deep":{{"_id":"inner"}}}}"#);
    let told = Telling {
        lost: &[],
        kind: "Report",
        uuid: DOC,
        live: true,
        outside: false,
        new: created > confirmed,
        confirmed: Lsn(confirmed),
        created: Lsn(created),
        whole_objects,
        meta,
        body: &body,
    };
    let mut out = b"[".to_vec();
    let written = put_entity(&mut out, &told, true);
    out.push(b']');
    let list: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(list.as_array().unwrap().len(), written);
    list
}

#[test]
fn a_node_of_whole_objects_is_told_which_rows_are_only_outside_of_its_filter() {
    for (whole_objects, said) in [(true, json!(true)), (false, Value::Null)] {
        let told = Telling { live: false, outside: true, whole_objects, ..telling() };
        let mut out = Vec::new();
        put_entity(&mut out, &told, true);
        let entity: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            (&entity["operation"], &entity["data"], &entity["outside"]),
            (&json!("DELETE"), &Value::Null, &said)
        );
    }
}

fn telling() -> Telling<'static> {
    let (confirmed, created) = (Lsn(0), Lsn(1));
    let (kind, uuid, meta, body, lost) = ("Report", DOC, "", "{}", &[]);
    let (live, outside, new, whole_objects) = (true, false, true, false);
    Telling { kind, uuid, live, outside, new, confirmed, created, whole_objects, meta, body, lost }
}

fn operations(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entity| entity["operation"].as_str().unwrap()).collect()
}

fn mark(ms: u64, lsn: u64) -> Mark {
    Mark { stamp: Stamp::at(Millis(ms)), lsn: Lsn(lsn), author: Author(1) }
}

#[test]
fn a_document_travels_as_it_is_spelled_without_its_id() {
    for spelling in ["{\"_id\":\"ID\",\"n\":1.50}", "{ \"n\":1.50, \"_id\":\"ID\" }"] {
        let body = spelling.replace("ID", DOC);
        let told = Telling {
            lost: &[],
            kind: "Report",
            uuid: DOC,
            live: true,
            outside: false,
            new: true,
            confirmed: Lsn(0),
            created: Lsn(3),
            whole_objects: false,
            meta: "",
            body: &body,
        };
        let (mut list, mut out) = (Vec::new(), Vec::new());
        put_entity(&mut list, &told, true);
        put_entity(&mut list, &Telling { live: false, ..told }, false);
        put_packet(&mut out, &Header::default(), &list);
        let text = String::from_utf8(out).unwrap();
        let expected = format!(
            r#""body":{{"entities":[{{"type":"Report","uuid":"{DOC}","operation":"INSERT","data":{{"n":1.50}}}},{{"type":"Report","uuid":"{DOC}","operation":"DELETE","data":null}}]}}}}"#
        );
        assert!(text.ends_with(&expected), "{text}");
        assert!(!text.contains("has_more") && !text.contains("rejected"), "extensions only where they say something");
    }
}

#[test]
fn fields_that_are_gone_do_not_stay_with_a_node_that_only_sets_fields() {
    let unset = Meta { again: true, fields: [("gone".to_owned(), mark(9, 9))].into(), ..Meta::inserted(mark(1, 3)) };
    let unset = serde_json::to_string(&unset).unwrap();
    let list = told(&unset, 5, 3, false);
    assert_eq!((operations(&list), &list[0]["data"]["gone"]), (vec!["UPDATE"], &json!(null)));
    assert!(list[0]["data"].as_object().unwrap().contains_key("gone"));
    assert!(told(&unset, 5, 3, true)[0]["data"].get("gone").is_none(), "it takes the object as it is");

    let replaced = Meta { again: true, shrunk: Lsn(9), floor: mark(9, 9).stamp, ..Meta::inserted(mark(9, 9)) };
    let replaced = serde_json::to_string(&Meta { created: Lsn(3), ..replaced }).unwrap();
    assert_eq!(operations(&told(&replaced, 5, 3, false)), ["DELETE", "INSERT"]);
    assert_eq!(operations(&told(&replaced, 9, 3, false)), ["UPDATE"], "it had that before");

    let reborn = Meta { again: true, shrunk: Lsn(9), removed: Some(mark(5, 7)), ..Meta::inserted(mark(9, 9)) };
    let reborn = serde_json::to_string(&reborn).unwrap();
    assert_eq!(operations(&told(&reborn, 5, 9, false)), ["DELETE", "INSERT"]);
    assert_eq!(operations(&told(&reborn, 7, 9, false)), ["INSERT"], "it has dropped the old one");
}

proptest! {
    #[test]
    fn garbage_is_refused_or_read_and_never_more(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(elements) = open(&bytes, Side::Node).and_then(|opened| opened.elements()) {
            drop(elements.entities(&Limits::default(), any_type));
        }
    }

    #[test]
    fn a_packet_with_a_wound_is_refused_or_read(cut in 0usize..600, put in any::<u8>(), insert in any::<bool>()) {
        let list = json!([
            { "type": "R", "uuid": DOC, "operation": "INSERT", "data": { "a": [1, { "b": "\u{e9}\n" }], "updated_at": "2025-12-12" } },
            { "type": "R", "uuid": DOC, "operation": "DELETE", "data": null, "unset": ["a"] },
        ]);
        let mut bytes = packet(&list).to_string().into_bytes();
        let cut = cut % bytes.len();
        if insert { bytes.insert(cut, put) } else { bytes[cut] = put }
        if let Ok(elements) = open(&bytes, Side::Node).and_then(|opened| opened.elements()) {
            drop(elements.entities(&Limits::default(), any_type));
        }
        drop(open(&bytes[..cut], Side::Hub));
    }

    #[test]
    fn what_an_envelope_says_is_what_is_read(number in 1u64..1 << 53, ack in 0u64..1 << 53, a in any::<i64>()) {
        let mut sent = packet(&json!([{ "type": "R", "uuid": DOC, "operation": "UPDATE", "data": { "a": a } }]));
        sent["header"]["packet_no"] = json!(number);
        sent["header"]["ack_packet_no"] = json!(ack);
        let (header, entities) = read(&sent, &Limits::default()).unwrap();
        prop_assert_eq!((header.packet_no, header.ack_packet_no), (number, ack));
        let EntityEdit::Put { sent, insert: false, .. } = &entities[0].edit else { panic!("{entities:?}") };
        prop_assert_eq!(sent.text(), format!(r#"{{"_id":"{DOC}","a":{a}}}"#));
    }
}
