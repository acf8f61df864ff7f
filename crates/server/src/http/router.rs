//! Every route of the hub, in one table.

use super::{admin, cors, docs, frame, rooms, state};
use crate::app::App;
use crate::dialect::{Dialect, exchange};
use crate::error::ServerError;
use crate::socket;
use axum::Router;
use axum::extract::State;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, patch, post, put};
use std::collections::BTreeSet;
use std::sync::Arc;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

/// Answers smaller than this are not worth compressing.
const COMPRESS_FROM_BYTES: u16 = 1024;

/// Every method and path that the router answers; the OpenAPI document lists the same.
/// Other paths that end in `/sync/…` name a collection by their last segment.
pub const ROUTES: &[(&str, &str)] = &[
    ("get", "/sync/snapshot"),
    ("get", "/sync/pull"),
    ("post", "/sync/push"),
    ("get", "/sync/health"),
    ("get", "/sync/live"),
    ("get", "/sync/digests"),
    ("get", "/c/{collection}/sync/snapshot"),
    ("get", "/c/{collection}/sync/pull"),
    ("post", "/c/{collection}/sync/push"),
    ("get", "/c/{collection}/sync/health"),
    ("get", "/c/{collection}/sync/live"),
    ("get", "/c/{collection}/sync/digests"),
    ("get", "/s/{space}/sync/snapshot"),
    ("get", "/s/{space}/sync/pull"),
    ("post", "/s/{space}/sync/push"),
    ("get", "/s/{space}/sync/health"),
    ("get", "/s/{space}/sync/live"),
    ("get", "/s/{space}/sync/digests"),
    ("get", "/s/{space}/c/{collection}/sync/snapshot"),
    ("get", "/s/{space}/c/{collection}/sync/pull"),
    ("post", "/s/{space}/c/{collection}/sync/push"),
    ("get", "/s/{space}/c/{collection}/sync/health"),
    ("get", "/s/{space}/c/{collection}/sync/live"),
    ("get", "/s/{space}/c/{collection}/sync/digests"),
    ("post", "/api/sync/exchange"),
    ("post", "/api/sync/emit"),
    ("get", "/api/sync/rooms"),
    ("get", "/health/live"),
    ("get", "/health/ready"),
    ("get", "/metrics"),
    ("get", "/openapi.json"),
    ("get", "/docs"),
    ("get", "/admin/tokens"),
    ("post", "/admin/tokens"),
    ("patch", "/admin/tokens/{name}"),
    ("delete", "/admin/tokens/{name}"),
    ("post", "/admin/tokens/{name}/rotate"),
    ("get", "/admin/status"),
    ("get", "/admin/backup"),
    ("get", "/admin/spaces/{space}/nodes"),
    ("post", "/admin/spaces/{space}/nodes"),
    ("get", "/admin/spaces/{space}/nodes/{id}"),
    ("put", "/admin/spaces/{space}/nodes/{id}"),
    ("delete", "/admin/spaces/{space}/nodes/{id}"),
    ("post", "/admin/spaces/{space}/nodes/{id}/rotate-token"),
    ("post", "/admin/spaces/{space}/nodes/{id}/expire"),
    ("get", "/admin/spaces/{space}/nodes/{id}/packet"),
    ("post", "/admin/spaces/{space}/packets"),
    ("get", "/admin/spaces/{space}/collections"),
    ("put", "/admin/spaces/{space}/collections/{collection}"),
    ("get", "/admin/spaces/{space}/collections/{collection}/violations"),
    ("get", "/admin/spaces/{space}/conflicts"),
    ("get", "/admin/spaces/{space}/conflicts/{n}"),
    ("post", "/admin/spaces/{space}/conflicts/{n}/restore"),
    ("get", "/admin/spaces/{space}/quarantine"),
    ("get", "/admin/spaces/{space}/quarantine/{n}"),
    ("delete", "/admin/spaces/{space}/quarantine/{n}"),
    ("post", "/admin/spaces/{space}/quarantine/{n}/retry"),
    ("post", "/admin/spaces/{space}/trim"),
];

