//! The demo's hub, its devices, and the proof that they agree.

use super::device::{Device, NOTES};
use crate::error::CliError;
use serde_json::{Value, json};
use std::sync::Arc;
use syncline_core::model::{NodeId, SpaceName};
use syncline_server::auth::TokenSpec;
use syncline_server::store::{ListQuery, SqliteOptions, SqliteStore};
use syncline_server::{Options, Server, ServerError, app::App};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(super) struct World {
    pub(super) laptop: Device,
    pub(super) phone: Device,
    pub(super) tablet: Device,
    url: String,
    app: Arc<App>,
    space: SpaceName,
    serving: JoinHandle<Result<(), ServerError>>,
    stop: oneshot::Sender<()>,
    // Last, so that it goes when nothing in it is open any more.
    _dir: TempDir,
}

impl World {
    /// A hub on a free port and three devices with tokens, all in a directory that goes at the end.
    pub(super) async fn start() -> Result<World, CliError> {
        let dir = TempDir::with_prefix("syncline-demo-").map_err(CliError::Scratch)?;
        let store = SqliteStore::open(dir.path().join("hub"), SqliteOptions::default())?;
        let options = Options { listen: "127.0.0.1:0".into(), ..Options::default() };
        let space = options.default_space.clone();
        let server = Server::bind(Arc::new(store), options).await?;
        let (url, app) = (server.url(), Arc::clone(server.app()));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.run(async move {
            // Also done when the world is dropped without a word.
            let _ = stopped.await;
        }));
        let mut devices = Vec::new();
        for name in ["tablet", "phone", "laptop"] {
            let secret = app.tokens.add(TokenSpec::named(NodeId::new(name)?)).await?;
            devices.push(Device::new(name, dir.path(), &url, secret.reveal().to_owned())?);
        }
        let mut next = || devices.pop().expect("three devices were made");
        let (laptop, phone, tablet) = (next(), next(), next());
        Ok(World { laptop, phone, tablet, url, app, space, serving, stop, _dir: dir })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn devices(&self) -> [&Device; 3] {
        [&self.laptop, &self.phone, &self.tablet]
    }

    /// Two rounds each: the first brings everything to the hub, the second everything to everybody.
    pub(super) async fn sync_all(&self) -> Result<(), CliError> {
        for _ in 0..2 {
            for device in self.devices() {
                device.sync().await?;
            }
        }
        Ok(())
    }

    /// How many changes the hub has taken.
    pub(super) async fn head(&self) -> Result<u64, CliError> {
        Ok(self.app.hub.store().head(&self.space).await?.last_change.0)
    }

    /// The rows of the conflict ledger, with devices by name.
    pub(super) async fn conflicts(&self) -> Result<Vec<Value>, CliError> {
        let query = ListQuery { limit: 100, ..ListQuery::default() };
        let rows = self.app.hub.store().conflicts(&self.space, query).await?;
        let mut named = Vec::new();
        for row in rows {
            named.push(json!({
                "id": row.id, "rule": row.rule, "winner": self.name_of(&row.winner)?,
                "loser": self.name_of(&row.loser)?, "losing": row.losing, "winning": row.winning,
            }));
        }
        Ok(named)
    }

    fn name_of(&self, node: &str) -> Result<String, CliError> {
        for device in self.devices() {
            if device.node()? == node {
                return Ok(device.name.to_owned());
            }
        }
        Ok(node.to_owned())
    }

    /// The notes, when the hub and all devices hold exactly the same.
    ///
    /// # Errors
    /// [`CliError::Diverged`] naming the device that differs.
    pub(super) async fn equal(&self) -> Result<Vec<Value>, CliError> {
        let hub = self.hub_documents().await?;
        for device in self.devices() {
            let own = device.documents()?;
            if own != hub {
                let (own, hub) = (Value::from(own), Value::from(hub));
                return Err(CliError::Diverged(format!("{} holds {own}, the hub holds {hub}", device.name)));
            }
        }
        Ok(hub)
    }

    /// The hub's notes by id, asked for as any client would.
    async fn hub_documents(&self) -> Result<Vec<Value>, CliError> {
        let lines = self.laptop.snapshot().await?;
        let mut documents = Vec::new();
        for line in lines.lines() {
            let strange =
                |error: serde_json::Error| CliError::StrangeReply { url: self.url.clone(), reason: error.to_string() };
            let mut line: Value = serde_json::from_str(line).map_err(strange)?;
            if line["op"] == "put" && line["collection"] == NOTES {
                documents.push(line["doc"].take());
            }
        }
        documents.sort_by(|a, b| a["_id"].as_str().cmp(&b["_id"].as_str()));
        Ok(documents)
    }

    /// Stops the hub as a signal would.
    pub(super) async fn stop(self) -> Result<(), CliError> {
        let World { serving, stop, laptop, phone, tablet, .. } = self;
        drop((laptop, phone, tablet));
        // A hub that has ended by itself says why below.
        let _ = stop.send(());
        serving.await.map_err(|error| CliError::Diverged(format!("the hub of the demo ended: {error}")))??;
        Ok(())
    }
}
