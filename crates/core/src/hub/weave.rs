//! The order in which the ops of a foreign push were made (step 4 of the life of a change).
//!
//! WiseJSON clients of the newer generations send all plain ops first and the ops of transactions
//! after them, whatever their order in the client's log. Times put most of them back into place;
//! removals carry none, and are placed by what they prove: a client only logs edits of documents
//! that it has. Decides order only, never what becomes of an op.

use crate::model::{DocId, ForeignEdit, ForeignOp, Millis};
use std::collections::{BTreeMap, BTreeSet};

/// The positions of the ops in the order in which they were made. `live` tells which documents
/// existed before the push.
pub(super) fn weave(ops: &[ForeignOp], live: impl Fn(&DocId) -> bool) -> Vec<usize> {
    let tail = ops.iter().rposition(|op| op.txn.is_none()).map_or(0, |last| last + 1);
    if tail == 0 || tail == ops.len() || ops[..tail].iter().any(|op| op.txn.is_some()) {
        // Only one kind, or the older generation, which sends its log as it is.
        return (0..ops.len()).collect();
    }
    let mut plain = Plain::new(&ops[..tail], &live);
    let mut order = Vec::with_capacity(ops.len());
    for group in groups(ops, tail) {
        let from = plain.at;
        plain.advance_before(&Group::of(&ops[group.clone()]));
        order.extend(from..plain.at);
        ops[group.clone()].iter().for_each(|op| plain.there.note(&op.edit));
        order.extend(group);
    }
    order.extend(plain.at..tail);
    order
}

/// Runs of ops of one transaction.
fn groups(ops: &[ForeignOp], tail: usize) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let mut start = tail;
    std::iter::from_fn(move || {
        let first = ops.get(start)?;
        let len = ops[start..].iter().take_while(|op| op.txn == first.txn).count();
        let group = start..start + len;
        start += len;
        Some(group)
    })
}

/// What a transaction says about the documents that were there when it committed.
struct Group<'a> {
    /// No earlier than its last op.
    time: Option<Millis>,
    inserts: BTreeSet<&'a DocId>,
    /// Edited without having been inserted by the same transaction.
    edits: BTreeSet<&'a DocId>,
}

impl<'a> Group<'a> {
    fn of(ops: &'a [ForeignOp]) -> Group<'a> {
        let mut group = Group { time: None, inserts: BTreeSet::new(), edits: BTreeSet::new() };
        for op in ops {
            group.time = group.time.max(op.time);
            match &op.edit {
                ForeignEdit::Insert(id, _) => drop(group.inserts.insert(id)),
                ForeignEdit::Update(id, _) | ForeignEdit::Remove(id) if !group.inserts.contains(id) => {
                    group.edits.insert(id);
                }
                _ => {}
            }
        }
        group
    }
}

/// Where the transaction stands relative to one plain op.
#[derive(PartialEq)]
enum Proof {
    Before,
    After,
    None,
}

/// The plain ops, up to `at` already in order.
struct Plain<'a, L> {
    ops: &'a [ForeignOp],
    at: usize,
    there: There<'a, L>,
    /// For each op the earliest time among it and those after it.
    earliest: Vec<Option<Millis>>,
}

impl<'a, L: Fn(&DocId) -> bool> Plain<'a, L> {
    fn new(ops: &'a [ForeignOp], live: &'a L) -> Plain<'a, L> {
        let mut earliest: Vec<Option<Millis>> = vec![None; ops.len()];
        let mut least = None;
        for (op, slot) in ops.iter().zip(&mut earliest).rev() {
            least = [least, op.time].into_iter().flatten().min();
            *slot = least;
        }
        Plain { ops, at: 0, there: There { known: BTreeMap::new(), cleared: false, live }, earliest }
    }

    /// Passes the plain ops that come before the transaction.
    fn advance_before(&mut self, group: &Group<'a>) {
        let Some(time) = group.time else { return self.pass(self.ops.len()) };
        self.pass(self.earliest.partition_point(|t| t.is_some_and(|t| t < time)));
        let mut there = There { known: BTreeMap::new(), cleared: false, live: &|id: &DocId| self.there.has(id) };
        let mut slot = self.at;
        for (n, op) in self.ops.iter().enumerate().skip(self.at) {
            if op.time.is_some_and(|t| t > time) {
                break;
            }
            match proof(group, &op.edit, |id| there.has(id)) {
                Proof::Before => break,
                Proof::After => slot = n + 1,
                Proof::None => {}
            }
            there.note(&op.edit);
        }
        self.pass(slot);
    }

    fn pass(&mut self, to: usize) {
        for op in self.ops.get(self.at..to).unwrap_or_default() {
            self.there.note(&op.edit);
        }
        self.at = self.at.max(to);
    }
}

