//! A message for live clients: the state of some documents. A removal of all of them by their ids comes first, then
//! those that stand, as inserts. This pair is the only thing that the plugin carries out alike whatever it had
//! before: it knows no replacement, a second insert of an id makes a second document, and its updates fail.

use super::change::Change;
use crate::socket::Message;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use syncline_core::hub::DocKey;
use syncline_core::model::CollectionName;
use syncline_core::wire::live::{StateWriter, Told};

/// Numbers the marks of this process from anywhere, so that an echo of what another one sent, a worker beside it or one
/// before it, does not count as the arrival of one of its own. JavaScript holds all of them exactly.
static MARKS: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(fastrand::u64(..1 << 52)));

/// What a client reports of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// An insert of this content.
    Insert(DocKey, u64),
    /// A removal with this mark; each collection of the message has one.
    Removal(u64),
}

#[derive(Debug)]
pub(super) struct Bundle {
    /// The event with the list of what happened.
    pub message: Message,
    /// Of its removals.
    pub mark: u64,
    /// The documents that it is about.
    pub keys: Arc<[DocKey]>,
    /// What is reported last, and how often the like of it comes.
    pub last: (Echo, usize),
}

impl Bundle {
    /// The state after some changes, of which the last counts for each document.
    pub(super) fn of(changes: &[Arc<Change>]) -> Bundle {
        let newest: HashMap<&DocKey, u64> = changes.iter().map(|change| (&change.key, change.lsn.0)).collect();
        let mark = MARKS.fetch_add(1, Ordering::Relaxed);
        let mut message = StateWriter::new(mark);
        let mut collections: Vec<&CollectionName> = Vec::new();
        let mut told: Vec<&DocKey> = Vec::new();
        for change in changes.iter().filter(|change| newest.get(&change.key) == Some(&change.lsn.0)) {
            let (collection, id) = &change.key;
            let body = change.live.then_some(&*change.body);
            message.put(&Told {
                collection: collection.as_str(),
                id: id.as_str(),
                body,
                lsn: change.lsn,
                at: change.at,
            });
            told.push(&change.key);
            if !collections.contains(&collection) {
                collections.push(collection);
            }
        }
        let (text, stated) = message.finish();
        // A collection's inserts follow its removal.
        let digests = told.iter().zip(&stated).filter(|((name, _), _)| collections.last() == Some(&name));
        let last = digests.rev().find_map(|(key, stated)| Some(Echo::Insert((*key).clone(), stated.digest?)));
        let last = last.map_or((Echo::Removal(mark), collections.len()), |insert| (insert, 1));
        let text = RawValue::from_string(text).expect("the codec writes JSON");
        let message = Message::new("server:sync", &(text,)).expect("JSON is JSON");
        let keys = told.into_iter().cloned().collect();
        Bundle { message, mark, keys, last }
    }
}
