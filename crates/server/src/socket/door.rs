//! Where live connections come in and how they are closed.

use super::admission::{Admission, Admitted};
use super::connection::Connection;
use super::farewell::Farewell;
use super::hall::{Hall, House, Sessions};
use super::listener::Listener;
use super::refusal::Refusal;
use super::rules::Rules;
use super::session::{Session, Transport};
use super::sid::Sid;
use super::websocket::WebSocket;
use super::{packet, polling, rounds};
use crate::auth::Handshake;
use crate::error::ServerError;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The paths of Socket.IO; clients write it with the slash unless they are told otherwise.
pub const PATHS: [&str; 2] = ["/socket.io/", "/socket.io"];

/// The door for live connections.
pub struct Door {
    pub(super) hall: Arc<Hall>,
    admission: Admission,
}

impl Door {
    /// Must be called inside a Tokio runtime.
    pub(crate) fn new(house: House, listeners: Vec<Arc<dyn Listener>>, rules: Rules) -> Door {
        let admission = Admission::new(rules.live.connections, Arc::clone(&rules.meters));
        let closing = house.hub.closing();
        let hall = Arc::new(Hall { house, rules: Arc::new(rules), listeners, sessions: Sessions::default() });
        tokio::spawn(rounds::go(Arc::downgrade(&hall), closing));
        Door { hall, admission }
    }

    /// Serves a request on one of [`PATHS`].
    pub async fn serve(&self, request: Request) -> Response {
        self.answer(request).await.unwrap_or_else(IntoResponse::into_response)
    }

    async fn answer(&self, request: Request) -> Result<Response, Refusal> {
        let (transport, sid) = asked(&request)?;
        match (transport, request.method(), sid) {
            (Transport::Polling, &Method::GET, None) => self.open(&request),
            (_, &Method::GET, None) => self.open_websocket(request),
            (_, _, None) => Err(Refusal::BadMethod),
            (Transport::Polling, &Method::GET, Some(sid)) => polling::fetch(&*self.find(sid, false)?).await,
            (Transport::Polling, &Method::POST, Some(sid)) => {
                polling::post(&self.hall, &self.find(sid, true)?, request).await
            }
            (Transport::WebSocket, &Method::GET, Some(sid)) => self.change(sid, request),
            _ => Err(Refusal::Bad("a connection is used by GET and POST")),
        }
    }

    /// A connection; where it must be alive, not one of which only what was sent before its end is left.
    fn find(&self, sid: Sid, alive: bool) -> Result<Arc<Connection>, Refusal> {
        let found = self.hall.sessions.find(sid).filter(|connection| !alive || !connection.has_ended());
        found.ok_or(Refusal::UnknownSession)
    }

    fn open(&self, request: &Request) -> Result<Response, Refusal> {
        let connection = self.connect(Transport::Polling, self.handshake(request), self.admit()?)?;
        let open = packet::open(connection.sid, &["websocket"], &connection.rules);
        tokio::spawn(polling::keep(Arc::clone(&self.hall), connection));
        Ok(polling::text(polling::body(&[open])))
    }

    fn open_websocket(&self, mut request: Request) -> Result<Response, Refusal> {
        let (upgrade, response) = become_websocket(&mut request)?;
        let connection = self.connect(Transport::WebSocket, self.handshake(&request), self.admit()?)?;
        connection.say(packet::open(connection.sid, &[], &connection.rules));
        self.run(upgrade, connection);
        Ok(response)
    }

    /// A connection that polls tries a WebSocket.
    fn change(&self, sid: Sid, mut request: Request) -> Result<Response, Refusal> {
        let connection = self.find(sid, true)?;
        let (upgrade, response) = become_websocket(&mut request)?;
        if !connection.change(Transport::Polling, Transport::Changing) {
            return Err(Refusal::Bad("the connection is a WebSocket, or becomes one"));
        }
        self.run(upgrade, connection);
        Ok(response)
    }

