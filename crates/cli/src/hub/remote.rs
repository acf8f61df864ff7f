//! Administration through the admin API of a running hub. Speaks HTTP and reads JSON; decides
//! nothing.

use super::{ChangedToken, NewToken, SpaceStatus};
use crate::error::CliError;
use reqwest::{Client, Method, RequestBuilder, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use syncline_core::model::{Epoch, Lsn, NodeId, SpaceName, innermost};
use syncline_server::auth::{TokenChange, TokenSpec, TokenView};
use syncline_server::hub::NodeView;
use syncline_server::store::ListQuery;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// For work that grows with the data.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// A running hub and the token to show to it.
pub struct RemoteHub {
    base: Url,
    /// As people write it.
    shown: String,
    token: String,
    client: Client,
}

impl RemoteHub {
    /// Checks the URL and the token's presence; connects later.
    ///
    /// # Errors
    /// Neither an http(s) URL nor `unix:` and a path; or no token.
    pub fn new(url: &str, token: Option<&str>) -> Result<RemoteHub, CliError> {
        let builder = Client::builder().timeout(REQUEST_TIMEOUT);
        let (base, builder) = match url.strip_prefix("unix:") {
            None => (hub_url(url)?, builder),
            Some(path) => (hub_url("http://localhost")?, builder.unix_socket(Path::new(path))),
        };
        let token = token.ok_or_else(|| CliError::NoToken { url: url.to_owned() })?.to_owned();
        let client = builder.build().map_err(|source| unreachable(url, source))?;
        Ok(RemoteHub { base, shown: url.to_owned(), token, client })
    }

    pub(super) async fn tokens(&self) -> Result<Vec<TokenView>, CliError> {
        let answer: TokensAnswer = self.call(Method::GET, &["tokens"], &[], None::<&()>).await?;
        Ok(answer.tokens)
    }

    pub(super) async fn add_token(&self, spec: &TokenSpec) -> Result<NewToken, CliError> {
        self.call(Method::POST, &["tokens"], &[], Some(spec)).await
    }

    pub(super) async fn change_token(&self, name: &NodeId, change: &TokenChange) -> Result<ChangedToken, CliError> {
        self.call(Method::PATCH, &["tokens", name.as_str()], &[], Some(change)).await
    }

    pub(super) async fn rotate_token(&self, name: &NodeId) -> Result<NewToken, CliError> {
        self.call(Method::POST, &["tokens", name.as_str(), "rotate"], &[], None::<&()>).await
    }

    pub(super) async fn remove_token(&self, name: &NodeId) -> Result<(), CliError> {
        let _: serde_json::Value = self.call(Method::DELETE, &["tokens", name.as_str()], &[], None::<&()>).await?;
        Ok(())
    }

    pub(super) async fn spaces(&self) -> Result<Vec<SpaceName>, CliError> {
        Ok(self.status().await?.spaces.into_iter().map(|space| space.space).collect())
    }

    /// What is wrong with the hub's own file.
    pub(super) async fn damage(&self) -> Result<Option<String>, CliError> {
        Ok(self.status().await?.damage)
    }

    pub(super) async fn space(&self, name: &SpaceName) -> Result<SpaceStatus, CliError> {
        let path = ["spaces", name.as_str(), "nodes"];
        let answer: NodesAnswer = self.call(Method::GET, &path, &[], None::<&()>).await?;
        Ok(SpaceStatus {
            space: name.clone(),
            epoch: answer.epoch,
            head: answer.head,
            last_change: answer.last_change,
            horizon: answer.horizon,
            conflicts: answer.conflicts,
            quarantined: answer.quarantined,
            looked_at: answer.looked_at,
            damage: answer.damage,
            nodes: answer.nodes,
        })
    }

    /// What is in the hub's way by its own account, in words: of all spaces, or of some; empty: nothing.
    pub(super) async fn ready(&self) -> Result<Vec<String>, CliError> {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(["health", "ready"]);
        let request = self.client.get(url).bearer_auth(&self.token);
        let reply = request.send().await.map_err(|source| unreachable(&self.shown, source))?;
        let text = reply.text().await.map_err(|source| unreachable(&self.shown, source))?;
        let said: ReadyAnswer = serde_json::from_str(&text)
            .map_err(|error| CliError::StrangeReply { url: self.shown.clone(), reason: error.to_string() })?;
        let spaces = said.spaces.into_iter().map(|(space, reason)| format!("space `{space}`: {reason}"));
        Ok(said.error.into_iter().chain(said.trouble).chain(spaces).collect())
    }

    async fn status(&self) -> Result<StatusAnswer, CliError> {
        self.call(Method::GET, &["status"], &[], None::<&()>).await
    }

    /// Rows of a list: `conflicts` or `quarantine`.
    pub(super) async fn rows<T: DeserializeOwned>(
        &self,
        space: &SpaceName,
        list: &str,
        asked: &ListQuery,
    ) -> Result<Vec<T>, CliError> {
        let mut query = vec![("limit", asked.limit.to_string())];
        query.extend(asked.before.map(|n| ("before", n.to_string())));
        query.extend(asked.collection.as_ref().map(|name| ("collection", name.to_string())));
        query.extend(asked.id.as_ref().map(|id| ("id", id.to_string())));
        let path = ["spaces", space.as_str(), list];
        let mut page: BTreeMap<String, Vec<T>> = self.call(Method::GET, &path, &query, None::<&()>).await?;
        Ok(page.remove(list).unwrap_or_default())
    }

    /// Reads a backup of the hub piece by piece. `take` may fail, and that ends it.
    ///
    /// # Errors
    /// The hub refuses, cannot be reached, or goes away in the middle; those of `take`.
    pub async fn backup(&self, mut take: impl FnMut(&[u8]) -> Result<(), CliError>) -> Result<(), CliError> {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("an http URL has a path").pop_if_empty().extend(["admin", "backup"]);
        let request = self.client.get(url).bearer_auth(&self.token).timeout(PATIENCE);
        let mut reply = request.send().await.map_err(|source| unreachable(&self.shown, source))?;
        let status = reply.status().as_u16();
        if status >= 400 {
            let text = reply.text().await.map_err(|source| unreachable(&self.shown, source))?;
            return Err(self.refusal(status, &text));
        }
        while let Some(piece) = reply.chunk().await.map_err(|source| CliError::Cut(innermost(&source)))? {
            take(&piece)?;
        }
        Ok(())
    }

    /// One request under `/admin/`.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&impl Serialize>,
    ) -> Result<T, CliError> {
        let text = body.map(|body| serde_json::to_string(body).expect("requests serialize"));
        self.send(method, path, query, text).await
    }

    /// As [`RemoteHub::call`], with the body's text.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<String>,
    ) -> Result<T, CliError> {
        self.answer(self.request(method, path, query, body)).await
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, String)], body: Option<String>) -> RequestBuilder {
        let mut url = self.base.clone();
        // Segments are escaped here: a token's name may hold `/`.
        url.path_segments_mut().expect("an http URL has a path").pop_if_empty().push("admin").extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if let Some(text) = body {
            request = request.header("content-type", "application/json").body(text);
        }
        request
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CliError> {
        let reply = request.send().await.map_err(|source| unreachable(&self.shown, source))?;
        let status = reply.status().as_u16();
        let text = reply.text().await.map_err(|source| unreachable(&self.shown, source))?;
        if status >= 400 {
            return Err(self.refusal(status, &text));
        }
        self.read(&text)
    }

    /// As [`RemoteHub::call`], for work that takes its time; the answer says nothing new.
    pub(super) async fn patient(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: &impl Serialize,
    ) -> Result<(), CliError> {
        let text = serde_json::to_string(body).expect("requests serialize");
        let request = self.request(method, path, query, Some(text)).timeout(PATIENCE);
        self.answer::<serde_json::Value>(request).await.map(drop)
    }

    /// Reads an answer line by line, however long it is.
    pub(super) async fn lines(
        &self,
        path: &[&str],
        mut take: impl FnMut(&str) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let request = self.request(Method::GET, path, &[], None).timeout(PATIENCE);
        let mut reply = request.send().await.map_err(|source| unreachable(&self.shown, source))?;
        let status = reply.status().as_u16();
        if status >= 400 {
            let text = reply.text().await.map_err(|source| unreachable(&self.shown, source))?;
            return Err(self.refusal(status, &text));
        }
        let mut buffer = Vec::new();
        while let Some(piece) = reply.chunk().await.map_err(|source| unreachable(&self.shown, source))? {
            buffer.extend_from_slice(&piece);
            let Some(last) = buffer.iter().rposition(|byte| *byte == b'\n') else { continue };
            let whole: Vec<u8> = buffer.drain(..=last).collect();
            for line in whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                take(&String::from_utf8_lossy(line))?;
            }
        }
        Ok(())
    }

    /// Reads JSON that the hub sent.
    pub(super) fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, CliError> {
        serde_json::from_str(text).map_err(|error| self.cut_off(&error.to_string()))
    }

    /// An answer that is none.
    pub(super) fn cut_off(&self, reason: &str) -> CliError {
        CliError::StrangeReply { url: self.shown.clone(), reason: reason.to_owned() }
    }

    fn refusal(&self, status: u16, text: &str) -> CliError {
        let said: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let message = said.get("error").and_then(serde_json::Value::as_str).unwrap_or("it gave no reason");
        CliError::Refused { url: self.shown.clone(), status, message: message.to_owned() }
    }
}

