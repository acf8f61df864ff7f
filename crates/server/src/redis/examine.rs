//! A look at the Redis between workers, for the person who runs them: facts, and no judgement.

use super::link::{PATIENCE, connection};
use super::trouble::told;
use crate::options::RedisOptions;
use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, RedisResult};
use tokio::time::timeout;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisFacts {
    /// Its version, where it tells.
    pub version: Option<String>,
    /// Workers that listen on the hub's channels, where it tells.
    pub listeners: Option<u64>,
}

/// Connects as a hub does, and sees whether a message that is published arrives.
///
/// # Errors
/// What is wrong, and what to do, without the password.
pub async fn examine(options: &RedisOptions) -> Result<RedisFacts, String> {
    match timeout(2 * PATIENCE, look(options)).await {
        Ok(looked) => looked.map_err(|error| told(&error)),
        Err(_) => Err(told(&silent())),
    }
}

fn silent() -> RedisError {
    RedisError::from((ErrorKind::Io, "it does not answer"))
}

async fn look(options: &RedisOptions) -> RedisResult<RedisFacts> {
    let client = connection(options)?;
    let mut publish = client.get_multiplexed_async_connection().await?;
    let channel = format!("{}:doctor:{}", options.channel, uuid::Uuid::new_v4().simple());
    let (mut sink, mut messages) = client.get_async_pubsub().await?.split();
    sink.subscribe(&channel).await?;
    redis::cmd("PUBLISH").arg(&channel).arg("heard").exec_async(&mut publish).await?;
    match timeout(PATIENCE, messages.next()).await {
        Ok(Some(message)) if message.get_payload_bytes() == b"heard" => {}
        _ => return Err(RedisError::from((ErrorKind::Io, "a message that was published did not arrive"))),
    }
    // Users may be kept from both.
    let listeners = listeners(&mut publish, &format!("{}:hints", options.channel)).await.ok();
    Ok(RedisFacts { version: version(&mut publish).await, listeners })
}

async fn version(connection: &mut MultiplexedConnection) -> Option<String> {
    let told: String = redis::cmd("INFO").arg("server").query_async(connection).await.ok()?;
    told.lines().find_map(|line| line.strip_prefix("redis_version:")).map(|version| version.trim().to_owned())
}

async fn listeners(connection: &mut MultiplexedConnection, channel: &str) -> RedisResult<u64> {
    let told: (String, u64) = redis::cmd("PUBSUB").arg("NUMSUB").arg(channel).query_async(connection).await?;
    Ok(told.1)
}
