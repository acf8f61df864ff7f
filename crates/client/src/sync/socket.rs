//! An [`ApiClient`] whose waiting pulls travel over a WebSocket, so that changes arrive at once on a line that is
//! open already. Where WebSockets are blocked, and for every other request, it speaks HTTP.

use super::api::{ApiClient, ApiError, ApiReply, ApiStream};
use super::http::{ANSWER_BYTES, HttpApiClient};
use crate::sync_error::SyncError;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{SinkExt, StreamExt};
use reqwest::Upgraded;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// After a line that did not come about, HTTP alone is used for so long; doubled each time.
const BLOCKED_MIN: Duration = Duration::from_secs(30);
/// The longest of these times.
const BLOCKED_MAX: Duration = Duration::from_secs(30 * 60);
/// A pull waits at the hub at most so long beyond the limit on silence.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<Upgraded>;

/// Speaks to one hub, by both ways.
pub(super) struct SocketApiClient {
    http: HttpApiClient,
    handshake: HttpApiClient,
    line: Mutex<Line>,
    request_timeout: Duration,
}

/// What is known of the line between two pulls. A pull takes the open line with it, so that one that is given up
/// closes it.
#[derive(Default)]
struct Line {
    open: Option<Box<Socket>>,
    blocked: Option<Blocked>,
}

/// Why a pull has no answer.
enum Broken {
    /// The hub went down in an orderly way.
    HubLeaves,
    Cut,
}

#[derive(Clone, Copy)]
struct Blocked {
    until: Instant,
    time: Duration,
}

/// An answer as it comes over the line.
#[derive(Deserialize)]
struct Reply<'a> {
    status: u16,
    retry_after: Option<u64>,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl SocketApiClient {
    /// As [`HttpApiClient::new`].
    pub(super) fn new(url: &str, token: &str, request_timeout: Duration) -> Result<SocketApiClient, SyncError> {
        let http = HttpApiClient::new(url, token, request_timeout)?;
        let handshake = HttpApiClient::upgrading(url, token, request_timeout)?;
        Ok(SocketApiClient { http, handshake, line: Mutex::default(), request_timeout })
    }

    /// The answer over the line; `None`: there is none.
    async fn over_line(&self, path: &str) -> Option<ApiReply> {
        let open = self.line().open.take();
        if let Some(socket) = open
            && let Ok(reply) = self.ask(socket, path).await
        {
            return Some(reply);
        }
        // None was open, or it broke since: the hub may be another process by now.
        if self.line().blocked.is_some_and(|blocked| Instant::now() < blocked.until) {
            return None;
        }
        let socket = self.connect().await?;
        match self.ask(socket, path).await {
            Ok(reply) => Some(reply),
            Err(Broken::HubLeaves) => None,
            // What takes the handshake and then cuts the line is as good as a block.
            Err(Broken::Cut) => {
                self.block();
                None
            }
        }
    }

    async fn connect(&self) -> Option<Box<Socket>> {
        match timeout(self.request_timeout, self.handshake.upgrade("/sync/live")).await {
            Ok(Ok(Some(stream))) => {
                let limit = Some(ANSWER_BYTES);
                let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
                Some(Box::new(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await))
            }
            // Nobody is there at all: HTTP says it better.
            Ok(Err(_)) => None,
            Ok(Ok(None)) | Err(_) => {
                tracing::debug!(target: "syncline::sync", "no WebSocket to the hub; pulls wait over HTTP");
                self.block();
                None
            }
        }
    }

    /// One pull; the line stays open where it was answered.
    async fn ask(&self, mut socket: Box<Socket>, path: &str) -> Result<ApiReply, Broken> {
        socket.send(Message::text(path)).await.map_err(|_| Broken::Cut)?;
        let silence = self.request_timeout + LONGEST_WAIT;
        loop {
            let Ok(Some(Ok(message))) = timeout(silence, socket.next()).await else { return Err(Broken::Cut) };
            match message {
                Message::Text(text) => {
                    let reply: Reply<'_> = serde_json::from_str(&text).map_err(|_| Broken::Cut)?;
                    let retry_after = reply.retry_after.map(Duration::from_secs);
                    let body = Bytes::copy_from_slice(reply.body.get().as_bytes());
                    *self.line() = Line { open: Some(socket), blocked: None };
                    return Ok(ApiReply { status: reply.status, retry_after, body });
                }
                Message::Close(Some(goodbye)) if goodbye.code == CloseCode::Away => return Err(Broken::HubLeaves),
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Binary(_) | Message::Close(_) | Message::Frame(_) => return Err(Broken::Cut),
            }
        }
    }

    fn block(&self) {
        let mut line = self.line();
        let time = line.blocked.map_or(BLOCKED_MIN, |blocked| (blocked.time * 2).min(BLOCKED_MAX));
        line.blocked = Some(Blocked { until: Instant::now() + time, time });
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ApiClient for SocketApiClient {
    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<ApiReply, ApiError>> {
        if !waits(path) {
            return self.http.get(path);
        }
        Box::pin(async move {
            match self.over_line(path).await {
                Some(reply) => Ok(reply),
                None => self.http.get(path).await,
            }
        })
    }

    fn post<'a>(&'a self, path: &'a str, body: String) -> BoxFuture<'a, Result<ApiReply, ApiError>> {
        self.http.post(path, body)
    }

    fn stream<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<ApiStream, ApiError>> {
        self.http.stream(path)
    }
}

/// Whether the hub may take its time to answer.
fn waits(path: &str) -> bool {
    path.starts_with("/sync/pull?") && path.contains("&wait=")
}
