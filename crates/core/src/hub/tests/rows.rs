//! Pushes of tokens that may write only some documents.

use super::*;
use crate::filter::Filter;
use crate::model::RowFilters;

/// Documents whose `owner` is the node's.
fn of(owner: &str, intake: Intake) -> Intake {
    let Intake::Own(batch) = intake else { return intake };
    let filter = Filter::parse(&serde_json::json!({ "owner": owner })).unwrap();
    Intake::Own(OwnBatch { rows: Arc::new(RowFilters::new([(c(), filter)].into())), ..batch })
}

fn owned(seq: u64, id: &str, owner: &str) -> Step {
    Step::Edit(op(seq, id, Edit::Insert(Body::trusted(format!(r#"{{"_id":"{id}","owner":"{owner}"}}"#)))))
}

fn give(seq: u64, id: &str, owner: &str) -> Step {
    let set = Body::trusted(format!(r#"{{"owner":"{owner}"}}"#)).fields();
    Step::Edit(op(seq, id, Edit::Update { set, unset: [].into() }))
}

fn remove(seq: u64, id: &str) -> Step {
    Step::Edit(op(seq, id, Edit::Remove))
}

#[test]
fn an_edit_finds_and_leaves_only_rows_that_its_token_may_write() {
    let mut space = Space::default();
    space.receipts(push("b0", vec![owned(1, "hers", "ben"), owned(2, "his", "anna")]));
    let steps = vec![
        owned(3, "new", "anna"),
        owned(4, "foreign", "ben"),
        give(5, "his", "ben"),
        give(6, "hers", "anna"),
        remove(7, "hers"),
        owned(8, "hers", "anna"),
        remove(9, "his"),
        give(10, "his", "ben"),
    ];
    let receipts = space.receipts(of("anna", push("b1", steps)));
    let (yes, no) = (Verdict::Applied, Verdict::Rejected);
    assert_eq!(verdicts(&receipts), [yes, no, no, no, no, no, yes, no]);
    let reason = &receipts[1].rejection.as_ref().unwrap();
    assert_eq!(reason.code, "row_forbidden");
    assert!(reason.reason.contains("`rows.notes`") && !reason.reason.contains("ben"), "{reason:?}");
    assert_eq!(space.text("hers").unwrap(), r#"{"_id":"hers","owner":"ben"}"#);
    assert_eq!((space.text("foreign"), space.text("his")), (None, None));
}

#[test]
fn a_foreign_document_that_was_removed_does_not_come_back_for_a_token_that_may_not_write_it() {
    let mut space = Space::default();
    let secret = Body::trusted(r#"{"_id":"hers","owner":"ben","secret":1}"#);
    space.receipts(push("b0", vec![Step::Edit(op(1, "hers", Edit::Insert(secret))), remove(5, "hers")]));
    let between = Stamp(op_stamp(&space, "hers").0 - 1);
    let Step::Edit(early) = owned(6, "hers", "anna") else { unreachable!() };
    let Step::Edit(remains) = remove(8, "hers") else { unreachable!() };
    let steps = vec![
        Step::Edit(Op { stamp: between, ..early }),
        give(7, "hers", "anna"),
        Step::Edit(remains),
        owned(9, "hers", "anna"),
        give(10, "hers", "anna"),
    ];
    let receipts = space.receipts(of("anna", other_node("b1", steps)));
    let no = Verdict::Rejected;
    assert_eq!(verdicts(&receipts)[..3], [no, no, no], "neither at once nor by a detour");
    assert!(receipts[..3].iter().all(|receipt| receipt.rejection.as_ref().unwrap().code == "row_forbidden"));
    assert!(!verdicts(&receipts)[3..].contains(&no), "a document that begins anew is hers");
    assert_eq!(space.text("hers").unwrap(), r#"{"_id":"hers","owner":"anna"}"#);
}

/// When a document was last changed.
fn op_stamp(space: &Space, id: &str) -> Stamp {
    space.state.docs[&(c(), DocId::new(id).unwrap())].meta.stamp()
}

fn other_node(batch: &str, steps: Vec<Step>) -> Intake {
    let Intake::Own(batch) = push(batch, steps) else { unreachable!() };
    Intake::Own(OwnBatch { node: node("n2"), ..batch })
}

#[test]
fn a_transaction_falls_with_one_foreign_row_and_the_rest_of_the_batch_goes_on() {
    let mut space = Space::default();
    let steps = vec![in_txn(owned(1, "a", "anna"), 1), in_txn(owned(2, "b", "ben"), 1), owned(3, "c", "anna")];
    let receipts = space.receipts(of("anna", push("b1", steps)));
    assert_eq!(verdicts(&receipts), [Verdict::Rejected, Verdict::Rejected, Verdict::Applied]);
    assert_eq!(receipts[0].rejection.as_ref().unwrap().code, "transaction_rejected");
    assert_eq!((space.text("a"), space.text("b"), space.text("c").is_some()), (None, None, true));
}

#[test]
fn a_clear_takes_only_what_its_token_may_write() {
    let mut space = Space::default();
    space.receipts(push("b0", vec![owned(1, "hers", "ben"), owned(2, "his", "anna")]));
    let clear =
        Step::Clear { seq: Seq(3), collection: c(), read_up_to: Lsn(2), stamp: Stamp(u64::MAX >> 11), txn: None };
    assert_eq!(verdicts(&space.receipts(of("anna", push("b1", vec![clear])))), [Verdict::Applied]);
    assert_eq!((space.text("hers").is_some(), space.text("his")), (true, None));
}
