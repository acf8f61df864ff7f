//! The hub beside the yardstick: pushes, bootstrap, catch-up, and how fast a change reaches a client.

use crate::Extent;
use crate::documents::Kind;
use crate::hub::TOKEN;
use crate::process::Server;
use crate::report::{Goal, median, pair, single};
use crate::workloads::{Pulled, Pushed, bootstrap, catch_up, push, wake};
use std::error::Error;

/// Changes of W3.
const CHANGES: u64 = 10_000;

/// One server through W1, W2 and W3.
struct Round {
    w1: Pushed,
    w2: Pulled,
    w3: Pulled,
}

fn round(role: &str, documents: u64) -> Result<Round, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(role, dir.path())?;
    let w1 = push(&server, TOKEN, Kind::Insert, 0, documents, 8)?;
    let w2 = bootstrap(&server, TOKEN, documents)?;
    push(&server, TOKEN, Kind::Update, 0, CHANGES.min(documents), 4)?;
    let w3 = catch_up(&server, TOKEN, w2.lsn, CHANGES.min(documents))?;
    Ok(Round { w1, w2, w3 })
}

/// W1 to W3 and the wake-up, as ratios to the yardstick. Tells whether every goal was met.
///
/// # Errors
/// When a server does not start or a request fails.
pub fn compare(extent: Extent) -> Result<bool, Box<dyn Error>> {
    println!("Hub and yardstick, {} documents, {} rounds, alternating:", extent.documents, extent.rounds);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for n in 0..extent.rounds {
        eprintln!("  round {} of {}", n + 1, extent.rounds);
        ours.push(round("serve-hub", extent.documents)?);
        theirs.push(round("serve-yardstick", extent.documents)?);
    }
    let line = |name: &str, unit: &str, figure: fn(&Round) -> f64, goal: Goal| {
        let (a, b): (Vec<f64>, Vec<f64>) = (ours.iter().map(figure).collect(), theirs.iter().map(figure).collect());
        pair(name, unit, &a, &b, goal)
    };
    let mut met = line("W1 push", "ops/s", |r| r.w1.ops_per_s, Goal::AtLeast(0.6));
    met &= line("W1 push, server CPU per 100k ops", "s", |r| r.w1.cpu_s, Goal::AtMost(2.0));
    met &= line("W1 push, 99th percentile of the reply", "ms", |r| r.w1.p99_ms, Goal::AtMost(2.0));
    met &= line("W2 bootstrap", "docs/s", |r| r.w2.per_s, Goal::AtLeast(0.7));
    met &= line("W3 catch-up of 10,000 changes", "changes/s", |r| r.w3.per_s, Goal::AtLeast(0.6));
    line("W3 catch-up, server CPU each", "ms", |r| r.w3.cpu_ms, Goal::Open);

    let dir = tempfile::tempdir()?;
    let hub = Server::start("serve-hub", dir.path())?;
    let times = wake(&hub, TOKEN, 100)?;
    met &= single("one change to a waiting client", "ms", median(times), Goal::AtMost(20.0));
    Ok(met)
}

/// Peak memory of the hub while a client bootstraps, for two sizes: it must not grow with the data.
///
/// # Errors
/// When the hub does not start or a request fails.
pub fn memory() -> Result<bool, Box<dyn Error>> {
    let mut peaks = Vec::new();
    for documents in [100_000, 1_000_000] {
        let dir = tempfile::tempdir()?;
        let filling = Server::start("serve-hub", dir.path())?;
        push(&filling, TOKEN, Kind::Insert, 0, documents, 8)?;
        drop(filling);
        let hub = Server::start("serve-hub", dir.path())?;
        bootstrap(&hub, TOKEN, documents)?;
        peaks.push(hub.peak_mib());
        println!("bootstrap of {documents} documents: peak {:.1} MiB", hub.peak_mib());
    }
    Ok(single("growth of peak memory, 100k to 1M documents", "MiB", peaks[1] - peaks[0], Goal::AtMost(50.0)))
}
