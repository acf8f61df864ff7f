//! Rooms and event sync beside npm socket.io on Node, which keeps nothing, and, where it is at hand,
//! beside NebulaDB's own server: fan-out, idle connections, acknowledged writes, two workers.

mod acks;
mod crowd;
mod fanout;
mod frames;
mod peers;
mod socket;

use crate::Extent;
use crate::report::{Goal, median, pair, single};
use crowd::Crowd;
use fanout::{Fanout, Kind, Load, hello, run};
pub(crate) use peers::Redis;
use peers::{Peers, Who};
use std::error::Error;
use std::time::{Duration, Instant};

type Met = Result<bool, Box<dyn Error>>;

/// Whether this machine can run the peer.
pub fn possible() -> bool {
    Peers::runnable()
}

/// Everything of this part, or `only` one piece of it. Tells whether every goal was met.
///
/// # Errors
/// When a peer cannot be installed, or a server or a client breaks.
pub fn compare(only: Option<&str>, extent: Extent) -> Met {
    let (peers, wanted) = (Peers::install()?, |piece| only.is_none_or(|only| only == piece));
    let mut met = true;
    if wanted("rooms") {
        println!("Rooms, 100 changes a second, beside npm socket.io, {} rounds, alternating:", extent.rounds);
        met &= rooms(&peers, extent.rounds)?;
    }
    if wanted("idle") {
        println!("Connections that joined a room and rest, beside npm socket.io:");
        met &= idle(&peers, extent.rounds)?;
    }
    if wanted("events") {
        println!("Event sync: {} events of 8 clients, acknowledged; the peer keeps them in memory:", extent.documents);
        met &= acknowledged(&peers, extent)?;
        met &= events(&peers, extent.rounds)?;
    }
    if wanted("workers") {
        met &= workers(&peers, extent.rounds)?;
    }
    Ok(met)
}

/// Both servers under one load, in turn.
fn both(peers: &Peers, whom: [Who; 2], load: Load, rounds: usize) -> Result<[Vec<Fanout>; 2], Box<dyn Error>> {
    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (who, figures) in whom.iter().zip(&mut all) {
            let server = peers.start(*who, None)?;
            figures.push(run(&[&server], load)?);
        }
    }
    Ok(all)
}

fn figures(all: &[Fanout], figure: fn(&Fanout) -> f64) -> Vec<f64> {
    all.iter().map(figure).collect()
}

#[allow(clippy::cast_precision_loss)]
fn none_lost(name: &str, ours: &[Fanout]) -> bool {
    let lost: usize = ours.iter().map(|one| one.lost).sum();
    single(name, "deliveries", lost as f64, Goal::AtMost(0.0))
}

fn rooms(peers: &Peers, rounds: usize) -> Met {
    let mut met = true;
    for (subscribers, changes) in [(500, 1_000), (2_000, 500)] {
        let load = Load { kind: Kind::Room, subscribers, changes };
        let [ours, theirs] = both(peers, [Who::Hub, Who::SocketIo], load, rounds)?;
        let line = |name: &str, unit: &str, figure: fn(&Fanout) -> f64, goal: Goal| {
            pair(
                &format!("{subscribers} in a room, {name}"),
                unit,
                &figures(&ours, figure),
                &figures(&theirs, figure),
                goal,
            )
        };
        line("p50", "ms", |one| one.p50_ms, Goal::Open);
        met &= line("p99", "ms", |one| one.p99_ms, Goal::AtMost(0.5));
        met &= line("server CPU each", "us", |one| one.cpu_us, Goal::AtMost(0.6));
        met &= none_lost(&format!("{subscribers} in a room, lost by the hub"), &ours);
    }
    Ok(met)
}

