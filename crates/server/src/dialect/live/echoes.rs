//! What was delivered to a client and may come back as its own: the plugin reports everything that it applies as a
//! new event. Removals that the hub sends carry a mark; an insert is known by its content, once the removal that it
//! was sent with has come back. So what a client writes that reports nothing is never taken for an echo.
//!
//! An echo is swallowed as often as its message was applied. So a document that a client puts in itself, in the very
//! words of one that it is just applying, counts as the echo: both stand for the same state.

use super::bundle::Bundle;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;
use syncline_core::hub::DocKey;
use syncline_core::model::{CollectionName, LiveEvent};
use tokio::time::Instant;

/// Messages whose removals may still come back. A client that is taken for one that reports nothing gets this many
/// in the time that a stalled one has before its connection ends.
const SENT_MAX: usize = 1_000;
/// How long they are remembered when nothing else is sent.
const SENT_LASTS: Duration = Duration::from_secs(60);
/// Documents whose inserts are waited for; they come at once, except where they failed at the client.
const EXPECTED_MAX: usize = 10_000;
/// Versions of one document that are waited for.
const VERSIONS_MAX: usize = 16;
/// Events that are known by their id without asking the log. Clients repeat what is not acknowledged, and no more.
const KNOWN_MAX: usize = 50_000;

#[derive(Default)]
pub(super) struct Echoes {
    /// By the mark and the collection of their removals.
    sent: VecDeque<(u64, CollectionName, Inserts)>,
    sent_at: Option<Instant>,
    /// What the client is applying.
    expected: HashMap<DocKey, Vec<u64>>,
    known: Recent<[u8; 16]>,
}

type Inserts = Arc<[(DocKey, u64)]>;

impl Echoes {
    /// A message was sent.
    pub(super) fn sent(&mut self, bundle: &Bundle, now: Instant) {
        let collections: BTreeSet<_> = bundle.inserts.iter().map(|((collection, _), _)| collection).collect();
        for collection in collections {
            self.sent.push_back((bundle.mark, collection.clone(), Arc::clone(&bundle.inserts)));
        }
        while self.sent.len() > SENT_MAX {
            self.sent.pop_front();
        }
        self.sent_at = Some(now);
    }

    /// The client is back, and may bring reports from before.
    pub(super) fn resume(&mut self, now: Instant) {
        self.sent_at = self.sent_at.map(|_| now);
    }

    /// When nothing of what was sent is reported any more.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.sent_at.map(|at| at + SENT_LASTS)
    }

    pub(super) fn trim(&mut self, now: Instant) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            (self.sent, self.sent_at) = (VecDeque::new(), None);
        }
    }

    /// A removal came back: the inserts of its collection come next.
    pub(super) fn begin(&mut self, mark: u64, collection: &CollectionName) {
        let at = self.sent.iter().position(|(sent, name, _)| *sent == mark && name == collection);
        let Some((.., inserts)) = at.and_then(|at| self.sent.remove(at)) else { return };
        if self.expected.len() > EXPECTED_MAX {
            self.expected.clear();
        }
        for (key, digest) in inserts.iter().filter(|(key, _)| key.0 == *collection) {
            let versions = self.expected.entry(key.clone()).or_default();
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
    use crate::dialect::live::change::Change;
    use syncline_core::model::{Author, DocId, LiveEdit, Lsn, Millis};

    fn users() -> CollectionName {
        CollectionName::new("users").unwrap()
    }

    fn bundle(n: u64) -> Bundle {
        let (key, body) = ((users(), DocId::new("a").unwrap()), format!(r#"{{"_id":"a","n":{n}}}"#).into());
        Bundle::of(&[Arc::new(Change { lsn: Lsn(n), at: Millis(n), key, live: true, author: Author(1), body })])
    }

    fn takes(echoes: &mut Echoes, bundle: &Bundle) -> bool {
        let (key, digest) = &bundle.inserts[0];
        echoes.take(key, *digest)
    }

    #[test]
    fn an_insert_is_an_echo_as_often_as_the_removal_before_it_came_back() {
        let (mut echoes, one, two) = (Echoes::default(), bundle(1), bundle(2));
        [&one, &two, &one].into_iter().for_each(|bundle| echoes.sent(bundle, Instant::now()));
        assert!(!takes(&mut echoes, &one), "nothing was reported yet");
        echoes.begin(one.mark, &users());
        assert!(!takes(&mut echoes, &two), "the other message was not");
        assert_eq!([takes(&mut echoes, &one), takes(&mut echoes, &one)], [true, false]);
        for _ in 0..2 {
            echoes.begin(one.mark, &users());
        }
        assert_eq!([takes(&mut echoes, &one), takes(&mut echoes, &one)], [true, false], "it was sent twice");
    }

    #[test]
    fn what_failed_at_the_client_is_not_waited_for_once_it_has_changed_the_document() {
        let (mut echoes, one) = (Echoes::default(), bundle(1));
        echoes.sent(&one, Instant::now());
        echoes.begin(one.mark, &users());
        let query = syncline_core::live::Query::of_id(&"a".into());
        let edit = LiveEdit::Remove { candidates: Some([DocId::new("a").unwrap()].into()), query };
        let (raw, time, collection) = (String::new(), None, Some(users()));
        echoes.forget(&LiveEvent { key: [0; 16], collection, time, edit, raw });
        assert!(!takes(&mut echoes, &one));
    }

    #[test]
    fn of_clients_that_report_nothing_the_oldest_are_forgotten_and_soon_all() {
        let (mut echoes, now, first) = (Echoes::default(), Instant::now(), bundle(0));
        echoes.sent(&first, now);
        (1..=SENT_MAX as u64).for_each(|n| echoes.sent(&bundle(n), now));
        echoes.begin(first.mark, &users());
        assert!(!takes(&mut echoes, &first) && echoes.sent.len() == SENT_MAX);
        echoes.trim(now + SENT_LASTS);
        assert!(echoes.sent.is_empty() && echoes.deadline().is_none());
    }
}
