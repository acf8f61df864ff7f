//! Where live connections come in and how they are closed.

use super::admission::{Admission, Admitted};
use super::greeting::{CONNECT_TIMEOUT, Greeting};
use super::guests::Guests;
use super::house::House;
use super::listener::Listener;
use super::packets::{ATTACHMENTS_MAX, Way};
use super::rules::Rules;
use super::side::Side;
use super::wire::GoWith;
use super::{guests, opening, posts, rounds};
use crate::error::ServerError;
use crate::options::LiveOptions;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use socketioxide::handler::ConnectHandler;
use socketioxide::service::SocketIoService;
use socketioxide::socket::Sid;
use socketioxide::{ParserConfig, SocketIo};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tower::ServiceExt;

/// The paths of Socket.IO; clients write it with the slash unless they are told otherwise.
pub const PATHS: [&str; 2] = ["/socket.io/", "/socket.io"];

/// Small: a connection that only listens costs little, and few messages of clients are longer.
const READ_BUFFER_BYTES: usize = 128;

/// The door for live connections.
pub struct Door {
    io: SocketIo,
    service: SocketIoService<Router>,
    admission: Admission,
    /// Whether an application decides by the headers of a request.
    shows_headers: bool,
    rules: Arc<Rules>,
    /// What hangs on connections does not keep the hub alive, nor the list of who is in.
    house: Arc<House>,
    guests: Arc<Guests>,
}

impl Door {
    /// Must be called inside a Tokio runtime.
    pub(crate) fn new(house: House, listeners: Arc<[Arc<dyn Listener>]>, options: &LiveOptions) -> Door {
        let house = Arc::new(house);
        let rules = Arc::new(rules(&house, options));
        // Attachments would be held until the last has come, and nobody here understands them.
        let parser =
            ParserConfig::common().max_incoming_binaries(ATTACHMENTS_MAX).max_incoming_binary_buf_size(1 << 20);
        let (service, io) = SocketIo::builder()
            .ping_interval(options.ping_interval)
            .ping_timeout(options.ping_timeout)
            .connect_timeout(CONNECT_TIMEOUT)
            .max_buffer_size(rules.queued)
            .max_payload(options.message_bytes as u64)
            .ws_max_message_size(options.message_bytes)
            .ws_max_frame_size(options.message_bytes)
            .ws_read_buffer_size(READ_BUFFER_BYTES)
            .with_parser(parser)
            .build_with_inner_svc(Router::new());
        let guests = Arc::new(Guests::new(service.clone()));
        let greeting = Greeting {
            house: Arc::downgrade(&house),
            guests: Arc::downgrade(&guests),
            listeners: Arc::clone(&listeners),
        };
        io.ns("/", (async || ()).with(greeting.clone()));
        // After a close the namespace is gone, and who connects then would be refused for good by the library.
        io.dyn_ns("/", (async || ()).with(greeting)).expect("no other dynamic namespace is in its way");
        tokio::spawn(rounds::go(Arc::downgrade(&house), Arc::downgrade(&guests), listeners, house.hub.closing()));
        let admission = Admission::new(options.connections, Arc::clone(&house.meters));
        let shows_headers = house.gate.is_some();
        Door { io, service, admission, shows_headers, rules, house, guests }
    }

