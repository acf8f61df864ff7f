//! Hub decisions as stories: repeats, transactions, poison, clears, tickets.

mod rows;

use super::{AuthorState, Entry, Loaded, Moment, Reply, decide, touch};
use crate::model::{
    Author, Base, BatchId, Body, Claim, CollectionName, DocId, Edit, Expiry, ForeignBatch, ForeignEdit, ForeignOp,
    Intake, Limits, Lsn, Millis, NodeId, Op, OpKey, OwnBatch, Poison, Receipt, Rejection, Seq, Stamp, Step, Verdict,
};
use proptest::prelude::{ProptestConfig, any, prop, prop_assert_eq, proptest};
use std::sync::Arc;

fn c() -> CollectionName {
    CollectionName::new("notes").unwrap()
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn op(seq: u64, id: &str, edit: Edit) -> Op {
    Op {
        key: OpKey::Seq(Seq(seq)),
        collection: c(),
        id: DocId::new(id).unwrap(),
        edit,
        base: Base::At(Lsn::ZERO),
        stamp: Stamp::at(Millis(1_000 + seq)),
        txn: None,
    }
}

fn insert(seq: u64, id: &str) -> Step {
    Step::Edit(op(seq, id, Edit::Insert(Body::trusted(format!(r#"{{"_id":"{id}","n":{seq}}}"#)))))
}

fn update(seq: u64, id: &str) -> Step {
    let set = Body::trusted(format!(r#"{{"n":{seq}}}"#)).fields();
    Step::Edit(op(seq, id, Edit::Update { set, unset: [].into() }))
}

fn in_txn(step: Step, n: u32) -> Step {
    match step {
        Step::Edit(op) => Step::Edit(Op { txn: Some(n), ..op }),
        other => other,
    }
}

fn push(batch: &str, steps: Vec<Step>) -> Intake {
    let digest = steps.len() as u64;
    Intake::Own(OwnBatch {
        node: node("n1"),
        claim: Claim::Free,
        rows: Default::default(),
        readable: Some(Arc::default()),
        batch: BatchId::new(batch).unwrap(),
        digest,
        strategy: None,
        steps,
    })
}

/// A store in miniature: carries decisions from one group to the next.
#[derive(Default)]
struct Space {
    state: Loaded,
    log: Vec<Entry>,
    limits: Limits,
}

impl Space {
    fn push(&mut self, group: &[Intake]) -> Vec<Reply> {
        for (n, name) in touch(group).nodes.into_iter().enumerate() {
            let author = Author(self.state.nodes.len() as u32 + n as u32 + 1);
            self.state.nodes.entry(name).or_insert(AuthorState { author, ..AuthorState::default() });
        }
        let decision = decide(self.state.clone(), group, Moment { now: Millis(1_000_000), limits: self.limits });
        for entry in &decision.writes.entries {
            assert_eq!(entry.lsn(), self.state.head.next(), "LSNs have no gap");
            self.state.head = entry.lsn();
            if let Entry::Change(change) = entry {
                self.state.docs.insert((change.collection.clone(), change.id.clone()), change.version.clone());
            }
        }
        for (name, token) in &decision.writes.owners {
            self.state.nodes.get_mut(name).unwrap().owner = Some(token.clone());
        }
        for (name, receipts) in &decision.writes.receipts {
            for receipt in receipts {
                self.state.receipts.insert((name.clone(), receipt.seq), receipt.clone());
            }
        }
        self.state.batches.extend(decision.writes.batches.iter().cloned());
        self.state.seen.extend(decision.writes.seen.iter().copied());
        self.log.extend(decision.writes.entries);
        decision.replies
    }

    fn receipts(&mut self, intake: Intake) -> Vec<Receipt> {
        match self.push(&[intake]).remove(0) {
            Reply::Own { receipts, .. } => receipts,
            other => panic!("{other:?}"),
        }
    }

    /// What a store does when every receipt is past its retention.
    fn forget_receipts(&mut self) {
        for ((name, seq), _) in std::mem::take(&mut self.state.receipts) {
            self.state.nodes.entry(name).or_default().forgotten.remember([seq]);
        }
        self.state.batches.clear();
    }

    fn text(&self, id: &str) -> Option<String> {
        let version = self.state.docs.get(&(c(), DocId::new(id).unwrap()))?;
        version.meta.is_live().then(|| version.body.text().to_owned())
    }
}

fn verdicts(receipts: &[Receipt]) -> Vec<Verdict> {
    receipts.iter().map(|r| r.result).collect()
}

#[test]
fn a_repeated_op_gets_its_first_receipt_even_in_another_batch() {
    let mut space = Space::default();
    let first = space.receipts(push("b1", vec![insert(1, "x"), update(2, "x")]));
    let again = space.receipts(push("b2", vec![insert(1, "x"), update(2, "x"), update(3, "x")]));
    assert_eq!(again[..2], first[..]);
    assert_eq!(space.log.len(), 3);
}

#[test]
fn an_op_that_was_held_back_for_longer_than_receipts_are_kept_is_applied_once() {
    let mut space = Space::default();
    space.receipts(push("b1", vec![insert(1, "x"), insert(3, "y"), insert(4, "z")]));
    space.forget_receipts();
    let late = space.receipts(push("b2", vec![insert(1, "x"), insert(2, "late"), update(4, "z")]));
    assert_eq!(verdicts(&late), [Verdict::Duplicate, Verdict::Applied, Verdict::Duplicate]);
    assert!(space.text("late").is_some());
    space.forget_receipts();
    let again = space.receipts(push("b3", vec![insert(2, "late"), insert(5, "w")]));
    assert_eq!(verdicts(&again), [Verdict::Duplicate, Verdict::Applied]);
    assert_eq!(space.log.len(), 5);
}

#[test]
fn an_op_whose_number_stood_for_another_op_is_refused_and_what_is_new_behind_it_waits() {
    let mut space = Space::default();
    space.receipts(push("b1", vec![insert(1, "x"), insert(2, "y"), insert(4, "v")]));
    let copy = space.receipts(push("b2", vec![insert(1, "x"), insert(2, "z"), update(3, "z"), insert(4, "v")]));
    let refused = |receipt: &Receipt| receipt.rejection.as_ref().is_some_and(Rejection::is_for_its_number);
    let told: Vec<_> = copy.iter().map(|receipt| (receipt.seq.0, refused(receipt))).collect();
    assert_eq!(told, [(1, false), (2, true), (4, false)], "what both had before they parted is a repeat");
    assert!(copy.iter().all(|receipt| receipt.digest.is_none()), "clients are not told");
    assert_eq!(space.text("z"), None);
    let first = space.receipts(push("b3", vec![insert(2, "y")]));
    assert_eq!(verdicts(&first), [Verdict::Applied], "the number stands for whom it stood for");
}

#[test]
fn a_batch_id_with_other_content_is_refused_and_nothing_is_applied() {
    let mut space = Space::default();
    space.receipts(push("b1", vec![insert(1, "x")]));
    let reply = space.push(&[push("b1", vec![insert(1, "x"), insert(2, "y")])]);
    assert_eq!(reply, [Reply::BatchReused]);
    assert_eq!(space.text("y"), None);
}

#[test]
fn poison_is_set_aside_and_the_rest_goes_on() {
    let mut space = Space::default();
    let rejection = Rejection { code: "malformed_json".into(), reason: "not an op".into() };
    let poison = Poison { seq: Seq(2), txn: None, collection: None, id: None, raw: "{}".into(), rejection };
    let receipts = space.receipts(push("b", vec![insert(1, "x"), Step::Poison(poison), insert(3, "y")]));
    assert_eq!(verdicts(&receipts), [Verdict::Applied, Verdict::Rejected, Verdict::Applied]);
    assert!(space.text("y").is_some());
}

#[test]
fn ops_of_one_transaction_are_rejected_together() {
    let mut space = Space::default();
    let steps = vec![
        insert(1, "alone"),
        in_txn(insert(2, "x"), 1),
        in_txn(update(3, "missing"), 1),
        in_txn(insert(4, "y"), 1),
        insert(5, "after"),
    ];
    let receipts = space.receipts(push("b", steps));
    let (yes, no) = (Verdict::Applied, Verdict::Rejected);
    assert_eq!(verdicts(&receipts), [yes, no, no, no, yes]);
    assert_eq!(receipts[1].rejection.as_ref().unwrap().code, "transaction_rejected");
    assert_eq!((space.text("x"), space.text("y")), (None, None));
    assert_eq!(space.log.len(), 2, "LSNs of the rolled back ops were not used up");
}

#[test]
fn the_same_number_twice_in_a_transaction_takes_effect_once() {
    let mut space = Space::default();
    let twice = || vec![in_txn(insert(1, "x"), 1), in_txn(update(2, "x"), 1), in_txn(update(2, "x"), 1)];
    let receipts = space.receipts(push("b1", twice()));
    assert_eq!((receipts.len(), &receipts[1]), (3, &receipts[2]));
    assert_eq!(space.log.len(), 2);
    let steps = vec![in_txn(insert(3, "y"), 1), in_txn(insert(3, "y"), 1), in_txn(update(4, "missing"), 1)];
    assert_eq!(verdicts(&space.receipts(push("b2", steps))), [Verdict::Rejected; 3]);
    assert_eq!(space.text("y"), None);
}

#[test]
fn edits_within_the_limit_do_not_add_up_to_a_document_over_it() {
    let mut space = Space { limits: Limits { document_bytes: 100, ..Limits::default() }, ..Space::default() };
    let set = |seq: u64, name: &str| {
        let set = Body::trusted(format!(r#"{{"{name}":"{}"}}"#, "v".repeat(60))).fields();
        Step::Edit(op(seq, "x", Edit::Update { set, unset: [].into() }))
    };
    let receipts = space.receipts(push("b1", vec![insert(1, "x"), set(2, "a"), set(3, "b"), update(4, "x")]));
    let (yes, no) = (Verdict::Applied, Verdict::Rejected);
    assert_eq!(verdicts(&receipts), [yes, yes, no, yes]);
    let why = receipts[2].rejection.as_ref().unwrap();
    assert!(why.code == "document_too_large" && why.reason.contains("limits.document_bytes"), "{why:?}");

    let more = Body::trusted(format!(r#"{{"c":"{}"}}"#, "v".repeat(60))).fields();
    let edit = ForeignEdit::Update(DocId::new("x").unwrap(), more);
    let foreign_set = ForeignOp { key: None, edit, time: Some(Millis(900_000)), txn: None, raw: String::new() };
    space.push(&[foreign("f1", vec![foreign_set, foreign_insert(1, "y")])]);
    assert!(!space.text("x").unwrap().contains("\"c\""));
    assert!(space.text("y").is_some(), "nothing waits behind it");
}

#[test]
fn fields_that_come_and_go_do_not_grow_a_document_for_ever() {
    let mut space = Space { limits: Limits { document_bytes: 200, ..Limits::default() }, ..Space::default() };
    space.receipts(push("b0", vec![insert(1, "x")]));
    let come_and_go = (2..100u64).flat_map(|n| {
        let set = Body::trusted(format!(r#"{{"field{n}":1}}"#)).fields();
        let come = op(2 * n, "x", Edit::Update { set, unset: [].into() });
        let go =
            op(2 * n + 1, "x", Edit::Update { set: Body::trusted("{}").fields(), unset: [format!("field{n}")].into() });
        [Step::Edit(come), Step::Edit(go)]
    });
    let receipts = space.receipts(push("b1", come_and_go.collect()));
    assert_eq!(receipts.last().unwrap().result, Verdict::Rejected);
    let anew = Edit::Replace { body: Body::trusted(r#"{"_id":"x","n":0}"#), changed: [].into() };
    assert_eq!(verdicts(&space.receipts(push("b2", vec![Step::Edit(op(900, "x", anew))]))), [Verdict::Applied]);
    assert!(space.state.docs.values().all(|version| version.meta.fields.is_empty()));
}

#[test]
fn a_clear_spares_what_the_node_did_not_know() {
    let mut space = Space::default();
    space.receipts(push("b1", vec![insert(1, "known")]));
    let Intake::Own(other) = push("o1", vec![insert(1, "unknown")]) else { unreachable!() };
    space.push(&[Intake::Own(OwnBatch { node: node("n2"), ..other })]);
    let clear =
        Step::Clear { seq: Seq(2), collection: c(), read_up_to: Lsn(1), stamp: Stamp::at(Millis(5_000)), txn: None };
    space.receipts(push("b2", vec![clear]));
    assert_eq!(space.text("known"), None);
    assert!(space.text("unknown").is_some());
}

#[test]
fn who_claims_to_have_read_further_than_the_log_goes_knows_nothing() {
    let mut space = Space::default();
    let Intake::Own(other) = push("o1", vec![insert(1, "x"), insert(2, "y")]) else { unreachable!() };
    space.push(&[Intake::Own(OwnBatch { node: node("n2"), ..other })]);
    let Step::Edit(blind) = update(2, "x") else { unreachable!() };
    let blind = Step::Edit(Op { base: Base::At(Lsn(900)), ..blind });
    let stamp = Stamp::at(Millis(5_000));
    let clear = Step::Clear { seq: Seq(3), collection: c(), read_up_to: Lsn(900), stamp, txn: None };
    let receipts = space.receipts(push("b1", vec![blind, clear]));
    assert_eq!(receipts[0].result, Verdict::Merged, "it met what stood");
    assert!(space.text("y").is_some(), "a clear takes only what its author knew");
}

#[test]
fn a_stamp_from_the_future_is_clamped() {
    let mut space = Space::default();
    let mut future = op(1, "x", Edit::Insert(Body::trusted(r#"{"_id":"x"}"#)));
    future.stamp = Stamp::at(Millis(9_000_000_000));
    space.receipts(push("b1", vec![Step::Edit(future)]));
    let version = space.state.docs.values().next().unwrap();
    assert_eq!(version.meta.stamp().millis(), Millis(1_060_000));
}

fn claimed(batch: &str, claim: Claim, steps: Vec<Step>) -> Intake {
    let Intake::Own(own) = push(batch, steps) else { unreachable!() };
    Intake::Own(OwnBatch { claim, ..own })
}

fn by(token: &str) -> Claim {
    Claim::By { token: node(token), instead_of: None }
}

#[test]
fn a_node_belongs_to_the_token_that_first_pushed_as_it() {
    let mut space = Space::default();
    space.push(&[claimed("b0", Claim::Free, vec![insert(1, "admin")])]);
    let taken = Reply::NodeTaken { owner: node("phone") };
    let group = [claimed("b1", by("phone"), vec![insert(2, "x")]), claimed("b2", by("thief"), vec![insert(3, "y")])];
    assert_eq!(space.push(&group)[1], taken, "also within one group");
    assert_eq!(space.push(&[claimed("b1", by("thief"), vec![insert(2, "x")])]), [taken], "not even for its receipts");
    assert_eq!(space.text("y"), None);

    space.receipts(claimed("b3", by("phone"), vec![insert(3, "z")]));
    space.receipts(claimed("b4", Claim::Free, vec![insert(4, "w")]));
    let heir = Claim::By { token: node("heir"), instead_of: Some(node("phone")) };
    space.receipts(claimed("b5", heir, vec![insert(5, "v")]));
    space.receipts(claimed("b6", Claim::Made { token: node("made") }, vec![insert(6, "u")]));
    let late = space.push(&[claimed("b7", by("heir"), vec![insert(7, "t")])]);
    assert_eq!(late, [Reply::NodeTaken { owner: node("made") }]);
}

fn expiring(seq: u64, id: &str, at: u64) -> Step {
    let body = Body::trusted(format!(r#"{{"_id":"{id}","expireAt":{at}}}"#));
    Step::Edit(op(seq, id, Edit::Insert(body)))
}

fn expiry(ids: &[&str]) -> Intake {
    Intake::Expiry(Expiry { docs: ids.iter().map(|id| (c(), DocId::new(id).unwrap())).collect(), ..Expiry::default() })
}

#[test]
fn what_has_expired_is_removed_for_every_reader_and_nothing_else() {
    let mut space = Space::default();
    // The hub's time is 1,000,000 and clocks may differ by 60,000.
    let steps = vec![expiring(1, "old", 940_000), expiring(2, "fresh", 940_001), insert(3, "lasting")];
    space.receipts(push("b1", steps));
    let reply = space.push(&[expiry(&["old", "fresh", "lasting", "unheard-of"])]);
    assert_eq!(reply, [Reply::Expired { removed: 1 }]);
    assert_eq!((space.log.len(), space.text("old")), (4, None));
    assert!(space.text("fresh").is_some() && space.text("lasting").is_some());
    assert_eq!(space.push(&[expiry(&["old"])]), [Reply::Expired { removed: 0 }], "once is enough");
}

#[test]
fn a_document_that_was_prolonged_outlives_its_expiry() {
    let mut space = Space::default();
    let prolong = |seq: u64, id: &str| {
        let set = Body::trusted(r#"{"expireAt":5000000}"#).fields();
        push(&format!("b{seq}"), vec![Step::Edit(op(seq, id, Edit::Update { set, unset: [].into() }))])
    };
    space.receipts(push("b1", vec![expiring(1, "before", 10), expiring(2, "after", 10)]));
    space.receipts(prolong(3, "before"));
    assert_eq!(space.push(&[expiry(&["before", "after"])]), [Reply::Expired { removed: 1 }]);
    // Made offline while the document was still there, although it arrives after the removal.
    space.receipts(prolong(4, "after"));
    assert!(space.text("before").is_some() && space.text("after").is_some());
    assert_eq!(space.push(&[expiry(&["before", "after"])]), [Reply::Expired { removed: 0 }]);
}

fn foreign(batch: &str, ops: Vec<ForeignOp>) -> Intake {
    let digest = ops.len() as u64;
    Intake::Foreign(ForeignBatch {
        node: node("key"),
        collection: c(),
        batch: BatchId::new(batch).ok(),
        digest,
        ops,
        served: Lsn(0),
        own: Vec::new(),
        sole: true,
        cleared: false,
        numbered: true,
        rows: std::sync::Arc::default(),
    })
}

fn foreign_insert(key: u8, id: &str) -> ForeignOp {
    let body = Body::trusted(format!(r#"{{"_id":"{id}"}}"#));
    let edit = ForeignEdit::Insert(DocId::new(id).unwrap(), body);
    ForeignOp { key: Some([key; 16]), edit, time: Some(Millis(1_000)), txn: None, raw: "{}".into() }
}

#[test]
fn a_foreign_push_is_answered_with_a_ticket_and_its_repeat_with_the_same() {
    let mut space = Space::default();
    let reply = space.push(&[foreign("b1", vec![foreign_insert(1, "x")])]);
    let fresh = Some((Lsn(2), Lsn(2)));
    assert_eq!(reply, [Reply::Foreign { lsn: Lsn(1), fresh }]);
    assert!(matches!(&space.log[0], Entry::Ticket(ticket) if ticket.own == [(Lsn(2), Lsn(2))]));
    let again = space.push(&[foreign("b1", vec![foreign_insert(1, "x")])]);
    assert_eq!(again, [Reply::Foreign { lsn: Lsn(1), fresh: None }]);
    assert_eq!(space.log.len(), 2);
}

#[test]
fn foreign_inserts_behind_one_removal_count_in_the_order_of_their_arrival() {
    let mut space = Space::default();
    let remove = ForeignEdit::Remove(DocId::new("x").unwrap());
    let gone = ForeignOp { key: Some([2; 16]), edit: remove, time: None, txn: None, raw: "{}".into() };
    space.push(&[foreign("b1", vec![foreign_insert(1, "x"), gone])]);
    for (n, value) in [(3, "9"), (4, "10"), (5, "5"), (6, "1")] {
        let body = Body::trusted(format!(r#"{{"_id":"x","v":"{value}"}}"#));
        let edit = ForeignEdit::Insert(DocId::new("x").unwrap(), body);
        let time = Some(Millis(900 + u64::from(n)));
        let insert = ForeignOp { key: Some([n; 16]), edit, time, txn: Some(u32::from(n)), raw: "{}".into() };
        space.push(&[foreign(&format!("b{n}"), vec![insert])]);
        assert!(space.text("x").unwrap().contains(&format!(r#""{value}""#)), "{value}: {:?}", space.text("x"));
    }
}

#[test]
fn a_foreign_retry_under_a_new_batch_id_applies_nothing_twice() {
    let mut space = Space::default();
    space.push(&[foreign("b1", vec![foreign_insert(1, "x")])]);
    let remove = ForeignEdit::Remove(DocId::new("x").unwrap());
    let gone = ForeignOp { key: Some([2; 16]), edit: remove, time: None, txn: None, raw: "{}".into() };
    space.push(&[foreign("b2", vec![gone])]);
    space.push(&[foreign("b3", vec![foreign_insert(1, "x")])]);
    assert_eq!(space.text("x"), None, "the removed document does not come back");
}

#[test]
fn a_foreign_removal_of_which_nothing_is_left_meets_the_insert_of_a_transaction_once_more() {
    let remove = ForeignEdit::Remove(DocId::new("x").unwrap());
    let gone = ForeignOp { key: Some([2; 16]), edit: remove, time: None, txn: None, raw: "{}".into() };
    let insert = ForeignOp { txn: Some(1), ..foreign_insert(1, "x") };
    for batches in [vec![vec![gone.clone(), insert.clone()]], vec![vec![gone.clone()], vec![insert]]] {
        let mut space = Space::default();
        space.push(&[foreign("lost", vec![gone.clone()])]);
        space.state.docs.clear();
        for (n, ops) in batches.into_iter().enumerate() {
            space.push(&[foreign(&format!("b{n}"), ops)]);
        }
        assert_eq!(space.text("x"), None, "the insert was made before the removal");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn deciding_twice_gives_the_first_receipts(
        ids in prop::collection::vec(0u8..4, 1..20),
        kinds in prop::collection::vec(0u8..3, 20),
        txns in prop::collection::vec(any::<bool>(), 20),
        cut in 0usize..20,
    ) {
        let steps: Vec<Step> = ids.iter().enumerate().map(|(n, id)| {
            let (seq, id) = (n as u64 + 1, format!("d{id}"));
            let step = match kinds[n] {
                0 => insert(seq, &id),
                1 => update(seq, &id),
                _ => Step::Edit(op(seq, &id, Edit::Remove)),
            };
            if txns[n] { in_txn(step, 1) } else { step }
        }).collect();
        let mut space = Space::default();
        let first = space.receipts(push("all", steps.clone()));
        let (log, docs) = (space.log.clone(), space.state.docs.clone());
        let cut = cut.min(steps.len());
        let mut again = space.receipts(push("left", steps[..cut].to_vec()));
        again.extend(space.receipts(push("right", steps[cut..].to_vec())));
        prop_assert_eq!(first, again);
        prop_assert_eq!(log, space.log);
        prop_assert_eq!(docs, space.state.docs);
    }
}
