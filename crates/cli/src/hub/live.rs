//! The part of the options that concerns live connections, rooms for pages and the Redis between workers.

use crate::config::{Config, Entry, nearest};
use crate::error::CliError;
use std::path::Path;
use std::time::Duration;
use syncline_core::model::{CollectionName, EventName, RoomName};
use syncline_server::{LiveOptions, RedisAddress, RedisOptions, RoomRule, RoomsOptions};

/// What live connections may use.
pub fn live(config: &Config) -> LiveOptions {
    LiveOptions {
        connections: config.size("live.connections"),
        message_bytes: config.size("live.message_bytes"),
        events_per_second: u32::try_from(config.number("live.events_per_second")).unwrap_or(u32::MAX),
        joins: config.size("live.joins"),
        queued_messages: config.size("live.queued_messages"),
        ping_interval: config.duration("live.ping_interval"),
        ping_timeout: config.duration("live.ping_timeout"),
    }
}

/// The rooms: those that every hub has, and what the configuration says of these and of others.
pub fn rooms(config: &Config) -> Result<RoomsOptions, CliError> {
    let mut options = RoomsOptions {
        anonymous: config.is_on("rooms.anonymous"),
        idle: Duration::from_secs(config.number("rooms.idle_seconds")),
        debounce: config.duration("rooms.debounce"),
        event_bytes: config.size("rooms.event_bytes"),
        queued_events: config.size("rooms.queued_events"),
        ..RoomsOptions::default()
    };
    for entry in &config.rooms {
        let name = RoomName::new(entry.text("name").unwrap_or_default())?;
        let rule = rule(entry, options.rooms.remove(&name).unwrap_or_else(|| RoomRule::of(&name)))?;
        options.rooms.insert(name, rule);
    }
    Ok(options)
}

/// Whoever names a room that the hub does not have waits for events that never come.
pub fn check_rooms(config: &Config, known: &RoomsOptions) -> Result<(), CliError> {
    let names = || known.rooms.keys().map(RoomName::as_str);
    let near = |name: &str| nearest(name, names()).map(|near| format!("; the nearest is `{near}`")).unwrap_or_default();
    for entry in config.tokens.iter().chain(&config.grants) {
        let strange = entry.list("rooms").unwrap_or_default().iter().find(|name| !names().any(|known| known == *name));
        if let Some(name) = strange {
            let place = &entry.place;
            return Err(CliError::Usage(format!(
                "{place}: `rooms` names `{name}`, and the hub has no such room{}; a `[[rooms.room]]` entry makes one",
                near(name)
            )));
        }
    }
    for entry in &config.rooms {
        for event in entry.list("refresh_on").unwrap_or_default() {
            let Some(name) = event.strip_suffix(":changed").filter(|name| !names().any(|known| known == *name)) else {
                continue;
            };
            // Back ends tell events of their own; what is almost a room's is a slip.
            if nearest(name, names()).is_some() {
                let place = &entry.place;
                return Err(CliError::Usage(format!(
                    "{place}: `refresh_on` names `{event}`, and the hub has no room `{name}`{}",
                    near(name)
                )));
            }
        }
    }
    Ok(())
}

/// What the entry leaves out stays as it was.
fn rule(entry: &Entry, before: RoomRule) -> Result<RoomRule, CliError> {
    let mut rule = before;
    if let Some(grant) = entry.text("grant") {
        rule.granted = grant == "true";
    }
    if let Some(names) = entry.list("collections") {
        rule.collections = names.iter().map(CollectionName::new).collect::<Result<_, _>>()?;
    }
    if let Some(events) = entry.list("refresh_on") {
        rule.refresh_on = events.iter().map(EventName::new).collect::<Result<_, _>>()?;
    }
    Ok(rule)
}

/// The Redis between workers; `None` when nothing names one.
pub fn redis(config: &Config) -> Result<Option<RedisOptions>, CliError> {
    let port = u16::try_from(config.number("redis.port"))
        .map_err(|_| CliError::Usage("`redis.port` is no port; it is at most 65535".into()))?;
    let mut options = match (config.text("redis.url"), config.path("redis.socket"), config.text("redis.host")) {
        (None, None, None) => return Ok(None),
        (Some(url), None, None) => RedisOptions::from_url(url)?,
        (None, Some(socket), None) => RedisOptions::at(RedisAddress::Unix(socket)),
        (None, None, Some(host)) => RedisOptions::at(RedisAddress::Tcp(host.to_owned(), port)),
        _ => {
            let reason = "`redis.url`, `redis.socket` and `redis.host` are three ways to name one Redis; keep one";
            return Err(CliError::Usage(reason.into()));
        }
    };
    if let Some(name) = config.text("redis.username") {
        options.username = Some(name.to_owned());
    }
    if let Some(password) = password(config)? {
        options.password = Some(password);
    }
    if let db @ 1.. = config.number("redis.db") {
        options.db = i64::try_from(db).unwrap_or(i64::MAX);
    }
    let text = |key| config.text(key).unwrap_or_default().to_owned();
    options.channel = text("redis.channel");
    options.python_channel = None;
    options.node_channel = None;
    for emitter in config.list("redis.emitters") {
        match emitter.as_str() {
            "python" => options.python_channel = Some(text("redis.python_channel")),
            "node" => options.node_channel = Some(text("redis.node_channel")),
            other => {
                let reason = format!("`redis.emitters` names `{other}`; the hub knows python and node");
                return Err(CliError::Usage(reason));
            }
        }
    }
    options.queued_messages = config.size("redis.queued_messages");
    Ok(Some(options))
}

fn password(config: &Config) -> Result<Option<String>, CliError> {
    match (config.text("redis.password"), config.path("redis.password_file")) {
        (Some(password), None) => Ok(Some(password.to_owned())),
        (None, Some(path)) => read_password(&path).map(Some),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            let reason = "the password of Redis is given twice: by `redis.password` and by `redis.password_file`";
            Err(CliError::Usage(format!("{reason}; keep one")))
        }
    }
}

fn read_password(path: &Path) -> Result<String, CliError> {
    let text = std::fs::read_to_string(path).map_err(|source| CliError::file("read", path, source))?;
    Ok(text.trim().to_owned())
}
