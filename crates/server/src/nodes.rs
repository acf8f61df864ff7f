//! Registered nodes with their tokens, and for each the desk at which its packets are handled one at a
//! time. What a node's exchange has come to is the store's; here is only what can be read again from it.

mod listed;
mod tokens;

pub use listed::{RegisteredNode, joined};

use crate::auth::{Secret, Tokens};
use crate::clock::Clock;
use crate::error::ServerError;
use crate::hub::Hub;
use crate::options::Settings;
use crate::store::Store;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use syncline_core::filter::{Filter, substitute};
use syncline_core::model::{
    CollectionName, Lsn, Millis, NodeId, Plan, Registration, RowFilters, Settled, SpaceName, Traffic,
};
use syncline_core::wire::exchange::is_uuid;
use syncline_core::wire::object;
use tokens::{add_token, token_names, token_of};
use tokio::sync::Semaphore;

/// Codes name tokens, which stand in paths and headers.
const CODE_BYTES_MAX: usize = 80;
const NAME_BYTES_MAX: usize = 500;

/// The registered nodes of all spaces.
pub struct Nodes {
    store: Arc<dyn Store>,
    hub_id: String,
    waiting: usize,
    /// After so long without a packet a node counts as silent (`retention.nodes`).
    silent_after: Duration,
    clock: Clock,
    desks: Mutex<BTreeMap<(SpaceName, NodeId), Arc<Desk>>>,
    /// One change at a time, so that no desk outlives the registration that it was made from.
    changing: tokio::sync::Mutex<()>,
}

/// Where one node's packets are handled.
#[derive(Debug)]
pub struct Desk {
    /// Who it is and what it gets.
    pub registration: Registration,
    /// The rows that it gets, with its attributes filled in.
    pub readable: Arc<RowFilters>,
    /// The rows that it may write.
    pub writable: Arc<RowFilters>,
    /// Whoever holds it handles a packet. What stands in it was found when nothing was there for the node.
    pub turn: tokio::sync::Mutex<Option<Settled>>,
    /// Places for packets that wait for their turn (`limits.node_packets`).
    pub places: Semaphore,
    /// Set while somebody has the turn: another desk has taken over, or none.
    over: AtomicBool,
}

impl Desk {
    /// Whether the registration that it was made from has changed or ended. Whoever has waited for the turn must not
    /// go on then: the node would be told what an earlier plan gives.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// What may be changed of a registration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeChange {
    /// A new name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// A new plan; the node is then given everything again.
    #[serde(default, deserialize_with = "plan")]
    pub plan: Option<Plan>,
}

