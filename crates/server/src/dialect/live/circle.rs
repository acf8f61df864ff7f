//! The live clients of one space.

use super::feed::Feed;
use super::lists::Toil;
use super::mail::{Mail, Mailbox};
use super::places::Places;
use crate::app::App;
use crate::hub::Space;
use std::collections::HashMap;
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
    pub(super) toil: Arc<Toil>,
    clients: Mutex<HashMap<NodeId, Mailbox>>,
    opened: Instant,
}

impl Circle {
    pub(super) fn open(app: Weak<App>, space: Arc<Space>, toil: Arc<Toil>) -> Arc<Circle> {
        let feed = Feed::start(Arc::clone(&space));
        let places = Places::new(Arc::clone(&space));
        Arc::new(Circle { app, space, feed, places, toil, clients: Mutex::default(), opened: Instant::now() })
    }

    /// Hands mail to a client, whose task begins with its first mail by `start`. `None`: the hub is gone.
    pub(super) fn send(&self, node: &NodeId, mail: Mail, start: impl FnOnce(Arc<App>) -> Mailbox) -> Option<Mailbox> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let mail = match clients.get(node) {
            Some(mailbox) => match mailbox.send(mail) {
                Ok(()) => return Some(mailbox.clone()),
                Err(unsent) => unsent.0,
            },
            None => mail,
        };
        let mailbox = start(self.app.upgrade()?);
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
}