/// The hub as an axum router, to serve alone or to mount below another one.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    let paths: BTreeSet<&str> = ROUTES.iter().map(|(_, path)| *path).collect();
    for path in paths {
        // The paths of the dialect have open prefixes: the fallback takes them.
        if let Some(handlers) = handlers(path) {
            router = router.route(path, handlers.fallback(move |method| async move { wrong_method(path, &method) }));
        }
    }
    router = router.merge(sockets());
    let compression = CompressionLayer::new().no_br().no_deflate().compress_when(SizeAbove::new(COMPRESS_FROM_BYTES));
    let dialect = Arc::new(Dialect::new(Arc::clone(&app)));
    let cors = cors::layer(&app.options.cors_origins);
    router
        .fallback(move |request| {
            let dialect = Arc::clone(&dialect);
            async move { dialect.serve(request).await }
        })
        .layer(compression)
        .layer(tower::util::option_layer(cors))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), frame::frame))
        .with_state(app)
}

/// The paths of live connections alone, for an application that has all others itself.
pub(crate) fn socket_router(app: Arc<App>) -> Router {
    sockets().layer(axum::middleware::from_fn_with_state(Arc::clone(&app), frame::frame)).with_state(app)
}

fn sockets() -> Router<Arc<App>> {
    let serve = || any(|State(app): State<Arc<App>>, request| async move { app.door.serve(request).await });
    socket::PATHS.iter().fold(Router::new(), |router, path| router.route(path, serve()))
}

fn handlers(path: &str) -> Option<MethodRouter<Arc<App>>> {
    Some(match path {
        "/health/live" => get(state::live),
        "/health/ready" => get(state::ready),
        "/metrics" => get(state::metrics),
        "/openapi.json" => get(docs::openapi),
        "/docs" => get(docs::page),
        "/admin/tokens" => get(admin::tokens::list).post(admin::tokens::add),
        "/admin/tokens/{name}" => patch(admin::tokens::change).delete(admin::tokens::remove),
        "/admin/tokens/{name}/rotate" => post(admin::tokens::rotate),
        "/admin/backup" => get(admin::backup::take),
        "/admin/status" => get(admin::spaces::status),
        "/api/sync/exchange" => post(exchange::post),
        "/api/sync/emit" => post(rooms::emit),
        "/api/sync/rooms" => get(rooms::list),
        "/admin/spaces/{space}/nodes" => get(admin::nodes::list).post(admin::nodes::register),
        "/admin/spaces/{space}/nodes/{id}" => {
            get(admin::nodes::show).put(admin::nodes::change).delete(admin::nodes::remove)
        }
        "/admin/spaces/{space}/nodes/{id}/expire" => post(admin::nodes::expire),
        "/admin/spaces/{space}/nodes/{id}/rotate-token" => post(admin::nodes::rotate),
        "/admin/spaces/{space}/nodes/{id}/packet" => get(admin::nodes::export),
        "/admin/spaces/{space}/packets" => post(admin::nodes::import),
        "/admin/spaces/{space}/collections" => get(admin::rules::list),
        "/admin/spaces/{space}/collections/{collection}" => put(admin::rules::set),
        "/admin/spaces/{space}/collections/{collection}/violations" => get(admin::rules::violations),
        "/admin/spaces/{space}/conflicts" => get(admin::kept::conflicts),
        "/admin/spaces/{space}/conflicts/{n}" => get(admin::kept::conflict),
        "/admin/spaces/{space}/conflicts/{n}/restore" => post(admin::kept::restore),
        "/admin/spaces/{space}/quarantine" => get(admin::kept::quarantine),
        "/admin/spaces/{space}/quarantine/{n}" => get(admin::kept::quarantined).delete(admin::kept::discard),
        "/admin/spaces/{space}/quarantine/{n}/retry" => post(admin::kept::retry),
        "/admin/spaces/{space}/trim" => post(admin::spaces::trim),
        _ => return None,
    })
}

fn wrong_method(path: &str, method: &Method) -> Response {
    let listed = ROUTES.iter().filter(|(_, listed)| *listed == path);
    let allowed = listed.map(|(method, _)| method.to_uppercase()).collect::<Vec<_>>().join(", ");
    ServerError::Method { method: method.to_string(), allowed }.into_response()
}
