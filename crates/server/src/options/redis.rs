//! How the Redis is reached through which several workers tell each other what is new. Never shows the
//! password.

use crate::error::ServerError;
use redis::{ConnectionAddr, IntoConnectionInfo};
use std::fmt;
use std::path::PathBuf;

/// Where Redis listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisAddress {
    /// Host and port.
    Tcp(String, u16),
    /// A socket file.
    Unix(PathBuf),
}

/// A Redis and what goes through it.
#[derive(Clone)]
pub struct RedisOptions {
    /// Where it listens (`redis.url`, `redis.socket`, `redis.host`, `redis.port`).
    pub address: RedisAddress,
    /// The user of its access lists (`redis.username`); `None`: its default user.
    pub username: Option<String>,
    /// The password (`redis.password`).
    pub password: Option<String>,
    /// The database (`redis.db`). Channels are shared by all databases of one Redis.
    pub db: i64,
    /// How the hub's own channels begin (`redis.channel`): `<channel>:hints`, `:rooms` and `:presence`.
    pub channel: String,
    /// The channel of python-socketio (`redis.python_channel`); `None`: nobody listens to it.
    pub python_channel: Option<String>,
    /// How the channels of the Node emitter begin (`redis.node_channel`); `None`: nobody listens to them.
    pub node_channel: Option<String>,
    /// Messages that wait to be published (`redis.queued_messages`); further ones are dropped.
    pub queued_messages: usize,
}

impl RedisOptions {
    /// The defaults for a Redis that needs no password.
    #[must_use]
    pub fn at(address: RedisAddress) -> RedisOptions {
        RedisOptions {
            address,
            username: None,
            password: None,
            db: 0,
            channel: "syncline".to_owned(),
            python_channel: Some("socketio".to_owned()),
            node_channel: Some("socket.io".to_owned()),
            queued_messages: 10_000,
        }
    }

    /// Reads `redis://[user:password@]host[:port][/db]` or `unix:///path[?db=…&pass=…]`.
    ///
    /// # Errors
    /// [`ServerError::Config`], without the URL: it may hold a password.
    pub fn from_url(url: &str) -> Result<RedisOptions, ServerError> {
        let broken = |why: &str| ServerError::Config(format!("`redis.url` {why}; write redis://:PASSWORD@HOST:6379/0"));
        let info = url.into_connection_info().map_err(|_| broken("is not the URL of a Redis"))?;
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) => RedisAddress::Tcp(host.clone(), *port),
            ConnectionAddr::Unix(path) => RedisAddress::Unix(path.clone()),
            _ => return Err(broken("asks for TLS, which the hub does not speak to Redis")),
        };
        let settings = info.redis_settings();
        Ok(RedisOptions {
            username: settings.username().map(str::to_owned),
            password: settings.password().map(str::to_owned),
            db: settings.db(),
            ..RedisOptions::at(address)
        })
    }

    /// The address as logs show it.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.address {
            RedisAddress::Tcp(host, port) => format!("{host}:{port}, database {}", self.db),
            RedisAddress::Unix(path) => format!("{}, database {}", path.display(), self.db),
        }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions").field("at", &self.shown()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_everything_and_nothing_shows_its_password() {
        let options = RedisOptions::from_url("redis://worker:swordfish@cache.example:6380/3").unwrap();
        assert_eq!(options.address, RedisAddress::Tcp("cache.example".into(), 6380));
        assert_eq!((options.username.as_deref(), options.password.as_deref()), (Some("worker"), Some("swordfish")));
        assert_eq!(options.db, 3);
        assert!(!format!("{options:?}").contains("swordfish"), "{options:?}");
        let unix = RedisOptions::from_url("redis+unix:///run/redis.sock?db=2&pass=swordfish").unwrap();
        assert_eq!((&unix.address, unix.db), (&RedisAddress::Unix("/run/redis.sock".into()), 2));
        for wrong in ["http://x/swordfish", "rediss://:swordfish@x", "swordfish"] {
            let refusal = RedisOptions::from_url(wrong).unwrap_err().to_string();
            assert!(refusal.contains("redis.url") && !refusal.contains("swordfish"), "{refusal}");
        }
    }
}
