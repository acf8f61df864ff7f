//! The time of a connection, on the task that owns it: pings, and how long its client may take to answer one or to come in.

use super::connection::Connection;
use super::farewell::Farewell;
use super::hall::Hall;
use super::session::{Transport, Watched};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

const DEAD: Farewell = Farewell::refused("a ping was not answered in time (`live.ping_timeout`)");

/// The time of one connection.
pub(super) struct Pulse {
    /// When the next ping is due, or the answer to the last.
    at: Instant,
    asked: bool,
    /// Boxed: it must not move.
    sleep: Pin<Box<Sleep>>,
}

impl Pulse {
    pub(super) fn start(interval: Duration) -> Pulse {
        let at = Instant::now() + interval;
        Pulse { at, asked: false, sleep: Box::pin(sleep_until(at)) }
    }

    /// Ready when the connection is to end, with how; `None`: it has become a WebSocket, and somebody else's. What has come
    /// was read before, or a hub that had no time would take it for silence.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        hall: &Hall,
        connection: &Connection,
        transport: Transport,
    ) -> Poll<Option<Farewell>> {
        let live = &connection.rules.live;
        loop {
            let watched = connection.watch(cx, transport);
            let Some(Watched { sign, empty_until, end, is_sent_away }) = watched else { return Poll::Ready(None) };
            if end.is_some() {
                return Poll::Ready(end);
            }
            if is_sent_away {
                hall.see_off(connection);
            }
            if sign && self.asked {
                (self.at, self.asked) = (Instant::now() + live.ping_interval, false);
            }
            let at = empty_until.map_or(self.at, |(until, _)| until.min(self.at));
            if self.sleep.deadline() != at {
                self.sleep.as_mut().reset(at);
            }
            ready!(self.sleep.as_mut().poll(cx));
            if let Some((_, why)) = empty_until.filter(|(until, _)| *until <= at) {
                return Poll::Ready(Some(why));
            }
            if self.asked {
                return Poll::Ready(Some(DEAD));
            }
            (self.at, self.asked) = (Instant::now() + live.ping_timeout, true);
            connection.ping();
        }
    }

    /// From now on it is the time of the goodbye.
    pub(super) fn end(&mut self, patience: Duration) {
        self.sleep.as_mut().reset(Instant::now() + patience);
    }

    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep.as_mut().poll(cx)
    }
}
