//! What a refusal tells to those who may not know of every document.

use super::*;

#[test]
fn whoever_may_not_know_of_every_document_is_not_told_who_has_the_value() {
    let filter = Filter::parse(&json!({"owner": "anna"})).unwrap();
    let some = Arc::new(RowFilters::new([(users(), filter)].into()));
    let all = Arc::<RowFilters>::default();
    for (rows, readable) in [(&some, Some(&all)), (&all, Some(&some)), (&all, None)] {
        let mut space = Space::new(demands(&[&["a"]]));
        assert_eq!(space.own(1, "x", insert("x", r#""a":1,"owner":"ben""#)).result, Verdict::Applied);
        let Intake::Own(batch) = push("other", 2, vec![step(1, "y", insert("y", r#""a":1,"owner":"anna""#))]) else {
            panic!("a push");
        };
        let batch = OwnBatch { rows: Arc::clone(rows), readable: readable.cloned(), ..batch };
        let Reply::Own { receipts, .. } = space.one(Intake::Own(batch)) else { panic!("receipts") };
        let (code, reason) = why(&receipts[0]);
        assert!(code == "unique_violation" && reason.contains("`unique`") && !reason.contains("`x`"), "{reason}");
        assert!(space.quarantine.iter().all(|row| !row.reason.contains("`x`")));
    }
}

/// A push whose token may write and read only these documents.
fn limited(batch: u64, steps: Vec<Step>, (rows, readable): (&Arc<RowFilters>, Option<&Arc<RowFilters>>)) -> Intake {
    let Intake::Own(batch) = push("n1", batch, steps) else { panic!("a push") };
    Intake::Own(OwnBatch { rows: Arc::clone(rows), readable: readable.cloned(), ..batch })
}

fn receipts(reply: Reply) -> Vec<Receipt> {
    let Reply::Own { receipts, .. } = reply else { panic!("{reply:?}") };
    receipts
}

fn of_anna() -> Arc<RowFilters> {
    let filter = Filter::parse(&json!({"owner": "anna"})).unwrap();
    Arc::new(RowFilters::new([(users(), filter)].into()))
}

#[test]
fn whoever_may_not_read_a_document_is_not_told_what_an_edit_would_make_of_it() {
    let (some, all) = (of_anna(), Arc::<RowFilters>::default());
    let mut space = Space::new(demands(&[]));
    space.own(1, "x", insert("x", r#""owner":"ben","pin":7"#));
    space.own(2, "mine", insert("mine", r#""owner":"anna""#));
    let large = format!(r#""b":"{}""#, "y".repeat(70));
    for (seq, rights, doc, told) in [
        (10, (&all, None), "x", false),
        (20, (&all, Some(&some)), "x", false),
        (30, (&all, Some(&all)), "x", true),
        (40, (&some, Some(&some)), "mine", true),
        (50, (&all, None), "new", true),
    ] {
        let edits = match doc {
            "new" => [insert("new", r#""a":"t""#), insert("new", &large)],
            _ => [set(r#""a":"t""#), set(&large)],
        };
        let steps = vec![step(seq, doc, edits[0].clone()), step(seq + 1, doc, edits[1].clone())];
        let said = receipts(space.one(limited(seq, steps, rights)));
        assert_eq!((why(&said[0]).0, why(&said[1]).0), ("schema_violation", "size_violation"));
        let (schema, size) = (why(&said[0]).1, why(&said[1]).1);
        assert_eq!((schema.contains("`/a`"), size.contains(" bytes")), (told, told), "{seq}: {schema} {size}");
    }
}

#[test]
fn whether_an_id_is_taken_is_not_told_to_who_may_write_only_some_documents() {
    let some = of_anna();
    let mut space = Space::new(demands(&[]));
    space.own(1, "x", insert("x", r#""owner":"ben""#));
    for (n, edit) in [set(r#""owner":"anna""#), Edit::Remove].into_iter().enumerate() {
        let seq = 10 * (n as u64 + 1);
        let steps = vec![step(seq, "x", edit.clone()), step(seq + 1, "nothing", edit)];
        let said = receipts(space.one(limited(seq, steps, (&some, Some(&some)))));
        assert_eq!(why(&said[0]), why(&said[1]));
        assert_eq!(why(&said[0]).0, "row_forbidden");
    }
    assert_eq!(why(&space.own(40, "nothing", set(r#""a":1"#))).0, "unknown_document", "for everybody else");
}

#[test]
fn a_receipt_that_comes_again_tells_no_holder_to_a_token_that_may_not_know_it() {
    let some = of_anna();
    let mut space = Space::new(demands(&[&["a"]]));
    space.own(1, "x", insert("x", r#""a":1"#));
    let first = space.own(2, "y", insert("y", r#""a":1"#));
    assert!(why(&first).1.contains("`x` has it"));
    let again = |rights| limited(2, vec![step(2, "y", insert("y", r#""a":1"#))], rights);
    let said = receipts(space.one(again((&some, Some(&some)))));
    assert_eq!(why(&said[0]).0, "unique_violation");
    assert!(!why(&said[0]).1.contains("`x`"), "{said:?}");
    let all = Arc::default();
    assert_eq!(receipts(space.one(again((&all, Some(&all)))))[0], first);
}
