//! The live clients of one space.

use super::client::{Client, Mail, Mailbox};
use super::feed::Feed;
use super::places::Places;
use crate::app::App;
use crate::hub::Space;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use syncline_core::model::NodeId;

/// Clients come back within this time after a restart.
const YOUTH: Duration = Duration::from_secs(120);

pub(super) struct Circle {
    pub(super) app: Weak<App>,
    pub(super) space: Arc<Space>,
    pub(super) feed: Arc<Feed>,
    pub(super) places: Places,
    clients: Mutex<HashMap<NodeId, Mailbox>>,
    connected: AtomicUsize,
    opened: Instant,
}

impl Circle {
    pub(super) fn open(app: Weak<App>, space: Arc<Space>) -> Arc<Circle> {
        let feed = Feed::start(Arc::clone(&space));
        let places = Places::new(Arc::clone(&space));
        Arc::new(Circle {
            app,
            space,
            feed,
            places,
            clients: Mutex::default(),
            connected: AtomicUsize::new(0),
            opened: Instant::now(),
        })
    }

    /// Hands mail to a client, whose task begins with its first mail. `None`: the hub is gone.
    pub(super) fn send(self: &Arc<Self>, node: &NodeId, mail: Mail) -> Option<Mailbox> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let mail = match clients.get(node) {
            Some(mailbox) => match mailbox.send(mail) {
                Ok(()) => return Some(mailbox.clone()),
                Err(unsent) => unsent.0,
            },
            None => mail,
        };
        let mailbox = Client::start(self, node.clone(), self.app.upgrade()?);
        // The task cannot have ended before its first mail.
        let _ = mailbox.send(mail);
        clients.insert(node.clone(), mailbox.clone());
        Some(mailbox)
    }

    /// Ends a client's task unless mail has come meanwhile: under the lock that mail is handed over with.
    pub(super) fn leave(&self, node: &NodeId, is_idle: impl FnOnce() -> bool) -> bool {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = is_idle();
        if ends {
            clients.remove(node);
        }
        ends
    }

    /// Whether clients may still come back from an earlier life of the hub.
    pub(super) fn is_young(&self) -> bool {
        self.opened.elapsed() < YOUTH
    }

    pub(super) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, comes: bool) {
        if comes {
            self.connected.fetch_add(1, Ordering::Relaxed);
        } else {
            self.connected.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