    /// Serves a request on one of [`PATHS`].
    pub async fn serve(&self, mut request: Request) -> Response {
        let (session, accept) = (session(&request), opening::websocket_accept(&request));
        let mut place = None;
        if session.is_none() {
            if self.rules.closing.load(Ordering::Acquire) {
                return ServerError::Closing.into_response();
            }
            place = match self.admit() {
                Ok(place) => Some(place),
                Err(refusal) => return refusal.into_response(),
            };
            request = opening::slim(request, |_| self.shows_headers);
        }
        let sid = session.and_then(|sid| sid.parse::<Sid>().ok());
        if let Some(accept) = accept {
            return self.open_websocket(request, accept, sid, place);
        }
        if let Some(place) = place {
            request.extensions_mut().insert(place);
        }
        // Nobody becomes a WebSocket past the door.
        request.extensions_mut().remove::<OnUpgrade>();
        let (found, posts) = (posts::Found::default(), request.method() == Method::POST);
        if posts {
            let known = sid.is_some_and(|sid| self.guests.is_in(sid));
            request = match posts::bounded(request, &self.house, known, found.clone()) {
                Ok(request) => request,
                Err(refusal) => return refusal.into_response(),
            };
        }
        match self.service.clone().oneshot(request).await {
            Ok(response) => {
                if posts && response.status().is_success() && found.get().is_none() && !self.is_open(sid).await {
                    found.get_or_init(|| posts::UNREADABLE);
                }
                posts::told(response.into_response(), &found)
            }
            Err(never) => match never {},
        }
    }

    /// Whether a connection polls still: the engine ends those whose packets it cannot read, and says nothing.
    async fn is_open(&self, sid: Option<Sid>) -> bool {
        match sid {
            Some(sid) => self.guests.post(sid, "").await.is_success() || self.guests.has_changed(sid),
            None => false,
        }
    }

    /// `sid`: of a connection that polled before.
    fn open_websocket(
        &self,
        mut request: Request,
        accept: HeaderValue,
        sid: Option<Sid>,
        place: Option<Arc<Admitted>>,
    ) -> Response {
        let (side, service) = (Arc::new(Side::new(Arc::clone(&self.rules))), self.service.clone());
        let Some(sid) = sid else {
            if !self.shows_headers {
                *request.uri_mut() = opening::plain_websocket();
            }
            let with = GoWith { _place: place, _alive: None };
            return opening::become_websocket(request, accept, side, Way::WebSocket, with, service);
        };
        self.guests.change(sid, &side);
        let (alive, end) = oneshot::channel();
        tokio::spawn(guests::end_after_change(Arc::downgrade(&self.guests), sid, end));
        // What began by polling has kept its first request.
        let request = opening::slim(request, |_| false);
        let with = GoWith { _place: place, _alive: Some(alive) };
        opening::become_websocket(request, accept, side, Way::Changed, with, service)
    }

    /// A place for one more live connection, which is its for as long as it is held.
    ///
    /// # Errors
    /// [`ServerError::Overloaded`].
    pub(crate) fn admit(&self) -> Result<Arc<Admitted>, ServerError> {
        let what = "it has as many live connections as it may";
        self.admission.take().ok_or(ServerError::Overloaded { what, limit: "live.connections" })
    }

    /// For emits to rooms of the namespace `/`.
    #[must_use]
    pub fn io(&self) -> &SocketIo {
        &self.io
    }

    /// Live connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.admission.taken()
    }

    /// Closes all connections below Socket.IO: its own goodbye (a packet `41`) would tell clients not to come back.
    /// Waits for those that still take what was sent to them, and no longer than `grace`.
    pub async fn close(&self, grace: Duration) {
        self.rules.closing.store(true, Ordering::Release);
        if tokio::time::timeout(grace, self.io.close()).await.is_err() {
            tracing::warn!(open = self.connections(), "live connections did not end in time (`limits.shutdown_grace`)");
        }
    }
}

fn rules(house: &House, options: &LiveOptions) -> Rules {
    Rules {
        queued: options.queued_messages.max(1),
        message_bytes: options.message_bytes,
        ping_timeout: options.ping_timeout,
        body_bytes: Arc::clone(&house.body_bytes),
        meters: Arc::clone(&house.meters),
        closing: AtomicBool::new(false),
    }
}

/// The id of the connection that a request belongs to, if that is open already.
fn session(request: &Request) -> Option<String> {
    let mut parts = request.uri().query()?.split('&');
    parts.find_map(|part| part.strip_prefix("sid=")).map(ToOwned::to_owned)
}
