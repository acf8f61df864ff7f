//! Nodes: who reads a space, who is registered to exchange packets with it, and packets by file.

use super::asked::{Admin, body};
use crate::answer;
use crate::app::App;
use crate::auth::Secret;
use crate::dialect::{exchange, read_body};
use crate::error::ServerError;
use crate::hub;
use crate::nodes::{self, NodeChange, RegisteredNode, joined};
use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use syncline_core::model::{Lsn, Malformed, Millis, NodeId, Plan, Registration};
use syncline_core::wire::object;

type Answer = Result<Response, ServerError>;
type Shared = State<Arc<App>>;

/// A node that is to be registered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    id: String,
    code: String,
    name: String,
    #[serde(default, deserialize_with = "object::field")]
    plan: Plan,
    /// Its token; the hub makes one when none is given.
    #[serde(default)]
    token: Option<String>,
}

/// Everybody who reads or pushes; of registered nodes also the registration.
pub(in crate::http) async fn list(admin: Admin, State(app): Shared) -> Answer {
    admin.query(&[])?;
    let name = admin.space()?;
    let mut places = app.hub.opened(&name).map(|space| space.places()).unwrap_or_default();
    let registered = app.nodes.list(&name).await?;
    for view in &registered {
        let place = places.entry(view.id.clone()).or_default();
        place.handed = place.handed.max(Lsn(view.cursor));
    }
    let (head, nodes) = hub::nodes(app.hub.store().as_ref(), &name, &places, app.options.settings.clock.now()).await?;
    let look = app.hub.look(&name);
    Ok(answer::json(&json!({
        "epoch": head.epoch, "head": head.lsn, "last_change": head.last_change, "horizon": head.horizon,
        "conflicts": head.kept.conflicts, "quarantined": head.kept.quarantined,
        "looked_at": look.at.map(Millis::iso), "damage": look.damage,
        "nodes": joined(&registered, &nodes),
    })))
}

/// Makes the space when it is missing.
pub(in crate::http) async fn register(admin: Admin, State(app): Shared, request: Request) -> Answer {
    let space = admin.space()?;
    let wish: Wish = body(&app, request).await?;
    let registration = Registration { id: lower(&wish.id)?, code: wish.code, name: wish.name, plan: wish.plan };
    app.hub.create_space(&space).await?;
    let id = registration.id.clone();
    let secret = app.nodes.register(&app.tokens, &space, registration, wish.token).await?;
    with_token(&app.nodes.show(&space, &id).await?, &secret)
}

/// One registered node, and how much waits for it.
pub(in crate::http) async fn show(admin: Admin, State(app): Shared) -> Answer {
    admin.query(&[])?;
    Ok(answer::json(&exchange::standing(&app, &admin.space()?, &id(&admin)?).await?))
}

pub(in crate::http) async fn change(admin: Admin, State(app): Shared, request: Request) -> Answer {
    let (space, id) = (admin.space()?, id(&admin)?);
    let change: NodeChange = body(&app, request).await?;
    Ok(answer::json(&app.nodes.change(&app.tokens, &space, &id, change).await?))
}

pub(in crate::http) async fn remove(admin: Admin, State(app): Shared) -> Answer {
    let (space, id) = (admin.space()?, id(&admin)?);
    app.nodes.remove(&app.tokens, &space, &id).await?;
    Ok(answer::json(&json!({ "removed": id })))
}

/// Keeps nothing of the log for a reader any more.
pub(in crate::http) async fn expire(admin: Admin, State(app): Shared) -> Answer {
    let (space, id) = (admin.space()?, admin.name("id", |text| NodeId::new(text))?);
    nodes::expire(&app.hub, &space, &id).await?;
    Ok(answer::json(&json!({ "expired": id })))
}

pub(in crate::http) async fn rotate(admin: Admin, State(app): Shared) -> Answer {
    let (space, id) = (admin.space()?, id(&admin)?);
    let secret = app.nodes.rotate(&app.tokens, &space, &id).await?;
    with_token(&app.nodes.show(&space, &id).await?, &secret)
}

/// The hub's next packet for a node, to carry there.
pub(in crate::http) async fn export(admin: Admin, State(app): Shared) -> Answer {
    admin.query(&[])?;
    Ok(answer::json_text(exchange::export(&app, &admin.space()?, &id(&admin)?).await?))
}

/// A packet of a node that was carried here.
pub(in crate::http) async fn import(admin: Admin, State(app): Shared, request: Request) -> Answer {
    let held = read_body(&app, None, request).await?;
    Ok(answer::json(&exchange::import(&app, &admin.space()?, held.bytes.clone()).await?))
}

fn with_token(view: &RegisteredNode, secret: &Secret) -> Answer {
    let mut shown = json!(view);
    shown["token"] = json!(secret.reveal());
    Ok(answer::json(&shown))
}

fn id(admin: &Admin) -> Result<NodeId, ServerError> {
    admin.name("id", lower)
}

/// UUIDs are the same in either case.
fn lower(text: &str) -> Result<NodeId, Malformed> {
    NodeId::new(text.to_lowercase())
}
