//! Request bodies: read as they come, within the body limit (also after decompression) and within
//! the bytes that all bodies together may take in memory.

use super::coding::Coding;
use crate::app::App;
use crate::error::ServerError;
use crate::hub::{Memory, Share};
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use std::fmt;
use std::sync::Arc;
use syncline_core::model::{Malformed, SpaceName};
use tokio::time::{Instant, timeout_at};

/// Bodies from this size on are parsed away from the threads that serve connections.
const BIG_BYTES: usize = 256 << 10;

/// Bytes are reserved in steps of this size while a body of unknown length arrives.
const RESERVE_STEP: usize = 64 << 10;

/// A complete body and its share of the memory for bodies.
pub struct Held {
    /// The bytes, decompressed.
    pub bytes: Bytes,
    share: Share,
}

impl Held {
    /// The share of the memory, for what was made of the bytes and outlives them.
    pub fn share(&self) -> Share {
        self.share.clone()
    }

    /// A body that did not come over the network.
    #[must_use]
    pub fn unshared(bytes: Bytes) -> Held {
        Held { bytes, share: Share::default() }
    }

    /// Gives up the bytes and keeps their share.
    pub fn into_share(self) -> Share {
        self.share
    }

    /// Whether the body is an object with a top-level key `node`: then it is from our own client.
    ///
    /// # Errors
    /// [`ServerError::Malformed`] when the body is not JSON.
    pub async fn is_own(&self) -> Result<bool, ServerError> {
        self.parse(has_node).await
    }

    /// Parses the body, big ones on a thread of their own.
    ///
    /// # Errors
    /// What `parse` returns.
    pub async fn parse<T, F>(&self, parse: F) -> Result<T, ServerError>
    where
        T: Send + 'static,
        F: FnOnce(&[u8]) -> Result<T, ServerError> + Send + 'static,
    {
        if self.bytes.len() < BIG_BYTES {
            return parse(&self.bytes);
        }
        let bytes = self.bytes.clone();
        let parsed = tokio::task::spawn_blocking(move || parse(&bytes)).await;
        parsed.unwrap_or_else(|e| Err(ServerError::Bug(format!("parsing a body: {e}"))))
    }
}

/// Reads a request's body, which counts as the space's where one is named.
///
/// # Errors
/// [`ServerError::TooMuch`] over `limits.body_bytes`, [`ServerError::Overloaded`] when bodies take too
/// much memory, [`ServerError::SlowBody`], [`ServerError::BadRequest`] when it is cut or its coding broken.
pub async fn read_body(app: &App, space: Option<&SpaceName>, request: Request) -> Result<Held, ServerError> {
    let coding = Coding::of(request.headers())?;
    let announced = match coding {
        Coding::None => length(request.headers().get(CONTENT_LENGTH)),
        // The header counts the packed bytes.
        Coding::Gzip | Coding::Zstd => 0,
    };
    let limit = app.options.settings.limits.body_bytes;
    let mut intake = Intake { limit, app, space, share: None, reserved: 0 };
    intake.make_room(announced)?;
    let bounds = &app.options.settings.bounds;
    let end = Instant::now() + bounds.body_timeout;
    let mut chunks = coding.unpack(request.into_body());
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    loop {
        let pause_end = Instant::now() + bounds.body_idle;
        let chunk = match timeout_at(pause_end.min(end), chunks.next()).await {
            Err(_) if end <= pause_end => return Err(ServerError::SlowBody { limit: "limits.body_timeout" }),
            Err(_) => return Err(ServerError::SlowBody { limit: "limits.body_idle" }),
            Ok(None) => break,
            Ok(Some(Err(e))) => {
                return Err(ServerError::bad("malformed_body", format!("the body cannot be read: {e}")));
            }
            Ok(Some(Ok(chunk))) => chunk,
        };
        let so_far = first.as_ref().map_or(0, Bytes::len).max(rest.len());
        intake.make_room(so_far + chunk.len())?;
        match first.take() {
            None if rest.is_empty() => first = Some(chunk),
            None => rest.extend_from_slice(&chunk),
            Some(start) => {
                rest.reserve(announced.max(start.len() + chunk.len()));
                rest.extend_from_slice(&start);
                rest.extend_from_slice(&chunk);
            }
        }
    }
    let bytes = first.unwrap_or_else(|| rest.freeze());
    app.meters.body_bytes.increment(bytes.len() as u64);
    Ok(Held { bytes, share: intake.share.map(Arc::new) })
}

/// Accounts for a body while it arrives.
struct Intake<'a> {
    limit: usize,
    app: &'a App,
    space: Option<&'a SpaceName>,
    share: Option<Memory>,
    reserved: usize,
}

impl Intake<'_> {
    fn make_room(&mut self, needed: usize) -> Result<(), ServerError> {
        if needed > self.limit {
            return Err(ServerError::TooMuch {
                code: "body_too_large",
                what: "the body, decompressed,".to_owned(),
                limit: "limits.body_bytes",
                value: self.limit,
                advice: "send fewer ops at once",
            });
        }
        if needed <= self.reserved {
            return Ok(());
        }
        let more = (needed - self.reserved).next_multiple_of(RESERVE_STEP);
        let permits = u32::try_from(more).unwrap_or(u32::MAX);
        let of_space = self.space.map(|space| self.app.space_bytes.take_many(space, more)).transpose()?;
        let of_all = Arc::clone(&self.app.body_bytes).try_acquire_many_owned(permits).map_err(|_| {
            let what = "request bodies take as much memory as they may";
            ServerError::Overloaded { what, limit: "limits.inflight_body_bytes" }
        })?;
        match &mut self.share {
            Some(share) => {
                share.of_all.merge(of_all);
                share.of_space.extend(of_space);
            }
            None => self.share = Some(Memory { of_all, of_space: of_space.into_iter().collect() }),
        }
        self.reserved += more;
        Ok(())
    }
}

/// Stops at the key, so a client that writes it first pays nothing.
fn has_node(text: &[u8]) -> Result<bool, ServerError> {
    if text.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Ok(false);
    }
    let mut found = false;
    let read = serde_json::Deserializer::from_slice(text).deserialize_map(FindNode(&mut found));
    match read {
        _ if found => Ok(true),
        Ok(()) => Ok(false),
        Err(e) => Err(Malformed::json("push", e).into()),
    }
}

fn length(header: Option<&HeaderValue>) -> usize {
    header.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0)
}

struct FindNode<'a>(&'a mut bool);

impl<'de> Visitor<'de> for FindNode<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if key == "node" {
                *self.0 = true;
                return Ok(());
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}
