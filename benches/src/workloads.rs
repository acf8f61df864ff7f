//! The workloads, the same for the hub and for the yardstick.

use crate::documents::{Kind, push_body};
use crate::process::Server;
use crate::report::median;
use crate::wire::{Connection, Counter, server_lsn};
use std::io::{Error, Result};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How often a catch-up is repeated.
const CATCH_UPS: usize = 20;

/// What a run of pushes measured.
#[derive(Clone, Copy, Debug)]
pub struct Pushed {
    /// Operations per second.
    pub ops_per_s: f64,
    /// CPU seconds of the server per 100,000 operations, with what it did afterwards because of them.
    pub cpu_s: f64,
    /// 99th percentile of the reply time in milliseconds.
    pub p99_ms: f64,
}

/// What a run of reads measured.
#[derive(Clone, Copy, Debug)]
pub struct Pulled {
    /// Documents or changes per second.
    pub per_s: f64,
    /// Position of the reader afterwards.
    pub lsn: u64,
    /// CPU milliseconds of the server for each reading.
    pub cpu_ms: f64,
}

/// W1: `clients` connections push `total` documents in batches of 100; whoever is free takes the next.
///
/// # Errors
/// When a push fails.
pub fn push(server: &Server, token: &str, kind: Kind, first: u64, total: u64, clients: usize) -> Result<Pushed> {
    let bodies: Vec<String> = (0..total / 100)
        .map(|n| {
            push_body(
                &format!("{}-{first}-{n}", if kind == Kind::Insert { "i" } else { "u" }),
                kind,
                first + n * 100,
                100,
            )
        })
        .collect();
    let next = AtomicUsize::new(0);
    let (cpu, started) = (server.cpu_s(), Instant::now());
    let times: Vec<Result<Vec<Duration>>> = std::thread::scope(|scope| {
        let worker = || {
            let mut connection = Connection::open(server.port, token)?;
            let mut times = Vec::new();
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                let sent = Instant::now();
                connection.request("POST", "/sync/push", body, |_| ())?;
                times.push(sent.elapsed());
            }
            Ok(times)
        };
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(Error::other("a client panicked")))).collect()
    });
    let wall = started.elapsed().as_secs_f64();
    server.settle();
    let cpu = server.cpu_s() - cpu;
    let mut all: Vec<Duration> = times.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    all.sort_unstable();
    let p99 = all.get(all.len() * 99 / 100).copied().unwrap_or_default();
    Ok(Pushed {
        ops_per_s: total as f64 / wall,
        cpu_s: cpu * 100_000.0 / total as f64,
        p99_ms: p99.as_secs_f64() * 1_000.0,
    })
}

/// W2: a new client obtains everything.
///
/// # Errors
/// When documents are missing.
pub fn bootstrap(server: &Server, token: &str, expected: u64) -> Result<Pulled> {
    read(server, token, "/sync/snapshot", expected)
}

/// W3: a client that was away obtains the changes since `lsn`. It takes milliseconds, so it is done
/// [`CATCH_UPS`] times, of which the median counts.
///
/// # Errors
/// When changes are missing.
pub fn catch_up(server: &Server, token: &str, lsn: u64, expected: u64) -> Result<Pulled> {
    let (path, cpu) = (format!("/sync/pull?since_lsn={lsn}"), server.cpu_s());
    let all = (0..CATCH_UPS).map(|_| read(server, token, &path, expected)).collect::<Result<Vec<_>>>()?;
    let cpu_ms = (server.cpu_s() - cpu) * 1_000.0 / all.len() as f64;
    let per_s = median(all.iter().map(|one| one.per_s).collect());
    Ok(Pulled { per_s, cpu_ms, ..all[0] })
}

fn read(server: &Server, token: &str, path: &str, expected: u64) -> Result<Pulled> {
    let mut connection = Connection::open(server.port, token)?;
    let mut counter = Counter::of("\"mark\":");
    let (cpu, started) = (server.cpu_s(), Instant::now());
    let answer = connection.request("GET", path, "", |piece| counter.feed(piece))?;
    let wall = started.elapsed().as_secs_f64();
    if counter.seen != expected {
        return Err(Error::other(format!("{path}: {} documents instead of {expected}", counter.seen)));
    }
    let lsn = server_lsn(&answer).ok_or_else(|| Error::other(format!("{path}: no server_lsn")))?;
    Ok(Pulled { per_s: expected as f64 / wall, lsn, cpu_ms: (server.cpu_s() - cpu) * 1_000.0 })
}

/// How long one change takes from the push request to a waiting own client, in milliseconds, each time.
///
/// # Errors
/// When a request fails.
pub fn wake(server: &Server, token: &str, rounds: u64) -> Result<Vec<f64>> {
    wake_across((server, server), token, rounds)
}

/// The same where the push goes to the first and the client waits at the second of two workers.
///
/// # Errors
/// When a request fails.
pub fn wake_across((written, read): (&Server, &Server), token: &str, rounds: u64) -> Result<Vec<f64>> {
    let mut reader = Connection::open(read.port, token)?;
    let mut writer = Connection::open(written.port, token)?;
    let ask = |lsn: u64, wait: u64| format!("/sync/pull?node=bench&collections=docs&since_lsn={lsn}&wait={wait}");
    let mut lsn = 0;
    loop {
        let page = reader.request("GET", &ask(lsn, 0), "", |_| ())?;
        let next = server_lsn(&page).unwrap_or(lsn);
        if next == lsn {
            break;
        }
        lsn = next;
    }
    let mut times = Vec::new();
    for _ in 0..rounds {
        // A hub that has met these before takes them for a repeat, and nothing wakes.
        let body = push_body(&format!("wake-{lsn}"), Kind::Insert, 10_000_000 + lsn, 1);
        let (path, reading) = (ask(lsn, 30), &mut reader);
        let (page, sent) = std::thread::scope(|scope| {
            let waiting = scope.spawn(move || reading.request("GET", &path, "", |_| ()).map(|a| (a, Instant::now())));
            // sleep: the reader must be waiting before the change is made, and nothing tells when it is
            std::thread::sleep(Duration::from_millis(15));
            let sent = Instant::now();
            writer.request("POST", "/sync/push", &body, |_| ())?;
            let page = waiting.join().unwrap_or_else(|_| Err(Error::other("the reader panicked")))?;
            Ok::<_, Error>((page, sent))
        })?;
        let upto = server_lsn(&page.0).filter(|upto| *upto > lsn);
        lsn = upto.ok_or_else(|| Error::other("a poll ended without the change that it was to wake for"))?;
        times.push(page.1.saturating_duration_since(sent).as_secs_f64() * 1_000.0);
    }
    Ok(times)
}
