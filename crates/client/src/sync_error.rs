//! What can be wrong with the way sync is set up. What goes wrong while it runs is told by events.

use syncline_core::model::CollectionName;
use syncline_core::session::SyncEvent;
use thiserror::Error;

/// Sync was not started.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SyncError {
    /// Neither a hub nor a client for one.
    #[error("sync needs the hub's address and a token (`SyncOptions::new(url, token)`), or an `api_client`")]
    NoHub,
    /// An address that is none.
    #[error("`{url}` is not the address of a hub ({reason}); it should read like `https://hub.example.com`")]
    BadUrl {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client could not be made.
    #[error("the HTTP client cannot be set up: {0}")]
    Http(String),
    /// An option outside its limits.
    #[error("`{option}` is {value}; {rule}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What it is set to.
        value: u64,
        /// What it may be.
        rule: &'static str,
    },
    /// A database has one log position and one outbox, so it syncs with one hub.
    #[error(
        "{collections} of this database already sync with another hub, token or protocol; disable their sync first"
    )]
    OtherHub {
        /// The collections that do.
        collections: String,
    },
    /// What is to name the hub or the schema in packets does not.
    #[error("`exchange.{option}` is `{value}`; {rule}")]
    ExchangeOption {
        /// The option's name.
        option: &'static str,
        /// What it is set to.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// A hub's numbers mean nothing to another one.
    #[error(
        "this database exchanges packets with hub `{hub}`, not with `{wanted}`; set `exchange.hub_id` to its hub, or \
         open another database file for the other one"
    )]
    OtherExchange {
        /// The hub that the database knows.
        hub: String,
        /// The one that was asked for.
        wanted: String,
    },
    /// A database that has read a hub's log cannot be taken for an empty one.
    #[error(
        "collection `{collection}` has synced with a hub's log (`lsn`) before, which packets cannot go on from; \
         sync it with `Protocol::Lsn` (`--protocol lsn`), or open another database file for packets"
    )]
    OtherDialect {
        /// Which one.
        collection: CollectionName,
    },
    /// A node that went on by the hub's log could never come back to its packets.
    #[error(
        "collection `{collection}` goes by packets in this database, and so never by the hub's log; sync it with \
         `Protocol::Exchange` (`--protocol exchange`), or open another database file for the log"
    )]
    ByPackets {
        /// Which one.
        collection: CollectionName,
    },
    /// A packet that is none of the hub's for this node.
    #[error("the packet cannot be imported: {0}")]
    Packet(String),
    /// An event that nobody tells of.
    #[error("there is no event `{event}`; listen to `*` for all, or to one of: {}", SyncEvent::NAMES.join(", "))]
    UnknownEvent {
        /// The name that was asked for.
        event: String,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] syncline_core::model::Malformed),
    /// The operating system gave no thread.
    #[error("no thread for sync: {0}")]
    Thread(String),
    /// The local database cannot be read.
    #[error("the local database cannot be read: {0}")]
    Storage(String),
}
