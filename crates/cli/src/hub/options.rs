//! From the configuration to the options of the hub library, with every value checked that the
//! table of keys alone cannot check. Opens no store and no socket.

use super::jwt::jwt;
use super::live::{check_rooms, live, redis, rooms};
use super::rules::rule_of;
use super::wish::TokenWish;
use crate::config::{Config, Entry};
use crate::error::CliError;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use syncline_core::model::{CollectionName, Limits, NodeId, SpaceName};
use syncline_server::auth::{DeclaredToken, TokenSpec};
use syncline_server::{Bounds, DeclaredRule, ExchangeOptions, Options, Retention, Settings, TlsFiles, UnknownTypes};

/// The name of the admin token that the configuration gives.
pub const CONFIGURED_ADMIN: &str = "configured-admin";

/// A guessable token would open the hub to everybody.
const SECRET_CHARS_MIN: usize = 16;

/// The options of a hub with this configuration.
///
/// # Errors
/// Names, tokens and files that are not what the hub needs.
pub fn options(config: &Config) -> Result<Options, CliError> {
    Ok(Options {
        listen: config.text("listen").unwrap_or_default().to_owned(),
        default_space: default_space(config)?,
        default_collection: CollectionName::new(config.text("collection").unwrap_or_default())?,
        settings: Settings {
            limits: limits(config),
            bounds: bounds(config),
            retention: retention(config),
            ..Settings::default()
        },
        tokens: declared_tokens(config)?,
        jwt: jwt(config, &default_space(config)?)?,
        collections: config.collections.iter().map(|entry| rule(entry, config)).collect::<Result<_, _>>()?,
        exchange: exchange(config)?,
        live: live(config),
        gate: None,
        event_storage: None,
        rooms: rooms(config).and_then(|rooms| check_rooms(config, &rooms).map(|()| rooms))?,
        redis: redis(config)?,
        cors_origins: origins(config)?,
        open_metrics: config.text("metrics.access") == Some("open"),
        tls: tls(config)?,
    })
}

/// The origins whose pages may call the hub. One that is written in another way than browsers do would never match.
fn origins(config: &Config) -> Result<Vec<String>, CliError> {
    let origins = config.list("cors.origins").to_vec();
    for origin in &origins {
        let is_one = origin == "*" && origins.len() == 1
            || origin == "null"
            || reqwest::Url::parse(origin).is_ok_and(|url| url.has_host() && url.path().len() <= 1)
                && !origin.ends_with('/')
                && !origin.contains(['?', '#', '@', ' ']);
        if !is_one {
            return Err(CliError::WrongValue {
                place: config.entry("cors.origins").1.to_string(),
                key: "cors.origins".into(),
                found: format!("`{origin}`"),
                expected:
                    "origins as browsers send them, e.g. https://app.example.com (no slash at the end), or * alone"
                        .into(),
            });
        }
    }
    Ok(origins)
}

/// The space of requests that name none.
///
/// # Errors
/// Never for a checked configuration.
pub fn default_space(config: &Config) -> Result<SpaceName, CliError> {
    Ok(SpaceName::new(config.text("space").unwrap_or_default())?)
}

/// The tokens that the configuration gives, an admin's first.
///
/// # Errors
/// Tokens without a secret, with a short one, or with one of two.
pub fn declared_tokens(config: &Config) -> Result<Vec<DeclaredToken>, CliError> {
    let space = default_space(config)?;
    let mut tokens = Vec::new();
    if let Some(secret) = admin_secret(config)? {
        tokens.push(DeclaredToken { secret, spec: TokenSpec::admin(NodeId::new(CONFIGURED_ADMIN)?) });
    }
    for entry in &config.tokens {
        let secret = match (entry.text("secret"), entry.text("secret_file")) {
            (Some(secret), None) => strong(secret, &entry.place)?,
            (None, Some(file)) => secret_file(Path::new(file))?,
            _ => {
                return Err(CliError::Usage(format!(
                    "{}: the token needs either `secret` or `secret_file`",
                    entry.place
                )));
            }
        };
        tokens.push(DeclaredToken { secret, spec: TokenWish::from_entry(entry).spec(&space)? });
    }
    Ok(tokens)
}

fn admin_secret(config: &Config) -> Result<Option<String>, CliError> {
    match (config.text("admin_token"), config.path("admin_token_file")) {
        (Some(secret), None) => strong(secret, &config.entry("admin_token").1.to_string()).map(Some),
        (None, Some(path)) => secret_file(&path).map(Some),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(CliError::Usage(format!(
            "the admin token is given twice: by `admin_token` ({}) and by `admin_token_file` ({}); keep one",
            config.entry("admin_token").1,
            config.entry("admin_token_file").1,
        ))),
    }
}

