//! Administration in the data directory itself, while no hub runs on it.

use super::{ChangedToken, NewToken, SpaceStatus, StorePlace, declared_tokens, now, options};
use crate::config::Config;
use crate::error::CliError;
use std::sync::Arc;
use syncline_core::model::{NodeId, SpaceName};
use syncline_server::Options;
use syncline_server::app::App;
use syncline_server::auth::{TokenChange, TokenSpec, TokenView, Tokens};
use syncline_server::hub::{Sighting, nodes};
use syncline_server::store::{ConflictRow, ListQuery, QuarantineRow, SqliteStore, Store};
use tokio::sync::OnceCell;

/// A hub's store, opened by this process alone.
pub struct LocalHub {
    store: Arc<dyn Store>,
    tokens: Tokens,
    options: Box<Options>,
    /// The hub itself, for work that more than looks at the store.
    app: OnceCell<Arc<App>>,
}

impl LocalHub {
    /// Opens the configured store.
    ///
    /// # Errors
    /// As [`StorePlace::open`].
    pub async fn open(config: &Config) -> Result<LocalHub, CliError> {
        let place = StorePlace::of(config)?;
        if let StorePlace::Directory(data) = &place
            && !SqliteStore::is_in(data)
        {
            return Err(CliError::NoHubData { data: data.clone() });
        }
        let store = place.open(config).await?;
        let tokens = Tokens::open(Arc::clone(&store), &declared_tokens(config)?).await?;
        Ok(LocalHub { store, tokens, options: Box::new(options(config)?), app: OnceCell::new() })
    }

    /// The hub on this store, started when it is first needed.
    pub(super) async fn app(&self) -> Result<&Arc<App>, CliError> {
        let start = || syncline_server::open(Arc::clone(&self.store), (*self.options).clone());
        Ok(self.app.get_or_try_init(start).await?)
    }

    pub(super) async fn tokens(&self) -> Result<Vec<TokenView>, CliError> {
        Ok(self.tokens.list())
    }

    pub(super) async fn add_token(&self, spec: TokenSpec) -> Result<NewToken, CliError> {
        let secret = self.tokens.add(spec.clone()).await?;
        let remarks = self.tokens.remarks(&spec).await;
        Ok(NewToken { name: spec.name, token: secret.reveal().to_owned(), remarks })
    }

    pub(super) async fn change_token(&self, name: &NodeId, change: &TokenChange) -> Result<ChangedToken, CliError> {
        let changed = self.tokens.change(name, change).await?;
        let remarks = self.tokens.remarks(&changed.spec).await;
        Ok(ChangedToken { changed, remarks })
    }

    pub(super) async fn rotate_token(&self, name: &NodeId) -> Result<NewToken, CliError> {
        let secret = self.tokens.rotate(name).await?;
        Ok(NewToken { name: name.clone(), token: secret.reveal().to_owned(), remarks: Vec::new() })
    }

    pub(super) async fn remove_token(&self, name: &NodeId) -> Result<(), CliError> {
        Ok(self.tokens.remove(name).await?)
    }

    pub(super) async fn spaces(&self) -> Result<Vec<SpaceName>, CliError> {
        Ok(self.store.spaces().await?)
    }

    pub(super) async fn space(&self, space: &SpaceName) -> Result<SpaceStatus, CliError> {
        let registered = self.store.registered(space, None).await?.into_iter();
        let confirmed =
            registered.map(|(node, traffic)| (node.id, Sighting { handed: traffic.cursor, ..Sighting::default() }));
        let (head, nodes) = nodes(self.store.as_ref(), space, &confirmed.collect(), now()).await?;
        Ok(SpaceStatus {
            space: space.clone(),
            epoch: head.epoch,
            head: head.lsn,
            last_change: head.last_change,
            horizon: head.horizon,
            conflicts: head.kept.conflicts,
            quarantined: head.kept.quarantined,
            looked_at: None,
            damage: None,
            nodes,
        })
    }

    pub(super) async fn conflicts(&self, space: &SpaceName, query: ListQuery) -> Result<Vec<ConflictRow>, CliError> {
        Ok(self.store.conflicts(space, query).await?)
    }

    pub(super) async fn quarantine(&self, space: &SpaceName, query: ListQuery) -> Result<Vec<QuarantineRow>, CliError> {
        Ok(self.store.quarantine(space, query).await?)
    }

    pub(super) async fn close(self) -> Result<(), CliError> {
        if let Some(app) = self.app.get() {
            return Ok(app.hub.close().await?);
        }
        Ok(self.store.close().await?)
    }
}
