//! A hub from the administrator's side: directly in its data directory while no hub runs on it,
//! through the admin API of the running hub otherwise.
//!
//! In reading order: [`options`], `live` and `jwt` (what the configuration means for a hub), [`wish`], `token_change` and [`plan`]
//! (tokens and what nodes exchange, in words), [`place`] (where the store is), [`address`] (how a running hub is found), `local`
//! and `remote` (the two ways in), `nodes` (what both do for registered nodes).

mod address;
mod jwt;
mod kept;
mod live;
mod local;
mod local_nodes;
mod nodes;
mod options;
mod place;
mod plan;
mod remote;
mod remote_nodes;
mod rules;
mod token_change;
mod wish;

pub use address::HubAddress;
pub use local::LocalHub;
pub use nodes::NewNodeToken;
pub use options::{declared_tokens, default_space, options};
pub use place::{StorePlace, password};
pub use plan::PlanWish;
pub use remote::RemoteHub;
pub use rules::{schema_file, unique_key};
pub use token_change::TokenChangeWish;
pub use wish::{TokenWish, access_of, now};

use crate::config::Config;
use crate::error::CliError;
use serde::{Deserialize, Serialize};
use syncline_core::model::{Epoch, Lsn, Millis, NodeId, SpaceName};
use syncline_server::auth::{TokenChange, TokenSpec, TokenView};
use syncline_server::hub::NodeView;
use syncline_server::store::{ConflictRow, ListQuery, QuarantineRow, StoreError};

/// A token that was just made.
#[derive(Clone, Serialize, Deserialize)]
pub struct NewToken {
    /// Its name.
    pub name: NodeId,
    /// The secret, shown this once.
    pub token: String,
    /// What its maker may not have meant, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// A token that was just changed.
#[derive(Clone, Serialize, Deserialize)]
pub struct ChangedToken {
    /// What it is now.
    pub changed: TokenView,
    /// What whoever changed it may not have meant, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// Where a space stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpaceStatus {
    /// Its name.
    pub space: SpaceName,
    /// Identity of its log's history.
    pub epoch: Epoch,
    /// The last LSN taken.
    pub head: Lsn,
    /// The last LSN that is a change of a document.
    pub last_change: Lsn,
    /// Changes after this LSN can be read.
    pub horizon: Lsn,
    /// Rows of the conflict ledger.
    pub conflicts: u64,
    /// Ops in quarantine.
    pub quarantined: u64,
    /// When a running hub last looked at all that is stored of it and found it sound (ISO 8601).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<String>,
    /// What is wrong with what is stored of it, although it takes commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// Its nodes.
    pub nodes: Vec<NodeView>,
}

/// One of the two ways in.
pub enum Admin {
    /// The data directory, which no hub uses.
    Local(LocalHub),
    /// A running hub.
    Remote(RemoteHub),
}

impl Admin {
    /// The hub that the configuration names; else the data directory; else the hub that runs on it.
    ///
    /// # Errors
    /// No hub there, or one that runs while no token is given.
    pub async fn open(config: &Config) -> Result<Admin, CliError> {
        if let Some(url) = config.hub() {
            return Ok(Admin::Remote(RemoteHub::new(url, config.text("token"))?));
        }
        match LocalHub::open(config).await {
            Err(CliError::Store(StoreError::InUse(store))) => {
                let found = HubAddress::read(&HubAddress::file_in(&config.data_dir()));
                match (found, config.text("token")) {
                    (Some(address), Some(token)) => Ok(Admin::Remote(RemoteHub::new(&address.url, Some(token))?)),
                    (found, _) => Err(CliError::HubRuns { store, url: found.map(|address| address.url) }),
                }
            }
            opened => opened.map(Admin::Local),
        }
    }

    /// All tokens by name.
    ///
    /// # Errors
    /// The hub refuses, or cannot be reached.
    pub async fn tokens(&self) -> Result<Vec<TokenView>, CliError> {
        match self {
            Admin::Local(hub) => hub.tokens().await,
            Admin::Remote(hub) => hub.tokens().await,
        }
    }

    /// Makes a token.
    ///
    /// # Errors
    /// The name is taken; the hub refuses, or cannot be reached.
    pub async fn add_token(&self, spec: TokenSpec) -> Result<NewToken, CliError> {
        match self {
            Admin::Local(hub) => hub.add_token(spec).await,
            Admin::Remote(hub) => hub.add_token(&spec).await,
        }
    }

