//! Who hears of the events of sync: callbacks, streams and the log. A listener that panics, blocks a
//! stream or falls behind harms only itself.

use super::options::{LogLevel, LoggingOptions};
use crate::sync_error::SyncError;
use futures_util::stream::{BoxStream, Stream, StreamExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use syncline_core::model::CollectionName;
use syncline_core::session::SyncEvent;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// A stream that falls behind by more events than this misses the oldest ones.
const STREAM_EVENTS: usize = 1_024;

type Callback = Arc<dyn Fn(&SyncEvent) + Send + Sync>;

/// Names a callback, to take it away again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerId(u64);

/// All listeners of a database. They outlive every enabling and disabling of sync.
pub(super) struct Listeners {
    callbacks: Mutex<Callbacks>,
    streams: broadcast::Sender<SyncEvent>,
}

#[derive(Default)]
struct Callbacks {
    last: u64,
    all: Vec<Listener>,
}

struct Listener {
    id: ListenerId,
    /// An event's name, or `*`.
    event: String,
    collection: Option<CollectionName>,
    callback: Callback,
}

impl Default for Listeners {
    fn default() -> Self {
        Listeners { callbacks: Mutex::default(), streams: broadcast::Sender::new(STREAM_EVENTS) }
    }
}

/// Whether a listener of this collection (`None`: of all) wants the event.
fn concerns(listener: Option<&CollectionName>, event: &SyncEvent) -> bool {
    match (listener, event.collection()) {
        (Some(wanted), Some(actual)) => wanted == actual,
        _ => true,
    }
}

impl Listeners {
    /// Calls back for every event of this name (`*`: every event).
    ///
    /// # Errors
    /// [`SyncError::UnknownEvent`].
    pub(super) fn add(
        &self,
        event: &str,
        collection: Option<CollectionName>,
        callback: impl Fn(&SyncEvent) + Send + Sync + 'static,
    ) -> Result<ListenerId, SyncError> {
        if event != "*" && !SyncEvent::NAMES.contains(&event) {
            return Err(SyncError::UnknownEvent { event: event.to_owned() });
        }
        let mut callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        callbacks.last += 1;
        let id = ListenerId(callbacks.last);
        callbacks.all.push(Listener { id, event: event.to_owned(), collection, callback: Arc::new(callback) });
        Ok(id)
    }

    /// Takes a callback away; `false`: it was not there.
    pub(super) fn remove(&self, id: ListenerId) -> bool {
        let mut callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        let before = callbacks.all.len();
        callbacks.all.retain(|listener| listener.id != id);
        callbacks.all.len() < before
    }

    /// Events from now on.
    pub(super) fn stream(&self, collection: Option<CollectionName>) -> SyncEvents {
        let events = BroadcastStream::new(self.streams.subscribe());
        let wanted = events.filter_map(move |event| {
            let event = event.ok().filter(|event| concerns(collection.as_ref(), event));
            async move { event }
        });
        SyncEvents { events: wanted.boxed() }
    }

    /// Tells everybody.
    pub(super) fn tell(&self, event: &SyncEvent, logging: LoggingOptions) {
        log(event, logging);
        // Nobody listening is no error.
        let _ = self.streams.send(event.clone());
        let callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: Vec<Callback> = callbacks
            .all
            .iter()
            .filter(|listener| listener.event == "*" || listener.event == event.name())
            .filter(|listener| concerns(listener.collection.as_ref(), event))
            .map(|listener| listener.callback.clone())
            .collect();
        // A callback may add and take away listeners itself.
        drop(callbacks);
        for callback in wanted {
            if catch_unwind(AssertUnwindSafe(|| callback(event))).is_err() {
                tracing::error!(target: "syncline::sync", event = event.name(), "a listener panicked");
            }
        }
    }
}

fn level(event: &SyncEvent) -> LogLevel {
    match event {
        SyncEvent::Error { .. } => LogLevel::Error,
        SyncEvent::Conflict(_) | SyncEvent::Quarantine(_) => LogLevel::Warn,
        SyncEvent::InitialStart
        | SyncEvent::InitialComplete { .. }
        | SyncEvent::Success { activity_detected: true, .. } => LogLevel::Info,
        _ => LogLevel::Debug,
    }
}

fn log(event: &SyncEvent, logging: LoggingOptions) {
    let level = level(event);
    if !logging.enabled || level > logging.level {
        return;
    }
    let (name, payload) = (event.name(), event.payload());
    match level {
        LogLevel::Error => tracing::error!(target: "syncline::sync", %payload, "{name}"),
        LogLevel::Warn => tracing::warn!(target: "syncline::sync", %payload, "{name}"),
        LogLevel::Info => tracing::info!(target: "syncline::sync", %payload, "{name}"),
        LogLevel::Debug => tracing::debug!(target: "syncline::sync", %payload, "{name}"),
    }
}

/// Events of sync as a stream. It never ends while the database is open, and holds at most 1,024
/// events: a reader that falls further behind misses the oldest.
pub struct SyncEvents {
    events: BoxStream<'static, SyncEvent>,
}

impl Stream for SyncEvents {
    type Item = SyncEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<SyncEvent>> {
        self.events.as_mut().poll_next(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use syncline_core::model::{DocId, Lsn, Verdict};
    use syncline_core::session::Conflict;

    const SILENT: LoggingOptions = LoggingOptions { enabled: false, level: LogLevel::Info };

    fn conflict(collection: &str) -> SyncEvent {
        SyncEvent::Conflict(Conflict {
            collection: CollectionName::new(collection).unwrap(),
            id: DocId::new("d").unwrap(),
            result: Verdict::Merged,
            lsn: Lsn(1),
        })
    }

    #[test]
    fn listeners_hear_what_they_asked_for_until_they_leave() {
        let (listeners, heard) = (Listeners::default(), Arc::new(AtomicUsize::new(0)));
        let count = heard.clone();
        let users = CollectionName::new("users").unwrap();
        let id = listeners
            .add("sync:conflict", Some(users), move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            })
            .unwrap();
        listeners.tell(&conflict("posts"), SILENT);
        listeners.tell(&SyncEvent::HeartbeatSuccess, SILENT);
        assert_eq!(heard.load(Ordering::SeqCst), 0);
        listeners.tell(&conflict("users"), SILENT);
        assert!(listeners.remove(id));
        listeners.tell(&conflict("users"), SILENT);
        assert_eq!(heard.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_mistyped_event_is_refused_with_the_names_that_there_are() {
        let told = [SyncEvent::InitialStart, SyncEvent::HeartbeatSuccess, conflict("users")];
        assert!(told.iter().all(|event| SyncEvent::NAMES.contains(&event.name())));
        let refused = Listeners::default().add("sync:erorr", None, |_| {}).unwrap_err().to_string();
        assert!(refused.contains("`sync:erorr`") && refused.contains("sync:error, "), "{refused}");
    }

    #[test]
    fn a_listener_that_panics_harms_only_itself() {
        let (listeners, heard) = (Listeners::default(), Arc::new(AtomicUsize::new(0)));
        let count = heard.clone();
        listeners.add("*", None, |_| panic!("a bug in the application")).unwrap();
        listeners
            .add("*", None, move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            })
            .unwrap();
        listeners.tell(&SyncEvent::HeartbeatSuccess, SILENT);
        assert_eq!(heard.load(Ordering::SeqCst), 1);
    }
}
