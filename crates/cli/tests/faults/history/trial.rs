//! The judge must not be blind.

use super::{Answer, Change, Deed, Log, Sent, Value, fields, json};

fn put(lsn: u64, marks: &[&str]) -> Change {
    let mut doc = marks.iter().flat_map(|mark| fields(mark)).collect::<super::Map<_, _>>();
    doc.insert("_id".into(), json!("d"));
    Change { lsn, doc: Some(Value::Object(doc)) }
}

fn log(versions: Vec<Change>) -> Log {
    Log { versions: [(("c".to_owned(), "d".to_owned()), versions)].into(), ..Log::default() }
}

fn sent(mark: &str, answer: Answer) -> Sent {
    Sent { collection: "c".into(), id: "d".into(), mark: mark.into(), deed: Deed::Update, answer }
}

fn applied(lsn: u64) -> Answer {
    Answer::Receipt { result: "applied".into(), lsn }
}

fn passes(log: &Log, sent: &[Sent]) -> bool {
    log.verdict(sent).is_ok()
}

#[test]
fn a_faultless_history_passes() {
    let removed = Change { lsn: 3, doc: None };
    let remove = Sent { deed: Deed::Remove, ..sent("z", applied(3)) };
    let ops = [sent("x", applied(1)), sent("y", Answer::Accepted), remove, sent("never", Answer::None)];
    assert!(passes(&log(vec![put(1, &["x"]), put(2, &["x", "y"]), removed]), &ops));
}

#[test]
fn ops_in_their_order_pass() {
    let there = log(vec![put(1, &["x"]), put(2, &["x", "y"]), put(5, &["x", "y", "z"])]);
    there.in_order(&[sent("x", Answer::Accepted), sent("lost", Answer::None), sent("y", applied(2))]);
    there.in_order(&[sent("y", applied(2)), sent("z", applied(5))]);
}

#[test]
#[should_panic(expected = "took effect before")]
fn ops_that_changed_places_are_found() {
    log(vec![put(1, &["x"]), put(2, &["x", "y"])])
        .in_order(&[sent("y", Answer::Accepted), sent("x", Answer::Accepted)]);
}

#[test]
#[should_panic(expected = "took effect before")]
fn receipts_that_changed_places_are_found() {
    log(Vec::new()).in_order(&[sent("x", applied(4)), sent("y", applied(3))]);
}

#[test]
fn an_edit_of_what_somebody_removed_may_mean_nothing_and_any_other_may_not() {
    let ops = |answer: Answer| [sent("x", applied(1)), sent("y", answer)];
    let (stands, removed) = (vec![put(1, &["x"])], vec![put(1, &["x"]), Change { lsn: 2, doc: None }]);
    assert!(!passes(&log(stands), &ops(Answer::AcceptedWhereFound)));
    assert!(passes(&log(removed), &ops(Answer::AcceptedWhereFound)));
}

#[test]
fn a_lost_op_is_found() {
    let there = log(vec![put(1, &["x"])]);
    assert!(passes(&there, &[sent("x", applied(1))]));
    assert!(!passes(&there, &[sent("x", applied(1)), sent("y", applied(2))]));
    assert!(!passes(&there, &[sent("x", applied(1)), sent("y", Answer::Accepted)]));
    assert!(!passes(&there, &[sent("x", applied(7))]));
    assert!(!passes(&there, &[sent("x", applied(1)), Sent { deed: Deed::Remove, ..sent("y", applied(1)) }]));
    assert!(!passes(&log(Vec::new()), &[sent("x", applied(1))]));
}

#[test]
fn a_lost_op_in_the_ledger_is_not_lost() {
    let mut log = log(vec![put(1, &["x"])]);
    let loss = super::Loss { losing: Value::Object(fields("y")) };
    log.ledger.insert(("c".into(), "d".into()), vec![loss]);
    let superseded = Answer::Receipt { result: "superseded".into(), lsn: 1 };
    assert!(passes(&log, &[sent("x", applied(1)), sent("y", superseded.clone())]));
    assert!(passes(&log, &[sent("x", applied(1)), sent("y", Answer::Accepted)]));
    assert!(!passes(&log, &[sent("x", applied(1)), sent("z", superseded)]));
    assert!(!passes(&log, &[sent("x", applied(1)), Sent { deed: Deed::Remove, ..sent("y", Answer::Accepted) }]));
}

#[test]
fn a_rejected_op_must_be_in_quarantine() {
    let mut log = log(vec![put(1, &["x"])]);
    let ops = [sent("x", applied(1)), sent("y", Answer::Receipt { result: "rejected".into(), lsn: 0 })];
    assert!(!passes(&log, &ops));
    log.quarantine.insert(("c".into(), "d".into()), vec![r#"{"op":{"set":{"did_yz":true}}}"#.into()]);
    assert!(!passes(&log, &ops), "that is another op");
    log.quarantine.insert(("c".into(), "d".into()), vec![r#"{"op":{"set":{"did_y":true}}}"#.into()]);
    assert!(passes(&log, &ops));
}

#[test]
fn an_accepted_op_may_be_in_quarantine_only_where_the_removal_of_its_document_may_be_forgotten() {
    let aside = |versions, forgets| {
        let mut log = log(versions);
        log.forgets = forgets;
        log.quarantine.insert(("c".into(), "d".into()), vec![r#"{"op":{"set":{"did_y":true}}}"#.into()]);
        passes(&log, &[sent("x", applied(1)), sent("gone", Answer::Cancelled), sent("y", Answer::Accepted)])
    };
    let removed = || vec![put(1, &["x"]), Change { lsn: 2, doc: None }];
    assert!(aside(removed(), true));
    assert!(!aside(removed(), false));
    assert!(!aside(vec![put(1, &["x"])], true), "it is there");
}

#[test]
#[should_panic(expected = "LSN 2, read along")]
fn a_change_that_a_reader_missed_is_found() {
    log(vec![put(1, &["x"])]).same_as(&log(vec![put(1, &["x"]), put(2, &["x", "y"])]));
}

#[test]
fn a_second_effect_is_found() {
    assert!(!passes(&log(vec![put(1, &["x"]), put(2, &["x"])]), &[sent("x", applied(1))]));
    let ops = [sent("x", applied(1)), sent("y", applied(2)), sent("z", Answer::None)];
    assert!(passes(&log(vec![put(1, &["x"]), put(2, &["y"])]), &ops));
    assert!(!passes(&log(vec![put(1, &["x"]), put(2, &["y"]), put(3, &["x"])]), &ops));
    let hidden = |lsn, marks: &[&str]| put(lsn, &[marks, &["y"]].concat());
    assert!(!passes(&log(vec![hidden(1, &["x"]), hidden(2, &[]), hidden(3, &["x"])]), &ops));
}

#[test]
fn a_document_that_nobody_sent_is_found() {
    assert!(!passes(&log(vec![put(1, &["x"])]), &[]));
}