fn plan<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Plan>, D::Error> {
    #[derive(Deserialize)]
    struct Given(#[serde(deserialize_with = "object::field")] Plan);
    Ok(Option::<Given>::deserialize(value)?.map(|Given(plan)| plan))
}

/// Keeps nothing of the log for a reader any more: it starts from a snapshot if it comes back behind the horizon.
///
/// # Errors
/// [`ServerError::NotFound`]; [`ServerError::Unfit`] for a registered node, whose registration is ended instead; those
/// of the store.
pub async fn expire(hub: &Hub, space: &SpaceName, node: &NodeId) -> Result<(), ServerError> {
    if !hub.store().registered(space, Some(node)).await?.is_empty() {
        let reason = format!(
            "node {node} is registered for packets; end its registration if it is not coming back: `syncline node remove {node}`"
        );
        return Err(ServerError::Unfit { code: "registered", reason });
    }
    if hub.space(space).await?.expire_node(node).await? {
        return Ok(());
    }
    Err(ServerError::NotFound(format!("no node `{node}` has used space `{space}`; see `syncline node list`")))
}

impl Nodes {
    /// Over a store; `hub_id` is the id that no node may have.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, hub_id: &str, settings: &Settings) -> Nodes {
        Nodes {
            store,
            hub_id: hub_id.to_lowercase(),
            waiting: settings.bounds.node_packets.min(Semaphore::MAX_PERMITS),
            silent_after: settings.retention.nodes,
            clock: settings.clock,
            desks: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// Registers a node and makes its token: with `secret`, or with one that is drawn. The space is made
    /// when it is missing.
    ///
    /// # Errors
    /// [`ServerError::BadRequest`] for what is no registration, [`ServerError::Taken`] when the node, its
    /// code or its token is there already, or those of the store.
    pub async fn register(
        &self,
        tokens: &Tokens,
        space: &SpaceName,
        registration: Registration,
        secret: Option<String>,
    ) -> Result<Secret, ServerError> {
        self.check(&registration)?;
        let id = registration.id.clone();
        let _turn = self.changing.lock().await;
        self.store.open_space(space).await?;
        if !self.store.register(space, registration.clone(), None).await? {
            let reason = format!("node `{id}` is registered in space `{space}`; change it, or remove it first");
            return Err(ServerError::Taken { code: "node_exists", reason });
        }
        match add_token(tokens, space, &registration, secret).await {
            Ok(secret) => Ok(secret),
            Err(error) => {
                self.store.unregister(space, &id).await?;
                Err(error)
            }
        }
    }

    /// Changes a registration and what its token opens.
    ///
    /// # Errors
    /// [`ServerError::UnknownNode`], [`ServerError::BadRequest`], or those of the store.
    pub async fn change(
        &self,
        tokens: &Tokens,
        space: &SpaceName,
        id: &NodeId,
        change: NodeChange,
    ) -> Result<RegisteredNode, ServerError> {
        let _turn = self.changing.lock().await;
        loop {
            let (before, _) = self.load(space, id).await?;
            let mut registration = before.clone();
            registration.name = change.name.clone().unwrap_or(registration.name);
            registration.plan = change.plan.clone().unwrap_or(registration.plan);
            self.check(&registration)?;
            let desk = self.known(&(space.clone(), id.clone()));
            let _round = idle(desk.as_deref()).await;
            // Otherwise another worker was quicker: what is changed is what stands now.
            if self.store.register(space, registration, Some(before)).await? {
                break;
            }
        }
        self.forget(space, id);
        let node = self.let_token_follow(tokens, space, id).await?;
        Ok(RegisteredNode::of(node, self.silent()))
    }

    /// Brings the token of a node in line with its registration, whichever worker has changed that last. A node whose
    /// token was removed keeps its registration; it gets a new one by rotation.
    async fn let_token_follow(
        &self,
        tokens: &Tokens,
        space: &SpaceName,
        id: &NodeId,
    ) -> Result<(Registration, Traffic), ServerError> {
        loop {
            let (registration, _) = self.load(space, id).await?;
            if let Some(name) = self.token_name(tokens, space, &registration).await? {
                tokens.replace(token_of(space, &registration, name)).await?;
            }
            let now = self.load(space, id).await?;
            if now.0 == registration {
                return Ok(now);
            }
        }
    }

    /// Gives a node another token; the old one is refused from then on.
    ///
    /// # Errors
    /// [`ServerError::UnknownNode`], or those of the store.
    pub async fn rotate(&self, tokens: &Tokens, space: &SpaceName, id: &NodeId) -> Result<Secret, ServerError> {
        let _turn = self.changing.lock().await;
        let (registration, _) = self.load(space, id).await?;
        match self.token_name(tokens, space, &registration).await? {
            Some(name) => tokens.rotate(&name).await,
            None => add_token(tokens, space, &registration, None).await,
        }
    }

    /// Ends a registration with its token. What the node has sent stays.
    ///
    /// # Errors
    /// [`ServerError::UnknownNode`], or those of the store.
    pub async fn remove(&self, tokens: &Tokens, space: &SpaceName, id: &NodeId) -> Result<(), ServerError> {
        let _turn = self.changing.lock().await;
        let (registration, _) = self.load(space, id).await?;
        if let Some(name) = self.token_name(tokens, space, &registration).await? {
            tokens.remove(&name).await?;
        }
        let desk = self.known(&(space.clone(), id.clone()));
        let _round = idle(desk.as_deref()).await;
        self.store.unregister(space, id).await?;
        self.forget(space, id);
        Ok(())
    }

    /// One registered node.
    ///
    /// # Errors
    /// [`ServerError::UnknownNode`], or those of the store.
    pub async fn show(&self, space: &SpaceName, id: &NodeId) -> Result<RegisteredNode, ServerError> {
        self.load(space, id).await.map(|node| RegisteredNode::of(node, self.silent()))
    }

    /// All registered nodes of a space, by their codes.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(&self, space: &SpaceName) -> Result<Vec<RegisteredNode>, ServerError> {
        let all = self.store.registered(space, None).await?.into_iter();
        Ok(all.map(|node| RegisteredNode::of(node, self.silent())).collect())
    }

    /// The desk of a node.
    ///
    /// # Errors
    /// [`ServerError::UnknownNode`], or those of the store.
    pub async fn desk(&self, space: &SpaceName, id: &NodeId) -> Result<Arc<Desk>, ServerError> {
        let key = (space.clone(), id.clone());
        if let Some(desk) = self.known(&key)
            && self.stands(space, &desk).await?
        {
            return Ok(desk);
        }
        let _turn = self.changing.lock().await;
        if let Some(desk) = self.known(&key) {
            return Ok(desk);
        }
        let (registration, _) = self.load(space, id).await?;
        let (readable, writable) = filters(&registration.plan)?;
        let (turn, places) = (tokio::sync::Mutex::default(), Semaphore::new(self.waiting));
        let desk = Arc::new(Desk { registration, readable, writable, turn, places, over: AtomicBool::new(false) });
        self.lock().insert(key, Arc::clone(&desk));
        Ok(desk)
    }

    /// Whether a desk's registration is still what the store has. Another worker may have changed it, and knows nothing
    /// of desks here; one that is out of date ends.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn stands(&self, space: &SpaceName, desk: &Desk) -> Result<bool, ServerError> {
        if !self.store.is_shared() {
            return Ok(true);
        }
        let id = &desk.registration.id;
        let kept = self.store.registered(space, Some(id)).await?.pop();
        let stands = kept.is_some_and(|(registration, _)| registration == desk.registration);
        if !stands && self.known(&(space.clone(), id.clone())).is_some_and(|known| std::ptr::eq(&*known, desk)) {
            self.forget(space, id);
        }
        Ok(stands)
    }

    /// Where in the log a node stands that has stored this packet of the hub last.
    ///
    /// # Errors
    /// [`ServerError::UnknownNode`], [`ServerError::Unfit`] when the node is to exchange packets first, or those of the store.
    pub async fn stands_at(&self, space: &SpaceName, id: &NodeId, packet: u64) -> Result<Lsn, ServerError> {
        let (_, traffic) = self.load(space, id).await?;
        let sent = traffic.sent.iter().find(|(number, _)| *number == packet).map(|(_, upto)| *upto);
        let reached = sent.or((packet == traffic.confirmed).then_some(traffic.cursor));
        reached.filter(|_| traffic.fill.is_none()).ok_or_else(|| {
            let why = if traffic.fill.is_some() { "it is being given everything anew" } else { "the hub knows of it by another packet" };
            let reason = format!("node {id} does not stand at the hub's packet {packet}: {why}; exchange packets first (`syncline db sync FILE`)");
            ServerError::Unfit { code: "other_packet", reason }
        })
    }

    async fn load(&self, space: &SpaceName, id: &NodeId) -> Result<(Registration, Traffic), ServerError> {
        let found = self.store.registered(space, Some(id)).await?.pop();
        found.ok_or_else(|| ServerError::UnknownNode { node: id.clone(), space: space.clone() })
    }

    /// The name of a node's own token; others may be bound to the node beside it.
    async fn token_name(
        &self,
        tokens: &Tokens,
        space: &SpaceName,
        registration: &Registration,
    ) -> Result<Option<NodeId>, ServerError> {
        if self.store.is_shared() {
            // Another worker may have made it just now.
            tokens.read_again().await?;
        }
        let own = |name: &NodeId| {
            let spec = tokens.stored(name);
            spec.is_some_and(|spec| spec.node.as_ref() == Some(&registration.id) && spec.space.as_ref() == Some(space))
        };
        Ok(token_names(registration)?.into_iter().find(own))
    }

    /// Who was last heard of then, or before, is silent.
    fn silent(&self) -> Millis {
        let after = u64::try_from(self.silent_after.as_millis()).unwrap_or(u64::MAX);
        Millis(self.clock.now().0.saturating_sub(after))
    }

    /// What the store does not check.
    fn check(&self, registration: &Registration) -> Result<(), ServerError> {
        let Registration { id, code, name, plan } = registration;
        let bad = |reason: String| Err(ServerError::bad("malformed_node", reason));
        if !is_uuid(id.as_str()) || id.as_str() != id.as_str().to_lowercase() {
            return bad(format!("`{id}` is no UUID in lower case, such as 11111111-1111-4111-8111-000000000001"));
        }
        if id.as_str() == self.hub_id {
            return bad(format!("`{id}` is the id of the hub itself (`exchange.hub_id`); take another one"));
        }
        if code.is_empty() || code.len() > CODE_BYTES_MAX || !code.bytes().all(|byte| byte.is_ascii_graphic()) {
            return bad(format!("a code has 1 to {CODE_BYTES_MAX} visible ASCII characters, such as DESKTOP-USER-1"));
        }
        if name.len() > NAME_BYTES_MAX {
            return bad(format!("the name has {} bytes; it may have {NAME_BYTES_MAX}", name.len()));
        }
        let types = plan.types.as_ref();
        let filtered = plan.rows.keys().chain(plan.write_rows.keys());
        if let Some(other) = filtered.into_iter().find(|name| types.is_some_and(|types| !types.contains(*name))) {
            return bad(format!("the plan filters rows of `{other}`, which is not among its types; add it there"));
        }
        filters(plan).map(drop)
    }

    fn known(&self, key: &(SpaceName, NodeId)) -> Option<Arc<Desk>> {
        self.lock().get(key).cloned()
    }

    fn forget(&self, space: &SpaceName, id: &NodeId) {
        if let Some(desk) = self.lock().remove(&(space.clone(), id.clone())) {
            desk.over.store(true, Ordering::Release);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(SpaceName, NodeId), Arc<Desk>>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until no packet is in work at a desk, and lets none begin.
async fn idle(desk: Option<&Desk>) -> Option<tokio::sync::MutexGuard<'_, Option<Settled>>> {
    match desk {
        Some(desk) => Some(desk.turn.lock().await),
        None => None,
    }
}

/// What a node gets, and what it may write.
fn filters(plan: &Plan) -> Result<(Arc<RowFilters>, Arc<RowFilters>), ServerError> {
    let filter = |(name, text): (&CollectionName, &serde_json::Value)| {
        let filled = substitute(text, &plan.attributes).and_then(|filter| Filter::parse(&filter));
        let why = |error| ServerError::bad("malformed_node", format!("the row filter of `{name}`: {error}"));
        Ok((name.clone(), filled.map_err(why)?))
    };
    let readable: BTreeMap<_, _> = plan.rows.iter().map(filter).collect::<Result<_, ServerError>>()?;
    let mut writable = readable.clone();
    for rule in &plan.write_rows {
        writable.extend([filter(rule)?]);
    }
    Ok((Arc::new(RowFilters::new(readable)), Arc::new(RowFilters::new(writable))))
}
