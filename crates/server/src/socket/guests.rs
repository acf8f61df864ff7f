//! Who was let in, until nothing of the connection is left; and the ends of their connections that the door holds.

use super::farewell::Farewell;
use super::line::Line;
use super::side::Side;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use socketioxide::service::SocketIoService;
use socketioxide::socket::Sid;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::oneshot;
use tower::ServiceExt;

/// How long the other side has to take the goodbye, and to hang up itself.
const GOODBYE_LASTS: Duration = Duration::from_secs(1);

/// Clients that were let in. The library does not tell of the end of a connection that ends while its client is being
/// let in, nor does it keep the end apart from a message that is being taken in: so the door keeps its own list.
pub(super) struct Guests {
    lines: Mutex<HashMap<Sid, Arc<Line>>>,
    /// Of connections that became WebSockets later; those that began so have theirs in the request.
    sides: Mutex<HashMap<Sid, Weak<Side>>>,
    service: SocketIoService<Router>,
}

impl Guests {
    pub(super) fn new(service: SocketIoService<Router>) -> Guests {
        Guests { lines: Mutex::default(), sides: Mutex::default(), service }
    }

    pub(super) fn enter(&self, line: &Arc<Line>) {
        lock(&self.lines).insert(line.sid, Arc::clone(line));
        if let Some(side) = self.side(line) {
            side.let_in();
        }
    }

    pub(super) fn is_in(&self, sid: Sid) -> bool {
        lock(&self.lines).contains_key(&sid)
    }

    pub(super) fn all(&self) -> Vec<Arc<Line>> {
        lock(&self.lines).values().cloned().collect()
    }

    /// A connection becomes a WebSocket.
    pub(super) fn change(&self, sid: Sid, side: &Arc<Side>) {
        lock(&self.sides).insert(sid, Arc::downgrade(side));
        // Noted first: who is let in meanwhile finds it.
        if self.is_in(sid) {
            side.let_in();
        }
    }

    /// Whether a connection that polled is a WebSocket now.
    pub(super) fn has_changed(&self, sid: Sid) -> bool {
        lock(&self.sides).get(&sid).is_some_and(|side| side.strong_count() > 0)
    }

    /// Those of whose connection nothing is left, nobody who takes in its messages either. They are struck off.
    pub(super) fn gone(&self) -> Vec<Arc<Line>> {
        lock(&self.sides).retain(|_, side| side.strong_count() > 0);
        let mut gone = Vec::new();
        lock(&self.lines).retain(|_, line| {
            let stays = !line.is_gone();
            if !stays {
                gone.push(Arc::clone(line));
            }
            stays
        });
        gone
    }

    /// Ends a connection below Socket.IO: clients come back by themselves.
    pub(super) async fn hang_up(&self, line: &Line, why: Farewell) {
        if let Some(side) = self.side(line) {
            side.cut(why);
        }
        self.end_polling(line.sid).await;
    }

    /// The engine refuses this where the connection is a WebSocket.
    async fn end_polling(&self, sid: Sid) {
        self.post(sid, "1").await;
    }

    /// Says to the engine what the client of a polling connection would.
    pub(super) async fn post(&self, sid: Sid, packets: &'static str) -> StatusCode {
        let path = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        let post = Request::post(path).body(Body::from(packets)).expect("the path is one");
        match self.service.clone().oneshot(post).await {
            Ok(response) => response.status(),
            Err(never) => match never {},
        }
    }

    fn side(&self, line: &Line) -> Option<Arc<Side>> {
        line.side.clone().or_else(|| lock(&self.sides).get(&line.sid)?.upgrade())
    }
}

/// Ends a polling connection whose change to a WebSocket failed: the engine would never ask it again whether it lives.
pub(super) async fn end_after_change(guests: Weak<Guests>, sid: Sid, end: oneshot::Receiver<Infallible>) {
    let _ = end.await;
    if let Some(guests) = guests.upgrade() {
        guests.end_polling(sid).await;
    }
}

/// Ends what is left of a connection after its goodbye, of whichever side: it would keep its place. Unless its client
/// was let in once more over it.
pub(super) async fn see_off(guests: Weak<Guests>, line: Arc<Line>) {
    tokio::time::sleep(GOODBYE_LASTS).await;
    let Some(guests) = guests.upgrade() else { return };
    let came_back = lock(&guests.lines).get(&line.sid).is_some_and(|now| !Arc::ptr_eq(now, &line));
    if !came_back {
        guests.hang_up(&line, Farewell::LEFT).await;
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
