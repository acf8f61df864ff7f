//! What changed for one foreign client, as the fewest ops that bring it to the present state.

use super::super::Asked;
use super::super::query::malformed;
use super::cursor::{self, Position};
use super::encode::{Envelope, PullEncoder, Watch};
use super::lists::Since;
use super::readers::Visit;
use super::{Foreign, StreamKey, rows};
use crate::app::Slot;
use crate::error::ServerError;
use crate::hub::Reading;
use crate::store::{Scan, Scanned};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::Either;
use futures_util::{Stream, StreamExt, stream};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::model::{Lsn, Millis};
use syncline_core::wire::wise::{Holding, IsoTimes};
use tokio::time::Instant;

/// `GET …/sync/pull`
///
/// # Errors
/// An unreadable position, outside the grant, or those of the store.
pub async fn pull(asked: Asked) -> Result<Response, ServerError> {
    let key = StreamKey::of(&asked)?;
    asked.app.meters.pages.increment(1);
    match asked.query.get("since_lsn") {
        Some(_) => by_position(asked, key).await,
        // What lists say of positions does not say under which view.
        None => {
            asked.grant.check_whole(&key.collection)?;
            as_list(asked, key).await
        }
    }
}

/// 5.6.3 and later.
async fn by_position(asked: Asked, key: StreamKey) -> Result<Response, ServerError> {
    let sent = cursor::read(&asked, &key)?;
    let Position { cursor, ticket, holding } = cursor::resolve(&asked, &key, sent).await?;
    let watch = Follow { foreign: Arc::clone(&asked.foreign), key: key.clone(), cursor, ticket, mark: 0 };
    let reading = read(&asked, &key, holding, Envelope::Object(cursor), watch).await?;
    Ok(answer(reading, asked.slot, Box::new(|| {})))
}

/// 5.6.2 and before.
async fn as_list(asked: Asked, key: StreamKey) -> Result<Response, ServerError> {
    let since = match asked.query.get("since") {
        None => Since::Last,
        Some(text) => match Millis::parse(text) {
            Some(time) => Since::Time(time),
            None => return Err(malformed("since", text, "an ISO 8601 time")),
        },
    };
    let after = asked.foreign.lists.after(&key, since);
    let head = asked.space.head_for(after).await?;
    let after = if after > head.lsn || after < head.horizon { Lsn::ZERO } else { after };
    let told = Arc::new(Mutex::new(Told::default()));
    let watch = Note { told: Arc::clone(&told) };
    let holding = Holding { after, ..Holding::default() };
    let envelope = if since == Since::Last { Envelope::List } else { Envelope::Marked };
    let reading = read(&asked, &key, holding, envelope, watch).await?;
    let foreign = Arc::clone(&asked.foreign);
    let done: Done = Box::new(move || {
        let Told { upto, ops } = *told.lock().unwrap_or_else(PoisonError::into_inner);
        foreign.lists.written(&key, since, (after, upto), ops);
    });
    Ok(answer(reading, asked.slot, done))
}

async fn read(
    asked: &Asked,
    key: &StreamKey,
    holding: Holding,
    envelope: Envelope,
    watch: impl Watch + 'static,
) -> Result<Reading, ServerError> {
    let after = holding.after;
    let earlier = rows::earlier(asked, key);
    let (view, iso) = (key.view.clone(), IsoTimes::default());
    // What a document is made of matters only where the reader may have made it.
    let brief = holding.own.is_empty() && view.is_none();
    let mut encoder =
        PullEncoder { anew: None, more: false, view, holding, envelope, watch, served: Lsn::ZERO, ops: 0, iso };
    if key.view.is_some() {
        if after > Lsn::ZERO && after >= asked.space.head_for(after).await?.horizon {
            let stretch = rows::stretch(asked, key, after).await?;
            let reply = encoder.reply(&stretch, &asked.space.head());
            return Ok(Reading::Whole(reply.into(), Scanned::default()));
        }
        let anew = rows::anew(asked, key, earlier).await?;
        encoder.more = anew.more;
        encoder.anew = Some(anew);
        encoder.holding.after = Lsn::ZERO;
    }
    let scan = Scan::Net { collection: key.collection.clone(), after: encoder.holding.after, brief };
    asked.space.read(scan, Box::new(encoder)).await
}

/// What to do once the last byte was handed to the connection.
pub(super) type Done = Box<dyn FnOnce() + Send>;

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, crate::store::StoreError>> + Send>>;

/// The reply; `done` is called only when all of it was taken.
pub(super) fn answer(reading: Reading, slot: Slot, done: Done) -> Response {
    let chunks = match reading {
        Reading::Whole(bytes, _) => Either::Left(stream::iter([Ok(bytes)])),
        Reading::Parts(parts) => Either::Right(parts.into_stream(slot)),
    };
    let chunks: Chunks = Box::pin(chunks);
    let watched = stream::unfold(Some((chunks, done)), |state| async move {
        let (mut chunks, done) = state?;
        match chunks.next().await {
            Some(Ok(chunk)) => Some((Ok(chunk), Some((chunks, done)))),
            Some(Err(error)) => Some((Err(error), None)),
            None => {
                done();
                None
            }
        }
    });
    // Compressing bodies ask again after the end.
    let watched = watched.fuse();
    crate::answer::with_type(Body::from_stream(watched), "application/json")
}

/// Follows a device by its cursors.
struct Follow {
    foreign: Arc<Foreign>,
    key: StreamKey,
    cursor: Lsn,
    ticket: bool,
    mark: u64,
}

impl Watch for Follow {
    fn begins(&mut self, served: Lsn, head: Lsn) {
        let visit = Visit { cursor: self.cursor, ticket: self.ticket, served, head };
        self.mark = self.foreign.readers.visit(&self.key, visit, Instant::now());
    }

    fn ends(&mut self, ops: u64) {
        self.foreign.readers.replied(&self.key, self.mark, ops, Instant::now());
    }
}

/// What a list holds.
#[derive(Clone, Copy, Default)]
struct Told {
    upto: Lsn,
    ops: u64,
}

/// Notes how far a list reaches.
struct Note {
    told: Arc<Mutex<Told>>,
}

impl Watch for Note {
    fn begins(&mut self, served: Lsn, _head: Lsn) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).upto = served;
    }

    fn ends(&mut self, ops: u64) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).ops = ops;
    }
}
