//! Live queries as streams (step 10 of the life of a change).

use crate::error::Result;
use crate::find;
use crate::query::Query;
use crate::store::{Store, Watcher};
use futures_util::{Stream, StreamExt, future};
use serde_json::Value;
use std::sync::{Arc, Weak};
use syncline_core::model::CollectionName;
use tokio_stream::wrappers::WatchStream;

/// The answer now, and whenever it has changed. A stream keeps no database open: it ends with it.
pub(crate) fn stream(
    store: Arc<Store>,
    collection: CollectionName,
    query: Query,
) -> Result<impl Stream<Item = Vec<Value>> + Send + Unpin + 'static> {
    let (watcher, bell) = Watcher::new(collection, query);
    store.write(|unit| {
        unit.watch(watcher.clone());
        Ok(())
    })?;
    let store = Arc::downgrade(&store);
    let mut last: Option<Vec<Value>> = None;
    let weak_watcher = Arc::downgrade(&watcher);
    let answers = WatchStream::new(bell).map(move |_| answer(&store, &weak_watcher));
    let fresh = answers.take_while(|answer| future::ready(answer.is_some())).filter_map(move |answer| {
        let news = answer.filter(|answer| last.as_ref() != Some(answer));
        last = news.clone().or_else(|| last.take());
        future::ready(news)
    });
    Ok(fresh.boxed())
}

fn answer(store: &Weak<Store>, watcher: &Weak<Watcher>) -> Option<Vec<Value>> {
    let (store, watcher) = (store.upgrade()?, watcher.upgrade()?);
    let read = store.view(|view| find::run(view, &watcher.collection, &watcher.query));
    let answer = read.inspect_err(|error| tracing::error!(%error, "a live query ends")).ok()?;
    if let Some(at) = answer.stands_until {
        store.ring_at(&watcher, at);
    }
    Some(answer.documents)
}
