//! The first request of a connection: what of it stays in memory, and how it becomes a WebSocket. The engine keeps the
//! request for as long as the connection lives, and each of its headers is a piece of the buffer that it was read into:
//! it gets copies.

use super::packets::Way;
use super::side::Side;
use super::wire::{GoWith, Wire};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use futures_util::future::OptionFuture;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use socketioxide::service::SocketIoService;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tower::ServiceExt;

/// What the engine has to know of a request that opens a WebSocket.
const OPENS: &str = "/socket.io/?EIO=4&transport=websocket";

/// The same for all: where nobody asks for the request, it costs nothing to keep.
pub(super) fn plain_websocket() -> Uri {
    Uri::from_static(OPENS)
}

/// The request as it may be kept, with those of its headers that are wanted.
pub(super) fn slim<B>(request: Request<B>, wanted: impl Fn(&HeaderName) -> bool) -> Request<B> {
    let (mut parts, body) = request.into_parts();
    let mut slim = Request::new(body);
    *slim.method_mut() = parts.method;
    *slim.uri_mut() = Uri::try_from(parts.uri.to_string()).unwrap_or_default();
    for (name, value) in parts.headers.iter().filter(|(name, _)| wanted(name)) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            slim.headers_mut().append(name.clone(), value);
        }
    }
    if let Some(upgrade) = parts.extensions.remove::<OnUpgrade>() {
        slim.extensions_mut().insert(upgrade);
    }
    slim
}

/// The answer to the key of a request that becomes a WebSocket, where nothing is wrong with it; any other
/// request is the engine's to answer.
pub(super) fn websocket_accept(request: &Request) -> Option<HeaderValue> {
    let query = |part: &str| request.uri().query().is_some_and(|query| query.split('&').any(|one| one == part));
    let opens = request.method() == Method::GET && query("EIO=4") && query("transport=websocket");
    let key = request.headers().get(SEC_WEBSOCKET_KEY)?;
    let upgradable = request.extensions().get::<OnUpgrade>().is_some();
    (opens && upgradable).then(|| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok())?
}

/// Makes the WebSocket and hands it to the engine, with the side entrance of its bytes. Whoever asks the engine for the
/// request that opened the connection finds that in its extensions.
pub(super) fn become_websocket(
    request: Request,
    accept: HeaderValue,
    side: Arc<Side>,
    way: Way,
    with: GoWith,
    service: SocketIoService<Router>,
) -> Response {
    let mut request = request.map(drop);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    request.extensions_mut().insert(Arc::clone(&side));
    tokio::spawn(async move {
        // A client that has gone meanwhile needs nothing.
        let Some(Ok(upgraded)) = OptionFuture::from(upgrade).await else { return };
        // Boxed: the engine moves it from future to future, and each keeps room for it.
        let wire = Box::new(Wire::new(TokioIo::new(upgraded), side, way, with));
        if let Err(error) = service.oneshot((wire, request)).await {
            tracing::debug!(%error, "a live connection did not begin");
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}
