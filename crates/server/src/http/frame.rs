//! Around every request: its id, its log line, its counters, and a last net for panics.

use crate::answer::Refused;
use crate::app::App;
use crate::error::ServerError;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_MAX_BYTES: usize = 128;

pub(super) async fn frame(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    // The path never holds a token, and its query may: only the path is logged.
    let told =
        tracing::enabled!(tracing::Level::DEBUG).then(|| (request.method().clone(), request.uri().path().to_owned()));
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response = answered.unwrap_or_else(|panic| panicked(&id, panic.as_ref()));
    let took = started.elapsed();
    app.meters.answered(took);
    let code = response.extensions().get::<Refused>().map(|refused| refused.0);
    if let Some(code) = code {
        app.meters.refused(code);
    }
    let status = response.status().as_u16();
    if response.status().is_server_error() {
        tracing::warn!(request_id = ?id, status, code, ms = took.as_secs_f64() * 1e3, "request failed");
    } else if let Some((method, path)) = told {
        let ms = took.as_secs_f64() * 1e3;
        tracing::debug!(request_id = ?id, %method, path, status, code, ms, "request");
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The caller's id when it is a short visible one, else a new one.
fn request_id(request: &Request) -> HeaderValue {
    let given = request.headers().get(REQUEST_ID);
    let fits = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        !bytes.is_empty() && bytes.len() <= REQUEST_ID_MAX_BYTES && bytes.iter().all(u8::is_ascii_graphic)
    };
    given.filter(fits).cloned().unwrap_or_else(|| {
        let id = format!("{:016x}", fastrand::u64(..));
        HeaderValue::try_from(id).expect("hexadecimal digits are a header value")
    })
}

fn panicked(id: &HeaderValue, panic: &(dyn Any + Send)) -> Response {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(request_id = ?id, panic = text, "a request handler panicked");
    ServerError::Bug(format!("the handler of request {} panicked", id.to_str().unwrap_or("?"))).into_response()
}

#[cfg(test)]
mod tests {
    use super::super::open::open;
    use super::*;
    use crate::options::Options;
    use crate::store::MemoryStore;
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_panic_is_answered_with_the_request_id() {
        let app = open(Arc::new(MemoryStore::default()), Options::default()).await.unwrap();
        let broken = get(|| async {
            if true {
                panic!("a broken invariant")
            }
        });
        let routes = Router::new().route("/broken", broken);
        let framed = routes.layer(axum::middleware::from_fn_with_state(app, frame));
        let request = Request::get("/broken").header("x-request-id", "r7").body(Body::empty()).unwrap();

        let response = framed.oneshot(request).await.unwrap();

        assert_eq!((response.status().as_u16(), response.headers()["x-request-id"].as_bytes()), (500, &b"r7"[..]));
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], "internal");
        assert!(body["error"].as_str().unwrap().contains("r7"));
    }
}
