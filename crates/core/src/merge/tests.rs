//! The merge rule by example, and its independence of arrival order by property.

use super::losses::Losses;
use super::{Merged, Party, Values, apply};
use crate::model::{Author, Base, Body, Edit, Fields, Lsn, Millis, Stamp, Strategy, Verdict, Version};
use proptest::prelude::{Just, ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as AnyOf;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

fn body(text: &str) -> Body {
    Body::trusted(text)
}

fn set(text: &str) -> Edit {
    Edit::Update { set: body(text).fields(), unset: BTreeSet::new() }
}

fn unset(field: &str) -> Edit {
    Edit::Update { set: Fields::default(), unset: [field.to_owned()].into() }
}

fn replace(text: &str, changed: &[&str]) -> Edit {
    Edit::Replace { body: body(text), changed: changed.iter().map(|f| (*f).to_owned()).collect() }
}

fn party(author: u32, at_ms: u64, base: u64, lsn: u64) -> Party {
    Party { author: Author(author), stamp: Stamp::at(Millis(at_ms)), base: Base::At(Lsn(base)), lsn: Lsn(lsn) }
}

/// A document that author 1 inserted at 10 ms as LSN 1.
fn stored() -> Version {
    let insert = Edit::Insert(body(r#"{"_id":"d","x":0,"y":0}"#));
    apply(None, &insert, party(1, 10, 0, 1), Strategy::default()).version.unwrap()
}

fn then(current: &Version, edit: &Edit, by: Party, rule: Strategy) -> (Version, Merged) {
    let merged = apply(Some(current), edit, by, rule);
    (merged.version.clone().unwrap_or_else(|| current.clone()), merged)
}

fn shown(version: &Version) -> Option<BTreeMap<String, String>> {
    let fields = version.body.fields();
    let sorted = fields.iter().map(|(name, value)| (name.to_owned(), value.get().to_owned())).collect();
    version.meta.is_live().then_some(sorted)
}

fn text(version: &Version) -> &str {
    version.body.text()
}

const LWW: Strategy = Strategy::LastWriteWins;

#[test]
fn fields_that_go_without_a_trace_are_noted_and_those_that_leave_one_are_not() {
    let mut lsn = 1;
    let mut edit = |current: &Version, edit: &Edit, at_ms| {
        lsn += 1;
        then(current, edit, party(2, at_ms, lsn - 1, lsn), LWW).0
    };
    let set_only = edit(&stored(), &set(r#"{"x":1,"z":1}"#), 20);
    assert_eq!(set_only.meta.shrunk, Lsn::ZERO, "nothing went");
    let named = edit(&set_only, &unset("x"), 30);
    assert!(named.meta.fields.contains_key("x"));
    assert_eq!(named.meta.shrunk, Lsn::ZERO, "its name stays, to be sent as null");
    let removed = edit(&named, &Edit::Remove, 40);
    assert_eq!(removed.meta.shrunk, Lsn::ZERO, "a removal is told as one");
    let reborn = edit(&removed, &Edit::Insert(body(r#"{"_id":"d","w":1}"#)), 50);
    assert_eq!(reborn.meta.shrunk, Lsn(5), "the fields from before the removal");
    let grown = edit(&reborn, &set(r#"{"v":1}"#), 60);
    assert_eq!(grown.meta.shrunk, Lsn(5), "the last time counts, not the last change");
    let late = then(&grown, &Edit::Insert(body(r#"{"_id":"d","late":1}"#)), party(3, 35, 0, 7), LWW).0;
    assert_eq!((late.meta.shrunk, text(&late)), (Lsn(5), text(&grown)), "what never stood does not go");
    let buried = Version::buried(Lsn(7), Author(1));
    let (revived, _) = then(&buried, &Edit::Insert(body(r#"{"_id":"d"}"#)), party(2, 70, 7, 8), LWW);
    assert_eq!(revived.meta.shrunk, Lsn(8), "which fields it had nobody knows");
}

#[test]
fn an_edit_on_the_known_version_is_applied_as_written() {
    let (after, merged) = then(&stored(), &set(r#"{"x":1.50}"#), party(2, 20, 1, 2), LWW);
    assert_eq!(merged.verdict, Verdict::Applied);
    assert_eq!(text(&after), r#"{"_id":"d","x":1.50,"y":0}"#);
    assert!(merged.losses.is_empty());
}

#[test]
fn concurrent_edits_of_different_fields_both_stand() {
    let (one, _) = then(&stored(), &set(r#"{"x":1}"#), party(2, 30, 1, 2), LWW);
    let (two, merged) = then(&one, &set(r#"{"y":2}"#), party(3, 20, 1, 3), LWW);
    assert_eq!(text(&two), r#"{"_id":"d","x":1,"y":2}"#);
    assert_eq!(merged.verdict, Verdict::Merged);
    assert!(merged.losses.is_empty(), "nothing was lost");
}

#[test]
fn the_later_edit_of_a_field_wins_and_the_earlier_is_kept_in_the_ledger() {
    let (late, _) = then(&stored(), &set(r#"{"x":"late"}"#), party(2, 30, 1, 2), LWW);
    let (after, merged) = then(&late, &set(r#"{"x":"early"}"#), party(3, 20, 1, 3), LWW);
    assert_eq!(text(&after), r#"{"_id":"d","x":"late","y":0}"#);
    assert_eq!(merged.verdict, Verdict::Superseded);
    assert_eq!(merged.losses[0].losing, Values::Fields(r#"{"x":"early"}"#.into()));

    let (early, _) = then(&stored(), &set(r#"{"x":"early"}"#), party(3, 20, 1, 2), LWW);
    let (after, merged) = then(&early, &set(r#"{"x":"late"}"#), party(2, 30, 1, 3), LWW);
    assert_eq!(text(&after), r#"{"_id":"d","x":"late","y":0}"#);
    assert_eq!(merged.verdict, Verdict::Merged);
    assert_eq!((merged.losses[0].winner, merged.losses[0].loser), (Author(2), Author(3)));
}

#[test]
fn an_edit_later_than_a_removal_brings_the_whole_document_back() {
    let (gone, removal) = then(&stored(), &Edit::Remove, party(2, 20, 1, 2), LWW);
    assert_eq!(removal.verdict, Verdict::Applied);
    assert_eq!(shown(&gone), None);
    let (back, merged) = then(&gone, &set(r#"{"x":1}"#), party(3, 30, 1, 3), LWW);
    assert_eq!(text(&back), r#"{"_id":"d","x":1,"y":0}"#);
    assert!(back.meta.is_live() && back.meta.again);
    assert_eq!(merged.losses[0].losing, Values::Removal);
}

#[test]
fn an_edit_earlier_than_a_removal_is_kept_in_the_ledger() {
    let (gone, _) = then(&stored(), &Edit::Remove, party(2, 30, 1, 2), LWW);
    let (after, merged) = then(&gone, &set(r#"{"x":1}"#), party(3, 20, 1, 3), LWW);
    assert_eq!(shown(&after), None);
    assert_eq!(merged.verdict, Verdict::Superseded);
    assert_eq!(merged.losses[0].losing, Values::Fields(r#"{"x":1}"#.into()));
}

/// Two edits of one offline device around somebody else's: the first makes the device the last author.
#[test]
fn a_removal_after_an_own_edit_still_keeps_what_its_author_never_saw() {
    let (theirs, _) = then(&stored(), &set(r#"{"y":"theirs"}"#), party(2, 15, 1, 2), LWW);
    let (mine, first) = then(&theirs, &set(r#"{"x":1}"#), party(3, 20, 1, 3), LWW);
    assert_eq!((first.verdict, mine.author), (Verdict::Merged, Author(3)));
    let (gone, removal) = then(&mine, &Edit::Remove, party(3, 30, 1, 4), LWW);
    assert_eq!(shown(&gone), None);
    assert_eq!((removal.losses[0].winner, removal.losses[0].loser), (Author(3), Author(2)));
    assert_eq!(removal.losses[0].losing, Values::Document(r#"{"_id":"d","x":1,"y":"theirs"}"#.into()));

    let anew = replace(r#"{"_id":"d","x":2}"#, &["x"]);
    let (merged, _) = then(&mine, &anew, party(3, 30, 1, 4), Strategy::Merge);
    assert_eq!(text(&merged), r#"{"_id":"d","x":2,"y":"theirs"}"#, "it replaced a field, not what it never saw");

    let knowing = then(&mine, &Edit::Remove, party(3, 30, 3, 4), LWW).1;
    assert!(knowing.losses.is_empty(), "what was seen is not lost in silence");
}

#[test]
fn a_document_inserted_after_its_removal_starts_anew() {
    let (gone, _) = then(&stored(), &Edit::Remove, party(2, 20, 1, 2), LWW);
    let insert = Edit::Insert(body(r#"{"_id":"d","z":1}"#));
    let (again, merged) = then(&gone, &insert, party(2, 30, 2, 3), LWW);
    assert_eq!(text(&again), r#"{"_id":"d","z":1}"#);
    assert_eq!(merged.verdict, Verdict::Applied);
}

#[test]
fn a_document_that_lost_a_field_says_so() {
    let edited = |edit: &Edit| then(&stored(), edit, party(2, 20, 1, 2), LWW).0;
    assert!(!edited(&set(r#"{"x":1,"z":1}"#)).meta.again);
    assert!(!edited(&unset("z")).meta.again, "it never had that field");
    assert!(edited(&unset("y")).meta.again);
    assert!(edited(&replace(r#"{"_id":"d","x":1}"#, &["y"])).meta.again);

    // A removal that loses against a later edit, and then an insert that is older than the edit:
    // readers see no gap, and yet the fields from before the removal are gone.
    let (edited, _) = then(&stored(), &set(r#"{"x":1}"#), party(3, 40, 1, 2), LWW);
    let (kept, _) = then(&edited, &Edit::Remove, party(2, 20, 1, 3), LWW);
    assert!(kept.meta.is_live() && !kept.meta.again);
    let (anew, _) = then(&kept, &Edit::Insert(body(r#"{"_id":"d","z":1}"#)), party(2, 30, 3, 4), LWW);
    assert_eq!(shown(&anew).unwrap().into_keys().collect::<Vec<_>>(), ["_id", "x", "z"]);
    assert!(anew.meta.again);
    let (later, _) = then(&anew, &set(r#"{"x":2}"#), party(3, 50, 4, 5), LWW);
    assert!(later.meta.again, "a reader may have ignored the version in between");
}

#[test]
fn a_removal_that_was_not_the_last_word_is_in_the_ledger() {
    let (edited, _) = then(&stored(), &set(r#"{"x":1}"#), party(3, 30, 1, 2), LWW);
    let (after, merged) = then(&edited, &Edit::Remove, party(2, 20, 1, 3), LWW);
    assert!(after.meta.is_live());
    assert_eq!(merged.verdict, Verdict::Superseded);
    assert_eq!(merged.losses[0].losing, Values::Removal);
    let (gone, merged) = then(&edited, &Edit::Remove, party(2, 40, 1, 3), LWW);
    assert!(!gone.meta.is_live());
    assert_eq!(merged.losses[0].losing, Values::Document(text(&edited).into()));
}

#[test]
fn server_wins_keeps_the_stored_version_and_client_wins_the_edit() {
    let (one, _) = then(&stored(), &set(r#"{"x":1}"#), party(2, 20, 1, 2), LWW);
    let late = set(r#"{"x":2}"#);
    let (after, merged) = then(&one, &late, party(3, 30, 1, 3), Strategy::ServerWins);
    assert_eq!((text(&after), merged.verdict), (r#"{"_id":"d","x":1,"y":0}"#, Verdict::Superseded));
    let early = set(r#"{"x":3}"#);
    let (after, merged) = then(&one, &early, party(3, 15, 1, 3), Strategy::ClientWins);
    assert_eq!((text(&after), merged.verdict), (r#"{"_id":"d","x":3,"y":0}"#, Verdict::Merged));
    let (after, _) = then(&after, &set(r#"{"x":4}"#), party(3, 16, 1, 4), Strategy::ClientWins);
    assert_eq!(text(&after), r#"{"_id":"d","x":4,"y":0}"#, "the node's next op follows its own");
}

#[test]
fn a_replacement_writes_every_field_unless_the_strategy_is_merge() {
    let (one, _) = then(&stored(), &set(r#"{"y":1}"#), party(2, 20, 1, 2), LWW);
    let edit = replace(r#"{"_id":"d","x":9,"y":0}"#, &["x"]);
    let (after, _) = then(&one, &edit, party(3, 30, 1, 3), LWW);
    assert_eq!(text(&after), r#"{"_id":"d","x":9,"y":0}"#);
    let (after, merged) = then(&one, &edit, party(3, 30, 1, 3), Strategy::Merge);
    assert_eq!(text(&after), r#"{"_id":"d","x":9,"y":1}"#);
    assert!(merged.losses.is_empty());
}

#[test]
fn an_update_of_an_unseen_document_waits_out_of_sight_for_its_insert() {
    let unborn = apply(None, &set(r#"{"x":2}"#), party(1, 20, 0, 1), LWW).version.unwrap();
    assert_eq!(shown(&unborn), None);
    let insert = Edit::Insert(body(r#"{"_id":"d","x":1,"y":1}"#));
    let (after, _) = then(&unborn, &insert, party(1, 10, 0, 2), LWW);
    assert!(after.meta.is_live());
}

#[test]
fn the_bookkeeping_of_a_replaced_document_is_as_small_as_that_of_an_inserted_one() {
    let (one, _) = then(&stored(), &set(r#"{"y":1}"#), party(2, 20, 1, 2), LWW);
    let (after, _) = then(&one, &replace(r#"{"_id":"d","z":1}"#, &[]), party(2, 30, 2, 3), LWW);
    assert!(after.meta.fields.is_empty(), "{:?}", after.meta);
}

#[test]
fn nothing_lost_means_no_ledger_row() {
    assert!(Losses::default().into_list(Author(1)).is_empty());
}

fn any_edit() -> impl AnyOf<Value = Edit> {
    let field = prop::sample::select(vec!["x", "y", "z"]);
    let doc = |x: u8, z: u8| format!(r#"{{"_id":"d","x":{x},"z":{z}}}"#);
    prop_oneof![
        (any::<u8>(), any::<u8>()).prop_map(move |(x, z)| Edit::Insert(body(&doc(x, z)))),
        (field.clone(), any::<u8>()).prop_map(|(f, v)| set(&format!(r#"{{"{f}":{v}}}"#))),
        field.prop_map(unset),
        any::<u8>().prop_map(|x| replace(&format!(r#"{{"_id":"d","x":{x}}}"#), &["x"])),
        Just(Edit::Remove),
    ]
}

/// Applies edits, each by another author who knew nothing of the others.
fn fold(edits: &[(Party, Edit)]) -> Option<BTreeMap<String, String>> {
    let mut current: Option<Version> = None;
    for (n, (party, edit)) in edits.iter().enumerate() {
        let party = Party { lsn: Lsn(n as u64 + 1), ..*party };
        if let Some(version) = apply(current.as_ref(), edit, party, LWW).version {
            current = Some(version);
        }
    }
    current.as_ref().and_then(shown)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn last_write_wins_does_not_depend_on_arrival_order(
        edits in prop::collection::vec(any_edit(), 1..7),
        order in any::<prop::sample::Index>(),
        seed in any::<u64>(),
    ) {
        let numbered: Vec<(Party, Edit)> = edits.into_iter().enumerate()
            .map(|(n, edit)| (party(n as u32 + 1, 10 + n as u64, 0, 0), edit))
            .collect();
        let mut shuffled = numbered.clone();
        shuffled.rotate_left(order.index(numbered.len()));
        if seed % 2 == 0 { shuffled.reverse(); }
        if shuffled.len() > 2 { let n = shuffled.len(); shuffled.swap(seed as usize % n, (seed / 7) as usize % n); }
        prop_assert_eq!(fold(&numbered), fold(&shuffled), "{:?} / {:?}", numbered, shuffled);
    }

    #[test]
    fn applying_an_edit_twice_changes_nothing_more(edits in prop::collection::vec(any_edit(), 1..5)) {
        let once: Vec<(Party, Edit)> = edits.into_iter().enumerate()
            .map(|(n, edit)| (party(n as u32 + 1, 10 + n as u64, 0, 0), edit))
            .collect();
        let twice: Vec<(Party, Edit)> = once.iter()
            .flat_map(|(p, e)| [p, p].map(|p| (Party { base: Base::ReadUpTo(Lsn(0)), ..*p }, e.clone())))
            .collect();
        prop_assert_eq!(fold(&once), fold(&twice));
    }

    #[test]
    fn every_value_that_disappears_is_in_the_ledger(values in prop::collection::vec(any::<u8>(), 2..6)) {
        let start = stored();
        let mut current = start.clone();
        let mut kept = BTreeSet::new();
        for (n, value) in values.iter().enumerate() {
            let by = party(n as u32 + 2, 100 - n as u64 * 7 % 50, 1, n as u64 + 2);
            let (next, merged) = then(&current, &set(&format!(r#"{{"x":{value}}}"#)), by, LWW);
            kept.extend(merged.losses.into_iter().map(|loss| format!("{:?}", loss.losing)));
            current = next;
        }
        let fields = current.body.fields();
        let winner = fields.get("x").map(RawValue::get).unwrap_or_default().to_owned();
        for value in values.iter().map(ToString::to_string).filter(|v| *v != winner) {
            let seen = kept.iter().any(|text| text.contains(&format!("\\\"x\\\":{value}}}")));
            prop_assert!(seen, "{value} is neither the winner {winner} nor in {kept:?}");
        }
    }
}
