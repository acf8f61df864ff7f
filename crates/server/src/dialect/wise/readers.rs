//! Which positions the devices behind one key may be at. A push does not say what its sender has
//! read, and devices may share a key; so every pull leaves a mark, and a push is taken to come
//! from the device that was served least.
//!
//! A mark must go away only when its device certainly stands elsewhere: a number that the hub handed
//! out once is brought back by the one who got it. Where several marks could be meant, the one that
//! was served most goes, so that the rest stays a lower bound.

use super::StreamKey;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use syncline_core::model::{Lsn, SpaceName};

/// Between a pull and a push of the same cycle.
const CYCLE: Duration = Duration::from_secs(600);
/// The same after a pull that brought nothing, from a cursor that several devices may have.
const IDLE_CYCLE: Duration = Duration::from_secs(120);
/// What the slowest known client takes to apply one pulled op.
const APPLY: Duration = Duration::from_millis(5);
/// After a start of the hub, devices may push that have pulled before it.
const RESTART: Duration = Duration::from_secs(60);
/// Marks kept for one key, and keys kept at all.
const MARKS_MAX: usize = 64;
const KEYS_MAX: usize = 10_000;

/// A pull that is about to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    /// The cursor that it came with.
    pub cursor: Lsn,
    /// Whether the cursor is the number of a push reply, which one device alone got.
    pub ticket: bool,
    /// What it will have when the reply has arrived.
    pub served: Lsn,
    /// The head of the log.
    pub head: Lsn,
}

/// What is known of the sender of a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sender {
    /// It has been served at least up to here.
    pub served: Lsn,
    /// LSN ranges that it certainly wrote itself since then.
    pub own: Vec<(Lsn, Lsn)>,
    /// Whether the key seems to have one device only.
    pub sole: bool,
    /// Whether a push since the last pull may have cleared the collection.
    pub cleared: bool,
}

/// One device in the midst of a cycle.
#[derive(Debug)]
struct Mark {
    number: u64,
    cursor: Lsn,
    served: Lsn,
    head: Lsn,
    /// The cursor was nobody's in particular: other devices may come with it.
    open: bool,
    own: Vec<(Lsn, Lsn)>,
    cleared: bool,
    until: Instant,
}

#[derive(Debug)]
pub(super) struct Readers {
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: BTreeMap<StreamKey, Vec<Mark>>,
    /// Where each space's log stood at the first request.
    heads: BTreeMap<SpaceName, Lsn>,
    numbers: u64,
}

impl Default for Readers {
    fn default() -> Self {
        Readers { started: Instant::now(), state: Mutex::default() }
    }
}

impl Readers {
    /// Notes a pull before its reply is sent. Returns the mark's number.
    pub fn visit(&self, key: &StreamKey, visit: Visit, now: Instant) -> u64 {
        let mut state = self.state();
        state.note_head(&key.space, visit.head);
        state.make_room(now);
        state.numbers += 1;
        let number = state.numbers;
        let marks = state.keys.entry(key.clone()).or_default();
        marks.retain(|mark| mark.until > now);
        let known = replace(marks, visit);
        let Visit { cursor, served, head, .. } = visit;
        let (open, until) = (!known && !visit.ticket, now + CYCLE);
        marks.push(Mark { number, cursor, served, head, open, own: Vec::new(), cleared: false, until });
        if marks.len() > MARKS_MAX {
            join_two(marks);
        }
        number
    }

    /// Notes a device that will come with the number of its snapshot.
    pub fn arrive(&self, key: &StreamKey, served: Lsn, head: Lsn, now: Instant) {
        let mut state = self.state();
        state.note_head(&key.space, head);
        state.make_room(now);
        let marks = state.keys.entry(key.clone()).or_default();
        marks.retain(|mark| mark.until > now);
        let until = now + CYCLE;
        marks.push(Mark {
            number: 0,
            cursor: served,
            served,
            head,
            open: false,
            own: Vec::new(),
            cleared: false,
            until,
        });
        if marks.len() > MARKS_MAX {
            join_two(marks);
        }
    }

