//! Sort, skip and limit over a stream of documents, holding no more of them than can still be part
//! of the answer.
//!
//! Without an order, documents are returned as they come, and the selection says when it has enough.
//! With an order and a limit, only the best `skip + limit` are held, in a heap.

use super::Query;
use crate::filter::Path;
use crate::index::key;
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

/// The direction of an order.
///
/// Values are ordered as in MongoDB: null and absent < numbers < strings < objects < arrays <
/// booleans. Strings go by their UTF-8 bytes, numbers by their exact value, objects by their
/// (key, value) pairs in order of the keys. A document with several values under the path (an array,
/// or a path through one) stands by its least value in ascending order and by its greatest in
/// descending order; an empty array stands as null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Least first.
    Ascending,
    /// Greatest first.
    Descending,
}

/// The documents of an answer while it is being gathered. `T` is what the caller wants back for
/// each: its text, its row, the document itself.
#[derive(Debug)]
pub struct Selection<'q, T> {
    sort: &'q [(Path, Order)],
    skip: usize,
    limit: Option<usize>,
    offered: usize,
    held: Held<T>,
}

#[derive(Debug)]
enum Held<T> {
    /// No order: the answer so far.
    InOrder(Vec<T>),
    /// An order: all that could be part of the answer, the worst on top.
    Ranked(BinaryHeap<Ranked<T>>),
}

impl<'q, T> Selection<'q, T> {
    pub(super) fn new(query: &'q Query) -> Selection<'q, T> {
        let held = if query.sort.is_empty() { Held::InOrder(Vec::new()) } else { Held::Ranked(BinaryHeap::new()) };
        Selection { sort: &query.sort, skip: query.skip, limit: query.limit, offered: 0, held }
    }

    /// Takes in the next document, which matches the filter. Breaks when no later document can
    /// change the answer.
    pub fn offer(&mut self, document: &Value, item: T) -> ControlFlow<()> {
        let rank = self.rank(document);
        self.hold(rank, item)
    }

    /// The answer, in order.
    #[must_use]
    pub fn finish(self) -> Vec<T> {
        match self.held {
            Held::InOrder(items) => items,
            Held::Ranked(heap) => heap.into_sorted_vec().into_iter().skip(self.skip).map(|held| held.item).collect(),
        }
    }

    fn hold(&mut self, rank: Vec<u8>, item: T) -> ControlFlow<()> {
        let number = self.offered;
        self.offered += 1;
        let held_max = self.limit.map(|limit| limit.saturating_add(self.skip));
        match &mut self.held {
            Held::InOrder(items) => {
                if number >= self.skip && self.limit.is_none_or(|limit| items.len() < limit) {
                    items.push(item);
                }
                if self.limit.is_some_and(|limit| items.len() >= limit) {
                    return ControlFlow::Break(());
                }
            }
            Held::Ranked(heap) => {
                heap.push(Ranked { rank, number, item });
                if held_max.is_some_and(|max| heap.len() > max) {
                    heap.pop();
                }
                if held_max == Some(0) {
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Bytes whose order is the order asked for.
    fn rank(&self, document: &Value) -> Vec<u8> {
        let mut rank = Vec::new();
        for (path, order) in self.sort {
            let value = standing(document, path, *order);
            let start = rank.len();
            key::append(&mut rank, value, usize::MAX);
            if *order == Order::Descending {
                rank[start..].iter_mut().for_each(|byte| *byte = !*byte);
            }
        }
        rank
    }
}

impl Selection<'_, Value> {
    /// Takes in the next document as its own item.
    pub(super) fn offer_value(&mut self, document: Value) -> ControlFlow<()> {
        let rank = self.rank(&document);
        self.hold(rank, document)
    }
}

/// The value by which a document stands in an order: its least or greatest under the path.
fn standing<'d>(document: &'d Value, path: &Path, order: Order) -> &'d Value {
    let wanted = match order {
        Order::Ascending => Ordering::Less,
        Order::Descending => Ordering::Greater,
    };
    let mut best: Option<&'d Value> = None;
    let mut consider = |value: &'d Value| {
        if best.is_none_or(|best| crate::filter::compare(value, best) == wanted) {
            best = Some(value);
        }
    };
    path.any_leaf(document, &mut |leaf| {
        match leaf.unwrap_or(&Value::Null) {
            Value::Array(elements) if elements.is_empty() => consider(&Value::Null),
            Value::Array(elements) => elements.iter().for_each(&mut consider),
            value => consider(value),
        }
        false
    });
    best.unwrap_or(&Value::Null)
}

/// A document held with its place: by rank, then by arrival.
#[derive(Debug)]
struct Ranked<T> {
    rank: Vec<u8>,
    number: usize,
    item: T,
}

impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank).then(self.number.cmp(&other.number))
    }
}

impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Ranked<T> {}
