//! Registered nodes and their packets, from the administrator's side: the same by either way in.

use super::Admin;
use crate::error::CliError;
use serde::{Deserialize, Serialize};
use syncline_core::model::{NodeId, Registration, SpaceName};
use syncline_server::dialect::exchange::{Imported, Standing};
use syncline_server::nodes::{NodeChange, RegisteredNode};

/// A registered node and its token, which was just made.
#[derive(Clone, Serialize, Deserialize)]
pub struct NewNodeToken {
    /// The node.
    #[serde(flatten)]
    pub node: RegisteredNode,
    /// The secret, shown this once.
    pub token: String,
}

impl Admin {
    /// Registers a node; without a secret of its own it gets a token that is drawn.
    ///
    /// # Errors
    /// The id, code or secret is taken or malformed; the hub refuses, or cannot be reached.
    pub async fn register(
        &self,
        space: &SpaceName,
        registration: Registration,
        secret: Option<String>,
    ) -> Result<NewNodeToken, CliError> {
        match self {
            Admin::Local(hub) => hub.register(space, registration, secret).await,
            Admin::Remote(hub) => hub.register(space, &registration, secret.as_deref()).await,
        }
    }

    /// The registered nodes of a space, by their codes.
    ///
    /// # Errors
    /// No such space; the hub refuses, or cannot be reached.
    pub async fn registered(&self, space: &SpaceName) -> Result<Vec<RegisteredNode>, CliError> {
        match self {
            Admin::Local(hub) => hub.registered(space).await,
            Admin::Remote(hub) => hub.registered(space).await,
        }
    }

    /// The registered node with this code or id, or the only one whose id begins so.
    ///
    /// # Errors
    /// No such node, or several; as [`Admin::registered`].
    pub async fn find_node(&self, space: &SpaceName, name: &str) -> Result<RegisteredNode, CliError> {
        let mut nodes = self.registered(space).await?;
        let id = name.to_lowercase();
        let exact = nodes.iter().position(|node| node.code == name || node.id.as_str() == id);
        if let Some(at) = exact {
            return Ok(nodes.swap_remove(at));
        }
        nodes.retain(|node| node.id.as_str().starts_with(&id));
        match nodes.len() {
            0 => Err(CliError::NoSuchNode { node: name.to_owned(), space: space.clone() }),
            1 => Ok(nodes.remove(0)),
            _ => Err(CliError::Usage(format!(
                "several nodes of space `{space}` have an id that begins with `{name}`; give the code, or more of the id"
            ))),
        }
    }

    /// A registered node, and how much waits for it.
    ///
    /// # Errors
    /// No such node; the hub refuses, or cannot be reached.
    pub async fn show_node(&self, space: &SpaceName, id: &NodeId) -> Result<Standing, CliError> {
        match self {
            Admin::Local(hub) => hub.show_node(space, id).await,
            Admin::Remote(hub) => hub.show_node(space, id).await,
        }
    }

    /// Changes a registration.
    ///
    /// # Errors
    /// No such node, a plan that cannot work; the hub refuses, or cannot be reached.
    pub async fn change_node(
        &self,
        space: &SpaceName,
        id: &NodeId,
        change: NodeChange,
    ) -> Result<RegisteredNode, CliError> {
        match self {
            Admin::Local(hub) => hub.change_node(space, id, change).await,
            Admin::Remote(hub) => hub.change_node(space, id, &change).await,
        }
    }

    /// Keeps nothing of the log for a reader any more.
    ///
    /// # Errors
    /// No such node, or a registered one; the hub refuses, or cannot be reached.
    pub async fn expire_node(&self, space: &SpaceName, id: &NodeId) -> Result<(), CliError> {
        match self {
            Admin::Local(hub) => hub.expire_node(space, id).await,
            Admin::Remote(hub) => hub.expire_node(space, id).await,
        }
    }

    /// Ends a registration.
    ///
    /// # Errors
    /// No such node; the hub refuses, or cannot be reached.
    pub async fn unregister(&self, space: &SpaceName, id: &NodeId) -> Result<(), CliError> {
        match self {
            Admin::Local(hub) => hub.unregister(space, id).await,
            Admin::Remote(hub) => hub.unregister(space, id).await,
        }
    }

    /// Gives a node another token.
    ///
    /// # Errors
    /// No such node; the hub refuses, or cannot be reached.
    pub async fn rotate_node_token(&self, space: &SpaceName, id: &NodeId) -> Result<NewNodeToken, CliError> {
        match self {
            Admin::Local(hub) => hub.rotate_node_token(space, id).await,
            Admin::Remote(hub) => hub.rotate_node_token(space, id).await,
        }
    }

    /// The hub's next packet for a node, as text.
    ///
    /// # Errors
    /// No such node; the hub refuses, or cannot be reached.
    pub async fn export(&self, space: &SpaceName, id: &NodeId) -> Result<String, CliError> {
        match self {
            Admin::Local(hub) => hub.export(space, id).await,
            Admin::Remote(hub) => hub.export(space, id).await,
        }
    }

    /// Takes in the packet of a node.
    ///
    /// # Errors
    /// Not a packet, or one for somebody else; the hub refuses, or cannot be reached.
    pub async fn import(&self, space: &SpaceName, packet: String) -> Result<Imported, CliError> {
        match self {
            Admin::Local(hub) => hub.import(space, packet).await,
            Admin::Remote(hub) => hub.import(space, packet).await,
        }
    }
}
