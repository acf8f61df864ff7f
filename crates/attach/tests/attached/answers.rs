//! What the hub says of the packets that it gets, and processes that end in between.

use crate::app::{Engine, on_both};
use crate::centre::{Centre, step, sync};
use serde_json::json;
use syncline_attach::AttachError;

on_both!(
    an_answer_that_another_process_has_taken_in_already_is_not_taken_twice,
    an_answer_that_is_none_changes_nothing,
    an_object_that_the_hub_does_not_take_is_told_and_goes_again_when_it_is_edited,
    an_edit_that_lost_is_told_with_both_sides,
    a_process_that_dies_between_two_steps_loses_nothing_and_does_nothing_twice,
);

const NOTES: &str = "CREATE TABLE notes(id $KEY, t text);";
const NOTE: &str = "[types.Note]\ntable = \"notes\"\n";

fn an_answer_that_another_process_has_taken_in_already_is_not_taken_twice(engine: Engine) {
    let (centre, a) = (Centre::default(), engine.app(NOTES, NOTE));
    let (mut first, mut second) = (a.attach().unwrap(), a.attach().unwrap());
    sync(&mut first, &centre);
    a.run("INSERT INTO notes(t) VALUES ('x')");
    let sent = first.compose().unwrap();
    let answer = centre.answer(&sent.text);
    let same = second.compose().unwrap();
    assert_eq!(same, sent);
    second.take(&same, answer.as_bytes()).unwrap();
    assert!(matches!(first.take(&sent, answer.as_bytes()), Err(AttachError::Overtaken)));
    sync(&mut first, &centre);
    assert_eq!(centre.all("Note").len(), 1);
}

fn an_answer_that_is_none_changes_nothing(engine: Engine) {
    let (centre, a) = (Centre::default(), engine.app(NOTES, NOTE));
    let mut attached = a.attach().unwrap();
    sync(&mut attached, &centre);
    a.run("INSERT INTO notes(t) VALUES ('x')");
    let sent = attached.compose().unwrap();
    let answer = centre.answer(&sent.text);
    let acknowledged = format!("\"ack_packet_no\":{}", sent.number);
    assert!(answer.contains(&acknowledged), "{answer}");
    for (wrong, said) in [
        ("<html>".to_owned(), "JSON"),
        (answer.replace("00000000-0000-4000-8000-000000000000", "99999999-0000-4000-8000-000000000000"), "hub_id"),
        (answer.replace(&acknowledged, "\"ack_packet_no\":0"), "another one"),
        (answer.replace("1.0.0", "2.0.0"), "first numbers"),
    ] {
        let refused = attached.take(&sent, wrong.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
        assert_eq!(attached.status().unwrap().waiting["Note"], 1);
    }
    attached.take(&sent, answer.as_bytes()).unwrap();
    assert!(attached.status().unwrap().waiting.is_empty());
}

fn an_object_that_the_hub_does_not_take_is_told_and_goes_again_when_it_is_edited(engine: Engine) {
    let (centre, a) = (Centre::default(), engine.app(NOTES, NOTE));
    a.sync(&centre);
    centre.reject("Note");
    a.run("INSERT INTO notes(t) VALUES ('x')");
    let taken = a.sync(&centre);
    assert_eq!((taken.confirmed, taken.aside), (0, 1));
    let status = a.status();
    assert_eq!((status.aside[0].direction.as_str(), status.aside[0].reason.as_str()), ("out", "not here"));
    a.run("UPDATE notes SET t = 'y'");
    let (sent, _) = step(&mut a.attach().unwrap(), &centre);
    assert!(sent.text.contains(r#""operation":"INSERT","data":{"t":"y"}"#), "{}", sent.text);
}

fn an_edit_that_lost_is_told_with_both_sides(engine: Engine) {
    let (centre, a) = (Centre::default(), engine.app(NOTES, NOTE));
    a.run("INSERT INTO notes(t) VALUES ('x')");
    let mut attached = a.attach().unwrap();
    sync(&mut attached, &centre);
    let (id, _) = centre.only("Note");
    a.run("UPDATE notes SET t = 'ours'");
    let sent = attached.compose().unwrap();
    centre.answer(&sent.text);
    centre.set("Note", &id, json!({"t": "theirs"}));
    let taken = attached.take(&sent, centre.answer(&sent.text).as_bytes()).unwrap();
    assert_eq!(taken.conflicts, 1);
    let told = &attached.status().unwrap().conflicts[0];
    assert_eq!((told.ours.as_deref(), told.theirs.as_deref()), (Some(r#"{"t":"ours"}"#), Some(r#"{"t":"theirs"}"#)));
    assert_eq!(a.rows("SELECT t FROM notes"), ["theirs"]);
}

fn a_process_that_dies_between_two_steps_loses_nothing_and_does_nothing_twice(engine: Engine) {
    let (centre, a) = (Centre::default(), engine.app(NOTES, NOTE));
    a.sync(&centre);
    for n in 0..20 {
        a.run(&format!("INSERT INTO notes(t) VALUES ('n{n}')"));
        let mut attached = a.attach().unwrap();
        let sent = attached.compose().unwrap();
        if n % 3 > 0 {
            let answer = centre.answer(&sent.text);
            if n % 3 == 2 {
                attached.take(&sent, answer.as_bytes()).unwrap();
            }
        }
    }
    a.sync(&centre);
    assert_eq!(centre.all("Note").len(), 20);
    assert_eq!(a.rows("SELECT count(*) FROM sync_changes"), ["0"]);
}
