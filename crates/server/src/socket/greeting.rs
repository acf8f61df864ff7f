//! Decides who comes in. A refused client hears why (CONNECT_ERROR) and neither sends nor receives.

use super::caller::Caller;
use super::ear::Ear;
use super::guests::{Guests, see_off};
use super::house::House;
use super::line::Line;
use super::listener::Listener;
use crate::auth::{Access, Handshake};
use crate::error::ServerError;
use serde::Deserialize;
use socketioxide::adapter::LocalAdapter;
use socketioxide::handler::{ConnectMiddleware, Value};
use socketioxide::socket::{DisconnectReason, Socket};
use std::fmt::Display;
use std::sync::{Arc, Weak};
use std::time::Duration;
use syncline_core::model::{Kind, SpaceName};

/// From the opening of a connection to its CONNECT.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Until a refused client hears so. What it sends meanwhile is not looked at: it cannot try tokens by the thousand.
const REFUSAL_TAKES: Duration = Duration::from_millis(200);

/// What a client shows with CONNECT, as JSON text. A token has some hundred bytes, one of an application some thousand.
const AUTH_BYTES_MAX: usize = 16 << 10;

/// Runs for every CONNECT, before the client is told that it is in: what it sends next finds its handlers.
#[derive(Clone)]
pub(super) struct Greeting {
    pub(super) house: Weak<House>,
    pub(super) guests: Weak<Guests>,
    pub(super) listeners: Arc<[Arc<dyn Listener>]>,
}

/// Tells the compiler which of the library's kinds of middleware this is.
pub(super) struct Direct;

/// What clients send with CONNECT; anything else counts as nothing.
#[derive(Default, Deserialize)]
struct Auth {
    token: Option<serde_json::Value>,
    space: Option<serde_json::Value>,
}

type Outcome = Result<(), Box<dyn Display + Send>>;

impl ConnectMiddleware<LocalAdapter, Direct> for Greeting {
    async fn call<'a>(&'a self, socket: Arc<Socket<LocalAdapter>>, auth: &'a Option<Value>) -> Outcome {
        let Some(house) = self.house.upgrade() else { return Err(Box::new("The hub is shutting down")) };
        if *house.hub.leaving().borrow() {
            // A refusal would be taken for the last word. The engine closes connections that stay without answer,
            // and clients come back after that.
            drop(house);
            tokio::time::sleep(CONNECT_TIMEOUT * 2).await;
            return Err(Box::new("The hub is shutting down"));
        }
        match admit(&house, &socket, auth.as_ref()).await {
            Ok(caller) => {
                let line = Arc::new(Line::new(Arc::new(caller), &socket, Arc::clone(&house.meters)));
                self.attach(line, &socket, &house);
                Ok(())
            }
            Err(error) => {
                house.meters.refused(error.code());
                drop(house);
                tokio::time::sleep(REFUSAL_TAKES).await;
                Err(Box::new(refusal(&error)))
            }
        }
    }
}

impl Greeting {
    fn attach(&self, line: Arc<Line>, socket: &Socket<LocalAdapter>, house: &House) {
        if let Some(guests) = self.guests.upgrade() {
            guests.enter(&line);
        }
        for listener in self.listeners.iter() {
            listener.enter(&line);
        }
        let (leaving, listeners, guests) = (Arc::clone(&line), Arc::clone(&self.listeners), self.guests.clone());
        socket.on_disconnect(move |reason: DisconnectReason| {
            listeners.iter().for_each(|listener| listener.leave(&leaving));
            if matches!(reason, DisconnectReason::ClientNSDisconnect | DisconnectReason::ServerNSDisconnect) {
                tokio::spawn(see_off(guests.clone(), Arc::clone(&leaving)));
            }
            std::future::ready(())
        });
        let (listeners, meters) = (Arc::clone(&self.listeners), Arc::clone(&house.meters));
        socket.on_fallback(Ear::new(line, listeners, house.events_per_second, meters));
    }
}

/// Anybody may send it: it is measured before it is looked into.
fn read(auth: Option<&Value>) -> Result<Auth, ServerError> {
    match auth {
        Some(Value::Str(text, _)) if text.len() > AUTH_BYTES_MAX => {
            let reason = format!("`auth` has {} bytes; a token and a space fit in {AUTH_BYTES_MAX}", text.len());
            Err(ServerError::bad("auth_too_large", reason))
        }
        Some(Value::Str(text, _)) => Ok(serde_json::from_str(text).unwrap_or_default()),
        _ => Ok(Auth::default()),
    }
}

fn named_space(sent: Option<&serde_json::Value>) -> Result<Option<SpaceName>, ServerError> {
    match sent {
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(name)) => Ok(Some(SpaceName::new(name)?)),
        Some(_) => Err(ServerError::bad("malformed_space", "`space` in `auth` is the name of a space, or left out")),
    }
}

async fn admit(house: &House, socket: &Socket<LocalAdapter>, sent: Option<&Value>) -> Result<Caller, ServerError> {
    let auth = read(sent)?;
    if let Some(gate) = &house.gate {
        let parts = socket.req_parts();
        let auth_text = sent.and_then(|sent| sent.as_str()).map(ToString::to_string).unwrap_or_default();
        let handshake = Handshake { headers: parts.headers.clone(), uri: parts.uri.clone(), auth: auth_text };
        let token = auth.token.as_ref().and_then(|token| token.as_str().map(str::to_owned));
        let reason = if token.is_some() { "the application refused it" } else { TOKEN_REQUIRED };
        let secret = gate.admit(handshake, token).await.ok_or(ServerError::Unauthorized { reason })?;
        let grant = house.tokens.authenticate_secret(secret.reveal().as_bytes()).await?;
        let space = house.hub.space(&house.default_space).await?;
        return Ok(Caller { grant: Some(grant), space });
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
