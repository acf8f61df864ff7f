//! The way to a hub: packets by HTTP, and what a refusal means. Knows no database.

use crate::error::AttachError;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use serde::Deserialize;
use std::time::Duration;
use syncline_core::model::with_causes;

const EXCHANGE: &str = "/api/sync/exchange";
/// No packet of a hub is larger: they end at 4 MiB, or after one object at the hub's limit.
const ANSWER_BYTES: usize = 64 << 20;

/// A hub, and the token of one node.
#[derive(Clone, Debug)]
pub struct Link {
    url: String,
    client: reqwest::Client,
}

impl Link {
    /// `url` is the hub's address; its path is kept as a prefix. `timeout` limits the time to connect and every silence
    /// after that.
    ///
    /// # Errors
    /// [`AttachError::BadUrl`].
    pub fn new(url: &str, token: &str, timeout: Duration) -> Result<Link, AttachError> {
        let bad = |reason: &str| AttachError::BadUrl { url: url.to_owned(), reason: reason.to_owned() };
        let parsed = reqwest::Url::parse(url).map_err(|e| bad(&e.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(bad("neither http nor https"));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(bad("it must not have a `?` or `#` part"));
        }
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Losing the race against another thread leaves a provider in place all the same.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut bearer = bearer.map_err(|_| bad("the token for it holds characters that no HTTP header can carry"))?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
        let client = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(timeout)
            .read_timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| bad(&with_causes(&e)))?;
        Ok(Link { url: url.trim_end_matches('/').to_owned(), client })
    }

    /// Posts a packet of a node; the text of the answer.
    ///
    /// # Errors
    /// [`AttachError::Unreachable`], or what the hub's refusal means.
    pub async fn post(&self, node: &str, packet: String) -> Result<Vec<u8>, AttachError> {
        let unreachable = |reason: String| AttachError::Unreachable { url: self.url.clone(), reason };
        let cut = |error: reqwest::Error| unreachable(with_causes(&error));
        let mut response =
            self.client.post(format!("{}{EXCHANGE}", self.url)).body(packet).send().await.map_err(cut)?;
        let status = response.status().as_u16();
        let retry_after_ms = retry_after(&response);
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(cut)? {
            if body.len() + piece.len() > ANSWER_BYTES {
                return Err(unreachable(format!("the answer is larger than {ANSWER_BYTES} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        if (200..300).contains(&status) { Ok(body) } else { Err(self.refusal(node, status, retry_after_ms, &body)) }
    }

    fn refusal(&self, node: &str, status: u16, retry_after_ms: Option<u64>, body: &[u8]) -> AttachError {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Words {
            error: Option<String>,
            code: Option<String>,
        }
        let words: Words = serde_json::from_slice(body).unwrap_or_default();
        let shown = || String::from_utf8_lossy(body).chars().take(200).collect();
        let message = words.error.unwrap_or_else(shown);
        match (status, words.code.as_deref()) {
            (401 | 403, Some(_)) | (404, Some("unknown_node")) => {
                AttachError::Unauthorized { node: node.to_owned(), message }
            }
            (429 | 503, _) => AttachError::Overloaded { message, retry_after_ms },
            (413, Some(_)) => AttachError::TooLarge(message),
            (400..500, Some(_)) => AttachError::Refused { status, message },
            // Whatever stands between here and a hub, or a hub in trouble.
            _ => AttachError::Unreachable { url: self.url.clone(), reason: format!("status {status}: {message}") },
        }
    }
}

fn retry_after(response: &reqwest::Response) -> Option<u64> {
    let seconds: u64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    seconds.checked_mul(1_000)
}
