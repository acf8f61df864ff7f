//! Spaces: where their logs stand, and what they keep.

use super::asked::Admin;
use crate::answer;
use crate::app::App;
use crate::error::ServerError;
use crate::store::StoreError;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use syncline_core::model::{Millis, SpaceName};

type Answer = Result<Response, ServerError>;
type Shared = State<Arc<App>>;

pub(in crate::http) async fn status(admin: Admin, State(app): Shared) -> Answer {
    admin.query(&[])?;
    // What is in the way of the hub as a whole, `/health/ready` tells.
    let stopped = app.hub.check().await.unwrap_or_default();
    let mut spaces = Vec::new();
    for name in app.hub.store().spaces().await? {
        // One that cannot be read hides nothing of the others.
        let failed = |error: ServerError| json!({ "space": name, "failure": error.to_string() });
        spaces.push(status_of(&name, &app, stopped.get(&name)).await.unwrap_or_else(failed));
    }
    let records = app.hub.records_look();
    let (looked_at, damage) = (records.at.map(Millis::iso), records.damage);
    let version = env!("CARGO_PKG_VERSION");
    Ok(answer::json(&json!({ "version": version, "looked_at": looked_at, "damage": damage, "spaces": spaces })))
}

/// Asks the store: a space that nobody uses is not taken into use for a look at it.
async fn status_of(name: &SpaceName, app: &App, stopped: Option<&StoreError>) -> Result<Value, ServerError> {
    let (store, in_use) = (app.hub.store(), app.hub.opened(name));
    let (head, look) = (store.head(name).await?, app.hub.look(name));
    Ok(json!({
        "space": name,
        "epoch": head.epoch,
        "head": head.lsn,
        "last_change": head.last_change,
        "horizon": head.horizon,
        "nodes": store.nodes(name).await?.len(),
        "queued_pushes": in_use.as_ref().map_or(0, |space| space.queued()),
        "conflicts": head.kept.conflicts,
        "quarantined": head.kept.quarantined,
        "rule_refusals": in_use.as_ref().map_or(0, |space| space.rule_refusals()),
        "failure": stopped.map(ToString::to_string),
        "looked_at": look.at.map(Millis::iso),
        "damage": look.damage,
    }))
}

pub(in crate::http) async fn trim(admin: Admin, State(app): Shared) -> Answer {
    let space = app.hub.space(&admin.space()?).await?;
    let expired = space.expire().await?;
    let trimmed = space.trim().await?;
    Ok(answer::json(&json!({ "expired": expired, "trimmed": trimmed, "horizon": space.head().horizon })))
}