    /// Notes how many ops the reply held: the device needs its time to apply them.
    pub fn replied(&self, key: &StreamKey, number: u64, ops: u64, now: Instant) {
        let mut state = self.state();
        let marks = state.keys.get_mut(key);
        if let Some(mark) = marks.and_then(|marks| marks.iter_mut().find(|mark| mark.number == number)) {
            let cycle = if ops == 0 && mark.open { IDLE_CYCLE } else { CYCLE };
            mark.until = now + cycle + APPLY * u32::try_from(ops).unwrap_or(u32::MAX);
        }
    }

    /// What is known of who sends a push that began to arrive at `arrived`.
    pub fn sender(&self, key: &StreamKey, head: Lsn, arrived: Instant) -> Sender {
        let mut state = self.state();
        let before = state.note_head(&key.space, head);
        if before > Lsn::ZERO && arrived < self.started + RESTART {
            return Sender::default();
        }
        let Some(marks) = state.keys.get(key) else { return Sender::default() };
        let alive: Vec<&Mark> = marks.iter().filter(|mark| mark.until > arrived).collect();
        let served = alive.iter().map(|mark| mark.served).min().unwrap_or_default();
        let cleared = alive.iter().any(|mark| mark.cleared);
        match alive.as_slice() {
            [one] => Sender { served, own: one.own.clone(), sole: true, cleared },
            _ => Sender { served, own: Vec::new(), sole: false, cleared },
        }
    }

    /// Notes what a push wrote, for the further pushes of the same cycle.
    pub fn pushed(&self, key: &StreamKey, wrote: (Lsn, Lsn)) {
        let mut state = self.state();
        if let Some([one]) = state.keys.get_mut(key).map(Vec::as_mut_slice) {
            one.own.push(wrote);
        }
    }

