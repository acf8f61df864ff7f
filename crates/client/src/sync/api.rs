//! How the engine reaches a hub. The library brings [`HttpApiClient`](super::HttpApiClient); an
//! application may supply its own, as both kinds of seed clients can.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::time::Duration;

/// Sends requests to one hub. Paths begin with `/sync/` and are relative to the hub's address.
///
/// The futures run on the engine's own thread inside a tokio runtime. A client decides about its
/// own time limits; a request that never ends holds up this database's sync and nothing else.
///
/// ```
/// use futures_util::future::BoxFuture;
/// use syncline::sync::{ApiClient, ApiError, ApiReply};
///
/// /// A hub that is always empty.
/// struct Empty;
///
/// impl ApiClient for Empty {
///     fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<ApiReply, ApiError>> {
///         let body = match path {
///             p if p.starts_with("/sync/snapshot") => {
///                 "{\"server_lsn\":0,\"epoch\":\"e\"}\n{\"end\":true,\"documents\":0}\n"
///             }
///             p if p.starts_with("/sync/pull") => r#"{"server_lsn":0,"epoch":"e","ops":[]}"#,
///             _ => r#"{"status":"ok"}"#,
///         };
///         Box::pin(async move { Ok(ApiReply::ok(body)) })
///     }
///
///     fn post<'a>(&'a self, _path: &'a str, _body: String) -> BoxFuture<'a, Result<ApiReply, ApiError>> {
///         Box::pin(async { Err(ApiError::new("this hub takes nothing")) })
///     }
/// }
/// # let _ = Empty;
/// ```
pub trait ApiClient: Send + Sync + 'static {
    /// A GET with its whole answer.
    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<ApiReply, ApiError>>;

    /// A POST of a JSON body with its whole answer.
    fn post<'a>(&'a self, path: &'a str, body: String) -> BoxFuture<'a, Result<ApiReply, ApiError>>;

    /// A GET whose answer may be long and is read piece by piece. Unless overridden, it is the
    /// answer of [`ApiClient::get`] in one piece.
    fn stream<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<ApiStream, ApiError>> {
        Box::pin(async move {
            let reply = self.get(path).await?;
            let pieces = stream::once(async { Ok(reply.body) }).boxed();
            Ok(ApiStream { status: reply.status, retry_after: reply.retry_after, pieces })
        })
    }
}

/// A hub's answer.
#[derive(Clone, Debug)]
pub struct ApiReply {
    /// The HTTP status.
    pub status: u16,
    /// The header of that name, in seconds on the wire.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

impl ApiReply {
    /// 200 with a body.
    #[must_use]
    pub fn ok(body: impl Into<Bytes>) -> ApiReply {
        ApiReply { status: 200, retry_after: None, body: body.into() }
    }
}

/// A hub's answer whose body is still to come.
pub struct ApiStream {
    /// The HTTP status.
    pub status: u16,
    /// The header of that name, in seconds on the wire.
    pub retry_after: Option<Duration>,
    /// The body in pieces of any size.
    pub pieces: BoxStream<'static, Result<Bytes, ApiError>>,
}

/// No answer came: the connection was refused or cut, or time ran out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    message: String,
}

impl ApiError {
    /// Says what happened; the text reaches the application in `sync:error`.
    pub fn new(message: impl Into<String>) -> ApiError {
        ApiError { message: message.into() }
    }
}