    fn run(&self, upgrade: OnUpgrade, connection: Arc<Connection>) {
        let hall = Arc::clone(&self.hall);
        tokio::spawn(async move {
            match upgrade.await {
                // A task of its own: this one has room for more than is needed from now on.
                Ok(upgraded) => drop(tokio::spawn(WebSocket::new(TokioIo::new(upgraded), hall, connection))),
                Err(_) if connection.transport() == Transport::WebSocket => hall.close(&connection),
                Err(_) => connection.poll_on(),
            }
        });
    }

    fn connect(
        &self,
        transport: Transport,
        handshake: Option<Box<Handshake>>,
        place: Admitted,
    ) -> Result<Arc<Connection>, ServerError> {
        let drawn = |source| ServerError::Io { action: "drawing the id of a connection".to_owned(), source };
        let sid = Sid::draw().map_err(drawn)?;
        let session = Session::new(sid, transport, &self.hall.rules, Some(place));
        let connection = Arc::new(Connection::new(session, handshake));
        if self.hall.sessions.add(&connection) { Ok(connection) } else { Err(ServerError::Closing) }
    }

    /// A copy of what an application decides by: each header of the request holds the whole buffer that it was read into.
    fn handshake(&self, request: &Request) -> Option<Box<Handshake>> {
        self.hall.house.gate.as_ref()?;
        let copy = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
        let headers = request.headers().iter().filter_map(|(name, value)| Some((name.clone(), copy(value)?)));
        let uri = request.uri().to_string().parse().unwrap_or_default();
        Some(Box::new(Handshake { headers: headers.collect(), uri, auth: String::new() }))
    }

    /// A place for one more live connection, which is its for as long as it is held.
    ///
    /// # Errors
    /// [`ServerError::Overloaded`].
    pub(crate) fn admit(&self) -> Result<Admitted, ServerError> {
        let what = "it has as many live connections as it may";
        self.admission.take().ok_or(ServerError::Overloaded { what, limit: "live.connections" })
    }

    /// Live connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.admission.taken()
    }

    /// Closes all connections below Socket.IO: its own goodbye (a packet `41`) would tell clients not to come back.
    /// Waits for those that still take what was sent to them, and no longer than `grace`.
    pub async fn close(&self, grace: Duration) {
        self.hang_up();
        if !self.admission.empty(grace).await {
            tracing::warn!(open = self.connections(), "live connections did not end in time (`limits.shutdown_grace`)");
        }
    }

    fn hang_up(&self) {
        self.hall.sessions.all(true).iter().for_each(|connection| connection.end(Farewell::GOING_AWAY));
    }
}

impl Drop for Door {
    /// What hangs on connections does not keep the hub alive.
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// By what a request wants to be connected, and as whom.
fn asked(request: &Request) -> Result<(Transport, Option<Sid>), Refusal> {
    let query = request.uri().query().ok_or(Refusal::UnknownTransport)?;
    let find = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    if find("EIO") != Some("4") {
        return Err(Refusal::UnknownVersion);
    }
    let sid = find("sid").map(|sid| Sid::parse(sid).ok_or(Refusal::UnknownSession)).transpose()?;
    match find("transport") {
        Some("polling") => Ok((Transport::Polling, sid)),
        Some("websocket") => Ok((Transport::WebSocket, sid)),
        _ => Err(Refusal::UnknownTransport),
    }
}

/// What the connection of a request becomes, and the answer that makes it so.
fn become_websocket(request: &mut Request) -> Result<(OnUpgrade, Response), Refusal> {
    let accept = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let accept = accept.and_then(|accept| HeaderValue::from_str(&accept).ok());
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (Some(accept), Some(upgrade)) = (accept, upgrade) else {
        return Err(Refusal::Bad("it is no WebSocket handshake, or something on the way took that out"));
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok((upgrade, response))
}
