//! Answers over HTTP: JSON in, and every refusal in one shape. The only place that turns a
//! [`ServerError`] into a status.

use crate::error::{Denied, ServerError};
use crate::store::StoreError;
use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};
use syncline_core::model::{Kind, Malformed};

/// Most seconds that an overloaded hub asks a client to wait; the least is 1. Drawn anew for each
/// answer, so that clients do not come back together.
const RETRY_AFTER_MAX_S: u64 = 5;

/// The code of a refusal, for the one who counts and logs answers.
#[derive(Clone, Copy, Debug)]
pub struct Refused(pub &'static str);

/// 200 with JSON.
#[must_use]
pub fn json<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => json_text(text),
        Err(error) => ServerError::Bug(format!("an answer does not serialize: {error}")).into_response(),
    }
}

/// 200 with text that is JSON already.
#[must_use]
pub fn json_text(text: impl Into<Bytes>) -> Response {
    with_type(Body::from(text.into()), "application/json")
}

/// 200 with a body of a type.
#[must_use]
pub fn with_type(body: Body, kind: &'static str) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

impl IntoResponse for ServerError {
    fn into_response(self) -> Response {
        let code = self.code();
        let mut response = json(&self.to_json());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        match &self {
            ServerError::Method { allowed, .. } => {
                if let Ok(allowed) = HeaderValue::from_str(allowed) {
                    headers.insert(ALLOW, allowed);
                }
            }
            ServerError::Unauthorized { .. } => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ if self.kind() == Kind::Retry => {
                headers.insert(RETRY_AFTER, HeaderValue::from(fastrand::u64(1..=RETRY_AFTER_MAX_S)));
            }
            _ => {}
        }
        response.extensions_mut().insert(Refused(code));
        response
    }
}

impl ServerError {
    /// The HTTP status of a refusal.
    fn status(&self) -> StatusCode {
        match self {
            ServerError::Forbidden { .. } => StatusCode::FORBIDDEN,
            ServerError::NotFound(_)
            | ServerError::UnknownNode { .. }
            | ServerError::Store(StoreError::UnknownSpace(_)) => StatusCode::NOT_FOUND,
            ServerError::Unfit { .. }
            | ServerError::Field { .. }
            | ServerError::Malformed(Malformed::Element { .. }) => StatusCode::UNPROCESSABLE_ENTITY,
            ServerError::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            ServerError::Taken { .. }
            | ServerError::SchemaVersion { .. }
            | ServerError::Store(StoreError::CodeTaken { .. }) => StatusCode::CONFLICT,
            ServerError::TooMuch { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ServerError::SlowBody { .. } => StatusCode::REQUEST_TIMEOUT,
            ServerError::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => match self.kind() {
                Kind::Retry => StatusCode::SERVICE_UNAVAILABLE,
                Kind::Reauthenticate => StatusCode::UNAUTHORIZED,
                Kind::Resync => StatusCode::GONE,
                Kind::Reject => StatusCode::BAD_REQUEST,
                Kind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    /// `error` is always a string: foreign clients show it to people.
    fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("error".to_owned(), json!(self.to_string()));
        object.insert("code".to_owned(), json!(self.code()));
        match self {
            ServerError::Forbidden { part: Denied::Collection(name), .. } => {
                object.insert("collection".to_owned(), json!(name));
            }
            ServerError::Forbidden { part: Denied::Writing, .. } => {
                object.insert("access".to_owned(), json!("write"));
            }
            ServerError::Forbidden { part: Denied::Reading, .. } => {
                object.insert("access".to_owned(), json!("read"));
            }
            ServerError::Field { field, .. } => {
                object.insert("field".to_owned(), json!(field));
            }
            ServerError::SchemaVersion { sent, supported } => {
                object.insert("sent".to_owned(), json!(sent));
                object.insert("supported".to_owned(), json!(supported));
            }
            ServerError::Resync { epoch, horizon, .. } => {
                object.insert("epoch".to_owned(), json!(epoch));
                object.insert("horizon".to_owned(), json!(horizon));
            }
            ServerError::TooMuch { limit, value, .. } => {
                object.insert("limit".to_owned(), json!(limit));
                object.insert("value".to_owned(), json!(value));
            }
            ServerError::Overloaded { limit, .. } | ServerError::SlowBody { limit } => {
                object.insert("limit".to_owned(), json!(limit));
            }
            _ => {}
        }
        if let Some(StoreError::TooManyOpen { most }) = self.store_error() {
            object.insert("limit".to_owned(), json!("limits.open_spaces"));
            object.insert("value".to_owned(), json!(most));
        }
        Value::Object(object)
    }
}
