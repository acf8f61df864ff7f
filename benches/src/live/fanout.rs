//! Changes at a fixed rate to many subscribers: the time until each has read each of them, what that
//! costs the servers, and what was lost.

use super::crowd::{Crowd, Hello};
use super::peers::Running;
use super::socket::Socket;
use crate::documents::fields;
use crate::hub::TOKEN;
use crate::wire::Connection;
use std::io::{Error, Result};
use std::time::{Duration, Instant};

/// Changes per second.
const RATE: u64 = 100;
/// Changes before those that count.
const WARM_UP: u64 = 200;
/// Connections that share the writing, so that a late reply holds back none of the others.
const WRITERS: u64 = 4;

/// What kind of changes they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Events of a room, emitted by an application.
    Room,
    /// Documents that one client of event sync inserts.
    Events,
}

/// How much of it.
#[derive(Clone, Copy)]
pub(super) struct Load {
    /// What the changes are.
    pub kind: Kind,
    /// Who listens.
    pub subscribers: usize,
    /// Changes that count.
    pub changes: u64,
}

/// What came of it.
pub(super) struct Fanout {
    /// Median of the time from when a change was due until it was read.
    pub p50_ms: f64,
    /// 99th percentile of it.
    pub p99_ms: f64,
    /// CPU of the servers per delivery.
    pub cpu_us: f64,
    /// Deliveries that did not come.
    pub lost: usize,
}

/// Runs the load against servers that work together; the first is written to.
///
/// # Errors
/// When a subscriber or a writer cannot connect, or loses its connection.
#[allow(clippy::cast_precision_loss)]
pub(super) fn run(servers: &[&Running], load: Load) -> Result<Fanout> {
    let (clock, ports) = (Instant::now(), servers.iter().map(|running| running.server.port).collect::<Vec<_>>());
    let crowd = Crowd::gather(&ports, load.subscribers, hello(load.kind), clock)?;
    write(ports[0], load.kind, 0..WARM_UP, |_| 0, clock)?;
    std::thread::sleep(Duration::from_millis(500));
    let cpu = || servers.iter().map(|running| running.server.cpu_s()).sum::<f64>();
    let before = cpu();
    let began = clock.elapsed();
    let due = |n: u64| {
        let at = began + Duration::from_millis((n - WARM_UP) * 1_000 / RATE);
        u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
    };
    write(ports[0], load.kind, WARM_UP..WARM_UP + load.changes, due, clock)?;
    let changes = usize::try_from(load.changes).unwrap_or(usize::MAX);
    crowd.wait_for(changes);
    let used = cpu() - before;
    let heard = crowd.leave();
    if heard.broken > 0 {
        return Err(Error::other(format!("{} subscribers lost their connection", heard.broken)));
    }
    let delivered = heard.latencies_us.len();
    let at = |part: usize| heard.latencies_us.get(delivered * part / 100).map_or(f64::NAN, |us| f64::from(*us) / 1e3);
    Ok(Fanout {
        p50_ms: at(50),
        p99_ms: at(99),
        cpu_us: used * 1e6 / delivered as f64,
        lost: changes * load.subscribers - delivered,
    })
}

/// What a subscriber says first.
pub(super) fn hello(kind: Kind) -> Hello {
    match kind {
        Kind::Room => r#"42["files:join",{}]"#,
        Kind::Events => r#"42["client:info",{"clientId":"subscriber-{n}","collections":["docs"]}]"#,
    }
}

fn write(
    port: u16,
    kind: Kind,
    changes: std::ops::Range<u64>,
    due: impl Fn(u64) -> u64 + Sync,
    clock: Instant,
) -> Result<()> {
    let due = &due;
    let wait = |n: u64| {
        let at = Duration::from_nanos(due(n));
        std::thread::sleep(at.saturating_sub(clock.elapsed()));
        due(n)
    };
    match kind {
        Kind::Room => std::thread::scope(|scope| {
            let emit = |writer: u64, changes: std::ops::Range<u64>| -> Result<()> {
                let mut connection = Connection::open(port, TOKEN)?;
                changes.filter(|n| n % WRITERS == writer).try_for_each(|n| {
                    let body = room_event(n, wait(n));
                    connection.request("POST", "/api/sync/emit", &body, |_| ()).map(drop)
                })
            };
            let threads: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let changes = changes.clone();
                    scope.spawn(move || emit(writer, changes))
                })
                .collect();
            threads.into_iter().try_for_each(|t| t.join().unwrap_or_else(|_| Err(Error::other("a writer panicked"))))
        }),
        Kind::Events => {
            let mut socket = Socket::open(port, TOKEN)?;
            socket.send(&hello(kind).replace("{n}", "writer"))?;
            let mut reader = socket.reader()?;
            let replies = std::thread::spawn(move || while reader.next().is_ok() {});
            changes.clone().try_for_each(|n| {
                let at = wait(n);
                socket.send(&format!(r#"42{n}["client:sync",[{}]]"#, insert("writer", n, &format!(r#","due":{at}"#))))
            })?;
            std::thread::sleep(Duration::from_millis(200));
            socket.close();
            replies.join().map_err(|_| Error::other("a reader panicked"))
        }
    }
}

fn room_event(n: u64, due: u64) -> String {
    format!(
        r#"{{"event":"files:changed","reason":"updated","room":"files","id":"doc-{n}","data":{{{},"due":{due}}}}}"#,
        fields(n, 0)
    )
}

/// An insert event of a client.
pub(super) fn insert(client: &str, n: u64, more: &str) -> String {
    let head = format!(r#""id":"{client}-event-{n}","type":"insert","collection":"docs","documentId":"{client}-{n}""#);
    let data = format!(r#"{{"id":"{client}-{n}",{}{more}}}"#, fields(n, 0));
    format!(r#"{{{head},"data":{data},"timestamp":{},"clientId":"{client}"}}"#, 1_750_000_000_000 + n)
}
