//! A long backlog: registered in one transaction, and carried to a hub by a process of its own, whose memory is looked at.

use super::app::App;
use super::tables::{Dialect, INSERT, estimate, mapping, schema};
use super::{Extent, Result, packets};
use crate::exchange::node::Registrar;
use crate::process::{Server, peak_mib};
use crate::report::{Goal, median, single};
use std::process::Command;
use std::time::{Duration, Instant};
use syncline_attach::link::Link;
use syncline_attach::{Attachment, Mapping, Options};

/// A backlog is this many times as long as the one that it is compared with.
const TIMES: u64 = 10;

/// Peak memory and pace for a short and a long backlog. Tells whether the goal was met.
pub fn compare(dialect: Dialect, extent: Extent, open: &mut dyn FnMut() -> Result<Box<dyn App>>) -> Result<bool> {
    let (mut short, mut long, mut paces) = (Vec::new(), Vec::new(), Vec::new());
    let (few, many) = (extent.documents, extent.documents * TIMES);
    for _ in 0..extent.rounds {
        short.push(carried(dialect, few, open)?.0);
        let (peak, pace) = carried(dialect, many, open)?;
        long.push(peak);
        paces.push(pace);
    }
    let (short, long) = (median(short), median(long));
    single(&format!("{many} rows to a hub"), "rows/s", median(paces), Goal::Open);
    single(&format!("    peak memory for {few} rows"), "MiB", short, Goal::Open);
    single(&format!("    peak memory for {many} rows"), "MiB", long, Goal::Open);
    Ok(single("    the one beside the other", "times", long / short, Goal::AtMost(1.25)))
}

fn carried(dialect: Dialect, rows: u64, open: &mut dyn FnMut() -> Result<Box<dyn App>>) -> Result<(f64, f64)> {
    let mut app = open()?;
    app.run(&schema(dialect))?;
    drop(packets::attach(app.place(), dialect)?);
    let values: Vec<_> = (0..rows).map(|n| estimate(dialect, n, 0)).collect();
    app.each(INSERT, &values)?;
    let dir = tempfile::tempdir()?;
    let hub = Server::start("serve-hub", dir.path())?;
    let node = Registrar::new(&hub)?.register(1)?;
    let port = hub.port.to_string();
    let output = Command::new(std::env::current_exe()?)
        .args(["carry", app.place(), &dialect.to_string(), &port, node.token()])
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    let figures: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match figures[..] {
        [sent, peak, pace] if sent == rows as f64 => Ok((peak, pace)),
        _ => Err(format!("{rows} rows: {said} {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Carries what waits to a hub, and prints how many rows that were, the peak memory of this process in MiB and rows per
/// second.
///
/// # Errors
/// When the database or the hub refuses.
pub fn carry(place: &str, dialect: &str, port: &str, token: &str) -> Result<()> {
    let dialect = if dialect == Dialect::Sqlite.to_string() { Dialect::Sqlite } else { Dialect::Postgres };
    let link = Link::new(&format!("http://127.0.0.1:{port}"), token, Duration::from_secs(60))?;
    let mut attached = Attachment::open(place, Mapping::parse(mapping(dialect))?, Options::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    let round = runtime.block_on(attached.round(&link, |_| ()))?;
    let pace = round.sent as f64 / began.elapsed().as_secs_f64();
    println!("{} {:.1} {pace:.0}", round.sent, peak_mib(std::process::id()));
    Ok(())
}
