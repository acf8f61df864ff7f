//! Tokens: list, add, change, remove, rotate. A secret is shown once, in the answer that makes it.

use super::asked::{Admin, body};
use crate::answer;
use crate::app::App;
use crate::auth::{Secret, TokenChange, TokenSpec};
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
    let secret = app.tokens.add(spec.clone()).await?;
    let remarks = app.tokens.remarks(&spec).await;
    Ok(answer::json(&json!({ "name": spec.name, "token": secret.reveal(), "remarks": remarks })))
}

/// What a token allows from now on; its secret stays, and so does what the body does not name.
pub(in crate::http) async fn change(admin: Admin, State(app): State<Arc<App>>, request: Request) -> Answer {
    let name = admin.name("name", |text| NodeId::new(text))?;
    let change: TokenChange = body(&app, request).await?;
    let view = app.tokens.change(&name, &change).await?;
    let remarks = app.tokens.remarks(&view.spec).await;
    Ok(answer::json(&json!({ "changed": view, "remarks": remarks })))
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
