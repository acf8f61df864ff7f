//! Positions of the oldest clients, which bring none or only a time: kept here per key, so each such
//! device needs a key of its own.
//!
//! A list that was written may still be lost on its way. The first generation pushes back what it
//! pulled, and every document's last op bears its LSN: that proves receipt. Without proof a list is sent
//! again, which does no harm, because it always tells the present state and comes after the client's push.

use super::StreamKey;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use syncline_core::model::{Lsn, Millis, SpaceName};

/// How far a client's clock may be off, and a change's time before its commit.
const MARGIN: Millis = Millis(60_000);
/// Times below this are positions: those that snapshots hand out.
const FIRST_TIME: Millis = Millis(946_684_800_000);
/// After so many lists without proof of receipt the client is taken for one that gives none.
const UNPROVEN_MAX: u32 = 3;
const NOTES_MAX: usize = 4_096;
const KEYS_MAX: usize = 10_000;

/// What a list pull says about where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// Nothing: from where the last list ended that this key certainly has.
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
    places: BTreeMap<StreamKey, Place>,
    /// When each space's log ended where; only while it grew.
    notes: BTreeMap<SpaceName, VecDeque<(Millis, Lsn)>>,
}

/// Where one key stands.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// It certainly has everything up to here.
    has: Lsn,
    /// The last list ended here.
    sent: Lsn,
    /// Lists sent since there was proof.
    unproven: u32,
}

impl Lists {
    /// From where to go on. What was forgotten in a restart starts at 0.
    pub fn after(&self, key: &StreamKey, since: Since) -> Lsn {
        let state = self.state();
        let last = state.places.get(key).map_or(Lsn::ZERO, |place| place.has);
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

    /// Notes that a list of so many ops, complete up to here, was written.
    pub fn written(&self, key: &StreamKey, upto: Lsn, ops: u64) {
        let mut state = self.state();
        if state.places.len() >= KEYS_MAX && !state.places.contains_key(key) {
            state.places.clear();
        }
        let place = state.places.entry(key.clone()).or_default();
        place.sent = upto;
        place.unproven += 1;
        if ops == 0 || place.unproven >= UNPROVEN_MAX {
            *place = Place { has: upto, sent: upto, unproven: 0 };
        }
    }

    /// Notes the positions that a push brought back. Those of another hub prove nothing.
    pub fn echoed(&self, key: &StreamKey, positions: &[Lsn]) {
        let mut state = self.state();
        let Some(place) = state.places.get_mut(key) else { return };
        let received = positions.iter().copied().filter(|lsn| (place.has..=place.sent).contains(lsn)).max();
        if let Some(lsn) = received.filter(|lsn| *lsn > place.has) {
            *place = Place { has: lsn, unproven: 0, ..*place };
        }
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
        lists.written(&key, Lsn(85), 0);
        assert_eq!(lists.after(&key, Since::Last), Lsn(85));
        assert_eq!(lists.after(&key, Since::Time(Millis(start + 300_000))), Lsn(40));
        assert_eq!(lists.after(&key, Since::Time(Millis(start + 3_000_000_000))), Lsn(85), "a clock far ahead");
        assert_eq!(lists.after(&key, Since::Time(time_of(Lsn(33)))), Lsn(33));
    }

    #[test]
    fn a_list_is_repeated_until_it_was_received_or_the_client_proves_nothing() {
        let name = |text| CollectionName::new(text).unwrap();
        let (space, token) = (SpaceName::new("s").unwrap(), NodeId::new("t").unwrap());
        let key = StreamKey { space, collection: name("c"), token };
        let lists = Lists::default();
        let after = || lists.after(&key, Since::Last);
        lists.written(&key, Lsn(10), 3);
        lists.echoed(&key, &[Lsn(500)]);
        assert_eq!(after(), Lsn(0), "what another hub sent proves nothing");
        lists.written(&key, Lsn(12), 4);
        lists.echoed(&key, &[Lsn(7), Lsn(11), Lsn(500)]);
        assert_eq!(after(), Lsn(11), "as far as it came back");
        lists.written(&key, Lsn(14), 0);
        assert_eq!(after(), Lsn(14), "nothing was in it");
        for sent in 1..=UNPROVEN_MAX {
            assert_eq!(after(), Lsn(14), "sent {sent} times");
            lists.written(&key, Lsn(20), 1);
        }
        assert_eq!(after(), Lsn(20));
    }
}
