//! Positions of the oldest clients, which bring none or only a time: kept here per key, so each such
//! device needs a key of its own.

use super::StreamKey;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use syncline_core::model::{Lsn, Millis, SpaceName};

/// How far a client's clock may be off, and a change's time before its commit.
const MARGIN: Millis = Millis(60_000);
/// Times below this are positions: those that snapshots hand out.
const FIRST_TIME: Millis = Millis(946_684_800_000);
const NOTES_MAX: usize = 4_096;
const KEYS_MAX: usize = 10_000;

/// What a list pull says about where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// Nothing: from where this key's last reply ended.
    Last,
    /// A time: of the last op that the client has seen, or of its snapshot.
    Time(Millis),
}

/// A snapshot's position as a time. Such a client sends it back with its first pull, and it makes
/// the client push everything that its log holds.
pub(super) fn time_of(lsn: Lsn) -> Millis {
    Millis(lsn.0.min(FIRST_TIME.0 - 1))
}

#[derive(Debug, Default)]
pub(super) struct Lists {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cursors: BTreeMap<StreamKey, Lsn>,
    /// When each space's log ended where; only while it grew.
    notes: BTreeMap<SpaceName, VecDeque<(Millis, Lsn)>>,
}

impl Lists {
    /// From where to go on. What was forgotten in a restart starts at 0.
    pub fn after(&self, key: &StreamKey, since: Since) -> Lsn {
        let state = self.state();
        let last = state.cursors.get(key).copied().unwrap_or_default();
        match since {
            Since::Last => last,
            Since::Time(time) if time < FIRST_TIME => Lsn(time.0),
            Since::Time(time) => {
                let early = Millis(time.0.saturating_sub(MARGIN.0));
                let notes = state.notes.get(&key.space);
                let noted = notes.and_then(|notes| notes.iter().rev().find(|(at, _)| *at <= early));
                last.min(noted.map_or(Lsn::ZERO, |(_, lsn)| *lsn))
            }
        }
    }

    /// Notes that the log ends here now.
    pub fn note(&self, space: &SpaceName, now: Millis, head: Lsn) {
        let mut state = self.state();
        let notes = state.notes.entry(space.clone()).or_default();
        if notes.back().is_none_or(|(_, lsn)| *lsn < head) {
            notes.push_back((now, head));
        }
        if notes.len() > NOTES_MAX {
            notes.pop_front();
        }
    }

    /// Notes that a reply, complete up to here, was written.
    pub fn written(&self, key: &StreamKey, upto: Lsn) {
        let mut state = self.state();
        if state.cursors.len() >= KEYS_MAX && !state.cursors.contains_key(key) {
            state.cursors.clear();
        }
        state.cursors.insert(key.clone(), upto);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_core::model::{CollectionName, NodeId};

    #[test]
    fn a_time_leads_back_to_a_position_before_it() {
        let space = SpaceName::new("s").unwrap();
        let (collection, token) = (CollectionName::new("c").unwrap(), NodeId::new("t").unwrap());
        let key = StreamKey { space: space.clone(), collection, token };
        let lists = Lists::default();
        let start = 1_800_000_000_000;
        for minute in 0..10 {
            lists.note(&space, Millis(start + minute * 60_000), Lsn(minute * 10));
        }
        assert_eq!(lists.after(&key, Since::Time(Millis(start + 300_000))), Lsn(0), "unknown key: everything");
        lists.written(&key, Lsn(85));
        assert_eq!(lists.after(&key, Since::Last), Lsn(85));
        assert_eq!(lists.after(&key, Since::Time(Millis(start + 300_000))), Lsn(40));
        assert_eq!(lists.after(&key, Since::Time(Millis(start + 3_000_000_000))), Lsn(85), "a clock far ahead");
        assert_eq!(lists.after(&key, Since::Time(time_of(Lsn(33)))), Lsn(33));
    }
}