    /// Lets a token allow something else; what the change does not name stays.
    ///
    /// # Errors
    /// No such token; the hub refuses, or cannot be reached.
    pub async fn change_token(&self, name: &NodeId, change: &TokenChange) -> Result<ChangedToken, CliError> {
        match self {
            Admin::Local(hub) => hub.change_token(name, change).await,
            Admin::Remote(hub) => hub.change_token(name, change).await,
        }
    }

    /// Gives a token a new secret.
    ///
    /// # Errors
    /// No such token; the hub refuses, or cannot be reached.
    pub async fn rotate_token(&self, name: &NodeId) -> Result<NewToken, CliError> {
        match self {
            Admin::Local(hub) => hub.rotate_token(name).await,
            Admin::Remote(hub) => hub.rotate_token(name).await,
        }
    }

    /// Takes a token away.
    ///
    /// # Errors
    /// No such token; the hub refuses, or cannot be reached.
    pub async fn remove_token(&self, name: &NodeId) -> Result<(), CliError> {
        match self {
            Admin::Local(hub) => hub.remove_token(name).await,
            Admin::Remote(hub) => hub.remove_token(name).await,
        }
    }

    /// The spaces that exist.
    ///
    /// # Errors
    /// The hub refuses, or cannot be reached.
    pub async fn spaces(&self) -> Result<Vec<SpaceName>, CliError> {
        match self {
            Admin::Local(hub) => hub.spaces().await,
            Admin::Remote(hub) => hub.spaces().await,
        }
    }

    /// What is in the way of a running hub by its own account; of one that does not run, nothing is.
    ///
    /// # Errors
    /// The hub cannot be reached.
    pub async fn ready(&self) -> Result<Vec<String>, CliError> {
        match self {
            Admin::Local(_) => Ok(Vec::new()),
            Admin::Remote(hub) => hub.ready().await,
        }
    }

    /// What a running hub has found wrong with its own file; of one that does not run nobody has looked.
    ///
    /// # Errors
    /// The hub refuses, or cannot be reached.
    pub async fn damage(&self) -> Result<Option<String>, CliError> {
        match self {
            Admin::Local(_) => Ok(None),
            Admin::Remote(hub) => hub.damage().await,
        }
    }

    /// Where a space stands.
    ///
    /// # Errors
    /// No such space; the hub refuses, or cannot be reached.
    pub async fn space(&self, space: &SpaceName) -> Result<SpaceStatus, CliError> {
        match self {
            Admin::Local(hub) => hub.space(space).await,
            Admin::Remote(hub) => hub.space(space).await,
        }
    }

    /// Rows of a space's conflict ledger, newest first; at most 1,000.
    ///
    /// # Errors
    /// No such space; the hub refuses, or cannot be reached.
    pub async fn conflicts(&self, space: &SpaceName, query: ListQuery) -> Result<Vec<ConflictRow>, CliError> {
        match self {
            Admin::Local(hub) => hub.conflicts(space, query).await,
            Admin::Remote(hub) => hub.rows(space, "conflicts", &query).await,
        }
    }

    /// Rows of a space's quarantine, newest first; at most 1,000.
    ///
    /// # Errors
    /// No such space; the hub refuses, or cannot be reached.
    pub async fn quarantine(&self, space: &SpaceName, query: ListQuery) -> Result<Vec<QuarantineRow>, CliError> {
        match self {
            Admin::Local(hub) => hub.quarantine(space, query).await,
            Admin::Remote(hub) => hub.rows(space, "quarantine", &query).await,
        }
    }

    /// Lets go of the data directory.
    ///
    /// # Errors
    /// The store cannot be flushed.
    pub async fn close(self) -> Result<(), CliError> {
        match self {
            Admin::Local(hub) => hub.close().await,
            Admin::Remote(_) => Ok(()),
        }
    }
}

/// How long ago, in the largest unit that fits.
pub fn ago(then: Millis) -> String {
    if then.0 == 0 {
        return "never".into();
    }
    let seconds = now().0.saturating_sub(then.0) / 1_000;
    match seconds {
        0..=1 => "now".into(),
        2..=119 => format!("{seconds} s ago"),
        120..=7_199 => format!("{} min ago", seconds / 60),
        7_200..=172_799 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
