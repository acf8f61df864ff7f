//! What a token allows, asked by everything that touches data.

use super::spec::TokenSpec;
use crate::error::{Denied, ServerError};
use std::collections::BTreeSet;
use std::sync::Arc;
use syncline_core::model::{Claim, CollectionName, NodeId, RoomName, SpaceName};

/// What a request wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Pull, snapshot.
    Read,
    /// Push.
    Write,
}

/// An accepted token, and the hash that it is found by.
#[derive(Clone, Debug)]
pub struct Grant(pub(super) Arc<TokenSpec>, pub(super) [u8; 32]);

impl Grant {
    /// The token's name.
    #[must_use]
    pub fn token_name(&self) -> &NodeId {
        &self.0.name
    }

    /// The token's default collection for bare paths.
    #[must_use]
    pub fn default_collection(&self) -> Option<&CollectionName> {
        self.0.collection.as_ref()
    }

    /// The only space that the token opens; `None`: every space.
    #[must_use]
    pub fn space(&self) -> Option<&SpaceName> {
        self.0.space.as_ref()
    }

    /// The only collections that the token opens; `None`: all of its space.
    #[must_use]
    pub fn collections(&self) -> Option<&BTreeSet<CollectionName>> {
        self.0.collections.as_ref()
    }

    /// Whether a collection is among those that the token opens.
    #[must_use]
    pub fn covers(&self, collection: &CollectionName) -> bool {
        self.0.collections.as_ref().is_none_or(|names| names.contains(collection))
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
        match &self.0.space {
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
            Access::Read if !self.0.read => {
                Err(self.refuse_part("it has no right to read".to_owned(), Denied::Reading))
            }
            Access::Write if !self.0.write => {
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

    /// Checks joining a room. Where the token names rooms, these alone count. Otherwise it opens those that need no
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
        match &self.0.rooms {
            Some(_) => self.check_named(room),
            None if granted && !self.0.admin => self.check_named(room),
            None if told.is_empty() || told.iter().any(|name| self.covers(name)) => Ok(()),
            None => {
                let missing = format!("room `{room}` is told of collections that are not among its collections");
                Err(self.refuse(format!("{missing} (`--rooms {room}`)")))
            }
        }
    }

    fn check_named(&self, room: &RoomName) -> Result<(), ServerError> {
        if self.0.rooms.as_ref().is_some_and(|rooms| rooms.contains(room)) {
            return Ok(());
        }
        Err(self.refuse(format!("room `{room}` is not among its rooms (`--rooms {room}`)")))
    }

    /// Checks speaking anything but the exchange of packets.
    ///
    /// # Errors
    /// [`ServerError::Forbidden`] for the token of a node that gets only some rows of a collection.
    pub fn check_dialect(&self) -> Result<(), ServerError> {
        if !self.0.packets {
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
        if !(self.0.emit || self.0.admin) {
            return Err(self.refuse("it has no right to publish events (`--emit`)".to_owned()));
        }
        match (&self.0.rooms, room) {
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
        match &self.0.node {
            Some(own) if own != node => Err(self.refuse(format!("it belongs to node `{own}`, not `{node}`"))),
            _ => Ok(()),
        }
    }

    /// Who foreign clients with this token are. No own client's node has such a name.
    #[must_use]
    pub fn foreign_node(&self) -> NodeId {
        NodeId::of_token(&self.0.name)
    }

    /// Whether a reader with this token may say how far a node of this owner has read.
    #[must_use]
    pub fn speaks_for(&self, owner: &NodeId) -> bool {
        self.0.admin || self.0.node.is_some() || *owner == self.0.name
    }

    /// On what grounds a push with this token speaks for a node.
    #[must_use]
    pub fn claim(&self, instead_of: Option<NodeId>) -> Claim {
        let token = self.0.name.clone();
        match (self.0.admin, self.0.node.is_some()) {
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
        if self.0.node.is_none() && !self.0.admin {
            return Err(self.refuse(format!("it belongs to no node; send the packet with the token of node `{node}`")));
        }
        Ok(())
    }

    /// Checks the right to administer the hub.
    ///
    /// # Errors
    /// [`ServerError::Forbidden`].
    pub fn check_admin(&self) -> Result<(), ServerError> {
        if self.0.admin { Ok(()) } else { Err(self.refuse("it is not an admin token".to_owned())) }
    }

    fn refuse(&self, missing: String) -> ServerError {
        self.refuse_part(missing, Denied::Request)
    }

    fn refuse_part(&self, missing: String, part: Denied) -> ServerError {
        ServerError::Forbidden { token: self.0.name.to_string(), missing, part }
    }
}
