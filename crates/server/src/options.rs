//! Everything that can be set on a hub, with its defaults. Owns no parsing: files, variables and
//! flags are the business of whoever embeds the hub.

mod redis;
mod rooms;

pub use redis::{RedisAddress, RedisOptions};
pub use rooms::{DEFAULT_ROOMS, RoomRule, RoomsOptions};

use crate::auth::{DeclaredToken, Gate, JwtOptions, TokenSpec};
use crate::clock::Clock;
use crate::events::EventStorage;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use syncline_core::model::{CollectionName, CollectionRule, Limits, SpaceName};

/// How a hub listens, whom it lets in and what it bounds.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address and port, where port 0 takes a free one; or `unix:` and the path of a socket file.
    pub listen: String,
    /// The space of requests whose path and token name none.
    pub default_space: SpaceName,
    /// The collection of foreign requests whose path, query and token name none.
    pub default_collection: CollectionName,
    /// Limits and retention.
    pub settings: Settings,
    /// Tokens that the configuration declares; they live as long as the process.
    pub tokens: Vec<DeclaredToken>,
    /// Tokens of an identity provider; `None`: the hub takes only its own.
    pub jwt: Option<JwtOptions>,
    /// Rules that the configuration declares; they are written to the store at start.
    pub collections: Vec<DeclaredRule>,
    /// How packets are exchanged with registered nodes.
    pub exchange: ExchangeOptions,
    /// What live connections may use.
    pub live: LiveOptions,
    /// An application's own decision about who comes in over live connections; `None`: tokens decide.
    pub gate: Option<Gate>,
    /// Where events of live clients are kept beside the log.
    pub event_storage: Option<EventStorage>,
    /// Rooms for pages.
    pub rooms: RoomsOptions,
    /// The Redis between several workers; `None`: there is one worker.
    pub redis: Option<RedisOptions>,
    /// Origins whose pages may call the hub; `*` alone: every origin. Empty: no CORS headers.
    pub cors_origins: Vec<String>,
    /// Whether `/metrics` answers without a token. Names of spaces need an admin's either way.
    pub open_metrics: bool,
    /// Serve HTTPS with these files.
    pub tls: Option<TlsFiles>,
}

impl Options {
    /// What declared tokens and grants open beside their filters, as whoever wrote them may not have meant it: which, and what.
    #[must_use]
    pub fn open_beside_rows(&self) -> Vec<(String, String)> {
        let tokens = self.tokens.iter().map(|token| ("token", &token.spec));
        let grants = self.jwt.iter().flat_map(|jwt| &jwt.grants).map(|grant| ("grant of signed tokens", &grant.spec));
        let said =
            |(kind, spec): (&str, &TokenSpec)| Some((format!("{kind} `{}`", spec.name), spec.open_beside_rows()?));
        tokens.chain(grants).filter_map(said).collect()
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            listen: "127.0.0.1:7460".to_owned(),
            default_space: SpaceName::new("main").expect("a valid name"),
            default_collection: CollectionName::new("default").expect("a valid name"),
            settings: Settings::default(),
            tokens: Vec::new(),
            jwt: None,
            collections: Vec::new(),
            exchange: ExchangeOptions::default(),
            live: LiveOptions::default(),
            gate: None,
            event_storage: None,
            rooms: RoomsOptions::default(),
            redis: None,
            cors_origins: Vec::new(),
            open_metrics: true,
            tls: None,
        }
    }
}

/// Limits, retention and time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Limits on what one request may weigh.
    pub limits: Limits,
    /// Limits on what all requests together may use.
    pub bounds: Bounds,
    /// How long history is kept.
    pub retention: Retention,
    /// What the hub takes for the time.
    pub clock: Clock,
}

/// A collection's rules, as a configuration gives them: nobody else changes them meanwhile.
#[derive(Clone, Debug)]
pub struct DeclaredRule {
    /// The space; created when missing.
    pub space: SpaceName,
    /// The collection.
    pub collection: CollectionName,
    /// What it demands of its documents, and how concurrent edits are decided there.
    pub rule: CollectionRule,
}

/// How packets are exchanged with registered nodes.
#[derive(Clone, Debug)]
pub struct ExchangeOptions {
    /// The UUID by which nodes address the hub (`exchange.hub_id`).
    pub hub_id: String,
    /// Semantic version of the data (`exchange.schema_version`): packets of the same major version are taken.
    pub schema_version: String,
    /// The types that are exchanged, for nodes whose plan names none (`exchange.types`); `None`: all.
    pub types: Option<BTreeSet<CollectionName>>,
    /// What becomes of entities of other types (`exchange.unknown_types`).
    pub unknown_types: UnknownTypes,
}

impl Default for ExchangeOptions {
    fn default() -> Self {
        ExchangeOptions {
            hub_id: "00000000-0000-4000-8000-000000000000".to_owned(),
            schema_version: "1.0.0".to_owned(),
            types: None,
            unknown_types: UnknownTypes::Quarantine,
        }
    }
}

/// What becomes of an entity whose type is not exchanged with its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownTypes {
    /// It is set aside and named in the reply; the rest of the packet is taken.
    Quarantine,
    /// The whole packet is refused.
    Refuse,
}

impl UnknownTypes {
    /// Reads the word of the configuration.
    #[must_use]
    pub fn parse(word: &str) -> Option<UnknownTypes> {
        match word {
            "quarantine" => Some(UnknownTypes::Quarantine),
            "refuse" => Some(UnknownTypes::Refuse),
            _ => None,
        }
    }
}

