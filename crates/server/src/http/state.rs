//! What the hub says of itself: alive, ready, and how much of everything.

use crate::answer;
use crate::app::App;
use crate::error::ServerError;
use crate::hub::Space;
use crate::meters::SpaceGauges;
use crate::store::{FailedSpaces, StoreError};
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use serde_json::json;
use std::sync::Arc;

/// The process answers.
pub(super) async fn live() -> Response {
    answer::json(&json!({ "status": "ok" }))
}

/// The hub can do its work: it is not going down, its data is where it was opened and has room, and there
/// is a space that takes commits. One that does not must not take the others out of service: the hub is then
/// `degraded`. Which one, only an admin is told, as with the metrics.
pub(super) async fn ready(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, ServerError> {
    let failed = failed_spaces(&app).await?;
    if failed.is_empty() {
        return Ok(answer::json(&json!({ "status": "ok", "store": "ok" })));
    }
    let mut body = json!({ "status": "degraded", "store": "ok", "failed": failed.len() });
    if app.authenticate(&headers).await.is_ok_and(|grant| grant.check_admin().is_ok()) {
        let reasons = failed.iter().map(|(space, error)| (space.to_string(), json!(error.to_string())));
        body["spaces"] = reasons.collect::<serde_json::Map<_, _>>().into();
    }
    Ok(answer::json(&body))
}

/// The spaces that take no commits, unless that is all of them. The default space is also opened for this.
async fn failed_spaces(app: &App) -> Result<FailedSpaces, ServerError> {
    let (store, default) = (app.hub.store(), &app.options.default_space);
    let mut failed = app.hub.check().await?;
    if !failed.contains_key(default) {
        match store.head(default).await {
            Ok(_) | Err(StoreError::UnknownSpace(_) | StoreError::TooManyOpen { .. }) => {}
            Err(error) => drop(failed.insert(default.clone(), error)),
        }
    }
    let works = failed.is_empty() || store.spaces().await?.iter().any(|name| !failed.contains_key(name));
    match failed.pop_first() {
        Some((_, error)) if !works => Err(error.into()),
        Some((name, error)) => {
            failed.insert(name, error);
            Ok(failed)
        }
        None => Ok(failed),
    }
}

/// Prometheus text. Names of spaces are its only contents that a stranger could learn from: an admin
/// token shows them. A token that is no admin's is refused even where none is needed, so that whoever
/// set it up notices.
pub(super) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, ServerError> {
    let shown = headers.contains_key(AUTHORIZATION);
    if shown || !app.options.open_metrics {
        app.authenticate(&headers).await?.check_admin()?;
    }
    let spaces = if shown { app.hub.open_spaces().iter().map(|space| gauges(space)).collect() } else { Vec::new() };
    app.meters.requests_in_work.set(u32::try_from(app.in_work()).map_or(f64::MAX, f64::from));
    Ok(answer::with_type(Body::from(app.meters.render(&spaces)), "text/plain; version=0.0.4"))
}

fn gauges(space: &Space) -> SpaceGauges {
    let (head, kept) = (space.head(), space.kept());
    SpaceGauges {
        name: space.name().to_string(),
        head_lsn: head.lsn.0,
        horizon_lsn: head.horizon.0,
        queued_pushes: space.queued() as u64,
        conflicts: kept.conflicts,
        quarantined: kept.quarantined,
        failed: space.failure().is_some(),
    }
}
