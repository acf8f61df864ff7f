//! The live clients of one space.

use super::feed::Feed;
use super::lists::Toil;
use super::mail::{Mail, Mailbox};
use super::places::Places;
use crate::app::App;
use crate::error::ServerError;
use crate::hub::Space;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use syncline_core::hub::DocKey;
use syncline_core::model::{NodeId, Version};

/// Clients of a space that are kept in memory while they are away.
const ABSENT_MAX: usize = 2_000;

pub(super) struct Circle {
    pub(super) app: Weak<App>,
    pub(super) space: Arc<Space>,
    pub(super) feed: Arc<Feed>,
    pub(super) places: Places,
    pub(super) toil: Arc<Toil>,
    clients: Mutex<Clients>,
}

#[derive(Default)]
struct Clients {
    kept: HashMap<NodeId, Kept>,
    /// Those who are away; the longest absent first.
    absent: BTreeMap<u64, NodeId>,
    absences: u64,
}

struct Kept {
    mailbox: Mailbox,
    /// Where it stands among the absent.
    absent: Option<u64>,
}

impl Clients {
    /// A client is away; of too many, the longest absent is to end.
    fn note_absent(&mut self, node: &NodeId) {
        let Some(kept) = self.kept.get_mut(node) else { return };
        self.absences += 1;
        if let Some(before) = kept.absent.replace(self.absences) {
            self.absent.remove(&before);
        }
        self.absent.insert(self.absences, node.clone());
        if self.absent.len() > ABSENT_MAX
            && let Some((_, oldest)) = self.absent.pop_first()
            && let Some(kept) = self.kept.get_mut(&oldest)
        {
            kept.absent = None;
            // One that has ended needs not be told.
            let _ = kept.mailbox.send(Mail::Forget);
        }
    }

    fn note_present(&mut self, node: &NodeId) {
        if let Some(at) = self.kept.get_mut(node).and_then(|kept| kept.absent.take()) {
            self.absent.remove(&at);
        }
    }
}

impl Circle {
    pub(super) fn open(app: Weak<App>, space: Arc<Space>, toil: Arc<Toil>) -> Arc<Circle> {
        let feed = Feed::start(Arc::clone(&space));
        let places = Places::new(Arc::clone(&space));
        Arc::new(Circle { app, space, feed, places, toil, clients: Mutex::default() })
    }

    /// What stands of documents, as the store has it.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn documents(&self, keys: Vec<DocKey>) -> Result<Vec<(DocKey, Version)>, ServerError> {
        let Some(app) = self.app.upgrade() else { return Ok(Vec::new()) };
        Ok(app.hub.store().documents(self.space.name(), keys).await?)
    }

    /// Hands mail to a client, whose task begins with its first mail by `start`. `None`: the hub is gone.
    pub(super) fn send(&self, node: &NodeId, mail: Mail, start: impl FnOnce(Arc<App>) -> Mailbox) -> Option<Mailbox> {
        let mut clients = self.clients();
        let mail = match clients.kept.get(node) {
            Some(kept) => match kept.mailbox.send(mail) {
                Ok(()) => return Some(kept.mailbox.clone()),
                Err(unsent) => unsent.0,
            },
            None => mail,
        };
        let mailbox = start(self.app.upgrade()?);
        // The task cannot have ended before its first mail.
        let _ = mailbox.send(mail);
        clients.note_present(node);
        clients.kept.insert(node.clone(), Kept { mailbox: mailbox.clone(), absent: None });
        clients.note_absent(node);
        Some(mailbox)
    }

    /// A client has lost its connection.
    pub(super) fn note_absent(&self, node: &NodeId) {
        self.clients().note_absent(node);
    }

    /// A client has a connection.
    pub(super) fn note_present(&self, node: &NodeId) {
        self.clients().note_present(node);
    }

    /// Ends a client's task unless mail has come meanwhile: under the lock that mail is handed over with.
    pub(super) fn leave(&self, node: &NodeId, is_idle: impl FnOnce() -> bool) -> bool {
        let mut clients = self.clients();
        let ends = is_idle();
        if ends {
            clients.note_present(node);
            clients.kept.remove(node);
        }
        ends
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    #[test]
    fn of_too_many_absent_clients_the_longest_absent_is_to_end() {
        let node = |n: usize| NodeId::of_live(&n.to_string()).unwrap();
        let mut clients = Clients::default();
        let mut mail: Vec<_> = (0..=ABSENT_MAX)
            .map(|n| {
                let (mailbox, mail) = Mailbox::open(1, Arc::new(Semaphore::new(1)), 1);
                clients.kept.insert(node(n), Kept { mailbox, absent: None });
                mail
            })
            .collect();
        (0..ABSENT_MAX).for_each(|n| clients.note_absent(&node(n)));
        clients.note_present(&node(0));
        clients.note_absent(&node(0));
        assert!(mail.iter_mut().all(|mail| mail.try_recv().is_err()), "as many as may be away");

        clients.note_absent(&node(ABSENT_MAX));

        let told: Vec<_> = (0..=ABSENT_MAX).filter(|n| mail[*n].try_recv().is_ok()).collect();
        assert_eq!(told, [1], "0 was there in between");
        assert_eq!(clients.absent.len(), ABSENT_MAX);
    }
}
