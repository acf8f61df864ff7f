//! Rules of collections: which there are, setting them, and what breaks them.

use super::asked::{Admin, body};
use crate::answer;
use crate::app::App;
use crate::error::ServerError;
use crate::rules::{self, CheckLine, RuleView};
use crate::store::CollectionRule;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::{StreamExt, stream};
use serde_json::json;
use std::sync::Arc;
use syncline_core::model::CollectionName;
use tokio::sync::mpsc::Receiver;

type Answer = Result<Response, ServerError>;
type Shared = State<Arc<App>>;

pub(in crate::http) async fn list(admin: Admin, State(app): Shared) -> Answer {
    admin.query(&[])?;
    let rules = rules::list(app.hub.store().as_ref(), &app.options.collections, &admin.space()?).await?;
    Ok(answer::json(&json!({ "collections": rules })))
}

/// With `?check=no` the answer does not wait for a look at the documents that are there.
pub(in crate::http) async fn set(admin: Admin, State(app): Shared, request: Request) -> Answer {
    let (space, collection) = (admin.space()?, collection(&admin)?);
    let looks = match admin.query(&["check"])?.get("check") {
        None | Some("yes") => true,
        Some("no") => false,
        Some(_) => return Err(ServerError::bad("malformed_query", "`check` is `yes` or `no`")),
    };
    let rule: CollectionRule = body(&app, request).await?;
    let view = RuleView { collection, rule, declared: false };
    rules::set(&app, &space, &view).await?;
    if !looks {
        return Ok(answer::json(&view));
    }
    let lines = rules::check(&app.hub, &space, &view.collection).await?;
    Ok(answer::json(&rules::summary(view, lines).await?))
}

/// One line of JSON for each rule that a document breaks, and for each page how far the check has come.
pub(in crate::http) async fn violations(admin: Admin, State(app): Shared) -> Answer {
    admin.query(&[])?;
    let lines = rules::check(&app.hub, &admin.space()?, &collection(&admin)?).await?;
    let line = |mut lines: Receiver<Result<CheckLine, ServerError>>| async move {
        let line = lines.recv().await?;
        let text = line.map(|line| {
            let mut text = serde_json::to_vec(&line).expect("lines serialize");
            text.push(b'\n');
            text
        });
        Some((text, lines))
    };
    Ok(answer::with_type(Body::from_stream(stream::unfold(lines, line).fuse()), "application/x-ndjson"))
}

fn collection(admin: &Admin) -> Result<CollectionName, ServerError> {
    admin.name("collection", |text| CollectionName::new(text))
}