    /// Notes that a push cleared the collection.
    pub fn cleared(&self, key: &StreamKey) {
        let mut state = self.state();
        state.keys.get_mut(key).into_iter().flatten().for_each(|mark| mark.cleared = true);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note_head(&mut self, space: &SpaceName, head: Lsn) -> Lsn {
        *self.heads.entry(space.clone()).or_insert(head)
    }

    /// Keys that nobody uses any more go first; past the limit the memory starts anew, which costs
    /// readers a repetition only.
    fn make_room(&mut self, now: Instant) {
        if self.keys.len() < KEYS_MAX {
            return;
        }
        self.keys.retain(|_, marks| marks.iter().any(|mark| mark.until > now));
        if self.keys.len() >= KEYS_MAX {
            self.keys.clear();
        }
    }
}

/// Takes away the mark that this device left last, if there is one. Returns whether there was.
fn replace(marks: &mut Vec<Mark>, visit: Visit) -> bool {
    let came_with = |mark: &Mark| mark.cursor == visit.cursor || mark.served == visit.cursor;
    let mut candidates: Vec<usize> =
        (0..marks.len()).filter(|n| came_with(&marks[*n]) && !marks[*n].open && visit.cursor > Lsn::ZERO).collect();
    if candidates.is_empty() && visit.ticket {
        // It pushed after one of the pulls before that push.
        let before: Vec<usize> = (0..marks.len()).filter(|n| marks[*n].head < visit.cursor).collect();
        let lone = before.len() == 1;
        candidates = before.into_iter().filter(|n| lone || !marks[*n].open).collect();
    }
    let Some(most) = candidates.iter().copied().max_by_key(|n| marks[*n].served) else { return false };
    if candidates.len() > 1 {
        candidates.iter().for_each(|n| marks[*n].own.clear());
    }
    marks.remove(most);
    true
}

/// The two that were served most become one that was served as little as either.
fn join_two(marks: &mut Vec<Mark>) {
    marks.sort_by_key(|mark| mark.served);
    if let (Some(most), Some(next)) = (marks.pop(), marks.last_mut()) {
        next.until = next.until.max(most.until);
        next.open = true;
        next.own.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_core::model::{CollectionName, NodeId};

    fn key() -> StreamKey {
        StreamKey {
            space: SpaceName::new("s").unwrap(),
            collection: CollectionName::new("c").unwrap(),
            token: NodeId::new("shared").unwrap(),
        }
    }

    /// A hub that has been running for a while.
    struct Story {
        readers: Readers,
        now: Instant,
    }

    impl Story {
        fn new() -> Story {
            let readers = Readers::default();
            readers.state().heads.insert(key().space, Lsn(0));
            Story { readers, now: Instant::now() }
        }
        fn pull(&self, cursor: u64, served: u64) {
            let (cursor, served) = (Lsn(cursor), Lsn(served));
            self.readers.visit(&key(), Visit { cursor, ticket: false, served, head: served }, self.now);
        }
        fn pull_by_ticket(&self, cursor: u64, served: u64) {
            let (cursor, served) = (Lsn(cursor), Lsn(served));
            self.readers.visit(&key(), Visit { cursor, ticket: true, served, head: served }, self.now);
        }
        fn sender(&self) -> Sender {
            self.readers.sender(&key(), Lsn(99), self.now)
        }
    }

    #[test]
    fn without_a_mark_the_sender_may_have_nothing() {
        assert_eq!(Story::new().sender(), Sender::default());
    }

    #[test]
    fn a_device_alone_is_followed_from_cursor_to_cursor() {
        let story = Story::new();
        story.pull(0, 5);
        assert_eq!(story.sender(), Sender { served: Lsn(5), own: vec![], sole: true, cleared: false });
        story.readers.pushed(&key(), (Lsn(7), Lsn(8)));
        assert_eq!(story.sender().own, [(Lsn(7), Lsn(8))]);
        story.pull_by_ticket(6, 8);
        assert_eq!(story.sender(), Sender { served: Lsn(8), own: vec![], sole: true, cleared: false });
        story.pull(6, 9);
        assert_eq!(story.sender().served, Lsn(9), "the reply was lost and it came again");
        story.pull(9, 12);
        assert_eq!(story.sender(), Sender { served: Lsn(12), own: vec![], sole: true, cleared: false });
    }

    #[test]
    fn a_clear_is_remembered_until_the_next_pull() {
        let story = Story::new();
        story.pull(0, 5);
        story.readers.cleared(&key());
        assert!(story.sender().cleared);
        story.pull_by_ticket(6, 8);
        assert!(!story.sender().cleared);
    }

    #[test]
    fn a_newcomer_does_not_hide_the_device_that_is_about_to_push() {
        let story = Story::new();
        story.pull(0, 5);
        story.pull(0, 7);
        assert_eq!(story.sender(), Sender { served: Lsn(5), own: vec![], sole: false, cleared: false });
        story.pull_by_ticket(8, 9);
        assert_eq!(story.sender().served, Lsn(5), "either may have pushed");
    }

    #[test]
    fn two_devices_at_one_cursor_keep_two_marks() {
        let story = Story::new();
        story.pull_by_ticket(3, 4);
        story.pull_by_ticket(6, 7);
        story.pull(4, 9);
        assert_eq!(story.sender().served, Lsn(7));
        story.pull(7, 9);
        story.pull(9, 9);
        story.pull(9, 12);
        assert_eq!(story.sender().served, Lsn(9), "one went on to 12, the other is still at 9");
    }

    #[test]
    fn after_a_restart_nobody_is_sure() {
        let story = Story { readers: Readers::default(), now: Instant::now() };
        story.pull(50, 60);
        assert_eq!(story.sender(), Sender::default());
        let later = Story { now: story.now + RESTART * 2, ..story };
        assert_eq!(later.sender().served, Lsn(60));
    }

    #[test]
    fn marks_expire_and_never_grow_without_bound() {
        let mut story = Story::new();
        for n in 0..200 {
            story.pull(0, 100 - n / 2);
        }
        assert_eq!(story.sender().served, Lsn(1));
        assert!(story.readers.state().keys[&key()].len() <= MARKS_MAX);
        story.now += CYCLE * 2;
        assert_eq!(story.sender(), Sender::default());
    }
}