fn secret_file(path: &Path) -> Result<String, CliError> {
    let text = std::fs::read_to_string(path).map_err(|source| CliError::file("read", path, source))?;
    strong(text.trim(), &path.display().to_string())
}

/// The messages name the place and never the secret.
fn strong(secret: &str, place: &str) -> Result<String, CliError> {
    let length = secret.chars().count();
    if length < SECRET_CHARS_MIN {
        return Err(CliError::Usage(format!(
            "{place}: the token has {length} characters and needs at least {SECRET_CHARS_MIN}, so that nobody can \
             guess it; `openssl rand -hex 32` makes a good one"
        )));
    }
    if secret.chars().all(|c| c.is_ascii_graphic()) {
        Ok(secret.to_owned())
    } else {
        Err(CliError::Usage(format!("{place}: a token may hold visible ASCII characters only")))
    }
}

fn rule(entry: &Entry, config: &Config) -> Result<DeclaredRule, CliError> {
    Ok(DeclaredRule {
        space: entry.text("space").map_or_else(|| default_space(config), |name| Ok(SpaceName::new(name)?))?,
        collection: CollectionName::new(entry.text("name").unwrap_or_default())?,
        rule: rule_of(entry)?,
    })
}

fn exchange(config: &Config) -> Result<ExchangeOptions, CliError> {
    let defaults = ExchangeOptions::default();
    let text = |key, default: String| config.text(key).map_or(default, str::to_owned);
    let types = config.list("exchange.types").iter().map(CollectionName::new).collect::<Result<BTreeSet<_>, _>>()?;
    Ok(ExchangeOptions {
        hub_id: text("exchange.hub_id", defaults.hub_id),
        schema_version: text("exchange.schema_version", defaults.schema_version),
        types: (!types.is_empty()).then_some(types),
        unknown_types: config
            .text("exchange.unknown_types")
            .and_then(UnknownTypes::parse)
            .unwrap_or(defaults.unknown_types),
    })
}

fn tls(config: &Config) -> Result<Option<TlsFiles>, CliError> {
    match (config.path("tls.cert"), config.path("tls.key")) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(CliError::Usage("`tls.cert` is set and `tls.key` is not; HTTPS needs both".into())),
        (None, Some(_)) => Err(CliError::Usage("`tls.key` is set and `tls.cert` is not; HTTPS needs both".into())),
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        body_bytes: size(config, "limits.body_bytes"),
        batch_ops: size(config, "limits.batch_ops"),
        document_bytes: size(config, "limits.document_bytes"),
        depth: size(config, "limits.depth"),
        page_changes: size(config, "limits.page_changes"),
        page_bytes: size(config, "limits.page_bytes"),
        clock_drift_ms: config.number("limits.clock_drift_ms"),
    }
}

fn bounds(config: &Config) -> Bounds {
    Bounds {
        connections: size(config, "limits.connections"),
        requests: size(config, "limits.requests"),
        space_requests: size(config, "limits.space_requests"),
        token_requests: size(config, "limits.token_requests"),
        waiting_polls: size(config, "limits.waiting_polls"),
        space_polls: size(config, "limits.space_polls"),
        node_packets: size(config, "limits.node_packets"),
        reading_nodes: size(config, "limits.reading_nodes"),
        inflight_body_bytes: size(config, "limits.inflight_body_bytes"),
        space_body_bytes: size(config, "limits.space_body_bytes"),
        queued_pushes: size(config, "limits.queued_pushes"),
        group_pushes: size(config, "limits.group_pushes"),
        group_ops: size(config, "limits.group_ops"),
        wait: duration(config, "limits.wait"),
        request_timeout: duration(config, "limits.request_timeout"),
        body_idle: duration(config, "limits.body_idle"),
        body_timeout: duration(config, "limits.body_timeout"),
        reader_stall: duration(config, "limits.reader_stall"),
        header_timeout: duration(config, "limits.header_timeout"),
        shutdown_grace: duration(config, "limits.shutdown_grace"),
    }
}

fn retention(config: &Config) -> Retention {
    Retention {
        log: duration(config, "retention.log"),
        receipts: duration(config, "retention.receipts"),
        ledger: duration(config, "retention.ledger"),
        quarantine: duration(config, "retention.quarantine"),
        nodes: duration(config, "retention.nodes"),
        clients: duration(config, "live.client_retention"),
        trim_every: duration(config, "retention.trim_every"),
        look_every: duration(config, "retention.look_every"),
    }
}

fn size(config: &Config, key: &str) -> usize {
    config.size(key)
}

fn duration(config: &Config, key: &str) -> Duration {
    config.duration(key)
}
