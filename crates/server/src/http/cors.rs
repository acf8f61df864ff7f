//! Which pages of other origins may call the hub.

use crate::app::SYNC_TOKEN;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// `None` when no origin is set: then no request pays for the check.
pub(super) fn layer(origins: &[String]) -> Option<CorsLayer> {
    let allow = match origins {
        [] => return None,
        [all] if all == "*" => AllowOrigin::any(),
        list => AllowOrigin::list(list.iter().filter_map(|origin| HeaderValue::from_str(origin).ok())),
    };
    let id = HeaderName::from_static("x-request-id");
    let layer = CorsLayer::new()
        .allow_origin(allow)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, id.clone(), HeaderName::from_static(SYNC_TOKEN)])
        .expose_headers([id, axum::http::header::RETRY_AFTER]);
    Some(layer)
}
