//! Foreign clients of the WiseJSON family.

use super::Asked;
use super::body::Held;
use crate::error::ServerError;
use axum::response::Response;

/// `GET …/sync/snapshot`
pub async fn snapshot(asked: Asked) -> Result<Response, ServerError> {
    Err(not_yet(&asked))
}

/// `GET …/sync/pull`
pub async fn pull(asked: Asked) -> Result<Response, ServerError> {
    Err(not_yet(&asked))
}

/// `POST …/sync/push`
pub async fn push(asked: Asked, _body: Held) -> Result<Response, ServerError> {
    Err(not_yet(&asked))
}

fn not_yet(asked: &Asked) -> ServerError {
    let collection = asked.collection().map_or_else(|e| e.to_string(), String::from);
    ServerError::bad("foreign_client", format!("requests without `node` are not served yet (`{collection}`)"))
}
