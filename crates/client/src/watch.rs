//! Live queries as streams (step 10 of the life of a change).

use crate::error::Result;
use crate::find;
use crate::query::Query;
use crate::store::{Store, Watcher};
use futures_util::{Stream, StreamExt, stream};
use serde_json::Value;
use std::sync::{Arc, Weak};
use syncline_core::model::CollectionName;
use tokio_stream::wrappers::WatchStream;

/// The answer now, and whenever it has changed. A stream keeps no database open: it ends with it.
pub(crate) fn answers(
    store: Arc<Store>,
    collection: CollectionName,
    query: Query,
) -> Result<impl Stream<Item = Result<Vec<Value>>> + Send + Unpin + 'static> {
    let (watcher, bell) = Watcher::new(collection, query);
    store.write(|unit| {
        unit.watch(watcher.clone());
        Ok(())
    })?;
    let live = Live {
        store: Arc::downgrade(&store),
        watcher: Arc::downgrade(&watcher),
        bell: WatchStream::new(bell),
        last: None,
    };
    Ok(stream::unfold(Some(live), async |live| live?.next().await).boxed())
}

/// One live query between two answers.
struct Live {
    store: Weak<Store>,
    watcher: Weak<Watcher>,
    bell: WatchStream<u64>,
    last: Option<Vec<Value>>,
}

impl Live {
    /// The next answer that differs, and what is left of the query: nothing after an error.
    async fn next(mut self) -> Option<(Result<Vec<Value>>, Option<Live>)> {
        loop {
            self.bell.next().await?;
            match self.answer()? {
                Ok(found) if self.last.as_ref() == Some(&found) => {}
                Ok(found) => {
                    self.last = Some(found.clone());
                    return Some((Ok(found), Some(self)));
                }
                Err(error) => return Some((Err(error), None)),
            }
        }
    }

    /// `None`: the database is gone.
    fn answer(&self) -> Option<Result<Vec<Value>>> {
        let (store, watcher) = (self.store.upgrade()?, self.watcher.upgrade()?);
        let read = store.view(|view| find::run(view, &watcher.collection, &watcher.query));
        Some(read.map(|answer| {
            if let Some(at) = answer.stands_until {
                store.ring_at(&watcher, at);
            }
            answer.documents
        }))
    }
}
