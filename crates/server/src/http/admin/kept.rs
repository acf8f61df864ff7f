//! The ledger and the quarantine of a space: list, show, and what is to become of a row.

use super::asked::Admin;
use crate::answer;
use crate::app::App;
use crate::dialect::read_body;
use crate::error::ServerError;
use crate::kept;
use crate::store::ListQuery;
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::json;
use std::num::NonZeroUsize;
use std::sync::Arc;
use syncline_core::model::{CollectionName, DocId, Malformed};

const LIST_DEFAULT: NonZeroUsize = NonZeroUsize::new(100).expect("above zero");
const LIST_MAX: usize = 1_000;

type Answer = Result<Response, ServerError>;
type Shared = State<Arc<App>>;

pub(in crate::http) async fn conflicts(admin: Admin, State(app): Shared) -> Answer {
    let rows = app.hub.store().conflicts(&admin.space()?, list_query(&admin)?).await?;
    Ok(answer::json(&json!({ "conflicts": rows })))
}

pub(in crate::http) async fn conflict(admin: Admin, State(app): Shared) -> Answer {
    admin.query(&[])?;
    Ok(answer::json(&kept::conflict(&app.hub, &admin.space()?, number(&admin)?).await?))
}

pub(in crate::http) async fn restore(admin: Admin, State(app): Shared) -> Answer {
    Ok(answer::json(&kept::restore(&app.hub, &admin.space()?, number(&admin)?).await?))
}

pub(in crate::http) async fn quarantine(admin: Admin, State(app): Shared) -> Answer {
    let rows = app.hub.store().quarantine(&admin.space()?, list_query(&admin)?).await?;
    Ok(answer::json(&json!({ "quarantine": rows })))
}

pub(in crate::http) async fn quarantined(admin: Admin, State(app): Shared) -> Answer {
    admin.query(&[])?;
    Ok(answer::json(&kept::quarantined(&app.hub, &admin.space()?, number(&admin)?).await?))
}

/// Without a body the op is tried as it was set aside.
pub(in crate::http) async fn retry(admin: Admin, State(app): Shared, request: Request) -> Answer {
    let (space, n) = (admin.space()?, number(&admin)?);
    let held = read_body(&app, None, request).await?;
    let text = std::str::from_utf8(&held.bytes).map_err(|e| Malformed::json("the body", e))?;
    let mended = Some(text).filter(|text| !text.trim().is_empty());
    Ok(answer::json(&kept::retry(&app.hub, &space, n, mended).await?))
}

pub(in crate::http) async fn discard(admin: Admin, State(app): Shared) -> Answer {
    Ok(answer::json(&kept::discard(&app.hub, &admin.space()?, number(&admin)?).await?))
}

fn number(admin: &Admin) -> Result<u64, ServerError> {
    admin
        .name("n", |text| text.parse().map_err(|_| Malformed::json(format!("`{text}`"), "must be the number of a row")))
}

fn list_query(admin: &Admin) -> Result<ListQuery, ServerError> {
    let query = admin.query(&["collection", "id", "before", "limit"])?;
    let before = match query.get("before") {
        Some(_) => Some(query.read("before", 0, "the number of a row")?),
        None => None,
    };
    Ok(ListQuery {
        collection: query.get("collection").map(CollectionName::new).transpose()?,
        id: query.get("id").map(DocId::new).transpose()?,
        before,
        limit: query.read("limit", LIST_DEFAULT, "a whole number, 1 or more")?.get().min(LIST_MAX),
    })
}
