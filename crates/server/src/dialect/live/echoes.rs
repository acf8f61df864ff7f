//! What was delivered to a client and may come back as its own: the plugin reports everything that it applies as a
//! new event. An insert is known by its content; removals that the hub sends carry a mark.
//!
//! An echo is swallowed as often as its content was delivered. So a document that a client puts in itself, in the very
//! words of one that is on its way to it, counts as the echo: both stand for the same state.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use syncline_core::hub::DocKey;

/// Documents whose echoes are waited for; of clients that never echo, the oldest are forgotten.
const EXPECTED_MAX: usize = 50_000;
/// Versions of one document that are waited for.
const VERSIONS_MAX: usize = 16;
/// Events that are known by their id without asking the log. Clients repeat what is not acknowledged, and no more.
const KNOWN_MAX: usize = 50_000;

#[derive(Default)]
pub(super) struct Echoes {
    expected: HashMap<DocKey, Vec<u64>>,
    order: VecDeque<DocKey>,
    known: Recent<[u8; 16]>,
}

impl Echoes {
    /// A document was sent with this content.
    pub(super) fn expect(&mut self, key: &DocKey, digest: u64) {
        let versions = self.expected.entry(key.clone()).or_insert_with(|| {
            self.order.push_back(key.clone());
            Vec::new()
        });
        if versions.len() == VERSIONS_MAX {
            versions.remove(0);
        }
        versions.push(digest);
        while self.order.len() > EXPECTED_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.expected.remove(&oldest);
        }
    }

    /// Whether an insert with this content is an echo; it is then expected once less. Earlier versions that are
    /// still expected were echoed before or never will be.
    pub(super) fn take(&mut self, key: &DocKey, digest: u64) -> bool {
        let Some(versions) = self.expected.get_mut(key) else { return false };
        let Some(at) = versions.iter().position(|known| *known == digest) else { return false };
        versions.remove(at);
        if versions.is_empty() {
            self.expected.remove(key);
            if self.order.front() == Some(key) {
                self.order.pop_front();
            } else if self.order.len() > 2 * self.expected.len() + 64 {
                let expected = &self.expected;
                self.order.retain(|key| expected.contains_key(key));
            }
        }
        true
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
    use syncline_core::model::{CollectionName, DocId};

    #[test]
    fn an_echo_is_swallowed_as_often_as_its_content_was_sent() {
        let key = |id: &str| (CollectionName::new("users").unwrap(), DocId::new(id).unwrap());
        let mut echoes = Echoes::default();
        echoes.expect(&key("a"), 1);
        echoes.expect(&key("a"), 2);
        echoes.expect(&key("a"), 1);

        let taken: Vec<bool> = [3, 1, 2, 1, 1].map(|digest| echoes.take(&key("a"), digest)).into();

        assert_eq!(taken, [false, true, true, true, false]);
        assert!(!echoes.take(&key("b"), 1));
    }

    #[test]
    fn of_clients_that_never_echo_the_oldest_are_forgotten() {
        let key = |n: usize| (CollectionName::new("users").unwrap(), DocId::new(n.to_string()).unwrap());
        let mut echoes = Echoes::default();
        (0..=EXPECTED_MAX).for_each(|n| echoes.expect(&key(n), 1));
        assert!(!echoes.take(&key(0), 1) && echoes.take(&key(1), 1) && echoes.take(&key(EXPECTED_MAX), 1));
    }
}
