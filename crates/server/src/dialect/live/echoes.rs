//! What was delivered to a client and may come back as its own: the plugin reports everything that it applies as a
//! new event. Removals that the hub sends carry a mark, which says what was inserted with them: an insert is known by its
//! content once that removal has come back, whichever worker or earlier life of the hub has sent both. So what a client
//! writes that reports nothing is never taken for an echo.
//!
//! An echo is swallowed as often as its message was applied. So a document that a client puts in itself, in the very
//! words of one that it is just applying, counts as the echo: both stand for the same state.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use syncline_core::hub::DocKey;
use syncline_core::model::{CollectionName, LiveEvent};
use syncline_core::wire::live::Mark;

/// Documents whose inserts are waited for; they come at once, except where they failed at the client.
const EXPECTED_MAX: usize = 10_000;
/// Versions of one document that are waited for.
const VERSIONS_MAX: usize = 16;
/// Events that are known by their id without asking the log. Clients repeat what is not acknowledged, and no more.
const KNOWN_MAX: usize = 50_000;

#[derive(Default)]
pub(super) struct Echoes {
    /// What the client is applying.
    expected: HashMap<DocKey, Vec<u64>>,
    known: Recent<[u8; 16]>,
}

impl Echoes {
    /// A removal came back: the inserts of its collection come next.
    pub(super) fn begin(&mut self, mark: &Mark, collection: &CollectionName) {
        if self.expected.len() > EXPECTED_MAX {
            self.expected.clear();
        }
        for (id, digest) in &mark.inserts {
            let versions = self.expected.entry((collection.clone(), id.clone())).or_default();
            if versions.len() == VERSIONS_MAX {
                versions.remove(0);
            }
            versions.push(*digest);
        }
    }

    /// Whether an insert with this content is an echo; it is then expected once less.
    pub(super) fn take(&mut self, key: &DocKey, digest: u64) -> bool {
        let Some(versions) = self.expected.get_mut(key) else { return false };
        let Some(at) = versions.iter().position(|known| *known == digest) else { return false };
        versions.remove(at);
        if versions.is_empty() {
            self.expected.remove(key);
        }
        true
    }

    /// The client has changed documents that are not on their way to it: an insert that has not come back by now
    /// failed there, and the next one is its own.
    pub(super) fn forget(&mut self, event: &LiveEvent) {
        let Some(name) = event.collection.as_ref().filter(|_| !self.expected.is_empty()) else { return };
        if event.unresolved().is_some() {
            self.expected.retain(|(collection, _), _| collection != name);
        }
        for id in event.names() {
            self.expected.remove(&(name.clone(), id.clone()));
        }
    }

    /// Whether an event was taken in or swallowed lately.
    pub(super) fn knows(&self, key: &[u8; 16]) -> bool {
        self.known.contains(key)
    }

    pub(super) fn note(&mut self, key: [u8; 16]) {
        self.known.insert(key);
    }
}

/// The newest so many.
struct Recent<T> {
    set: HashSet<T>,
    order: VecDeque<T>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Recent { set: HashSet::new(), order: VecDeque::new() }
    }
}

impl<T: Copy + Eq + Hash> Recent<T> {
    fn contains(&self, one: &T) -> bool {
        self.set.contains(one)
    }

    fn insert(&mut self, one: T) {
        if self.set.insert(one) {
            self.order.push_back(one);
        }
        while self.order.len() > KNOWN_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.set.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_core::model::{DocId, LiveEdit};

    fn users() -> CollectionName {
        CollectionName::new("users").unwrap()
    }

    fn mark(digest: u64) -> Mark {
        Mark { number: 7, inserts: vec![(DocId::new("a").unwrap(), digest)] }
    }

    fn takes(echoes: &mut Echoes, digest: u64) -> bool {
        echoes.take(&(users(), DocId::new("a").unwrap()), digest)
    }

    #[test]
    fn an_insert_is_an_echo_as_often_as_the_removal_before_it_came_back() {
        let mut echoes = Echoes::default();
        assert!(!takes(&mut echoes, 1), "nothing was reported yet");
        echoes.begin(&mark(1), &users());
        assert!(!takes(&mut echoes, 2), "the other message was not");
        assert_eq!([takes(&mut echoes, 1), takes(&mut echoes, 1)], [true, false]);
        for _ in 0..2 {
            echoes.begin(&mark(1), &users());
        }
        assert_eq!([1, 1, 1].map(|digest| takes(&mut echoes, digest)), [true, true, false], "it was applied twice");
    }

    #[test]
    fn what_failed_at_the_client_is_not_waited_for_once_it_has_changed_the_document() {
        let mut echoes = Echoes::default();
        echoes.begin(&mark(1), &users());
        let query = syncline_core::live::Query::of_id(&"a".into());
        let edit = LiveEdit::Remove { candidates: Some([DocId::new("a").unwrap()].into()), query };
        let (raw, time, collection) = (String::new(), None, Some(users()));
        echoes.forget(&LiveEvent { key: [0; 16], collection, time, edit, raw });
        assert!(!takes(&mut echoes, 1));
    }

    #[test]
    fn of_what_is_waited_for_the_oldest_versions_are_forgotten() {
        let mut echoes = Echoes::default();
        (0..=VERSIONS_MAX as u64).for_each(|digest| echoes.begin(&mark(digest), &users()));
        assert_eq!([0, 1].map(|digest| takes(&mut echoes, digest)), [false, true]);
    }
}
