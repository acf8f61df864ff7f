//! Attached databases: what registration costs an application with its own writes, how fast packets become rows beside
//! plain upserts of the same rows, and what memory a long backlog takes. The tables and mappings are those of
//! `examples/construction`, each kind of database with the settings that it has by itself.

mod app;
mod backlog;
mod packets;
mod tables;

use crate::Extent;
use crate::postgres;
use crate::report::{Goal, pair};
use crate::server::Postgres;
use app::{App, OnPostgres, OnSqlite, Value};
use std::error::Error;
use std::time::Instant;
use tables::{Dialect, estimate, schema};

pub use backlog::carry;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How often all rows are updated by one statement, of which each is timed.
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

/// The same writes to two databases, of which one is attached.
fn registered(dialect: Dialect, extent: Extent, open: &mut dyn FnMut() -> Result<Box<dyn App>>) -> Result<bool> {
    let rows = extent.documents / 5;
    let names = ["inserts, one statement each", "updates, one statement each", "updates of all rows", "deletes"];
    let (mut with, mut without) = (names.map(|_| Vec::new()), names.map(|_| Vec::new()));
    for _ in 0..extent.rounds {
        let (mut plain, mut attached) = (open()?, open()?);
        plain.run(&schema(dialect))?;
        attached.run(&schema(dialect))?;
        packets::attach(attached.place(), dialect)?;
        for (n, (ours, theirs)) in with.iter_mut().zip(&mut without).enumerate() {
            theirs.push(written(&mut *plain, n, rows, dialect)?);
            ours.push(written(&mut *attached, n, rows, dialect)?);
        }
    }
    let mut met = true;
    for (n, name) in names.iter().enumerate() {
        // Applications insert and update; deletes are shown.
        let goal = if *name == "deletes" { Goal::Open } else { Goal::AtMost(2.0) };
        met &= pair(name, "µs/row", &with[n], &without[n], goal);
    }
    Ok(met)
}

/// Microseconds for each row of one kind of writing, in one transaction.
fn written(app: &mut dyn App, which: usize, rows: u64, dialect: Dialect) -> Result<f64> {
    let number = |n: u64| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let ids = || (1..=rows).map(number);
    let (sql, values): (&str, Vec<Vec<Value>>) = match which {
        0 => (tables::INSERT, (0..rows).map(|n| estimate(dialect, n, 0)).collect()),
        1 => ("UPDATE estimates SET total = ?2 WHERE id = ?1", ids().map(|id| vec![id.clone(), id]).collect()),
        2 => ("UPDATE estimates SET total = total + 1, signed = NOT signed", vec![Vec::new(); BULKS]),
        _ => ("DELETE FROM estimates WHERE id = ?1", ids().map(|id| vec![id]).collect()),
    };
    let began = Instant::now();
    app.each(sql, &values)?;
    let times = if which == 2 { BULKS as f64 } else { 1.0 };
    Ok(began.elapsed().as_secs_f64() * 1_000_000.0 / rows as f64 / times)
}
