//! Decides who comes in. A refused client hears why (CONNECT_ERROR) and neither sends nor receives.

use super::connection::Connection;
use super::farewell::Farewell;
use super::hall::{Hall, House};
use super::line::{Caller, Line};
use crate::auth::{Access, Gate, Handshake};
use crate::error::ServerError;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use syncline_core::model::{Kind, SpaceName};

/// Until a refused client hears so. What it sends meanwhile is not looked at: it cannot try tokens by the thousand.
const REFUSAL_TAKES: Duration = Duration::from_millis(200);

/// What a client shows with CONNECT, as JSON text. A token has some hundred bytes, one of an application some thousand.
const AUTH_BYTES_MAX: usize = 16 << 10;

/// What clients send with CONNECT; anything else counts as nothing.
#[derive(Default, Deserialize)]
struct Auth {
    token: Option<serde_json::Value>,
    space: Option<serde_json::Value>,
}

/// Takes up a CONNECT, and answers it on a task of its own: an application may take its time, and pings go on meanwhile.
pub(super) fn greet(hall: &Arc<Hall>, connection: &Arc<Connection>, auth: &str) {
    if !connection.ask() {
        return;
    }
    let (hall, connection, auth) = (Arc::clone(hall), Arc::clone(connection), auth.to_owned());
    tokio::spawn(async move {
        if *hall.house.hub.leaving().borrow() {
            // A refusal would be taken for the last word.
            return connection.end(Farewell::GOING_AWAY);
        }
        match admit(&hall.house, &connection, auth).await {
            Ok(caller) => hall.enter(&connection, Line::new(caller, &connection.session)),
            Err(error) => {
                hall.rules.meters.refused(error.code());
                tokio::time::sleep(REFUSAL_TAKES).await;
                connection.refuse(&refusal(&error));
            }
        }
    });
}

/// Anybody may send it: it is measured before it is looked into.
fn read(auth: &str) -> Result<Auth, ServerError> {
    if auth.len() > AUTH_BYTES_MAX {
        let reason = format!("`auth` has {} bytes; a token and a space fit in {AUTH_BYTES_MAX}", auth.len());
        return Err(ServerError::bad("auth_too_large", reason));
    }
    Ok(serde_json::from_str(auth).unwrap_or_default())
}

fn named_space(sent: Option<&serde_json::Value>) -> Result<Option<SpaceName>, ServerError> {
    match sent {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(name)) => Ok(Some(SpaceName::new(name)?)),
        Some(_) => Err(ServerError::bad("malformed_space", "`space` in `auth` is the name of a space, or left out")),
    }
}

async fn admit(house: &House, connection: &Connection, sent: String) -> Result<Caller, ServerError> {
    let auth = read(&sent)?;
    if let Some(gate) = &house.gate {
        return admit_by(gate, house, connection, sent, auth).await;
    }
    let grant = match auth.token {
        None | Some(serde_json::Value::Null) if house.anonymous => None,
        None | Some(serde_json::Value::Null) => {
            return Err(ServerError::Unauthorized { reason: TOKEN_REQUIRED });
        }
        Some(token) => Some(house.tokens.authenticate_secret(token.as_str().unwrap_or_default().as_bytes()).await?),
    };
    let space = match &grant {
        Some(grant) => {
            grant.check_dialect()?;
            let named = named_space(auth.space.as_ref())?;
            let access = if grant.check_access(Access::Read).is_ok() { Access::Read } else { Access::Write };
            house.hub.space(grant.choose_space(named.as_ref(), &house.default_space, access)?).await?
        }
        None => house.hub.space(&house.default_space).await?,
    };
    Ok(Caller { grant, space })
}

/// The application decides.
async fn admit_by(
    gate: &Gate,
    house: &House,
    connection: &Connection,
    sent: String,
    auth: Auth,
) -> Result<Caller, ServerError> {
    let opened_by = connection.handshake.as_deref().cloned().unwrap_or_default();
    let token = auth.token.as_ref().and_then(|token| token.as_str().map(str::to_owned));
    let reason = if token.is_some() { "the application refused it" } else { TOKEN_REQUIRED };
    let admitted = gate.admit(Handshake { auth: sent, ..opened_by }, token).await;
    let secret = admitted.ok_or(ServerError::Unauthorized { reason })?;
    let grant = house.tokens.authenticate_secret(secret.reveal().as_bytes()).await?;
    let space = house.hub.space(&house.default_space).await?;
    Ok(Caller { grant: Some(grant), space })
}

const TOKEN_REQUIRED: &str = "there is none";

/// The texts that clients of the reference server know, with what they did not say.
fn refusal(error: &ServerError) -> String {
    match error {
        ServerError::Unauthorized { reason: TOKEN_REQUIRED } => "Authentication token required".to_owned(),
        ServerError::Unauthorized { .. } => "Authentication failed".to_owned(),
        error if error.kind() == Kind::Reauthenticate => format!("Authentication failed: {error}"),
        error => format!("Authentication error: {error}"),
    }
}
