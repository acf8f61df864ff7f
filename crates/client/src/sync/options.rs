//! How an application sets sync up: the options of the seeds, with their defaults.

use super::api::ApiClient;
use super::http::HttpApiClient;
use super::socket::SocketApiClient;
use crate::rebase::Resolver;
use crate::replica::Ends;
use crate::sync_error::SyncError;
use std::sync::Arc;
use std::time::Duration;
use syncline_core::model::Strategy;
use syncline_core::session::{Retry, Settings};
use syncline_core::wire::exchange::{is_uuid, major_version};

/// A pull waits at the hub at most this long, in seconds: well below the time-outs of proxies.
const LONGEST_WAIT_S: u64 = 10;

/// How to sync, and with whom.
///
/// ```
/// use syncline::sync::SyncOptions;
///
/// let options = SyncOptions {
///     collections: vec!["users".into(), "posts".into()],
///     min_sync_interval_ms: 10_000,
///     push_batch_size: 200,
///     ..SyncOptions::new("https://hub.example.com", "a token")
/// };
/// assert_eq!(options.max_sync_interval_ms, 60_000);
/// ```
#[derive(Clone)]
pub struct SyncOptions {
    /// The hub's address (`url`, `serverUrl` in the seeds).
    pub url: String,
    /// The token (`apiKey`, `authToken`).
    pub token: String,
    /// The collections, where the whole database is meant.
    pub collections: Vec<String>,
    /// How edits travel. Default by the hub's log.
    pub protocol: Protocol,
    /// Whom and what packets name; for [`Protocol::Exchange`].
    pub exchange: ExchangeOptions,
    /// A fixed time between cycles; sets the shortest and the longest at once. Default: adaptive.
    pub sync_interval_ms: Option<u64>,
    /// Shortest time between cycles. Default 5,000.
    pub min_sync_interval_ms: u64,
    /// Longest time between cycles. Default 60,000.
    pub max_sync_interval_ms: u64,
    /// Without activity for this long, the hub's health is checked. Default 30,000.
    pub heartbeat_interval_ms: u64,
    /// Ops in a push. Default 100, at most 10,000.
    pub push_batch_size: usize,
    /// Whether sync works by itself (`autoSync`, `autoStartLoop`); otherwise only when triggered. Default true.
    pub auto_sync: bool,
    /// Whether a pull waits at the hub for changes, so that they arrive at once; not with packets. Default true.
    pub long_poll: bool,
    /// Whether pulls wait on a WebSocket that stays open (`useWebSockets`); where WebSockets are blocked, over
    /// HTTP. Default true.
    pub use_web_sockets: bool,
    /// For collections where the hub sets no strategy. Default last-write-wins.
    pub conflict_resolution: Strategy,
    /// After failures.
    pub retry: RetryOptions,
    /// What goes to the log.
    pub logging: LoggingOptions,
    /// Limit on connecting and on silence during a request. Default 15,000.
    pub request_timeout_ms: u64,
    /// The application's own decision of conflicts that no hub has seen.
    pub resolver: Option<Resolver>,
    /// Reaches the hub in another way than by HTTP to `url`.
    pub api_client: Option<Arc<dyn ApiClient>>,
}

/// How edits travel between a database and its hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// By the hub's log, with receipts and long-poll.
    #[default]
    Lsn,
    /// By numbered packets, for hubs that exchange those, and over files ([`Database::export_packet`]). The
    /// hub must know this database as a registered node, and documents travel only under UUIDs.
    ///
    /// [`Database::export_packet`]: crate::Database::export_packet
    Exchange,
}

/// What packets name beside the documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeOptions {
    /// UUID of the hub. Default `00000000-0000-4000-8000-000000000000`, as with the hub itself.
    pub hub_id: String,
    /// Version of the data's schema, `major.minor.patch`; hub and node need the same major. Default `1.0.0`.
    pub schema_version: String,
}

impl Default for ExchangeOptions {
    fn default() -> Self {
        ExchangeOptions {
            hub_id: "00000000-0000-4000-8000-000000000000".to_owned(),
            schema_version: "1.0.0".to_owned(),
        }
    }
}

impl ExchangeOptions {
    /// The same, checked.
    pub(crate) fn ends(&self) -> Result<Ends, SyncError> {
        let wrong = |option, value: &str, rule| SyncError::ExchangeOption { option, value: value.to_owned(), rule };
        if !is_uuid(&self.hub_id) {
            return Err(wrong("hub_id", &self.hub_id, "it must be the UUID of the hub (its `exchange.hub_id`)"));
        }
        if major_version(&self.schema_version).is_none() {
            return Err(wrong("schema_version", &self.schema_version, "it must be a version such as `1.2.0`"));
        }
        Ok(Ends { hub: self.hub_id.to_ascii_lowercase(), schema_version: self.schema_version.clone() })
    }
}

/// How failed cycles are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOptions {
    /// Failures in a row that are repeated by these rules; later ones wait the longest interval. Default 5.
    pub max_retries: u32,
    /// Ceiling of the first delay; each delay is drawn at random below its ceiling. Default 1,000.
    pub retry_delay_ms: u64,
    /// Whether the ceiling doubles with each failure. Default true.
    pub use_exponential_backoff: bool,
}

/// What sync writes to the log, by way of the `tracing` crate, target `syncline::sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggingOptions {
    /// Whether anything. Default true.
    pub enabled: bool,
    /// The least important level that is written. Default info.
    pub level: LogLevel,
}

/// From failures only to everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Failed cycles.
    Error,
    /// Also conflicts and quarantine.
    Warn,
    /// Also completed cycles that did something, and full loads.
    Info,
    /// Every event.
    Debug,
}

