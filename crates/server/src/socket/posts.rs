//! What clients send over long polling: bodies that the engine reads for as long as it takes. The door bounds their
//! bytes, their time, and what they take in memory together.

use super::cord::GREETING_BYTES_MAX;
use super::greeting::CONNECT_TIMEOUT;
use super::house::House;
use crate::error::ServerError;
use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

/// A body while it arrives.
struct Arriving {
    chunks: BodyDataStream,
    left: usize,
    pause: Duration,
    end: Instant,
    /// Given back with the last byte: what the engine makes of it takes its own share.
    _share: Option<OwnedSemaphorePermit>,
}

/// The request with a bounded body. `known`: its client was let in.
///
/// # Errors
/// [`ServerError::BadRequest`] for more than a greeting from a client that was not let in,
/// [`ServerError::Overloaded`] when bodies take as much memory as they may.
pub(super) fn bounded(request: Request, house: &House, known: bool) -> Result<Request, ServerError> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let (left, time, share) = if known {
        // The engine itself refuses what is larger than a message may be.
        (
            usize::MAX,
            house.bounds.body_timeout,
            Some(share(house, announced.unwrap_or(usize::MAX).min(house.message_bytes))?),
        )
    } else {
        // Greetings are small, and no more than there are connections.
        (GREETING_BYTES_MAX, house.bounds.body_timeout.min(CONNECT_TIMEOUT), None)
    };
    if announced.is_some_and(|bytes: usize| bytes > left) {
        let reason = format!("more than {GREETING_BYTES_MAX} bytes before the client was let in; send CONNECT first");
        return Err(ServerError::bad("greeting_too_large", reason));
    }
    let (pause, end) = (house.bounds.body_idle, Instant::now() + time);
    Ok(request.map(|body| {
        let arriving = Arriving { chunks: body.into_data_stream(), left, pause, end, _share: share };
        Body::from_stream(stream::try_unfold(arriving, next))
    }))
}

fn share(house: &House, bytes: usize) -> Result<OwnedSemaphorePermit, ServerError> {
    let what = "request bodies take as much memory as they may";
    let busy = ServerError::Overloaded { what, limit: "limits.inflight_body_bytes" };
    let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
    Arc::clone(&house.body_bytes).try_acquire_many_owned(permits).map_err(|_| busy)
}

async fn next(mut body: Arriving) -> Result<Option<(Bytes, Arriving)>, Error> {
    let late = (Instant::now() + body.pause).min(body.end);
    let Ok(chunk) = timeout_at(late, body.chunks.next()).await else {
        return Err(Error::new(
            ErrorKind::TimedOut,
            "the body does not arrive (`limits.body_idle`, `limits.body_timeout`)",
        ));
    };
    let Some(chunk) = chunk.transpose().map_err(Error::other)? else { return Ok(None) };
    match body.left.checked_sub(chunk.len()) {
        Some(left) => Ok(Some((chunk, Arriving { left, ..body }))),
        None => Err(Error::new(ErrorKind::InvalidData, "too much before a CONNECT")),
    }
}
