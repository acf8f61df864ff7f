//! Admin requests: who asks, and the parts of the request, with every refusal as JSON.

use crate::app::App;
use crate::dialect::{Query, read_body};
use crate::error::ServerError;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use syncline_core::model::{Malformed, SpaceName};
use syncline_core::wire::object;

/// Proof that the request carries an admin token.
pub(in crate::http) struct Admin {
    params: Vec<(String, String)>,
    query: Query,
}

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = ServerError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Admin, ServerError> {
        app.authenticate(&parts.headers).await?.check_admin()?;
        let broken = |_| ServerError::bad("malformed_path", "the path is not percent-encoded UTF-8");
        let params = RawPathParams::from_request_parts(parts, app).await.map_err(broken)?;
        let params = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Admin { params, query: Query::parse(parts.uri.query().unwrap_or_default()) })
    }
}

impl Admin {
    /// The parameters of a list. One that the list does not know would be taken for a filter that it is not.
    pub(super) fn query(&self, known: &[&str]) -> Result<&Query, ServerError> {
        match self.query.names().find(|name| !known.contains(name)) {
            None => Ok(&self.query),
            Some(other) => {
                let shown: String = other.chars().take(40).collect();
                let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let reason = format!("`{shown}` is not a parameter of this list; it knows: {list}");
                Err(ServerError::bad("malformed_query", reason))
            }
        }
    }

    /// The space in the path.
    pub(super) fn space(&self) -> Result<SpaceName, ServerError> {
        self.name("space", |text| SpaceName::new(text))
    }

    /// A name in the path.
    pub(super) fn name<T>(&self, part: &str, read: impl Fn(&str) -> Result<T, Malformed>) -> Result<T, ServerError> {
        let value = self.params.iter().find(|(name, _)| name == part).map_or("", |(_, value)| value.as_str());
        Ok(read(value)?)
    }
}

/// The body of an admin request.
pub(super) async fn body<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, ServerError> {
    let held = read_body(app, None, request).await?;
    Ok(object::read("the body", &held.bytes)?)
}