#[derive(Deserialize)]
struct TokensAnswer {
    tokens: Vec<TokenView>,
}

#[derive(Deserialize)]
struct ReadyAnswer {
    error: Option<String>,
    #[serde(default)]
    trouble: Vec<String>,
    #[serde(default)]
    spaces: BTreeMap<SpaceName, String>,
}

#[derive(Deserialize)]
struct StatusAnswer {
    damage: Option<String>,
    spaces: Vec<SpaceAnswer>,
}

#[derive(Deserialize)]
struct SpaceAnswer {
    space: SpaceName,
}

#[derive(Deserialize)]
struct NodesAnswer {
    epoch: Epoch,
    head: Lsn,
    last_change: Lsn,
    horizon: Lsn,
    conflicts: u64,
    quarantined: u64,
    #[serde(default)]
    looked_at: Option<String>,
    #[serde(default)]
    damage: Option<String>,
    nodes: Vec<NodeView>,
}

/// A hub's URL.
///
/// # Errors
/// Not an http(s) URL.
fn hub_url(url: &str) -> Result<Url, CliError> {
    Url::parse(url).ok().filter(|parsed| matches!(parsed.scheme(), "http" | "https")).ok_or_else(|| {
        CliError::Usage(format!(
            "the hub's URL `{url}` is not one; it looks like http://127.0.0.1:7460, or unix:/run/syncline/one.sock"
        ))
    })
}

fn unreachable(url: &str, source: reqwest::Error) -> CliError {
    CliError::Unreachable { url: url.to_owned(), reason: innermost(&source) }
}
