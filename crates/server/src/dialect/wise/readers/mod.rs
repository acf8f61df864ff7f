//! Which positions the devices behind one key may be at: for each key what `marks` makes of its
//! requests, and for how many keys that is remembered. In memory only; whoever is forgotten is taken
//! to have read nothing, which costs a repetition and never a change.

mod marks;

use super::StreamKey;
use marks::Marks;
pub(super) use marks::{Sender, Visit};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use syncline_core::model::{Lsn, SpaceName};
use tokio::time::Instant;

/// After a start of the hub, devices may push that have pulled before it.
const RESTART: Duration = Duration::from_secs(60);
/// Keys kept at all.
const KEYS_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct Readers {
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: BTreeMap<StreamKey, Marks>,
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
        state.numbers += 1;
        let number = state.numbers;
        state.marks(key, visit.head, now).visit(number, visit, now);
        number
    }

    /// Notes a device that will come with the number of its snapshot.
    pub fn arrive(&self, key: &StreamKey, served: Lsn, head: Lsn, now: Instant) {
        self.state().marks(key, head, now).arrive(served, head, now);
    }

    /// Notes how many ops the reply held: the device needs its time to apply them.
    pub fn replied(&self, key: &StreamKey, number: u64, ops: u64, now: Instant) {
        if let Some(marks) = self.state().keys.get_mut(key) {
            marks.replied(number, ops, now);
        }
    }

    /// What is known of who sends a push that began to arrive at `arrived`.
    pub fn sender(&self, key: &StreamKey, head: Lsn, arrived: Instant) -> Sender {
        let mut state = self.state();
        let before = state.note_head(&key.space, head);
        if before > Lsn::ZERO && arrived < self.started + RESTART {
            return Sender::default();
        }
        state.keys.get(key).map(|marks| marks.sender(arrived)).unwrap_or_default()
    }

    /// Notes what a push wrote, for the further pushes of the same cycle.
    pub fn pushed(&self, key: &StreamKey, wrote: (Lsn, Lsn)) {
        if let Some(marks) = self.state().keys.get_mut(key) {
            marks.pushed(wrote);
        }
    }

    /// Notes that a push cleared the collection.
    pub fn cleared(&self, key: &StreamKey) {
        if let Some(marks) = self.state().keys.get_mut(key) {
            marks.cleared();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The marks of a key that is in use now.
    fn marks(&mut self, key: &StreamKey, head: Lsn, now: Instant) -> &mut Marks {
        self.note_head(&key.space, head);
        self.make_room(now);
        self.keys.entry(key.clone()).or_default()
    }

    fn note_head(&mut self, space: &SpaceName, head: Lsn) -> Lsn {
        *self.heads.entry(space.clone()).or_insert(head)
    }

    /// Keys that nobody uses any more go first; past the limit the memory starts anew.
    fn make_room(&mut self, now: Instant) {
        if self.keys.len() < KEYS_MAX {
            return;
        }
        self.keys.retain(|_, marks| marks.is_alive(now));
        if self.keys.len() >= KEYS_MAX {
            self.keys.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::marks::{CYCLE, MARKS_MAX};
    use super::*;
    use syncline_core::model::{CollectionName, NodeId};

    fn key() -> StreamKey {
        StreamKey {
            space: SpaceName::new("s").unwrap(),
            collection: CollectionName::new("c").unwrap(),
            node: NodeId::new("shared").unwrap(),
            view: None,
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
