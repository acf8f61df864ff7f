//! Registered nodes and their packets in the data directory itself, while no hub runs on it.

use super::local::LocalHub;
use super::nodes::NewNodeToken;
use crate::error::CliError;
use std::sync::Arc;
use syncline_core::model::{NodeId, Registration, SpaceName};
use syncline_server::app::App;
use syncline_server::dialect::exchange::{self, Imported, Standing};
use syncline_server::nodes::{self, NodeChange, RegisteredNode};

impl LocalHub {
    pub(super) async fn register(
        &self,
        space: &SpaceName,
        registration: Registration,
        secret: Option<String>,
    ) -> Result<NewNodeToken, CliError> {
        let (app, id) = (self.app().await?, registration.id.clone());
        let secret = app.nodes.register(&app.tokens, space, registration, secret).await?;
        made(app, space, &id, secret.reveal()).await
    }

    pub(super) async fn registered(&self, space: &SpaceName) -> Result<Vec<RegisteredNode>, CliError> {
        Ok(self.app().await?.nodes.list(space).await?)
    }

    pub(super) async fn show_node(&self, space: &SpaceName, id: &NodeId) -> Result<Standing, CliError> {
        Ok(exchange::standing(self.app().await?, space, id).await?)
    }

    pub(super) async fn change_node(
        &self,
        space: &SpaceName,
        id: &NodeId,
        change: NodeChange,
    ) -> Result<RegisteredNode, CliError> {
        let app = self.app().await?;
        Ok(app.nodes.change(&app.tokens, space, id, change).await?)
    }

    pub(super) async fn expire_node(&self, space: &SpaceName, id: &NodeId) -> Result<(), CliError> {
        Ok(nodes::expire(&self.app().await?.hub, space, id).await?)
    }

    pub(super) async fn unregister(&self, space: &SpaceName, id: &NodeId) -> Result<(), CliError> {
        let app = self.app().await?;
        Ok(app.nodes.remove(&app.tokens, space, id).await?)
    }

    pub(super) async fn rotate_node_token(&self, space: &SpaceName, id: &NodeId) -> Result<NewNodeToken, CliError> {
        let app = self.app().await?;
        let secret = app.nodes.rotate(&app.tokens, space, id).await?;
        made(app, space, id, secret.reveal()).await
    }

    pub(super) async fn export(&self, space: &SpaceName, id: &NodeId) -> Result<String, CliError> {
        let packet = exchange::export(self.app().await?, space, id).await?;
        Ok(String::from_utf8(packet).expect("a packet is JSON"))
    }

    pub(super) async fn import(&self, space: &SpaceName, packet: String) -> Result<Imported, CliError> {
        Ok(exchange::import(self.app().await?, space, packet.into()).await?)
    }
}

async fn made(app: &Arc<App>, space: &SpaceName, id: &NodeId, secret: &str) -> Result<NewNodeToken, CliError> {
    Ok(NewNodeToken { node: app.nodes.show(space, id).await?, token: secret.to_owned() })
}
