//! What the hub says of itself: alive, ready, and how much of everything.

use crate::answer;
use crate::app::App;
use crate::store::StoreError;
use axum::body::Body;
use axum::extract::State;
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
        Err(error) => crate::error::ServerError::from(error).into_response(),
    }
}

/// Prometheus text. Names of spaces are its only contents that a stranger could learn from.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Response {
    for space in app.hub.open_spaces() {
        let (name, head) = (space.name().as_str(), space.head());
        app.meters.space("syncline_space_head_lsn", name, head.lsn.0);
        app.meters.space("syncline_space_horizon_lsn", name, head.horizon.0);
        app.meters.space("syncline_space_queued_pushes", name, space.queued() as u64);
        app.meters.space("syncline_space_failed", name, u64::from(space.failure().is_some()));
    }
    app.meters.requests_in_work.set(u32::try_from(app.in_work()).map_or(f64::MAX, f64::from));
    answer::with_type(Body::from(app.meters.render()), "text/plain; version=0.0.4")
}
