//! One device of the demo: a database file and its way to the hub.

use super::lossy::LossyClient;
use crate::error::CliError;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use syncline::filter::Filter;
use syncline::query::{Order, Query};
use syncline::sync::{ApiClient, HttpApiClient, LogLevel, LoggingOptions, SyncOptions};
use syncline::{Collection, Database};

/// The collection of the demo.
pub(super) const NOTES: &str = "notes";

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Device {
    pub(super) name: &'static str,
    path: PathBuf,
    url: String,
    token: String,
    database: Database,
}

impl Device {
    pub(super) fn new(name: &'static str, dir: &Path, url: &str, token: String) -> Result<Device, CliError> {
        let path = dir.join(format!("{name}.db"));
        let database = Database::open(&path)?;
        Ok(Device { name, path, url: url.to_owned(), token, database })
    }

    fn notes(&self) -> Result<Collection, CliError> {
        Ok(self.database.collection(NOTES)?)
    }

    /// The hub's name for this device.
    pub(super) fn node(&self) -> Result<String, CliError> {
        Ok(self.database.replica().node()?.to_string())
    }

    pub(super) fn insert(&self, id: &str, title: &str) -> Result<(), CliError> {
        self.notes()?.insert(json!({ "_id": id, "title": title, "done": false }))?;
        Ok(())
    }

    pub(super) fn set(&self, id: &str, field: &str, value: impl Into<Value>) -> Result<(), CliError> {
        self.notes()?.update(id, &json!({ field: value.into() }))?;
        Ok(())
    }

    pub(super) fn remove(&self, id: &str) -> Result<(), CliError> {
        self.notes()?.remove(id)?;
        Ok(())
    }

    pub(super) fn count(&self) -> Result<usize, CliError> {
        Ok(self.notes()?.count(&Filter::all())?)
    }

    /// All notes by id.
    pub(super) fn documents(&self) -> Result<Vec<Value>, CliError> {
        Ok(self.notes()?.find(&Query::default().sort_by("_id", Order::Ascending)?)?)
    }

    fn options(&self) -> SyncOptions {
        SyncOptions {
            collections: vec![NOTES.into()],
            auto_sync: false,
            logging: LoggingOptions { enabled: false, level: LogLevel::Error },
            ..SyncOptions::new(&self.url, &self.token)
        }
    }

    /// What the hub answers when this device asks for everything.
    pub(super) async fn snapshot(&self) -> Result<String, CliError> {
        let hub = HttpApiClient::new(&self.url, &self.token, REQUEST_TIMEOUT)?;
        let path = format!("/sync/snapshot?node={}&collections={NOTES}", self.node()?);
        let reply = hub
            .get(&path)
            .await
            .map_err(|error| CliError::Unreachable { url: self.url.clone(), reason: error.to_string() })?;
        Ok(String::from_utf8_lossy(&reply.body).into_owned())
    }

    /// One full round with the hub.
    pub(super) async fn sync(&self) -> Result<(), CliError> {
        let outcome = self.database.sync(self.options())?.sync_now().await;
        match outcome.error {
            None => Ok(()),
            Some(error) => Err(CliError::Sync(format!("{}: {error}", self.name))),
        }
    }

    /// A push that reaches the hub, whose reply does not come back.
    pub(super) async fn push_and_lose_the_reply(&self) -> Result<(), CliError> {
        let way = LossyClient(HttpApiClient::new(&self.url, &self.token, REQUEST_TIMEOUT)?);
        let options = SyncOptions { api_client: Some(Arc::new(way)), ..self.options() };
        let sync = self.database.sync(options)?;
        let outcome = sync.sync_now().await;
        sync.disable();
        if outcome.success { Err(CliError::Diverged("the lost reply was not missed".into())) } else { Ok(()) }
    }

    /// Ends as a process that is killed: what its disk holds at this moment is all that is left, and
    /// no last words are written. The device goes on with a copy of exactly that.
    pub(super) fn crash(&mut self) -> Result<(), CliError> {
        let after = self.path.with_file_name(format!("{}-after-the-crash.db", self.name));
        for suffix in ["", "-wal"] {
            let (from, to) = (with_suffix(&self.path, suffix), with_suffix(&after, suffix));
            if from.exists() {
                std::fs::copy(&from, &to).map_err(|source| CliError::file("copy", &from, source))?;
            }
        }
        self.database = Database::open(&after)?;
        self.path = after;
        Ok(())
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
