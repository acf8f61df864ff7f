//! What the hub says of itself: alive, ready, and how much of everything.

use crate::answer;
use crate::app::App;
use crate::error::ServerError;
use crate::hub::{Look, Space};
use crate::meters::SpaceGauges;
use crate::store::{FailedSpaces, StoreError};
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use syncline_core::model::NodeId;

/// The process answers.
pub(super) async fn live() -> Response {
    answer::json(&json!({ "status": "ok" }))
}

/// The hub can do its work: it is not going down, its data is where it was opened and has room, and there
/// is a space that takes commits. One that does not must not take the others out of service: the hub is then
/// `degraded`, and so it is while a document of a space is `damaged`, or the hub's own file (`"store": "damaged"`), or while
/// signed tokens find no keys (`"keys": "missing"`). `stalled` counts readers that are there and do not get on: the hub works, and somebody should look. Which space or
/// reader, only an admin is told, as with the metrics.
pub(super) async fn ready(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, ServerError> {
    let failed = failed_spaces(&app).await?;
    let mut damaged = app.hub.damaged();
    damaged.retain(|space, _| !failed.contains_key(space));
    let (records, keys) = (app.hub.records_look().damage, app.tokens.keys_trouble());
    let well = failed.is_empty() && damaged.is_empty() && records.is_none() && keys.is_none();
    let store = if records.is_some() { "damaged" } else { "ok" };
    let mut body = json!({ "status": if well { "ok" } else { "degraded" }, "store": store });
    if keys.is_some() {
        body["keys"] = "missing".into();
    }
    let spaces = app.hub.open_spaces();
    let stalled: BTreeMap<String, Vec<NodeId>> =
        spaces.iter().map(|space| (space.name().to_string(), space.lag().stalled)).collect();
    let stalled: BTreeMap<_, _> = stalled.into_iter().filter(|(_, nodes)| !nodes.is_empty()).collect();
    if !failed.is_empty() {
        body["failed"] = failed.len().into();
    }
    if !damaged.is_empty() {
        body["damaged"] = damaged.len().into();
    }
    if !stalled.is_empty() {
        body["stalled"] = stalled.values().map(Vec::len).sum::<usize>().into();
    }
    if (records.is_some() || body.as_object().is_some_and(|body| body.len() > 2))
        && app.authenticate(&headers).await.is_ok_and(|grant| grant.check_admin().is_ok())
    {
        let failed = failed.iter().map(|(space, error)| (space.to_string(), json!(error.to_string())));
        let damaged = damaged.into_iter().map(|(space, damage)| (space.to_string(), json!(damage)));
        body["spaces"] = failed.chain(damaged).collect::<serde_json::Map<_, _>>().into();
        body["stalls"] = json!(stalled);
        body["trouble"] = records.into_iter().chain(keys).collect::<Vec<_>>().into();
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
    let open = app.hub.open_spaces();
    // What is in the way of the hub is in the way of each.
    let failed = app.hub.check().await.ok();
    let is_failed = |space: &Space| failed.as_ref().is_none_or(|failed| failed.contains_key(space.name()));
    app.meters.failed_spaces.set(failed.as_ref().map_or(open.len(), BTreeMap::len) as f64);
    app.meters.damaged_spaces.set(app.hub.damaged().len() as f64);
    app.meters.keys_missing.set(if app.tokens.keys_trouble().is_some() { 1.0 } else { 0.0 });
    let records = app.hub.records_look();
    app.meters.records_damaged.set(if records.damage.is_some() { 1.0 } else { 0.0 });
    app.meters.records_looked_at.set(records.at.map_or(0.0, |at| (at.0 / 1_000) as f64));
    let of = |space: &Arc<Space>| gauges(space, is_failed(space), &app.hub.look(space.name()));
    let spaces = if shown { open.iter().map(of).collect() } else { Vec::new() };
    app.meters.requests_in_work.set(u32::try_from(app.in_work()).map_or(f64::MAX, f64::from));
    Ok(answer::with_type(Body::from(app.meters.render(&spaces)), "text/plain; version=0.0.4"))
}

fn gauges(space: &Space, failed: bool, look: &Look) -> SpaceGauges {
    let (head, kept, lag) = (space.head(), space.kept(), space.lag());
    SpaceGauges {
        name: space.name().to_string(),
        head_lsn: head.lsn.0,
        horizon_lsn: head.horizon.0,
        queued_pushes: space.queued() as u64,
        conflicts: kept.conflicts,
        quarantined: kept.quarantined,
        failed,
        stalled: lag.stalled.len() as u64,
        furthest_behind: lag.furthest,
        looked_at_s: look.at.map_or(0, |at| at.0 / 1_000),
        damaged: look.damage.is_some(),
    }
}
