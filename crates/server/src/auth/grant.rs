//! What a token allows, asked by everything that touches data.

use super::former::Former;
use super::rows::RowAccess;
use super::spec::TokenSpec;
use crate::error::{Denied, ServerError};
use std::collections::BTreeSet;
use std::sync::Arc;
use syncline_core::model::{Claim, CollectionName, NodeId, RoomName, RowFilters, SpaceName, Views};

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Pull, snapshot.
    Read,
    /// Push.
    Write,
}

/// An accepted token.
#[derive(Clone, Debug)]
pub struct Grant {
    pub(super) spec: Arc<TokenSpec>,
    pub(super) rows: Arc<RowAccess>,
    pub(super) proof: Proof,
    /// What the token granted before, as far as the store keeps it.
    pub(super) formers: Arc<[Former]>,
}

/// What shows that a token is one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Proof {
    /// Its hash is that of a token of the hub's own.
    Secret([u8; 32]),
    /// A key has signed it.
    Signed {
        /// Which.
        key: [u8; 32],
    },
}

impl Grant {
    /// Fills in the claims of the token's filters.
    ///
    /// # Errors
    /// Those of [`RowAccess::bind`].
    pub(super) fn new(proof: Proof, spec: TokenSpec) -> Result<Grant, ServerError> {
        let rows = Arc::new(spec.row_access()?);
        Ok(Grant { spec: Arc::new(spec), rows, proof, formers: Arc::default() })
    }

    /// Bytes of the texts that it holds: the token's claims, and the filters that they were filled into.
    pub(super) fn text_bytes(&self) -> usize {
        serde_json::to_string(self.spec.as_ref()).map_or(0, |text| text.len()) + self.rows.bytes
    }

    /// The token's name.
    #[must_use]
    pub fn token_name(&self) -> &NodeId {
        &self.spec.name
    }

    /// The token's default collection for bare paths.
    #[must_use]
    pub fn default_collection(&self) -> Option<&CollectionName> {
        self.spec.collection.as_ref()
    }

    /// The only space that the token opens; `None`: every space.
    #[must_use]
    pub fn space(&self) -> Option<&SpaceName> {
        self.spec.space.as_ref()
    }

    /// The only collections that the token opens; `None`: all of its space.
    #[must_use]
    pub fn collections(&self) -> Option<&BTreeSet<CollectionName>> {
        self.spec.collections.as_ref()
    }

    /// Whether a collection is among those that the token opens.
    #[must_use]
    pub fn covers(&self, collection: &CollectionName) -> bool {
        self.spec.collections.as_ref().is_none_or(|names| names.contains(collection))
    }

