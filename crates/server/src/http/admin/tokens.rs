//! Tokens: list, add, remove, rotate. A secret is shown once, in the answer that makes it.

use super::asked::{Admin, body};
use crate::answer;
use crate::app::App;
use crate::auth::{Secret, TokenSpec};
use crate::error::ServerError;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;
use syncline_core::model::NodeId;

type Answer = Result<Response, ServerError>;

pub(in crate::http) async fn list(admin: Admin, State(app): State<Arc<App>>) -> Answer {
    admin.query(&[])?;
    Ok(answer::json(&json!({ "tokens": app.tokens.list() })))
}

pub(in crate::http) async fn add(_: Admin, State(app): State<Arc<App>>, request: Request) -> Answer {
    let spec: TokenSpec = body(&app, request).await?;
    let name = spec.name.clone();
    let secret = app.tokens.add(spec).await?;
    Ok(shown(&name, &secret))
}

/// What a token allows from now on; its secret stays.
pub(in crate::http) async fn change(admin: Admin, State(app): State<Arc<App>>, request: Request) -> Answer {
    let name = admin.name("name", |text| NodeId::new(text))?;
    let spec: TokenSpec = body(&app, request).await?;
    if spec.name != name {
        let reason = format!("the path names token `{name}` and the body `{}`; a token keeps its name", spec.name);
        return Err(ServerError::bad("malformed_token", reason));
    }
    if spec.packets || app.tokens.stored(&name).is_some_and(|old| old.packets) {
        let reason = format!("token `{name}` is that of a registered node; change the node (`syncline node change`)");
        return Err(ServerError::bad("malformed_token", reason));
    }
    app.tokens.change(spec).await?;
    Ok(answer::json(&json!({ "changed": name })))
}

pub(in crate::http) async fn rotate(admin: Admin, State(app): State<Arc<App>>) -> Answer {
    let name = admin.name("name", |text| NodeId::new(text))?;
    let secret = app.tokens.rotate(&name).await?;
    Ok(shown(&name, &secret))
}

pub(in crate::http) async fn remove(admin: Admin, State(app): State<Arc<App>>) -> Answer {
    let name = admin.name("name", |text| NodeId::new(text))?;
    app.tokens.remove(&name).await?;
    Ok(answer::json(&json!({ "removed": name })))
}

fn shown(name: &NodeId, secret: &Secret) -> Response {
    answer::json(&json!({ "name": name, "token": secret.reveal() }))
}
