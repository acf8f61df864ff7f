//! A set of op numbers, kept as ranges: nodes count 1, 2, 3 …, so it is usually one.

use super::Seq;
use serde::{Deserialize, Serialize};

/// Numbers of ops, as ranges in ascending order with a gap between any two. Stores keep it as JSON:
/// `[[1,40],[42,42]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seqs(Vec<(Seq, Seq)>);

impl Seqs {
    /// Ranges that are remembered of a node's answered ops once their receipts are gone.
    pub const REMEMBERED_RANGES: usize = 64;

    /// Whether a number is among them.
    #[must_use]
    pub fn contains(&self, seq: Seq) -> bool {
        self.meets(seq, seq)
    }

    /// Whether some number from `first` to `last` is among them.
    #[must_use]
    pub fn meets(&self, first: Seq, last: Seq) -> bool {
        self.0.get(self.before(first)).is_some_and(|range| range.0 <= last)
    }

    /// Adds a number.
    pub fn insert(&mut self, seq: Seq) {
        let at = self.before(seq);
        let follows = at > 0 && self.0[at - 1].1.0 + 1 == seq.0;
        match self.0.get(at).copied() {
            Some((first, _)) if first <= seq => {}
            Some((first, last)) if first.0 == seq.0 + 1 && follows => {
                self.0[at - 1].1 = last;
                self.0.remove(at);
            }
            Some((first, _)) if first.0 == seq.0 + 1 => self.0[at].0 = seq,
            _ if follows => self.0[at - 1].1 = seq,
            _ => self.0.insert(at, (seq, seq)),
        }
    }

    /// Adds numbers whose receipts are no longer kept. Past [`Seqs::REMEMBERED_RANGES`] the oldest
    /// gaps close: numbers in them count as answered although they never were.
    pub fn remember(&mut self, answered: impl IntoIterator<Item = Seq>) {
        answered.into_iter().for_each(|seq| self.insert(seq));
        let excess = self.0.len().saturating_sub(Seqs::REMEMBERED_RANGES);
        if excess > 0 {
            self.0[0].1 = self.0[excess].1;
            self.0.drain(1..=excess);
        }
    }

    /// The lowest and the highest number.
    #[must_use]
    pub fn bounds(&self) -> Option<(Seq, Seq)> {
        Some((self.0.first()?.0, self.0.last()?.1))
    }

    /// The ranges, each with its first and last number.
    #[must_use]
    pub fn ranges(&self) -> &[(Seq, Seq)] {
        &self.0
    }

    /// How many ranges end before a number.
    fn before(&self, seq: Seq) -> usize {
        self.0.partition_point(|range| range.1 < seq)
    }
}

impl FromIterator<Seq> for Seqs {
    fn from_iter<T: IntoIterator<Item = Seq>>(iter: T) -> Self {
        let mut seqs = Seqs::default();
        iter.into_iter().for_each(|seq| seqs.insert(seq));
        seqs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_holds_what_a_plain_set_holds(numbers in prop::collection::vec(1u64..60, 0..80)) {
            let plain: BTreeSet<u64> = numbers.iter().copied().collect();
            let seqs: Seqs = numbers.into_iter().map(Seq).collect();
            for n in 0..62 {
                prop_assert_eq!(seqs.contains(Seq(n)), plain.contains(&n));
                prop_assert_eq!(seqs.meets(Seq(n), Seq(n + 3)), plain.range(n..=n + 3).next().is_some());
            }
            let apart = seqs.ranges().windows(2).all(|pair| pair[0].1.0 + 1 < pair[1].0.0);
            prop_assert!(apart, "no two ranges touch");
            let bounds = plain.first().zip(plain.last()).map(|(first, last)| (Seq(*first), Seq(*last)));
            prop_assert_eq!(seqs.bounds(), bounds);
        }
    }

    #[test]
    fn past_the_limit_the_oldest_gaps_close() {
        let mut seqs = Seqs::default();
        let most = Seqs::REMEMBERED_RANGES as u64;
        seqs.remember((1..=most + 2).map(|n| Seq(2 * n)));
        assert_eq!(seqs.ranges().len(), Seqs::REMEMBERED_RANGES);
        assert_eq!((seqs.ranges()[0], seqs.ranges()[1]), ((Seq(2), Seq(6)), (Seq(8), Seq(8))));
        assert!(seqs.contains(Seq(5)) && !seqs.contains(Seq(1)) && !seqs.contains(Seq(7)));
    }
}
