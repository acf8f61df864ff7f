//! How soon a live query gives its new answer after a commit that changes it.

use super::{DOCUMENTS, open};
use crate::documents::{document, id};
use crate::report::{Goal, median, single};
use serde_json::{Value, json};
use std::error::Error;
use std::sync::mpsc;
use std::time::Instant;
use syncline::query::Query;
use tokio_stream::StreamExt;

/// Commits that are watched.
const COMMITS: usize = 100;

pub(super) fn measure() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let docs = open(dir.path())?.collection("docs")?;
    docs.create_index(None, "owner", false)?;
    let parsed: Result<Vec<Value>, _> = (0..DOCUMENTS).map(|n| serde_json::from_str(&document(n, 0))).collect();
    docs.insert_many(parsed?)?;
    let watched = docs.get(&id(0))?.ok_or("the first document is there")?;
    let by_index = Query::from_json(&json!({"filter": {"owner": watched["owner"]}}))?;
    let by_scan = Query::from_json(&json!({"filter": {"rank": watched["rank"]}, "sort": {"mark": -1}, "limit": 20}))?;
    for (name, query) in [("commit to a live query's answer, by index", by_index), ("  without index, sorted", by_scan)]
    {
        single(name, "ms", median(delays_ms(&docs, query)?), Goal::Open);
    }
    Ok(())
}

/// Milliseconds from the return of a write to the answer on another thread.
fn delays_ms(docs: &syncline::Collection, query: Query) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut answers = docs.watch(query)?;
    let (answered, answer) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let watcher = std::thread::spawn(move || {
        while let Some(Ok(documents)) = runtime.block_on(answers.next()) {
            if answered.send((Instant::now(), documents.len())).is_err() {
                return;
            }
        }
    });
    answer.recv()?;
    let mut delays = Vec::new();
    let base = 2_000_000_000_000_u64;
    for n in 0..COMMITS {
        docs.update(&id(0), &json!({"mark": base + n as u64}))?;
        let committed = Instant::now();
        let (seen, _) = answer.recv()?;
        delays.push(seen.saturating_duration_since(committed).as_secs_f64() * 1e3);
    }
    drop(answer);
    docs.update(&id(0), &json!({"mark": 0}))?;
    watcher.join().map_err(|_| "the watcher ended badly")?;
    Ok(delays)
}
