//! Positions of the oldest clients, which bring none or only a time: kept here per key, so each such
//! device needs a key of its own.
//!
//! A list that was written may still be lost on its way. Both generations push back what they pulled, and
//! every document's last op bears its LSN: that proves receipt. Without proof a list is sent again, which
//! does no harm, because it always tells the present state and comes after the client's push.
//!
//! The second generation takes the time of the last op that it pulled for its cutoff, and never sends
//! what it wrote up to then: changes of others would hold back its own. So its lists end with a mark whose
//! time is a position.

use super::StreamKey;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use syncline_core::model::{Lsn, Millis};

/// Times below this are positions: those that snapshots and marks hand out.
const FIRST_TIME: Millis = Millis(946_684_800_000);
/// After so many lists without proof of receipt a client of the first generation is taken for one that
/// gives none.
const UNPROVEN_MAX: u32 = 3;
const KEYS_MAX: usize = 10_000;

/// What a list pull says about where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// Nothing: from where the last list ended that this key certainly has. First generation.
    Last,
    /// A time: of the last op that the client has pushed, or the position that it was given. Second
    /// generation.
    Time(Millis),
}

/// A position as a time. Such a client sends it back with its next pull, and it makes the client push
/// everything that its log holds.
pub(super) fn time_of(lsn: Lsn) -> Millis {
    Millis(lsn.0.min(FIRST_TIME.0 - 2))
}

/// The last element of a list up to `lsn`: a removal of an id that no document can have. The client finds
/// `ts` after a pull, and after a push that ends with it; and since its log goes by `doc.updatedAt`, it
/// does push it.
pub(super) fn mark(lsn: Lsn) -> String {
    let (position, next) = (time_of(lsn), Millis(time_of(lsn).0 + 1));
    let (ts, updated) = (position.iso(), next.iso());
    format!(r#"{{"op":"REMOVE","id":"\u0000","doc":{{"updatedAt":"{updated}"}},"ts":"{ts}","lsn":{lsn}}}"#)
}

#[derive(Debug, Default)]
pub(super) struct Lists {
    places: Mutex<BTreeMap<StreamKey, Place>>,
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
        match since {
            Since::Time(time) if time < FIRST_TIME => Lsn(time.0),
            Since::Last | Since::Time(_) => self.places().get(key).map_or(Lsn::ZERO, |place| place.has),
        }
    }

    /// Notes that a list of so many ops was written, from `after` up to here.
    pub fn written(&self, key: &StreamKey, since: Since, (after, upto): (Lsn, Lsn), ops: u64) {
        let mut places = self.places();
        if places.len() >= KEYS_MAX && !places.contains_key(key) {
            places.clear();
        }
        let place = places.entry(key.clone()).or_default();
        *place = Place { has: after, sent: upto, unproven: place.unproven + 1 };
        // Whoever brings times pushes the mark back, or comes with its position.
        if ops == 0 || (since == Since::Last && place.unproven >= UNPROVEN_MAX) {
            *place = Place { has: upto, sent: upto, unproven: 0 };
        }
    }

    /// Notes the positions that a push brought back. Those of another hub prove nothing.
    pub fn echoed(&self, key: &StreamKey, positions: &[Lsn]) {
        let mut places = self.places();
        let Some(place) = places.get_mut(key) else { return };
        let received = positions.iter().copied().filter(|lsn| (place.has..=place.sent).contains(lsn)).max();
        if let Some(lsn) = received.filter(|lsn| *lsn > place.has) {
            *place = Place { has: lsn, unproven: 0, ..*place };
        }
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<StreamKey, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_core::model::{CollectionName, NodeId, SpaceName};

    fn key() -> StreamKey {
        let (space, collection) = (SpaceName::new("s").unwrap(), CollectionName::new("c").unwrap());
        StreamKey { space, collection, node: NodeId::new("t").unwrap(), view: None }
    }

    #[test]
    fn a_position_as_a_time_is_exact_and_any_other_time_goes_on_from_what_was_received() {
        let (key, lists) = (key(), Lists::default());
        let now = Since::Time(Millis(1_800_000_000_000));
        assert_eq!(lists.after(&key, now), Lsn(0), "unknown key: everything");
        for sent in 1..=UNPROVEN_MAX + 1 {
            lists.written(&key, now, (Lsn(0), Lsn(85)), 7);
            assert_eq!(lists.after(&key, now), Lsn(0), "sent {sent} times, not received");
        }
        assert_eq!(lists.after(&key, Since::Time(time_of(Lsn(85)))), Lsn(85));
        lists.echoed(&key, &[Lsn(85)]);
        assert_eq!(lists.after(&key, now), Lsn(85));
    }

    #[test]
    fn a_mark_names_its_position_and_is_newer_in_the_log_than_its_time() {
        let mark: serde_json::Value = serde_json::from_str(&mark(Lsn(33))).unwrap();
        let time = |value: &serde_json::Value| Millis::parse(value.as_str().unwrap()).unwrap();
        assert_eq!(Lists::default().after(&key(), Since::Time(time(&mark["ts"]))), Lsn(33));
        assert!(time(&mark["doc"]["updatedAt"]) > time(&mark["ts"]));
        assert_eq!(mark["lsn"], 33);
    }

    #[test]
    fn a_list_is_repeated_until_it_was_received_or_the_client_proves_nothing() {
        let (key, lists) = (key(), Lists::default());
        let after = || lists.after(&key, Since::Last);
        let written = |upto, ops| lists.written(&key, Since::Last, (after(), Lsn(upto)), ops);
        written(10, 3);
        lists.echoed(&key, &[Lsn(500)]);
        assert_eq!(after(), Lsn(0), "what another hub sent proves nothing");
        written(12, 4);
        lists.echoed(&key, &[Lsn(7), Lsn(11), Lsn(500)]);
        assert_eq!(after(), Lsn(11), "as far as it came back");
        written(14, 0);
        assert_eq!(after(), Lsn(14), "nothing was in it");
        for sent in 1..=UNPROVEN_MAX {
            assert_eq!(after(), Lsn(14), "sent {sent} times");
            written(20, 1);
        }
        assert_eq!(after(), Lsn(20));
    }
}
