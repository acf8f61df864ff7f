//! Packets of registered nodes beside own pushes and pulls of the same rows, and what one write costs
//! when many nodes are registered. Alternating, as ratios.

pub mod node;
mod rows;

use crate::Extent;
use crate::documents::{Kind, push_body};
use crate::hub::TOKEN;
use crate::process::Server;
use crate::report::{Goal, median, pair};
use crate::wire::Connection;
use node::{Node, Registrar};
use rows::{PER_PACKET, Pusher, pull};
use std::error::Error;
use std::time::Instant;

/// Rows of one round that are applied twice: as new ones, and changed.
const APPLIED: u64 = 60_000;
/// Nodes that are registered while single writes are timed.
const REGISTERED: [usize; 3] = [1, 100, 10_000];
/// Writes to each hub in one round.
const WRITES: u64 = 100;

/// Everything of this part. Tells whether every goal was met.
///
/// # Errors
/// When a hub does not start or a request fails.
pub fn compare(extent: Extent) -> Result<bool, Box<dyn Error>> {
    println!("Packets and own pushes of the same rows, {PER_PACKET} each, {} rounds, alternating:", extent.rounds);
    let mut met = applied(extent.rounds)?;
    println!("One write to a hub with many registered nodes, beside a hub with one:");
    met &= written(extent.rounds)?;
    println!("A backlog of {} changes in packets, beside the same in own pages:", extent.documents);
    met &= drained(extent)?;
    Ok(met)
}

fn applied(rounds: usize) -> Result<bool, Box<dyn Error>> {
    let (mut packets, mut pushes) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..rounds {
        let dir = tempfile::tempdir()?;
        let hub = Server::start("serve-hub", dir.path())?;
        let mut node = Registrar::new(&hub)?.register(1)?;
        for (figures, version) in packets.iter_mut().zip(0..) {
            let bodies: Vec<String> = rows::batches(APPLIED).map(|first| rows::entities(first, version)).collect();
            figures.push(rate(APPLIED, || bodies.iter().try_for_each(|body| node.send(body).map(drop)))?);
            hub.settle();
        }

        let dir = tempfile::tempdir()?;
        let hub = Server::start("serve-hub", dir.path())?;
        let mut pusher = Pusher::new(&hub)?;
        for (figures, version) in pushes.iter_mut().zip(0..) {
            let bodies: Vec<String> = rows::batches(APPLIED).map(|first| rows::push(first, version)).collect();
            figures.push(rate(APPLIED, || bodies.iter().try_for_each(|body| pusher.send(body)))?);
            hub.settle();
        }
    }
    let mut met = true;
    for (n, name) in ["packets of new objects", "packets of changed objects"].iter().enumerate() {
        met &= pair(name, "rows/s", &packets[n], &pushes[n], Goal::AtLeast(0.8));
    }
    Ok(met)
}

/// The hubs take turns write by write, so that what else the machine does meets all of them alike.
fn written(rounds: usize) -> Result<bool, Box<dyn Error>> {
    let mut hubs = Vec::new();
    for nodes in REGISTERED {
        let dir = tempfile::tempdir()?;
        let hub = Server::start("serve-hub", dir.path())?;
        let mut registrar = Registrar::new(&hub)?;
        (1..=nodes).try_for_each(|n| registrar.register(n).map(drop))?;
        hub.settle();
        let writer = Connection::open(hub.port, TOKEN)?;
        hubs.push((writer, hub, dir));
    }
    let mut medians = REGISTERED.map(|_| Vec::new());
    for round in 0..rounds as u64 {
        let mut times = REGISTERED.map(|_| Vec::new());
        for write in round * WRITES..(round + 1) * WRITES {
            let body = push_body(&format!("write-{write}"), Kind::Insert, write, 1);
            let turn = usize::try_from(write)?;
            for n in (0..REGISTERED.len()).map(|n| (n + turn) % REGISTERED.len()) {
                let (writer, times) = (&mut hubs[n].0, &mut times[n]);
                let began = Instant::now();
                writer.request("POST", "/sync/push", &body, |_| ())?;
                times.push(began.elapsed().as_secs_f64() * 1_000.0);
            }
        }
        medians.iter_mut().zip(times).for_each(|(medians, times)| medians.push(median(times)));
    }
    let mut met = true;
    for (times, nodes) in medians.iter().zip(REGISTERED).skip(1) {
        met &= pair(&format!("one write, {nodes} nodes registered"), "ms", times, &medians[0], Goal::AtMost(1.15));
    }
    Ok(met)
}

/// Each round drains the backlog to a node that has never read it.
fn drained(extent: Extent) -> Result<bool, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let hub = Server::start("serve-hub", dir.path())?;
    let mut registrar = Registrar::new(&hub)?;
    let mut nodes = (1..=extent.rounds).map(|n| registrar.register(n)).collect::<Result<Vec<Node>, _>>()?;
    let mut pusher = Pusher::new(&hub)?;
    rows::batches(extent.documents).try_for_each(|first| pusher.send(&rows::push(first, 0)))?;
    hub.settle();
    let (mut packets, mut pages) = (Vec::new(), Vec::new());
    for node in &mut nodes {
        let mut told = 0;
        packets.push(rate(extent.documents, || {
            while let count @ 1.. = node.send("")? {
                told += count;
            }
            Ok(())
        })?);
        hub.settle();
        let mut pulled = 0;
        pages.push(rate(extent.documents, || pull(&hub).map(|count| pulled = count))?);
        if (told, pulled) != (extent.documents, extent.documents) {
            return Err(format!("{told} rows in packets and {pulled} in pages of {}", extent.documents).into());
        }
    }
    Ok(pair("a node's backlog in packets", "rows/s", &packets, &pages, Goal::Open))
}

/// Rows per second of some work.
#[allow(clippy::cast_precision_loss)]
fn rate(rows: u64, mut work: impl FnMut() -> std::io::Result<()>) -> std::io::Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(rows as f64 / began.elapsed().as_secs_f64())
}
