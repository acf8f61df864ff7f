//! Rows of the ledger and of the quarantine one by one, by either way in.

use super::Admin;
use crate::error::CliError;
use reqwest::Method;
use syncline_core::model::SpaceName;
use syncline_server::kept::{self, ConflictView, MendReceipt};
use syncline_server::store::QuarantineRow;

const CONFLICTS: &str = "conflicts";
const QUARANTINE: &str = "quarantine";

impl Admin {
    /// A conflict, beside what stands today.
    ///
    /// # Errors
    /// No such space or row; the hub refuses, or cannot be reached.
    pub async fn conflict(&self, space: &SpaceName, n: u64) -> Result<ConflictView, CliError> {
        match self {
            Admin::Local(hub) => Ok(kept::conflict(&hub.app().await?.hub, space, n).await?),
            Admin::Remote(hub) => {
                hub.call(Method::GET, &path(space, CONFLICTS, &n.to_string()), &[], None::<&()>).await
            }
        }
    }

    /// Brings the losing side of a conflict back.
    ///
    /// # Errors
    /// As [`Admin::conflict`]; the document is gone for good.
    pub async fn restore(&self, space: &SpaceName, n: u64) -> Result<MendReceipt, CliError> {
        match self {
            Admin::Local(hub) => Ok(kept::restore(&hub.app().await?.hub, space, n).await?),
            Admin::Remote(hub) => {
                let n = n.to_string();
                let path = [&path(space, CONFLICTS, &n)[..], &["restore"]].concat();
                hub.call(Method::POST, &path, &[], None::<&()>).await
            }
        }
    }

    /// An op in quarantine.
    ///
    /// # Errors
    /// As [`Admin::conflict`].
    pub async fn quarantined(&self, space: &SpaceName, n: u64) -> Result<QuarantineRow, CliError> {
        match self {
            Admin::Local(hub) => Ok(kept::quarantined(&hub.app().await?.hub, space, n).await?),
            Admin::Remote(hub) => {
                hub.call(Method::GET, &path(space, QUARANTINE, &n.to_string()), &[], None::<&()>).await
            }
        }
    }

    /// Tries an op in quarantine again, or a mended one in its place.
    ///
    /// # Errors
    /// As [`Admin::conflict`]; it was discarded; it still cannot be applied.
    pub async fn retry(&self, space: &SpaceName, n: u64, mended: Option<String>) -> Result<MendReceipt, CliError> {
        match self {
            Admin::Local(hub) => Ok(kept::retry(&hub.app().await?.hub, space, n, mended.as_deref()).await?),
            Admin::Remote(hub) => {
                let n = n.to_string();
                let path = [&path(space, QUARANTINE, &n)[..], &["retry"]].concat();
                hub.send(Method::POST, &path, &[], mended).await
            }
        }
    }

    /// Drops an op in quarantine.
    ///
    /// # Errors
    /// As [`Admin::conflict`]; it was retried.
    pub async fn discard(&self, space: &SpaceName, n: u64) -> Result<MendReceipt, CliError> {
        match self {
            Admin::Local(hub) => Ok(kept::discard(&hub.app().await?.hub, space, n).await?),
            Admin::Remote(hub) => {
                hub.call(Method::DELETE, &path(space, QUARANTINE, &n.to_string()), &[], None::<&()>).await
            }
        }
    }
}

fn path<'a>(space: &'a SpaceName, list: &'a str, n: &'a str) -> [&'a str; 4] {
    ["spaces", space.as_str(), list, n]
}