/// Memory of connections that joined a room and rest.
fn idle(peers: &Peers, rounds: usize) -> Met {
    const CONNECTIONS: [usize; 2] = [1_000, 2_000];
    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (who, kib) in [Who::Hub, Who::SocketIo].into_iter().zip(&mut all) {
            let running = peers.start(who, None)?;
            let mut held = [0.0; 2];
            for (size, mib) in CONNECTIONS.into_iter().zip(&mut held) {
                let crowd = Crowd::gather(&[running.server.port], size, hello(Kind::Room), Instant::now())?;
                std::thread::sleep(Duration::from_secs(3));
                *mib = running.server.resident_mib();
                if crowd.leave().broken > 0 {
                    return Err("idle connections were cut".into());
                }
                // Until the server has noticed that they are gone, their memory is not there for the next.
                std::thread::sleep(Duration::from_secs(3));
            }
            // From one full house to the next: what the first thousand made the server set aside
            // for good is not theirs.
            kib.push((held[1] - held[0]) * 1024.0 / 1_000.0);
        }
    }
    pair("an idle connection", "KiB", &all[0], &all[1], Goal::Open);
    let ours = median(all[0].clone());
    let met = single("an idle connection, first goal", "KiB", ours, Goal::AtMost(31.0));
    single("an idle connection, second goal", "KiB", ours, Goal::AtMost(15.0));
    Ok(met)
}

fn acknowledged(peers: &Peers, extent: Extent) -> Met {
    let (mut rates, mut costs) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..extent.rounds {
        for (n, who) in [Who::Hub, Who::SocketIo].into_iter().enumerate() {
            let running = peers.start(who, None)?;
            let (rate, cost) = acks::run(&running, extent.documents)?;
            rates[n].push(rate);
            costs[n].push(cost);
        }
    }
    pair("client:sync, durable on our side", "events/s", &rates[0], &rates[1], Goal::Open);
    pair("client:sync, server CPU per 100k events", "s", &costs[0], &costs[1], Goal::Open);
    Ok(true)
}

fn events(peers: &Peers, rounds: usize) -> Met {
    let load = Load { kind: Kind::Events, subscribers: 500, changes: 1_000 };
    if !peers.have_nebuladb() {
        println!("Event sync, 100 changes a second to 500 subscribers (NEBULA_SERVER_JS names no peer):");
        let ours = (0..rounds)
            .map(|_| Ok(run(&[&peers.start(Who::Hub, None)?], load)?))
            .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
        let met = single("500 clients, p99", "ms", median(figures(&ours, |one| one.p99_ms)), Goal::AtMost(100.0));
        return Ok(met & none_lost("500 clients, lost by the hub", &ours));
    }
    println!("Event sync, 100 changes a second to 500 subscribers, beside NebulaDB's own server:");
    let [ours, theirs] = both(peers, [Who::Hub, Who::NebulaDb], load, rounds)?;
    let line = |name: &str, unit: &str, figure: fn(&Fanout) -> f64, goal: Goal| {
        pair(name, unit, &figures(&ours, figure), &figures(&theirs, figure), goal)
    };
    line("500 clients, p50", "ms", |one| one.p50_ms, Goal::Open);
    let met = line("500 clients, p99", "ms", |one| one.p99_ms, Goal::AtMost(0.02));
    line("500 clients, server CPU each", "us", |one| one.cpu_us, Goal::Open);
    Ok(met & none_lost("500 clients, lost by the hub", &ours))
}

/// Two workers through Redis beside one, the pages divided between them.
fn workers(peers: &Peers, rounds: usize) -> Met {
    let Some(redis) = Redis::start()? else {
        println!("Two workers: left out, there is no redis-server here.");
        return Ok(true);
    };
    println!("Two workers through Redis beside one, 100 changes a second to 500 in a room:");
    let load = Load { kind: Kind::Room, subscribers: 500, changes: 1_000 };
    let mut met = true;
    for (who, name, goal) in [(Who::Hub, "the hub", Goal::AtMost(2.0)), (Who::SocketIo, "npm socket.io", Goal::Open)] {
        let (mut two, mut one) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (first, second) = (peers.start(who, Some(&redis))?, peers.start(who, Some(&redis))?);
            two.push(run(&[&first, &second], load)?);
            drop((first, second));
            one.push(run(&[&peers.start(who, None)?], load)?);
        }
        let (two_ms, one_ms) = (figures(&two, |one| one.p99_ms), figures(&one, |one| one.p99_ms));
        met &= pair(&format!("p99 of two workers, {name}"), "ms", &two_ms, &one_ms, goal);
        if who == Who::Hub {
            met &= none_lost("lost by two workers", &two);
        }
    }
    Ok(met)
}
