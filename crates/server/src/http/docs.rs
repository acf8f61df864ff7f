//! The description of the interface, for programs and for people.

use crate::answer;
use axum::body::Body;
use axum::response::Response;

const OPENAPI: &str = include_str!("openapi.json");
const PAGE: &str = include_str!("docs.html");

pub(super) async fn openapi() -> Response {
    answer::json_text(OPENAPI)
}

/// One page without anything from elsewhere; it reads `openapi.json` beside it.
pub(super) async fn page() -> Response {
    answer::with_type(Body::from(PAGE), "text/html; charset=utf-8")
}
