//! Attached databases: what registration costs an application with its own writes, how fast packets become rows beside
//! plain upserts of the same rows, and what memory a long backlog takes. The tables and mappings are those of
//! `examples/construction`, each kind of database with the settings that it has by itself.

mod app;
mod backlog;
mod packets;
mod tables;

use crate::Extent;
use crate::postgres;
use crate::process::OnOneProcessor;
use crate::report::{Goal, pair};
use crate::server::Postgres;
use app::{App, OnPostgres, OnSqlite, Value};
use std::error::Error;
use std::time::Instant;
use tables::{Dialect, estimate, schema};

pub use backlog::carry;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How often all rows are updated by one statement.
const BULKS: usize = 5;

/// Everything of this part. Tells whether every goal was met.
///
/// # Errors
/// When a database or a hub does not start or refuses.
pub fn compare(extent: Extent) -> Result<bool> {
    let mut met = engine(Dialect::Sqlite, extent, &mut || Ok(Box::new(OnSqlite::new()?)))?;
    if !postgres::possible() {
        println!("PostgreSQL is left out: it is not installed.");
        return Ok(met);
    }
    let server = Postgres::start(&["-c", "fsync=on", "-c", "full_page_writes=on", "-c", "max_wal_size=4GB"]);
    met &= engine(Dialect::Postgres, extent, &mut || Ok(Box::new(OnPostgres::new(&server)?)))?;
    Ok(met)
}

fn engine(dialect: Dialect, extent: Extent, open: &mut dyn FnMut() -> Result<Box<dyn App>>) -> Result<bool> {
    println!("An application's writes in {dialect}, registered beside not registered, {} rounds:", extent.rounds);
    let mut met = registered(dialect, extent, open)?;
    println!("Packets that become rows in {dialect}, beside multi-row upserts of the same rows:");
    met &= packets::compare(dialect, extent, open)?;
    println!("A backlog of an application in {dialect} goes to a hub:");
    met &= backlog::compare(dialect, extent, open)?;
    Ok(met)
}

/// The same writes to two databases, of which one is attached, by an application on the same processor.
fn registered(dialect: Dialect, extent: Extent, open: &mut dyn FnMut() -> Result<Box<dyn App>>) -> Result<bool> {
    let rows = extent.documents / 5;
    let names = [
        "inserts, one statement each",
        "updates, one statement each",
        "updates of all rows, with their commit",
        "updates of all rows, in memory",
        "deletes",
    ];
    let (mut with, mut without) = (names.map(|_| Vec::new()), names.map(|_| Vec::new()));
    for _ in 0..extent.rounds {
        let (mut plain, mut attached) = (open()?, open()?);
        plain.run(&schema(dialect))?;
        attached.run(&schema(dialect))?;
        packets::attach(attached.place(), dialect)?;
        let _moved = OnOneProcessor::with([&plain, &attached].into_iter().filter_map(|app| app.server()))?;
        for (n, (ours, theirs)) in with.iter_mut().zip(&mut without).enumerate() {
            theirs.push(written(&mut *plain, n, rows, dialect)?);
            ours.push(written(&mut *attached, n, rows, dialect)?);
        }
    }
    let mut met = true;
    for (n, name) in names.iter().enumerate() {
        // Applications insert, update and commit; the rest is shown.
        let goal = if n < 3 { Goal::AtMost(2.0) } else { Goal::Open };
        met &= pair(name, "µs/row", &with[n], &without[n], goal);
    }
    Ok(met)
}

/// Microseconds for each row of one kind of writing, in one transaction or, with the commit of each statement, in several.
fn written(app: &mut dyn App, which: usize, rows: u64, dialect: Dialect) -> Result<f64> {
    let number = |n: u64| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let ids = || (1..=rows).map(number);
    let (sql, values): (&str, Vec<Vec<Value>>) = match which {
        0 => (tables::INSERT, (0..rows).map(|n| estimate(dialect, n, 0)).collect()),
        1 => ("UPDATE estimates SET total = ?2 WHERE id = ?1", ids().map(|id| vec![id.clone(), id]).collect()),
        2 | 3 => ("UPDATE estimates SET total = total + 1, signed = NOT signed", vec![Vec::new(); BULKS]),
        _ => ("DELETE FROM estimates WHERE id = ?1", ids().map(|id| vec![id]).collect()),
    };
    let began = Instant::now();
    match which {
        2 => values.chunks(1).try_for_each(|one| app.each(sql, one))?,
        _ => app.each(sql, &values)?,
    }
    let times = if values[0].is_empty() { BULKS as f64 } else { 1.0 };
    Ok(began.elapsed().as_secs_f64() * 1_000_000.0 / rows as f64 / times)
}
