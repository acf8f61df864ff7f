//! What a database holds for sync: its link to a hub and its replica. Every handle on the database
//! and on its collections shares one; sync ends with the last of them.

use super::link::Link;
use super::listeners::{ListenerId, SyncEvents};
use super::local::{Local, Outgoing};
use super::node::PacketNode;
use super::options::{Protocol, SyncOptions};
use super::status::{SyncOutcome, SyncStatus};
use crate::error::{Error, Result};
use crate::rebase::Resolver;
use crate::replica::Replica;
use crate::store::Store;
use crate::sync_error::SyncError;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use syncline_core::model::{CollectionName, NodeId, Strategy};
use syncline_core::session::{Backlog, Positions, Request, Stored, SyncEvent, Write};

/// The part of a database that syncs.
pub(crate) struct Desk {
    link: Link,
    replica: Replica,
    store: Arc<Store>,
}

impl Desk {
    /// Not syncing yet, but told of every write.
    pub(crate) fn new(store: &Arc<Store>, replica: Replica) -> Desk {
        let link = Link::default();
        let bell = link.bell();
        store.hook(Arc::new(move |_| bell.notify_one()));
        Desk { link, replica, store: store.clone() }
    }

    /// Adds collections to what syncs, with these options.
    pub(crate) fn enable(&self, options: SyncOptions, collections: BTreeSet<CollectionName>) -> Result<()> {
        let replica = self.replica.clone();
        let local: Box<dyn Local> = match options.protocol {
            Protocol::Lsn => Box::new(replica),
            Protocol::Exchange => Box::new(PacketNode::new(replica, &options.exchange)?),
        };
        Ok(self.link.enable(options, collections, move || local)?)
    }

    /// Takes collections out of what syncs.
    pub(crate) fn disable(&self, collections: &BTreeSet<CollectionName>) {
        self.link.disable(collections);
    }

    /// The database as an engine sees it.
    pub(super) fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Something changed that may concern a running engine.
    pub(super) fn wrote(&self) {
        self.link.wrote();
    }

    /// A full cycle from now on.
    pub(crate) fn trigger(&self, only: Option<CollectionName>) -> impl Future<Output = SyncOutcome> + Send + use<> {
        self.link.trigger(only)
    }

    /// A full cycle from now on, waited for on this thread.
    pub(crate) fn trigger_blocking(&self, only: Option<CollectionName>) -> SyncOutcome {
        self.link.trigger_blocking(only)
    }

    /// Gives up what waits for the hub. Returns how many ops went.
    pub(crate) fn clear_pending(&self, collections: &BTreeSet<CollectionName>) -> Result<u64> {
        let cleared = self.replica.clear_pending(collections)?;
        self.link.wrote();
        Ok(cleared)
    }

    /// Calls back for events of this name; of one collection, or of all.
    pub(crate) fn on(
        &self,
        event: &str,
        only: Option<CollectionName>,
        callback: impl Fn(&SyncEvent) + Send + Sync + 'static,
    ) -> Result<ListenerId> {
        Ok(self.link.listeners().add(event, only, callback)?)
    }

    /// Takes a callback away; `false`: it was not there.
    pub(crate) fn off(&self, listener: ListenerId) -> bool {
        self.link.listeners().remove(listener)
    }

    /// Events from now on; of one collection, or of all.
    pub(crate) fn events(&self, only: Option<CollectionName>) -> SyncEvents {
        self.link.listeners().stream(only)
    }

    /// How sync stands, for one collection or for all that sync.
    pub(crate) fn status(&self, only: Option<&CollectionName>) -> Result<SyncStatus> {
        let scope = only.map_or_else(|| self.link.scope(), |name| BTreeSet::from([name.clone()]));
        let backlog = self.replica.backlog(&scope)?;
        let mut status = self.link.status(only, backlog, self.store.now());
        // The session knows its cursor; the database knows it also while there is no session, and per collection.
        status.cursor = self.replica.positions(&scope)?.since();
        Ok(status)
    }
}

impl Local for Replica {
    fn node(&self) -> Result<NodeId, SyncError> {
        Replica::node(self).map_err(|e| SyncError::Storage(e.to_string()))
    }

    fn join(
        &mut self,
        collections: &BTreeSet<CollectionName>,
        strategy: Strategy,
        resolver: Option<&Resolver>,
    ) -> Result<(), SyncError> {
        self.check_no_packets(collections).map_err(Error::into_sync)?;
        for name in collections {
            self.set_resolver(name.clone(), resolver.cloned());
        }
        Replica::join(self, collections, strategy).map_err(Error::into_sync)
    }

    fn positions(&mut self, scope: &BTreeSet<CollectionName>) -> Result<Positions, String> {
        Replica::positions(self, scope).map_err(|e| e.to_string())
    }

    fn backlog(&mut self, scope: &BTreeSet<CollectionName>) -> Result<Backlog, String> {
        Replica::backlog(self, scope).map_err(|e| e.to_string())
    }

    fn outgoing(&mut self, request: &Request) -> Result<Outgoing, String> {
        let pulls = matches!(request, Request::Pull { .. });
        let told = pulls.then(|| self.ledger_told()).transpose().map_err(|e| e.to_string())?;
        Ok(Outgoing::Plain { told })
    }

    fn carry_out(&mut self, scope: &BTreeSet<CollectionName>, write: Write) -> Result<Stored, String> {
        Replica::carry_out(self, scope, write).map_err(|e| e.to_string())
    }
}
