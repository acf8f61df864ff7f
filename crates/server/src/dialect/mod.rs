//! The `lsn` dialect over HTTP (steps 3 and 8 of the life of a change): finds out what is asked,
//! by whom and for which space and collection, and hands it to the own or the foreign part. Holds
//! no rule about data.

mod body;
mod coding;
pub mod exchange;
pub mod live;
mod own;
mod place;
mod query;
pub mod wise;

pub use body::read_body;
pub use place::{Base, Verb, parse_path};
pub use query::Query;

use crate::answer;
use crate::app::{App, Slot};
use crate::auth::{Access, Grant};
use crate::error::ServerError;
use crate::hub::Space;
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;
use syncline_core::model::{CollectionName, SpaceName};
use tokio::time::Instant;
use wise::Foreign;

/// A request that may go on: its token allows the space and the kind of access.
pub struct Asked {
    /// The hub.
    pub app: Arc<App>,
    foreign: Arc<Foreign>,
    /// Who asks.
    pub grant: Grant,
    /// Where.
    pub space: Arc<Space>,
    /// The collection in the path or in `?collection=`. The grant does cover it.
    pub named: Option<CollectionName>,
    /// The query parameters.
    pub query: Query,
    /// The right to work; dropped when the answer is complete.
    pub slot: Slot,
    /// When the request began to arrive.
    pub arrived: Instant,
}

impl Asked {
    /// The collection of a foreign request: named, or the token's default, or the hub's.
    ///
    /// # Errors
    /// [`ServerError::Forbidden`] when the default is outside the grant.
    pub fn collection(&self) -> Result<CollectionName, ServerError> {
        let default = || self.grant.default_collection().unwrap_or(&self.app.options.default_collection);
        let collection = self.named.as_ref().unwrap_or_else(default);
        self.grant.check_collection(collection)?;
        Ok(collection.clone())
    }
}

/// The dialect with what it remembers between requests. Clones share it.
#[derive(Clone)]
pub struct Dialect {
    app: Arc<App>,
    foreign: Arc<Foreign>,
}

impl Dialect {
    /// Starts without memories.
    #[must_use]
    pub fn new(app: Arc<App>) -> Dialect {
        Dialect { app, foreign: Arc::default() }
    }

    /// Answers a request below `…/sync/`, or says that there is no such path.
    pub async fn serve(&self, request: Request) -> Response {
        dispatch(self, request).await.unwrap_or_else(IntoResponse::into_response)
    }
}

async fn dispatch(dialect: &Dialect, request: Request) -> Result<Response, ServerError> {
    let arrived = Instant::now();
    let (app, foreign) = (Arc::clone(&dialect.app), Arc::clone(&dialect.foreign));
    let (verb, base) = parse_path(request.uri().path())?;
    check_method(verb, request.method())?;
    let access = match verb {
        Verb::Health => return health(&app, base.space, request.headers()).await,
        Verb::Push => Access::Write,
        Verb::Pull | Verb::Snapshot | Verb::Live | Verb::Digests => Access::Read,
    };
    let mut grant = app.authenticate(request.headers()).await?;
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let compares = own::compares_packets(verb, &query);
    if !compares {
        grant.check_dialect()?;
    }
    let space = app.space(&grant, base.space.as_ref(), access).await?;
    if compares {
        grant = own::as_node(&app, &space, &grant, &query).await?;
    }
    let named = match base.collection {
        Some(name) => Some(name),
        None => query.get("collection").map(CollectionName::new).transpose()?,
    };
    if let Some(name) = &named {
        grant.check_collection(name)?;
    }
    let slot = app.slot(space.name(), &grant)?;
    let asked = Asked { app, foreign, grant, space, named, query, slot, arrived };
    match verb {
        Verb::Push => push(asked, request).await,
        Verb::Pull if asked.query.get("node").is_some() => own::pull(asked).await,
        Verb::Snapshot if asked.query.get("node").is_some() => own::snapshot(asked).await,
        Verb::Live => own::open_socket(asked, dialect.clone(), request),
        Verb::Digests => own::digests(asked).await,
        Verb::Pull => wise::pull(asked).await,
        Verb::Snapshot | Verb::Health => wise::snapshot(asked).await,
    }
}

/// The permit for the body's bytes is held until the push is answered.
async fn push(asked: Asked, request: Request) -> Result<Response, ServerError> {
    let body = read_body(&asked.app, Some(asked.space.name()), request).await?;
    if body.is_own().await? { own::push(asked, body).await } else { wise::push(asked, body).await }
}

fn check_method(verb: Verb, method: &Method) -> Result<(), ServerError> {
    let (fits, allowed) = match verb {
        Verb::Push => (method == Method::POST, "POST"),
        _ => (method == Method::GET || method == Method::HEAD, "GET, HEAD"),
    };
    if fits { Ok(()) } else { Err(ServerError::Method { method: method.to_string(), allowed: allowed.to_owned() }) }
}

/// Needs no token: foreign clients ask it to learn whether the hub is there at all. It is about the space
/// that the same client's pushes would go to.
async fn health(app: &App, named: Option<SpaceName>, headers: &HeaderMap) -> Result<Response, ServerError> {
    let space = match named {
        Some(name) => Some(name),
        None => app.authenticate(headers).await.ok().and_then(|grant| grant.space().cloned()),
    };
    let space = space.unwrap_or_else(|| app.options.default_space.clone());
    match app.hub.check().await?.remove(&space) {
        Some(failure) => Err(failure.into()),
        None => Ok(answer::json(&json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))),
    }
}
