//! The library's own [`ApiClient`]: HTTP/1.1 or 2, rustls with the ring provider, compressed
//! answers, a limit on silence (not on the length of an answer).

use super::api::{ApiClient, ApiError, ApiReply, ApiStream};
use crate::sync_error::SyncError;
use bytes::BytesMut;
use futures_util::future::BoxFuture;
use futures_util::stream::StreamExt;
use reqwest::StatusCode;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use std::time::Duration;
use syncline_core::model::{innermost, with_causes};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;

/// No whole answer is larger: pages end at 4 MiB, or after one document at the hub's limit.
pub(super) const ANSWER_BYTES: usize = 64 << 20;

/// Speaks to the hub at one address with one token.
#[derive(Clone, Debug)]
pub struct HttpApiClient {
    base: String,
    client: reqwest::Client,
    /// Bytes of a whole answer that are taken.
    answer_bytes: usize,
}

impl HttpApiClient {
    /// `url` is the hub's address; its path is kept as a prefix (`https://h/s/shop` names a space).
    /// `request_timeout` limits the time to connect and every silence after that.
    ///
    /// # Errors
    /// [`SyncError::BadUrl`] and [`SyncError::Http`].
    pub fn new(url: &str, token: &str, request_timeout: Duration) -> Result<HttpApiClient, SyncError> {
        HttpApiClient::with(url, token, request_timeout, |client| client)
    }

    /// The same for connections that are to become WebSockets, which HTTP/2 cannot.
    pub(super) fn upgrading(url: &str, token: &str, request_timeout: Duration) -> Result<HttpApiClient, SyncError> {
        HttpApiClient::with(url, token, request_timeout, reqwest::ClientBuilder::http1_only)
    }

    fn with(
        url: &str,
        token: &str,
        request_timeout: Duration,
        change: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<HttpApiClient, SyncError> {
        let bad = |reason: &str| SyncError::BadUrl { url: url.to_owned(), reason: reason.to_owned() };
        let parsed = reqwest::Url::parse(url).map_err(|e| bad(&e.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(bad("neither http nor https"));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(bad("it must not have a `?` or `#` part"));
        }
        let client = reqwest::Client::builder()
            .default_headers(headers(token)?)
            .connect_timeout(request_timeout)
            .read_timeout(request_timeout)
            .redirect(reqwest::redirect::Policy::none());
        install_tls_provider();
        let client = change(client).build().map_err(|e| SyncError::Http(with_causes(&e)))?;
        Ok(HttpApiClient { base: url.trim_end_matches('/').to_owned(), client, answer_bytes: ANSWER_BYTES })
    }

    /// Opens a WebSocket at a path; `None`: something on the way takes none. A hub that is down or overloaded is an
    /// error, because it says nothing about that.
    pub(super) async fn upgrade(&self, path: &str) -> Result<Option<reqwest::Upgraded>, ApiError> {
        let request = self.client.get(format!("{}{path}", self.base));
        let request = request.header(CONNECTION, "upgrade").header(UPGRADE, "websocket");
        let request = request.header(SEC_WEBSOCKET_VERSION, "13").header(SEC_WEBSOCKET_KEY, generate_key());
        let response = request.send().await.map_err(|e| cut(&e))?;
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => {}
            status if status.is_server_error() => return Err(ApiError::new(format!("the hub answers {status}"))),
            _ => return Ok(None),
        }
        response.upgrade().await.map(Some).map_err(|e| cut(&e))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<ApiReply, ApiError> {
        let mut response = request.send().await.map_err(|e| cut(&e))?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(&response));
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|e| cut(&e))? {
            if body.len() + piece.len() > self.answer_bytes {
                return Err(ApiError::new(format!("the answer is larger than {} bytes", self.answer_bytes)));
            }
            body.extend_from_slice(&piece);
        }
        Ok(ApiReply { status, retry_after, body: body.freeze() })
    }
}

impl ApiClient for HttpApiClient {
    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<ApiReply, ApiError>> {
        Box::pin(self.send(self.client.get(format!("{}{path}", self.base))))
    }

    fn post<'a>(&'a self, path: &'a str, body: String) -> BoxFuture<'a, Result<ApiReply, ApiError>> {
        let request = self.client.post(format!("{}{path}", self.base));
        Box::pin(self.send(request.header(CONTENT_TYPE, "application/json").body(body)))
    }

    fn stream<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<ApiStream, ApiError>> {
        let request = self.client.get(format!("{}{path}", self.base));
        Box::pin(async move {
            let response = request.send().await.map_err(|e| cut(&e))?;
            let (status, retry_after) = (response.status().as_u16(), retry_after(&response));
            let pieces = response.bytes_stream().map(|piece| piece.map_err(|e| cut(&e))).boxed();
            Ok(ApiStream { status, retry_after, pieces })
        })
    }
}

fn headers(token: &str) -> Result<HeaderMap, SyncError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, application/x-ndjson"));
    if !token.is_empty() {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| SyncError::Http("the token holds characters that no HTTP header can carry".into()))?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(headers)
}

/// The application's own choice of a provider stands, if it has made one.
fn install_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Losing the race against another thread leaves a provider in place all the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let seconds: f64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn cut(error: &reqwest::Error) -> ApiError {
    let cause = innermost(error);
    ApiError::new(match error.url() {
        Some(url) => format!("{}: {cause}", url.origin().ascii_serialization()),
        None => cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    fn made(url: &str, token: &str) -> Result<HttpApiClient, SyncError> {
        HttpApiClient::new(url, token, Duration::from_secs(15))
    }

    #[test]
    fn addresses_are_checked_before_anything_starts() {
        assert_eq!(made("http://localhost:8787/s/shop/", "t").unwrap().base, "http://localhost:8787/s/shop");
        for url in ["hub.example.com", "ftp://hub", "http://hub/?a=b", ""] {
            assert!(matches!(made(url, "t"), Err(SyncError::BadUrl { .. })), "{url}");
        }
        assert!(made("http://hub", "line\nbreak").unwrap_err().to_string().contains("token"));
    }

    /// What a client with this limit makes of an answer, whose length is told in advance or not.
    fn taken(limit: usize, bytes: usize, told: bool) -> Result<ApiReply, ApiError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let hub = std::thread::spawn(move || {
            let (mut line, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                line.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            let length = if told { format!("content-length: {bytes}\r\n") } else { String::new() };
            let head = format!("HTTP/1.1 200 OK\r\n{length}connection: close\r\n\r\n");
            // A client that has had enough closes the line.
            let _ = line.write_all(head.as_bytes()).and_then(|()| line.write_all(&vec![b' '; bytes]));
        });
        let client = HttpApiClient { answer_bytes: limit, ..made(&url, "t").unwrap() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let reply = runtime.block_on(client.get("/sync/pull"));
        hub.join().unwrap();
        reply
    }

    #[test]
    fn an_answer_larger_than_the_limit_is_refused() {
        for told in [true, false] {
            assert_eq!(taken(5_000, 5_000, told).unwrap().body.len(), 5_000);
            let refused = taken(5_000, 5_001, told).unwrap_err().to_string();
            assert_eq!(refused, "the answer is larger than 5000 bytes");
        }
        assert_eq!(made("http://hub", "t").unwrap().answer_bytes, ANSWER_BYTES, "the limit of every client");
    }
}
