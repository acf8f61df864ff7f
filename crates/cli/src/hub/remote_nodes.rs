//! Registered nodes and their packets through the admin API of a running hub.

use super::nodes::NewNodeToken;
use super::remote::RemoteHub;
use crate::error::CliError;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use syncline_core::model::{NodeId, Registration, SpaceName};
use syncline_server::dialect::exchange::{Imported, Standing};
use syncline_server::nodes::{NodeChange, RegisteredNode};

#[derive(Serialize)]
struct Wish<'a> {
    #[serde(flatten)]
    registration: &'a Registration,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<Node>,
}

/// A node of the list, of which only the registration matters here.
#[derive(Deserialize)]
struct Node {
    registered: Option<RegisteredNode>,
}

impl RemoteHub {
    pub(super) async fn register(
        &self,
        space: &SpaceName,
        registration: &Registration,
        token: Option<&str>,
    ) -> Result<NewNodeToken, CliError> {
        let wish = Wish { registration, token };
        self.call(Method::POST, &["spaces", space.as_str(), "nodes"], &[], Some(&wish)).await
    }

    pub(super) async fn registered(&self, space: &SpaceName) -> Result<Vec<RegisteredNode>, CliError> {
        let path = ["spaces", space.as_str(), "nodes"];
        let answer: Nodes = self.call(Method::GET, &path, &[], None::<&()>).await?;
        let mut nodes: Vec<RegisteredNode> = answer.nodes.into_iter().filter_map(|node| node.registered).collect();
        nodes.sort_by(|a, b| a.code.cmp(&b.code));
        Ok(nodes)
    }

    pub(super) async fn show_node(&self, space: &SpaceName, id: &NodeId) -> Result<Standing, CliError> {
        self.call(Method::GET, &["spaces", space.as_str(), "nodes", id.as_str()], &[], None::<&()>).await
    }

    pub(super) async fn change_node(
        &self,
        space: &SpaceName,
        id: &NodeId,
        change: &NodeChange,
    ) -> Result<RegisteredNode, CliError> {
        self.call(Method::PUT, &["spaces", space.as_str(), "nodes", id.as_str()], &[], Some(change)).await
    }

    pub(super) async fn expire_node(&self, space: &SpaceName, id: &NodeId) -> Result<(), CliError> {
        let path = ["spaces", space.as_str(), "nodes", id.as_str(), "expire"];
        let _: Value = self.call(Method::POST, &path, &[], None::<&()>).await?;
        Ok(())
    }

    pub(super) async fn unregister(&self, space: &SpaceName, id: &NodeId) -> Result<(), CliError> {
        let path = ["spaces", space.as_str(), "nodes", id.as_str()];
        let _: Value = self.call(Method::DELETE, &path, &[], None::<&()>).await?;
        Ok(())
    }

    pub(super) async fn rotate_node_token(&self, space: &SpaceName, id: &NodeId) -> Result<NewNodeToken, CliError> {
        let path = ["spaces", space.as_str(), "nodes", id.as_str(), "rotate-token"];
        self.call(Method::POST, &path, &[], None::<&()>).await
    }

    pub(super) async fn export(&self, space: &SpaceName, id: &NodeId) -> Result<String, CliError> {
        let path = ["spaces", space.as_str(), "nodes", id.as_str(), "packet"];
        let packet: Box<RawValue> = self.call(Method::GET, &path, &[], None::<&()>).await?;
        Ok(packet.get().to_owned())
    }

    /// The text goes as it is: the hub tells best what is wrong with it.
    pub(super) async fn import(&self, space: &SpaceName, packet: String) -> Result<Imported, CliError> {
        self.send(Method::POST, &["spaces", space.as_str(), "packets"], &[], Some(packet)).await
    }
}
