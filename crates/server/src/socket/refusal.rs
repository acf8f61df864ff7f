//! Requests that are not taken: what Engine.IO refuses, as its servers tell it (400 with a number and a text), and what the hub
//! does.

use crate::error::ServerError;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Why a request is not taken.
pub(super) enum Refusal {
    /// Neither polling nor a WebSocket.
    UnknownTransport,
    /// No connection has this id, or none any more.
    UnknownSession,
    /// A connection is opened by GET.
    BadMethod,
    /// Something is wrong with it.
    Bad(&'static str),
    /// A body over the limit.
    TooLarge,
    /// Not Engine.IO 4.
    UnknownVersion,
    /// For a reason of the hub's; the same may be sent later.
    PutOff(ServerError),
}

impl From<ServerError> for Refusal {
    fn from(why: ServerError) -> Refusal {
        Refusal::PutOff(why)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let bad = |why: &str| (json!(3), format!("Bad request: {why}"));
        let fixed = |code: &str, message: &str| (Value::from(code), message.to_owned());
        let mut status = StatusCode::BAD_REQUEST;
        let (code, message) = match self {
            Refusal::PutOff(why) => return why.into_response(),
            Refusal::UnknownTransport => fixed("0", "Transport unknown"),
            Refusal::UnknownSession => fixed("1", "Session ID unknown"),
            Refusal::BadMethod => fixed("2", "Bad handshake method"),
            Refusal::Bad(why) => bad(why),
            Refusal::TooLarge => {
                status = StatusCode::PAYLOAD_TOO_LARGE;
                bad("the body is over the limit (`live.message_bytes`)")
            }
            Refusal::UnknownVersion => fixed("5", "Unsupported protocol version"),
        };
        (status, Json(json!({ "code": code, "message": message }))).into_response()
    }
}