impl Default for SyncOptions {
    fn default() -> Self {
        SyncOptions {
            url: String::new(),
            token: String::new(),
            collections: Vec::new(),
            protocol: Protocol::default(),
            exchange: ExchangeOptions::default(),
            sync_interval_ms: None,
            min_sync_interval_ms: 5_000,
            max_sync_interval_ms: 60_000,
            heartbeat_interval_ms: 30_000,
            push_batch_size: 100,
            auto_sync: true,
            long_poll: true,
            use_web_sockets: true,
            conflict_resolution: Strategy::default(),
            retry: RetryOptions { max_retries: 5, retry_delay_ms: 1_000, use_exponential_backoff: true },
            logging: LoggingOptions { enabled: true, level: LogLevel::Info },
            request_timeout_ms: 15_000,
            resolver: None,
            api_client: None,
        }
    }
}

impl SyncOptions {
    /// The defaults, for the hub at `url` with `token`.
    pub fn new(url: impl Into<String>, token: impl Into<String>) -> SyncOptions {
        SyncOptions { url: url.into(), token: token.into(), ..SyncOptions::default() }
    }

    /// The defaults, for a hub that `api_client` reaches.
    pub fn with_api_client(api_client: Arc<dyn ApiClient>) -> SyncOptions {
        SyncOptions { api_client: Some(api_client), ..SyncOptions::default() }
    }

    /// These collections, where the whole database is meant.
    #[must_use]
    pub fn collections<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> SyncOptions {
        self.collections = names.into_iter().map(Into::into).collect();
        self
    }

    /// How to reach the hub.
    pub(super) fn client(&self) -> Result<Arc<dyn ApiClient>, SyncError> {
        if let Some(client) = &self.api_client {
            return Ok(client.clone());
        }
        if self.url.is_empty() || self.token.is_empty() {
            return Err(SyncError::NoHub);
        }
        let timeout = Duration::from_millis(self.request_timeout_ms);
        if self.use_web_sockets && self.long_poll && self.protocol == Protocol::Lsn {
            return Ok(Arc::new(SocketApiClient::new(&self.url, &self.token, timeout)?));
        }
        Ok(Arc::new(HttpApiClient::new(&self.url, &self.token, timeout)?))
    }

    /// Whether both mean the same hub, spoken to in the same way, and the same rights there.
    pub(super) fn same_hub(&self, other: &SyncOptions) -> bool {
        if self.protocol != other.protocol || self.exchange != other.exchange {
            return false;
        }
        match (&self.api_client, &other.api_client) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (None, None) => self.url == other.url && self.token == other.token,
            _ => false,
        }
    }

    /// What the session needs of it.
    pub(super) fn settings(&self) -> Result<Settings, SyncError> {
        let (min, max) = match self.sync_interval_ms {
            Some(fixed) => (fixed, fixed),
            None => (self.min_sync_interval_ms, self.max_sync_interval_ms),
        };
        let checks = [
            ("min_sync_interval_ms", min, min >= 1, "it must be at least 1"),
            ("max_sync_interval_ms", max, max >= min, "it must not be less than `min_sync_interval_ms`"),
            ("request_timeout_ms", self.request_timeout_ms, self.request_timeout_ms >= 1, "it must be at least 1"),
            (
                "push_batch_size",
                self.push_batch_size as u64,
                (1..=10_000).contains(&self.push_batch_size),
                "it must be 1 to 10,000, the hub's `limits.batch_ops`",
            ),
        ];
        if let Some((option, value, _, rule)) = checks.into_iter().find(|(_, _, fits, _)| !fits) {
            return Err(SyncError::Option { option, value, rule });
        }
        // A wait that outlasts the limit on silence would end as a time-out.
        let wait_s = LONGEST_WAIT_S.min(self.request_timeout_ms * 2 / 3 / 1_000);
        Ok(Settings {
            auto: self.auto_sync,
            min_interval_ms: min,
            max_interval_ms: max,
            heartbeat_interval_ms: self.heartbeat_interval_ms,
            wait_s: (self.long_poll && wait_s > 0 && self.protocol == Protocol::Lsn).then_some(wait_s),
            push_batch_size: self.push_batch_size,
            retry: Retry {
                max_retries: self.retry.max_retries,
                delay_ms: self.retry.retry_delay_ms,
                exponential: self.retry.use_exponential_backoff,
            },
            ..Settings::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_hub_there_is_a_clear_error() {
        let message = SyncOptions::default().client().err().map(|e| e.to_string()).unwrap();
        assert!(message.contains("address") && message.contains("api_client"), "{message}");
        assert!(SyncOptions::new("http://hub", "").client().is_err(), "the token is missing");
    }

    #[test]
    fn options_outside_their_limits_are_named() {
        let options = SyncOptions { push_batch_size: 0, ..SyncOptions::default() };
        assert!(options.settings().unwrap_err().to_string().contains("`push_batch_size` is 0"));
        let options = SyncOptions { max_sync_interval_ms: 10, ..SyncOptions::default() };
        assert!(options.settings().unwrap_err().to_string().contains("max_sync_interval_ms"));
    }

    #[test]
    fn a_wait_is_shorter_than_the_limit_on_silence() {
        let wait = |timeout| {
            let options = SyncOptions { request_timeout_ms: timeout, ..SyncOptions::default() };
            options.settings().unwrap().wait_s
        };
        assert_eq!((wait(15_000), wait(3_000), wait(1_000)), (Some(10), Some(2), None));
    }
}