/// What live connections (Socket.IO) may use.
#[derive(Clone, Copy, Debug)]
pub struct LiveOptions {
    /// Open live connections (`live.connections`); further ones are answered 503.
    pub connections: usize,
    /// Largest message of a client, over either transport (`live.message_bytes`). Clients that were offline send
    /// all they have in one message, and would try for ever with one that is too large.
    pub message_bytes: usize,
    /// Messages that one connection may send in a second, after a burst of twice as many
    /// (`live.events_per_second`).
    pub events_per_second: u32,
    /// Rooms that one connection may join (`live.joins`).
    pub joins: usize,
    /// Messages that wait for one connection (`live.queued_messages`). One that takes none meanwhile is cut off
    /// and catches up when it comes back.
    pub queued_messages: usize,
    /// Between two pings (`live.ping_interval`).
    pub ping_interval: Duration,
    /// A connection that leaves a ping unanswered for so long is closed (`live.ping_timeout`).
    pub ping_timeout: Duration,
}

impl Default for LiveOptions {
    fn default() -> Self {
        LiveOptions {
            connections: 10_000,
            message_bytes: 64 << 20,
            events_per_second: 5_000,
            joins: 100,
            queued_messages: 1_000,
            // A link that is cut in the middle of a change of transport is noticed only by these.
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(5),
        }
    }
}

/// PEM files for HTTPS.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Certificate chain.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Limits on what all requests together may use. Each refusal names its option.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Open connections (`limits.connections`); further ones are closed at once.
    pub connections: usize,
    /// Pushes, pages and snapshots in work (`limits.requests`), waiting polls not counted.
    pub requests: usize,
    /// The same of one space (`limits.space_requests`), so that a space that is flooded leaves room for others.
    pub space_requests: usize,
    /// The same of one token (`limits.token_requests`).
    pub token_requests: usize,
    /// Long polls that wait (`limits.waiting_polls`).
    pub waiting_polls: usize,
    /// The same of one space (`limits.space_polls`).
    pub space_polls: usize,
    /// Packets of a registered node that wait for the one in work (`limits.node_packets`): each holds one of
    /// [`Bounds::requests`].
    pub node_packets: usize,
    /// Nodes of a space whose cursors are noted although they never push (`limits.reading_nodes`):
    /// anybody with a token may read under any number of names.
    pub reading_nodes: usize,
    /// Bytes of request bodies in memory (`limits.inflight_body_bytes`).
    pub inflight_body_bytes: usize,
    /// The same of one space (`limits.space_body_bytes`), messages of live connections not counted.
    pub space_body_bytes: usize,
    /// Pushes that wait for their commit, per space (`limits.queued_pushes`).
    pub queued_pushes: usize,
    /// Pushes in one commit (`limits.group_pushes`).
    pub group_pushes: usize,
    /// Ops after which a commit takes no further push (`limits.group_ops`).
    pub group_ops: usize,
    /// Longest wait of a poll (`limits.wait`).
    pub wait: Duration,
    /// From the complete body to the reply of a push (`limits.request_timeout`).
    pub request_timeout: Duration,
    /// Between two pieces of a request body (`limits.body_idle`).
    pub body_idle: Duration,
    /// From the first to the last piece of a request body (`limits.body_timeout`): one that trickles holds
    /// its place as well as one that stands still.
    pub body_timeout: Duration,
    /// A reader that takes nothing of its answer for so long is cut off (`limits.reader_stall`).
    pub reader_stall: Duration,
    /// Until a request's headers are complete, idle time of the connection included (`limits.header_timeout`).
    pub header_timeout: Duration,
    /// How long a shutdown waits for accepted requests (`limits.shutdown_grace`).
    pub shutdown_grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            connections: 10_000,
            requests: 1_024,
            space_requests: 768,
            token_requests: 768,
            waiting_polls: 10_000,
            space_polls: 7_500,
            node_packets: 4,
            reading_nodes: 100_000,
            inflight_body_bytes: 512 << 20,
            space_body_bytes: 384 << 20,
            queued_pushes: 1_024,
            group_pushes: 64,
            group_ops: 4_000,
            wait: Duration::from_secs(60),
            request_timeout: Duration::from_secs(15),
            body_idle: Duration::from_secs(15),
            body_timeout: Duration::from_secs(600),
            reader_stall: Duration::from_secs(30),
            // Longer than the 60 s between two requests of an idle client, so that kept-alive
            // connections are not closed under its feet.
            header_timeout: Duration::from_secs(75),
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

/// How long history is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Superseded changes and tombstones.
    pub log: Duration,
    /// Receipts, batch ids and foreign op ids.
    pub receipts: Duration,
    /// Rows of the conflict ledger.
    pub ledger: Duration,
    /// Rows of the quarantine.
    pub quarantine: Duration,
    /// A node that was silent for longer no longer holds the log back.
    pub nodes: Duration,
    /// A client of event sync that was silent for longer begins anew when it comes back.
    pub clients: Duration,
    /// Between two rounds of trimming.
    pub trim_every: Duration,
    /// Between two looks at all that is stored.
    pub look_every: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Retention {
            log: 90 * DAY,
            receipts: 90 * DAY,
            ledger: 365 * DAY,
            quarantine: 365 * DAY,
            nodes: 90 * DAY,
            clients: 30 * DAY,
            trim_every: DAY / 24,
            look_every: DAY,
        }
    }
}
