//! A connection over long polling: one request waits for what is sent, others bring what the client says, and a task keeps
//! time meanwhile.

use super::connection::Connection;
use super::farewell::Farewell;
use super::frame;
use super::hall::Hall;
use super::hearing::{hear, hear_attachment};
use super::packet::SEPARATOR;
use super::pulse::Pulse;
use super::refusal::Refusal;
use super::session::{CONNECT_TIMEOUT, GOODBYE_LASTS, Transport};
use super::websocket::GREETING_BYTES_MAX;
use crate::error::ServerError;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// What a request hears that is not to wait any more.
const NOTHING: &str = "6";
/// How long a request still waits once the client could take the WebSocket. Answered at once, a client that does not take
/// it would ask again at once.
const RELEASED_AFTER: Duration = Duration::from_millis(100);
/// What begins an attachment.
const ATTACHMENT: char = 'b';

/// The task of a connection while it polls.
pub(super) async fn keep(hall: Arc<Hall>, connection: Arc<Connection>) {
    let mut pulse = Pulse::start(connection.rules.live.ping_interval);
    let end = poll_fn(|cx| pulse.poll(cx, &hall, &connection, Transport::Polling)).await;
    let Some(why) = end else { return };
    connection.end(why);
    // What was sent before the end is fetched by the next request, if it comes soon.
    let _ = timeout(GOODBYE_LASTS, poll_fn(|cx| connection.poll_fetched(cx))).await;
    hall.close(&connection);
}

/// Waits for what is sent.
pub(super) async fn fetch(connection: &Connection) -> Result<Response, Refusal> {
    if connection.transport() == Transport::WebSocket {
        return Err(Refusal::Bad("the connection is a WebSocket"));
    }
    if !connection.begin_poll() {
        connection.end(Farewell::LEFT);
        return Err(Refusal::Bad("another request polls for the same connection"));
    }
    let _turn = Turn(connection);
    let mut release = None;
    let said = poll_fn(|cx| match connection.poll(cx) {
        Poll::Pending if connection.transport() == Transport::Changeable => {
            let release = release.get_or_insert_with(|| Box::pin(sleep(RELEASED_AFTER)));
            release.as_mut().poll(cx).map(|()| Vec::new())
        }
        said => said,
    });
    Ok(text(body(&said.await)))
}

struct Turn<'a>(&'a Connection);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.end_poll();
    }
}

/// Packets as a body: bytes as text.
pub(super) fn body(packets: &[Bytes]) -> String {
    let mut body = String::new();
    for (kind, content) in packets.iter().flat_map(|frames| frame::contents(frames)) {
        if !body.is_empty() {
            body.push(SEPARATOR);
        }
        if kind == frame::BINARY {
            body.push(ATTACHMENT);
            STANDARD.encode_string(content, &mut body);
        } else {
            body.push_str(&String::from_utf8_lossy(content));
        }
    }
    if body.is_empty() { NOTHING.to_owned() } else { body }
}

pub(super) fn text(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=UTF-8")], body.into()).into_response()
}

/// Takes in what a client says.
pub(super) async fn post(
    hall: &Arc<Hall>,
    connection: &Arc<Connection>,
    request: Request,
) -> Result<Response, Refusal> {
    if connection.transport() == Transport::WebSocket {
        return Err(Refusal::Bad("the connection is a WebSocket"));
    }
    let said = read(connection, request).await.inspect_err(|why| {
        if !matches!(why, Refusal::PutOff(_)) {
            connection.end(Farewell::LEFT);
        }
    })?;
    match take_in_all(hall, connection, &said).inspect_err(|why| connection.end(*why)) {
        Err(why) if why.is_fault() => Err(Refusal::Bad(why.why)),
        _ => Ok(text("ok")),
    }
}

pub(super) fn take_in_all(hall: &Arc<Hall>, connection: &Arc<Connection>, said: &str) -> Result<(), Farewell> {
    said.split(SEPARATOR).try_for_each(|packet| take_in(hall, connection, packet))
}

fn take_in(hall: &Arc<Hall>, connection: &Arc<Connection>, packet: &str) -> Result<(), Farewell> {
    match packet.strip_prefix(ATTACHMENT) {
        Some(bytes) if STANDARD.decode(bytes).is_ok() => hear_attachment(hall, connection),
        Some(_) => Err(Farewell::malformed("a binary attachment is no base64")),
        None => hear(hall, connection, packet),
    }
}

/// A whole body, of a bounded size and within a bounded time. Who is in takes its share of what bodies may take in memory until
/// it has arrived; greetings are small, and no more than there are connections.
async fn read(connection: &Connection, request: Request) -> Result<String, Refusal> {
    let (rules, known) = (&connection.rules, connection.is_inside());
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    check_size(announced.unwrap_or(0), connection, known)?;
    let most = rules.live.message_bytes;
    let share = if known { Some(rules.share(announced.unwrap_or(most)).ok_or(BUSY)?) } else { None };
    let whole = if known { rules.bounds.body_timeout } else { rules.bounds.body_timeout.min(CONNECT_TIMEOUT) };
    let (end, mut chunks, mut body) = (Instant::now() + whole, request.into_body().into_data_stream(), Vec::new());
    loop {
        let late = (Instant::now() + rules.bounds.body_idle).min(end);
        let Ok(chunk) = timeout_at(late, chunks.next()).await else {
            return Err(Refusal::Bad("it does not arrive (`limits.body_idle`, `limits.body_timeout`)"));
        };
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|_| Refusal::Bad("its body was broken off"))?;
        check_size(body.len() + chunk.len(), connection, known)?;
        body.extend_from_slice(&chunk);
    }
    // What becomes of it takes its own share.
    drop(share);
    String::from_utf8(body).map_err(|_| Refusal::Bad("the body is no text (UTF-8)"))
}

const BUSY: Refusal = Refusal::PutOff(ServerError::Overloaded {
    what: "request bodies take as much memory as they may",
    limit: "limits.inflight_body_bytes",
});

fn check_size(bytes: usize, connection: &Connection, known: bool) -> Result<(), Refusal> {
    if !known && bytes > GREETING_BYTES_MAX {
        let reason = format!("more than {GREETING_BYTES_MAX} bytes before the client was let in; send CONNECT first");
        return Err(ServerError::bad("greeting_too_large", reason).into());
    }
    if bytes > connection.rules.live.message_bytes {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}
