//! Random pushes of several nodes: what stands keeps the rules.

use super::*;
use proptest::prelude::{Just, ProptestConfig, Strategy as _, any, prop, prop_oneof, proptest};

/// One random op: who, on which document, and what.
#[derive(Clone, Debug)]
struct Wish {
    who: usize,
    doc: usize,
    edit: Edit,
    clears: bool,
    txn: bool,
    base: u64,
    stamp: u64,
}

const DOCS: [&str; 4] = ["x", "y", "z", "w"];
const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn field() -> impl proptest::strategy::Strategy<Value = String> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c")];
    let value = prop_oneof![Just("1"), Just("1.0"), Just("2"), Just("null"), Just("\"t\""), Just("\"long long long\"")];
    (name, value).prop_map(|(name, value)| format!(r#""{name}":{value}"#))
}

fn wish() -> impl proptest::strategy::Strategy<Value = Wish> {
    let fields = prop::collection::vec(field(), 1..5).prop_map(|fields| fields.join(","));
    let edit = (0..5_u8, 0..DOCS.len(), fields).prop_map(|(kind, doc, fields)| {
        let text = Body::trusted(format!(r#"{{"_id":"{}",{fields}}}"#, DOCS[doc])).fields().to_body();
        let edit = match kind {
            0 => Edit::Insert(text),
            1 => Edit::Replace { changed: text.fields().iter().map(|(name, _)| name.to_owned()).collect(), body: text },
            2 => Edit::Remove,
            3 => Edit::Update { set: Fields::default(), unset: ["a".to_owned(), "b".to_owned()].into() },
            _ => set(&fields),
        };
        (doc, edit)
    });
    let rest = (0..NODES.len(), any::<bool>(), 0..20_u8, 0..40_u64, 0..40_u64);
    (edit, rest).prop_map(|((doc, edit), (who, txn, clears, base, stamp))| Wish {
        who,
        doc,
        edit,
        clears: clears == 0,
        txn,
        base,
        stamp: 1_000 + stamp,
    })
}

fn step_of(wish: &Wish, seq: u64) -> Step {
    let (seq, stamp, txn) = (Seq(seq), Stamp::at(Millis(wish.stamp)), wish.txn.then_some(1));
    if wish.clears {
        return Step::Clear { seq, collection: users(), read_up_to: Lsn(wish.base), stamp, txn };
    }
    let (key, base) = (OpKey::Seq(seq), Base::At(Lsn(wish.base)));
    Step::Edit(Op { key, collection: users(), id: id(DOCS[wish.doc]), edit: wish.edit.clone(), base, stamp, txn })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_stands_keeps_the_rules_whoever_writes_what(
        groups in prop::collection::vec(prop::collection::vec(prop::collection::vec(wish(), 1..5), 1..4), 1..8),
        strategy in prop_oneof![
            Just(Strategy::LastWriteWins), Just(Strategy::ServerWins), Just(Strategy::ClientWins), Just(Strategy::Merge)
        ],
    ) {
        let mut rules = Demands::clone(&demands(&[&["a"], &["b", "c"]]));
        rules.rule.strategy = Some(strategy);
        let (mut space, mut oracle) = (Space::new(Arc::new(rules.clone())), Space::new(Arc::new(rules)));
        oracle.sees_all = true;
        let mut seqs = [0; NODES.len()];
        for (n, group) in groups.iter().enumerate() {
            let pushes: Vec<Intake> = group.iter().enumerate().map(|(m, wishes)| {
                let who = wishes[0].who;
                let steps = wishes.iter().map(|wish| { seqs[who] += 1; step_of(wish, seqs[who]) }).collect();
                push(NODES[who], (n * 100 + m) as u64, steps)
            }).collect();
            let (said, expected) = (space.commit(&pushes), oracle.commit(&pushes));
            assert_eq!(said, expected, "who loads only what is touched decides like one who sees everything");
            space.check();
            for reply in said {
                let Reply::Own { receipts, .. } = reply else { panic!("{reply:?}") };
                let aside = |seq| space.quarantine.iter().any(|row| row.seq == Some(seq));
                let lost = receipts.iter().filter(|r| r.result == Verdict::Rejected).find(|r| !aside(r.seq));
                assert_eq!(lost, None, "what is refused is kept");
            }
        }
        assert_eq!(space.state.docs, oracle.state.docs);
    }
}
