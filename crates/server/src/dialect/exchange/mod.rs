//! The `exchange` dialect over HTTP (steps 3 and 8 of the life of a change): packets of registered nodes,
//! one at a time for each node. Checks and answers in the order of `spec/exchange.md`. Holds no rule about
//! data.

mod arrival;
mod file;
mod round;
mod rows;
mod standing;

pub use file::{Imported, export, import};
pub use standing::{QUEUE_MAX, Standing, standing};

use super::body::read_body;
use crate::answer;
use crate::app::App;
use crate::auth::Access;
use crate::error::ServerError;
use arrival::{Arrival, read, sender};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use round::Round;
use std::sync::Arc;

/// `POST /api/sync/exchange`
pub async fn post(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(&app, request).await.unwrap_or_else(|error| {
        if matches!(error.code(), "unauthorized" | "forbidden" | "unknown_node" | "wrong_recipient") {
            tracing::warn!(%error, "a packet was refused");
        }
        error.into_response()
    })
}

async fn answer(app: &App, request: Request) -> Result<Response, ServerError> {
    let grant = app.authenticate_sender(request.headers()).await?;
    let space = grant.space().unwrap_or(&app.options.default_space);
    let _slot = app.slot(space, &grant)?;
    let body = read_body(app, Some(space), request).await?;
    let read = read(app, &body).await?;
    let node = sender(&read.header)?;
    grant.check_sender(&node)?;
    grant.check_access(Access::Read)?;
    let space = app.space(&grant, None, Access::Write).await?;
    let desk = app.nodes.desk(space.name(), &node).await?;
    let arrival = Arrival::check(app, &desk, read, body)?;
    let round = Round { app, space: &space, desk: &desk };
    Ok(answer::json_text(round.run(arrival).await?))
}
