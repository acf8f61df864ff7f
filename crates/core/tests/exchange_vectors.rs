//! Recorded packets of both directions, as the codec reads them.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy does not take for tests
use serde_json::Value;
use syncline_core::model::{CollectionName, EntityEdit, Limits, Malformed, Rejection};
use syncline_core::wire::exchange::{Elements, Envelope, Side, open};

fn steps() -> Vec<Value> {
    let path = format!("{}/../../spec/vectors/exchange-sequences.json", env!("CARGO_MANIFEST_DIR"));
    let vector: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let sequences = vector["sequences"].as_array().unwrap().iter();
    sequences.flat_map(|sequence| sequence["steps"].as_array().unwrap().clone()).collect()
}

fn any_type(kind: &str) -> Result<CollectionName, Rejection> {
    Ok(CollectionName::new(kind).unwrap())
}

fn operations(elements: &Elements<'_>) -> Vec<(String, &'static str)> {
    let entities = elements.entities(&Limits::default(), any_type).unwrap();
    let operation = |edit: &EntityEdit| match edit {
        EntityEdit::Put { insert: true, .. } => "INSERT",
        EntityEdit::Put { insert: false, .. } => "UPDATE",
        EntityEdit::Remove { .. } => "DELETE",
        EntityEdit::Unusable(why) => panic!("{why:?}"),
    };
    entities.iter().map(|entity| (entity.uuid.to_string(), operation(&entity.edit))).collect()
}

fn expected(envelope: &Value) -> Vec<(String, &str)> {
    let entities = envelope["body"]["entities"].as_array().unwrap().iter();
    entities.map(|e| (e["uuid"].as_str().unwrap().to_owned(), e["operation"].as_str().unwrap())).collect()
}

#[test]
fn every_recorded_packet_is_read_as_it_was_meant() {
    let accepted: Vec<Value> = steps().into_iter().filter(|step| step["status"] == 200).collect();
    assert!(accepted.len() > 15);
    for step in accepted {
        for (side, envelope) in [(Side::Node, &step["request"]), (Side::Hub, &step["response"])] {
            let text = envelope.to_string();
            let opened = open(text.as_bytes(), side).unwrap();
            assert_eq!(operations(&opened.elements().unwrap()), expected(envelope));
            let header = serde_json::to_value(&opened.header).unwrap();
            assert_eq!(header, envelope["header"], "nothing is lost, and nothing is added");
        }
    }
}

#[test]
fn an_envelope_is_written_as_it_was_recorded() {
    for step in steps().into_iter().filter(|step| step["status"] == 200) {
        let envelope: Envelope = serde_json::from_value(step["response"].clone()).unwrap();
        assert_eq!(serde_json::to_value(&envelope).unwrap(), step["response"]);
    }
}

#[test]
fn recorded_refusals_of_the_form_name_the_element() {
    let of = |note: &str| steps().into_iter().find(|step| step["note"] == note).unwrap()["request"].clone();
    let broken = of("broken JSON");
    assert!(matches!(open(broken.as_str().unwrap().as_bytes(), Side::Node), Err(Malformed::Json { .. })));
    let text = of("packet_no is no number").to_string();
    let refused = open(text.as_bytes(), Side::Node).unwrap_err();
    assert!(refused.to_string().contains("header.packet_no"), "{refused}");
}
