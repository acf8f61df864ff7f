//! Who was let in, until nothing of the connection is left; and the ends of their connections that the door holds.

use super::cord::Cord;
use super::line::Line;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
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
    cords: Mutex<HashMap<Sid, Weak<Cord>>>,
    service: SocketIoService<Router>,
}

impl Guests {
    pub(super) fn new(service: SocketIoService<Router>) -> Guests {
        Guests { lines: Mutex::default(), cords: Mutex::default(), service }
    }

    pub(super) fn enter(&self, line: &Arc<Line>) {
        lock(&self.lines).insert(line.sid, Arc::clone(line));
        if let Some(cord) = self.cord(line) {
            cord.let_in();
        }
    }

    pub(super) fn is_in(&self, sid: Sid) -> bool {
        lock(&self.lines).contains_key(&sid)
    }

    pub(super) fn all(&self) -> Vec<Arc<Line>> {
        lock(&self.lines).values().cloned().collect()
    }

    /// The cord of a connection that becomes a WebSocket.
    pub(super) fn change(&self, sid: Sid) -> Arc<Cord> {
        let cord = Arc::<Cord>::default();
        lock(&self.cords).insert(sid, Arc::downgrade(&cord));
        // Noted first: who is let in meanwhile finds it.
        if self.is_in(sid) {
            cord.let_in();
        }
        cord
    }

    /// Those of whose connection nothing is left, nobody who takes in its messages either. They are struck off.
    pub(super) fn gone(&self) -> Vec<Arc<Line>> {
        lock(&self.cords).retain(|_, cord| cord.strong_count() > 0);
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
    pub(super) async fn hang_up(&self, line: &Line) {
        if let Some(cord) = self.cord(line) {
            cord.cut();
        }
        self.end_polling(line.sid).await;
    }

    /// The engine refuses this where the connection is a WebSocket.
    async fn end_polling(&self, sid: Sid) {
        let close = Request::post(format!("/socket.io/?EIO=4&transport=polling&sid={sid}")).body(Body::from("1"));
        if let Ok(close) = close {
            let _ = self.service.clone().oneshot(close).await;
        }
    }

    fn cord(&self, line: &Line) -> Option<Arc<Cord>> {
        line.cord.clone().or_else(|| lock(&self.cords).get(&line.sid)?.upgrade())
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
        guests.hang_up(&line).await;
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