/// Which documents are there at some point of the order.
struct There<'a, L> {
    known: BTreeMap<&'a DocId, bool>,
    cleared: bool,
    live: &'a L,
}

impl<'a, L: Fn(&DocId) -> bool> There<'a, L> {
    fn has(&self, id: &DocId) -> bool {
        self.known.get(id).copied().unwrap_or_else(|| !self.cleared && (self.live)(id))
    }

    fn note(&mut self, edit: &'a ForeignEdit) {
        match edit {
            ForeignEdit::Insert(id, _) => drop(self.known.insert(id, true)),
            ForeignEdit::Remove(id) => drop(self.known.insert(id, false)),
            ForeignEdit::Clear => {
                self.known.clear();
                self.cleared = true;
            }
            ForeignEdit::Update(..) | ForeignEdit::Unusable(_) => {}
        }
    }
}

/// What a plain op of the same time, or without one, proves. Without a proof the transaction comes
/// first, except after a `CLEAR` that would destroy its documents.
fn proof(group: &Group<'_>, edit: &ForeignEdit, exists: impl Fn(&DocId) -> bool) -> Proof {
    match edit {
        ForeignEdit::Remove(id) if group.inserts.contains(id) && exists(id) => Proof::After,
        ForeignEdit::Remove(id) | ForeignEdit::Update(id, _) if group.inserts.contains(id) => Proof::Before,
        ForeignEdit::Remove(id) if group.edits.contains(id) => Proof::Before,
        ForeignEdit::Insert(id, _) if group.edits.contains(id) && !exists(id) => Proof::After,
        ForeignEdit::Clear if group.edits.iter().any(|id| exists(id)) => Proof::Before,
        ForeignEdit::Clear => Proof::After,
        _ => Proof::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Body, Fields};

    fn op(edit: ForeignEdit, time: Option<u64>, txn: Option<u32>) -> ForeignOp {
        ForeignOp { key: None, edit, time: time.map(Millis), txn, raw: String::new() }
    }
    fn id(text: &str) -> DocId {
        DocId::new(text).unwrap()
    }
    fn insert(at: &str) -> ForeignEdit {
        ForeignEdit::Insert(id(at), Body::trusted("{}"))
    }
    fn update(at: &str) -> ForeignEdit {
        ForeignEdit::Update(id(at), Fields::default())
    }
    fn remove(at: &str) -> ForeignEdit {
        ForeignEdit::Remove(id(at))
    }
    fn order(live: &[&str], ops: &[ForeignOp]) -> Vec<usize> {
        weave(ops, |id| live.contains(&id.as_str()))
    }

    #[test]
    fn the_order_of_the_recorded_transaction_is_repaired() {
        let ops = [
            op(insert("p"), Some(890), None),
            op(update("x"), Some(905), None),
            op(remove("y"), None, None),
            op(insert("q"), Some(917), None),
            op(insert("x"), Some(898), Some(0)),
            op(insert("y"), Some(898), Some(0)),
        ];
        assert_eq!(order(&[], &ops), [0, 4, 5, 1, 2, 3]);
    }

    #[test]
    fn a_removal_without_a_time_is_placed_by_what_it_proves() {
        let ops = [op(remove("y"), None, None), op(insert("y"), Some(5), Some(0))];
        assert_eq!(order(&[], &ops), [1, 0], "it removed what the transaction had inserted");
        assert_eq!(order(&["y"], &ops), [0, 1], "it removed what was there before");
    }

    #[test]
    fn a_clear_destroys_as_little_as_it_can() {
        let ops = [op(ForeignEdit::Clear, None, None), op(insert("n"), Some(5), Some(0))];
        assert_eq!(order(&["old"], &ops), [0, 1]);
        let ops = [op(ForeignEdit::Clear, None, None), op(update("old"), Some(5), Some(0))];
        assert_eq!(order(&["old"], &ops), [1, 0], "what it edits was there, so the clear came later");
    }

    #[test]
    fn the_log_of_the_oldest_clients_keeps_its_order() {
        let ops =
            [op(insert("x"), Some(9), Some(0)), op(update("x"), Some(3), None), op(insert("z"), Some(1), Some(1))];
        assert_eq!(order(&[], &ops), [0, 1, 2]);
    }
}
