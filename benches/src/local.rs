//! The embedded database beside raw SQLite with the same texts and the same pragmas.
//!
//! Both sides get the same documents, take turns in every round on fresh files of the same disk, and
//! give back parsed documents where ours does. Must never measure the making of the documents.

mod live;
mod queries;
mod raw;
mod replica;

use crate::Extent;
use crate::documents::document;
use crate::report::{Goal, pair};
use serde_json::Value;
use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::time::Instant;
use syncline::{Database, DatabaseOptions};
use syncline_core::model::{CollectionName, Strategy};

/// Documents that are inserted in one round, and that queries are asked of.
const DOCUMENTS: u64 = 10_000;
/// Documents of one durable insert.
const BATCH: usize = 100;

/// Everything of this part. Tells whether every goal was met.
///
/// # Errors
/// When a database cannot be opened or written.
pub fn compare(extent: Extent) -> Result<bool, Box<dyn Error>> {
    println!("Embedded database and raw SQLite, {} rounds, alternating:", extent.rounds);
    let mut met = inserts(extent.rounds)?;
    met &= replica::compare(extent.rounds)?;
    queries::compare(extent.rounds)?;
    live::measure()?;
    Ok(met)
}

/// Durable inserts in batches, in a collection that syncs and in one that does not.
fn inserts(rounds: usize) -> Result<bool, Box<dyn Error>> {
    let texts: Vec<String> = (0..DOCUMENTS).map(|n| document(n, 0)).collect();
    let (mut synced, mut unsynced, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        theirs.push(raw::insert(&texts)?);
        synced.push(insert(&texts, true)?);
        unsynced.push(insert(&texts, false)?);
    }
    let name = "local inserts, 100 durable at a time";
    let met = pair(name, "docs/s", &synced, &theirs, Goal::AtLeast(0.4));
    pair("  the same where nothing syncs", "docs/s", &unsynced, &theirs, Goal::Open);
    Ok(met)
}

/// Documents per second.
fn insert(texts: &[String], syncs: bool) -> Result<f64, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let db = open(dir.path())?;
    if syncs {
        db.replica().join(&scope()?, Strategy::LastWriteWins)?;
    }
    let docs = db.collection("docs")?;
    let mut batches = Vec::new();
    for batch in texts.chunks(BATCH) {
        let parsed: Result<Vec<Value>, _> = batch.iter().map(|text| serde_json::from_str(text)).collect();
        batches.push(parsed?);
    }
    let began = Instant::now();
    for batch in batches {
        docs.insert_many(batch)?;
    }
    Ok(per_second(texts.len(), began))
}

/// A database that stores documents exactly as given.
fn open(dir: &Path) -> syncline::Result<Database> {
    Database::open_with(DatabaseOptions::file(dir.join("app.db")).timestamps(false))
}

/// The one collection of every measurement.
fn scope() -> Result<BTreeSet<CollectionName>, Box<dyn Error>> {
    Ok(BTreeSet::from([CollectionName::new("docs")?]))
}

#[allow(clippy::cast_precision_loss)]
fn per_second(count: usize, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}
