//! What clients send over long polling: bodies that the engine reads for as long as it takes. The door bounds their
//! bytes, their time, and what they take in memory together, and tells what is wrong with them: the engine says nothing.

use super::greeting::CONNECT_TIMEOUT;
use super::house::House;
use super::inbox::GREETING_BYTES_MAX;
use super::packets::{Packets, Said, Way};
use crate::error::ServerError;
use axum::Json;
use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::json;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

/// Between the packets of a body.
const SEPARATOR: u8 = 0x1e;
/// Engine.IO's number for a bad request.
const BAD_REQUEST: u8 = 3;

/// What was found in a body while the engine read it.
pub(super) type Found = Arc<OnceLock<Finding>>;

/// What a body may hold that decides about the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Something is wrong with it.
    Fault(&'static str),
    /// The client goes.
    Parting,
}

/// A packet ended the connection, and nothing was wrong with its head.
pub(super) const UNREADABLE: Finding = Finding::Fault(
    "an event is a JSON list that begins with its name, and binary data follow the packet that announces them",
);

/// A body while it arrives.
struct Arriving {
    chunks: BodyDataStream,
    left: usize,
    pause: Duration,
    end: Instant,
    packets: Packets,
    /// The last packet has not ended.
    open: bool,
    found: Found,
    /// Given back with the last byte: what the engine makes of it takes its own share.
    _share: Option<OwnedSemaphorePermit>,
}

/// The request with a bounded body. `known`: its client was let in.
///
/// # Errors
/// [`ServerError::BadRequest`] for more than a greeting from a client that was not let in,
/// [`ServerError::Overloaded`] when bodies take as much memory as they may.
pub(super) fn bounded(request: Request, house: &House, known: bool, found: Found) -> Result<Request, ServerError> {
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
        let (chunks, packets) = (body.into_data_stream(), Packets::new(Way::Polling));
        let arriving = Arriving { chunks, left, pause, end, packets, open: false, found, _share: share };
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
        return Err(body.refuse(ErrorKind::TimedOut, "it does not arrive (`limits.body_idle`, `limits.body_timeout`)"));
    };
    let Some(chunk) = chunk.transpose().map_err(Error::other)? else {
        let ended = if std::mem::take(&mut body.open) { body.end_packet() } else { Ok(()) };
        return ended.map(|()| None).map_err(|why| body.refuse(ErrorKind::InvalidData, why));
    };
    let Some(left) = body.left.checked_sub(chunk.len()) else {
        return Err(body.refuse(ErrorKind::InvalidData, "too much came before a CONNECT"));
    };
    match body.look_at(&chunk) {
        Ok(()) => Ok(Some((chunk, Arriving { left, ..body }))),
        Err(why) => Err(body.refuse(ErrorKind::InvalidData, why)),
    }
}

impl Arriving {
    fn look_at(&mut self, chunk: &[u8]) -> Result<(), &'static str> {
        for (n, part) in chunk.split(|byte| *byte == SEPARATOR).enumerate() {
            if n > 0 {
                self.end_packet()?;
            }
            self.packets.read(part)?;
        }
        self.open = chunk.last().map_or(self.open, |last| *last != SEPARATOR);
        Ok(())
    }

    fn end_packet(&mut self) -> Result<(), &'static str> {
        if self.packets.end()? == Said::Parting {
            self.found.get_or_init(|| Finding::Parting);
        }
        Ok(())
    }

    fn refuse(&self, kind: ErrorKind, why: &'static str) -> Error {
        self.found.get_or_init(|| Finding::Fault(why));
        Error::new(kind, why)
    }
}

/// The engine's answer, which says why where it refuses: as servers of Engine.IO do.
pub(super) fn told(response: Response, found: &Found) -> Response {
    let silent = response.status().is_client_error() && response.body().size_hint().exact() == Some(0);
    let why = match found.get() {
        Some(Finding::Fault(why)) => *why,
        _ if !silent => return response,
        _ if response.status() == StatusCode::PAYLOAD_TOO_LARGE => "the body is over the limit (`live.message_bytes`)",
        _ => "it is no request, or no text, of Engine.IO 4, or another one polls for the same connection",
    };
    let status = if silent { response.status() } else { StatusCode::BAD_REQUEST };
    (status, Json(json!({ "code": BAD_REQUEST, "message": format!("Bad request: {why}") }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_at(chunks: &[&[u8]]) -> Result<(), &'static str> {
        let chunks_of_none = Body::empty().into_data_stream();
        let (pause, end) = (Duration::ZERO, Instant::now());
        let (packets, found) = (Packets::new(Way::Polling), Found::default());
        let mut body =
            Arriving { chunks: chunks_of_none, left: 0, pause, end, packets, open: false, found, _share: None };
        chunks.iter().try_for_each(|chunk| body.look_at(chunk))?;
        if body.open { body.end_packet() } else { Ok(()) }
    }

    #[test]
    fn packets_of_a_body_are_looked_at_wherever_it_was_cut() {
        assert_eq!(look_at(&[b"3\x1e42[\"a\"]\x1e451-[\"a\"]\x1ebAAA="]), Ok(()));
        assert_eq!(look_at(&[b"42[\"a", b"\"]\x1e", b"3"]), Ok(()));
        assert!(look_at(&[b"3\x1ebAAA="]).is_err_and(|why| why.contains("no packet announced")));
        assert!(look_at(&[b"42[\"a\"]", b"\x1e9"]).is_err_and(|why| why.contains("begins with its type")));
        assert!(look_at(&[b"3\x1e\x1e3"]).is_err_and(|why| why.contains("empty")));
    }
}