    /// The space that a request means: the one that it names, or the token's, or the hub's default.
    ///
    /// # Errors
    /// [`ServerError::Forbidden`] when the token does not allow this access there.
    pub fn choose_space<'a>(
        &'a self,
        named: Option<&'a SpaceName>,
        default: &'a SpaceName,
        access: Access,
    ) -> Result<&'a SpaceName, ServerError> {
        let name = named.or(self.space()).unwrap_or(default);
        self.check_space(name)?;
        self.check_access(access)?;
        Ok(name)
    }

    /// Checks a space.
    ///
    /// # Errors
    /// [`ServerError::Forbidden`] naming the space.
    pub fn check_space(&self, space: &SpaceName) -> Result<(), ServerError> {
        match &self.spec.space {
            Some(own) if own != space => Err(self.refuse(format!("it is for space `{own}`, not `{space}`"))),
            _ => Ok(()),
        }
    }

    /// Checks reading or writing as such.
    ///
    /// # Errors
    /// [`ServerError::Forbidden`] naming the missing right.
    pub fn check_access(&self, access: Access) -> Result<(), ServerError> {
        match access {
            Access::Read if !self.spec.read => {
                Err(self.refuse_part("it has no right to read".to_owned(), Denied::Reading))
            }
            Access::Write if !self.spec.write => {
                Err(self.refuse_part("it has no right to write".to_owned(), Denied::Writing))
            }
            _ => Ok(()),
        }
    }

    /// Checks a collection.
    ///
    /// # Errors
    /// [`ServerError::Forbidden`] naming the collection.
    pub fn check_collection(&self, collection: &CollectionName) -> Result<(), ServerError> {
        if self.covers(collection) {
            Ok(())
        } else {
            let missing = format!("collection `{collection}` is not among its collections");
            Err(self.refuse_part(missing, Denied::Collection(collection.clone())))
        }
    }

    /// The same for what a registered node gets by packets.
    #[must_use]
    pub fn of_node(&self, readable: Arc<RowFilters>) -> Grant {
        let rows = RowAccess { read: readable, ..RowAccess::default() };
        Grant { rows: Arc::new(rows), ..self.clone() }
    }

    /// The documents that it may read.
    #[must_use]
    pub fn read_rows(&self) -> Arc<RowFilters> {
        Arc::clone(&self.rows.read)
    }

    /// The documents that its edits may find and leave.
    #[must_use]
    pub fn write_rows(&self) -> Arc<RowFilters> {
        Arc::clone(&self.rows.write)
    }

    /// What it sees of the collections that it does not see whole.
    #[must_use]
    pub fn views(&self) -> &Views {
        &self.rows.views
    }

    /// Checks a collection for a dialect that knows of no rows.
    ///
    /// # Errors
    /// [`ServerError::Forbidden`] naming the collection, also where only some rows of it are open.
    pub fn check_whole(&self, collection: &CollectionName) -> Result<(), ServerError> {
        self.check_collection(collection)?;
        if !self.rows.limits(collection) {
            return Ok(());
        }
        let missing = format!(
            "it opens only some rows of `{collection}`, and clients of this kind get a collection whole or not at all; use \
             Syncline's own client, or a token without `rows` for `{collection}`"
        );
        Err(self.refuse_part(missing, Denied::Collection(collection.clone())))
    }

    /// Checks joining a room. Nobody is told of changes in a collection of which the token opens only some rows: notices
    /// name documents. Where the token names rooms, these alone count. Otherwise it opens those that need no
    /// grant, and of those that are told of changes in collections the ones with a collection that it opens.
    ///
    /// # Errors
    /// [`ServerError::Forbidden`] naming the room.
    pub fn check_room(
        &self,
        room: &RoomName,
        granted: bool,
        told: &BTreeSet<CollectionName>,
    ) -> Result<(), ServerError> {
        if let Some(name) = told.iter().find(|name| self.rows.limits(name)) {
            let missing =
                format!("room `{room}` is told of every change in `{name}`, of which it opens only some rows");
            return Err(self.refuse(missing));
        }
        match &self.spec.rooms {
            Some(_) => self.check_named(room),
            None if granted && !self.spec.admin => self.check_named(room),
            None if told.is_empty() || told.iter().any(|name| self.covers(name)) => Ok(()),
            None => {
                let missing = format!("room `{room}` is told of collections that are not among its collections");
                Err(self.refuse(format!("{missing} (`--rooms {room}`)")))
            }
        }
    }

    fn check_named(&self, room: &RoomName) -> Result<(), ServerError> {
        if self.spec.rooms.as_ref().is_some_and(|rooms| rooms.contains(room)) {
            return Ok(());
        }
        Err(self.refuse(format!("room `{room}` is not among its rooms (`--rooms {room}`)")))
    }

    /// Checks speaking anything but the exchange of packets.
    ///
    /// # Errors
    /// [`ServerError::Forbidden`] for the token of a node that gets only some rows of a collection.
    pub fn check_dialect(&self) -> Result<(), ServerError> {
        if !self.spec.packets {
            return Ok(());
        }
        let missing = "its node gets only some rows of a collection, and only packets carry only some; make another token \
                       for what it may read whole (`syncline token add`)";
        Err(self.refuse(missing.to_owned()))
    }

    /// Checks publishing an event to a room, or with `None` to everybody in the space.
    ///
    /// # Errors
    /// [`ServerError::Forbidden`] naming what is missing.
    pub fn check_emit(&self, room: Option<&RoomName>) -> Result<(), ServerError> {
        if !(self.spec.emit || self.spec.admin) {
            return Err(self.refuse("it has no right to publish events (`--emit`)".to_owned()));
        }
        match (&self.spec.rooms, room) {
            (None, _) => Ok(()),
            (Some(_), Some(room)) => self.check_named(room),
            (Some(_), None) => Err(self.refuse("it is for some rooms only, and the event is for everybody".to_owned())),
        }
    }

    /// Checks who the request says it is.
    ///
    /// # Errors
    /// [`ServerError::Forbidden`] when the token belongs to another node, or the name is the hub's to give.
    pub fn check_node(&self, node: &NodeId) -> Result<(), ServerError> {
        if node.is_reserved() {
            return Err(
                self.refuse(format!("`{node}` is a name of the hub's own; take a node id without `(` in front"))
            );
        }
        match &self.spec.node {
            Some(own) if own != node => Err(self.refuse(format!("it belongs to node `{own}`, not `{node}`"))),
            _ => Ok(()),
        }
    }

    /// Who foreign clients with this token are. No own client's node has such a name.
    #[must_use]
    pub fn foreign_node(&self) -> NodeId {
        NodeId::of_token(&self.spec.name)
    }

    /// Whether a reader with this token may say how far a node of this owner has read.
    #[must_use]
    pub fn speaks_for(&self, owner: &NodeId) -> bool {
        self.spec.admin || self.spec.node.is_some() || *owner == self.spec.name
    }

    /// On what grounds a push with this token speaks for a node.
    #[must_use]
    pub fn claim(&self, instead_of: Option<NodeId>) -> Claim {
        let token = self.spec.name.clone();
        match (self.spec.admin, self.spec.node.is_some()) {
            (true, _) => Claim::Free,
            (false, true) => Claim::Made { token },
            (false, false) => Claim::By { token, instead_of },
        }
    }

    /// The refusal of a push as a node that belongs to another token.
    #[must_use]
    pub fn node_taken(&self, node: &NodeId, owner: &NodeId) -> ServerError {
        self.refuse(format!(
            "node `{node}` belongs to token `{owner}`, the first that pushed as it; push with that one, remove it if \
             it is out of use, or make a token for the node with `--node {node}`"
        ))
    }

    /// Checks the sender of a packet: a packet's token is that of its node, or an admin's.
    ///
    /// # Errors
    /// [`ServerError::Forbidden`] when the token belongs to another node, or to none.
    pub fn check_sender(&self, node: &NodeId) -> Result<(), ServerError> {
        self.check_node(node)?;
        if self.spec.node.is_none() && !self.spec.admin {
            return Err(self.refuse(format!("it belongs to no node; send the packet with the token of node `{node}`")));
        }
        if self.rows.limits_any() {
            let missing = "it opens only some rows of a collection; which rows a node gets by packets is said where it is \
                           registered (`syncline node add --rows`)";
            return Err(self.refuse(missing.to_owned()));
        }
        Ok(())
    }

    /// Checks the right to administer the hub.
    ///
    /// # Errors
    /// [`ServerError::Forbidden`].
    pub fn check_admin(&self) -> Result<(), ServerError> {
        if self.spec.admin { Ok(()) } else { Err(self.refuse("it is not an admin token".to_owned())) }
    }

    fn refuse(&self, missing: String) -> ServerError {
        self.refuse_part(missing, Denied::Request)
    }

    fn refuse_part(&self, missing: String, part: Denied) -> ServerError {
        ServerError::Forbidden { token: self.spec.name.to_string(), missing, part }
    }
}
