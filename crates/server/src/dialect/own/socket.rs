//! Pulls of our own client over a WebSocket (step 8 of the life of a change): each message of the client is
//! the path of a pull, each answer is what HTTP would have answered. So an open line carries change after change,
//! and every rule, limit and refusal is that of [`pull`](super::pull).

use super::super::{Asked, Dialect};
use crate::error::ServerError;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{
    AUTHORIZATION, CONNECTION, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// Bytes of a message of the client: a path with the names of its collections.
const MESSAGE_BYTES: usize = 256 << 10;
/// A line that carries nothing for so long is closed; the client opens another when it needs one.
const IDLE: Duration = Duration::from_secs(90);

type Stream = WebSocketStream<TokioIo<Upgraded>>;

/// `GET …/sync/live?node=…` as the beginning of a WebSocket.
///
/// # Errors
/// [`ServerError::BadRequest`] for any other request, [`ServerError::Overloaded`] when as many live connections are
/// open as may.
pub(in super::super) fn open(asked: Asked, dialect: Dialect, mut request: Request) -> Result<Response, ServerError> {
    let key = key(request.headers())?;
    let place = asked.app.door.admit()?;
    let (path, headers) = (request.uri().path(), request.headers());
    let base = path.strip_suffix("/sync/live").unwrap_or_default().to_owned();
    let peer = Peer { base, authorization: headers.get(AUTHORIZATION).cloned(), dialect };
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or_else(|| not_a_websocket("this connection cannot become one"))?;
    let mut leaving = asked.app.hub.leaving();
    if *leaving.borrow() {
        return Err(ServerError::Closing);
    }
    tokio::spawn(async move {
        let _place = place;
        let Ok(upgraded) = upgrade.await else { return };
        let config = WebSocketConfig::default()
            .read_buffer_size(1 << 10)
            .write_buffer_size(0)
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        let mut line = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        let why = tokio::select! {
            why = peer.converse(&mut line) => why,
            _ = leaving.wait_for(|leaving| *leaving) => (CloseCode::Away, "the hub goes down"),
        };
        // Who is gone needs no goodbye.
        let _ = line.close(Some(CloseFrame { code: why.0, reason: Utf8Bytes::from_static(why.1) })).await;
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, key);
    Ok(response)
}

/// Who is at the other end.
struct Peer {
    /// What stands before `/sync/` in the path of the line.
    base: String,
    authorization: Option<HeaderValue>,
    dialect: Dialect,
}

impl Peer {
    /// Answers one pull after the other; returns why that is over.
    async fn converse(&self, line: &mut Stream) -> (CloseCode, &'static str) {
        loop {
            let path = match timeout(IDLE, line.next()).await {
                Err(_) => return (CloseCode::Away, "nothing was asked for 90 s"),
                Ok(Some(Ok(Message::Text(path)))) => path,
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
                Ok(Some(Ok(Message::Binary(_)))) => return (CloseCode::Unsupported, "messages are paths of pulls"),
                Ok(None | Some(Ok(Message::Close(_) | Message::Frame(_)))) => return (CloseCode::Normal, "goodbye"),
                Ok(Some(Err(_))) => return (CloseCode::Protocol, "not WebSocket, or a message over 256 KiB"),
            };
            let answer = tokio::select! {
                answer = self.answer(&path) => answer,
                // Whoever asks before the answer has come, or is gone, wants no answer any more.
                _ = interrupted(line) => return (CloseCode::Policy, "one pull at a time"),
            };
            if line.send(Message::Text(answer)).await.is_err() {
                return (CloseCode::Normal, "goodbye");
            }
        }
    }

    /// `{"status":…,"retry_after":…,"body":…}`, the body being what HTTP would have answered.
    async fn answer(&self, path: &str) -> Utf8Bytes {
        let response = self.ask(path).await;
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let retry_after = retry_after.map_or_else(|| "null".to_owned(), |seconds: u64| seconds.to_string());
        let head = format!(r#"{{"status":{},"retry_after":{retry_after},"body":"#, response.status().as_u16());
        let mut text = head.into_bytes();
        match to_bytes(response.into_body(), usize::MAX).await {
            Ok(body) => text.extend_from_slice(&body),
            // The store failed in the middle of the page.
            Err(_) => text = br#"{"status":500,"retry_after":null,"body":null"#.to_vec(),
        }
        text.push(b'}');
        Utf8Bytes::try_from(text).unwrap_or_else(|_| Utf8Bytes::from_static(r#"{"status":500,"body":null}"#))
    }

    async fn ask(&self, path: &str) -> Response {
        use axum::response::IntoResponse;
        let request = Request::builder().uri(format!("{}{path}", self.base));
        let request = match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        };
        match request.body(Body::empty()) {
            Ok(request) if is_pull(&request) => self.dialect.serve(request).await,
            _ => {
                let reason = "a message on this line is the path of a pull, as `/sync/pull?node=…&since_lsn=…`";
                ServerError::bad("malformed_message", reason).into_response()
            }
        }
    }
}

fn is_pull(request: &Request) -> bool {
    let node = |query: &str| query.split('&').any(|part| part.starts_with("node="));
    request.uri().path().ends_with("/sync/pull") && request.uri().query().is_some_and(node)
}

/// Ends when anything but a keep-alive comes.
async fn interrupted(line: &mut Stream) {
    while let Some(Ok(Message::Ping(_) | Message::Pong(_))) = line.next().await {}
}

/// What the handshake answers to the client's key.
fn key(headers: &HeaderMap) -> Result<HeaderValue, ServerError> {
    let says = |name, word: &str| {
        let value = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    if !(says(CONNECTION, "upgrade") && says(UPGRADE, "websocket") && says(SEC_WEBSOCKET_VERSION, "13")) {
        return Err(not_a_websocket("the headers of a WebSocket handshake (version 13) are missing"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| not_a_websocket("`Sec-WebSocket-Key` is missing"))?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| not_a_websocket("the key is not text"))
}

fn not_a_websocket(why: &str) -> ServerError {
    ServerError::bad(
        "not_a_websocket",
        format!("`/sync/live` takes WebSockets: {why}; to pull by HTTP use `/sync/pull`"),
    )
}
