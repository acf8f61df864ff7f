//! What the hub says of itself: alive, ready, and how much of everything.

use crate::answer;
use crate::app::App;
use crate::error::ServerError;
use crate::hub::Space;
use crate::meters::SpaceGauges;
use crate::store::StoreError;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;

/// The process answers.
pub(super) async fn live() -> Response {
    answer::json(&json!({ "status": "ok" }))
}

/// The hub can do its work: it is not going down, its data is where it was opened and has room, and
/// nothing has stopped it from committing.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    if let Err(failure) = app.hub.check().await {
        return failure.into_response();
    }
    match app.hub.store().head(&app.options.default_space).await {
        Ok(_) | Err(StoreError::UnknownSpace(_)) => answer::json(&json!({ "status": "ok", "store": "ok" })),
        Err(error) => ServerError::from(error).into_response(),
    }
}

/// Prometheus text. Names of spaces are its only contents that a stranger could learn from: an admin
/// token shows them. A token that is no admin's is refused even where none is needed, so that whoever
/// set it up notices.
pub(super) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, ServerError> {
    let shown = headers.contains_key(AUTHORIZATION);
    if shown || !app.options.open_metrics {
        app.authenticate(&headers)?.check_admin()?;
    }
    let spaces = if shown { app.hub.open_spaces().iter().map(|space| gauges(space)).collect() } else { Vec::new() };
    app.meters.requests_in_work.set(u32::try_from(app.in_work()).map_or(f64::MAX, f64::from));
    Ok(answer::with_type(Body::from(app.meters.render(&spaces)), "text/plain; version=0.0.4"))
}

fn gauges(space: &Space) -> SpaceGauges {
    let head = space.head();
    SpaceGauges {
        name: space.name().to_string(),
        head_lsn: head.lsn.0,
        horizon_lsn: head.horizon.0,
        queued_pushes: space.queued() as u64,
        failed: space.failure().is_some(),
    }
}
