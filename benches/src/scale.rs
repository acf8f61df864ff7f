//! How far a hub goes: the same work against more documents, spaces, nodes and workers, on the embedded store and on
//! PostgreSQL. Each curve is given as ratios to its first point; nothing has a goal.

use crate::documents::{Kind, document, id, push_body};
use crate::hub::TOKEN;
use crate::postgres;
use crate::process::Server;
use crate::report::{curve, median};
use crate::server::Postgres;
use crate::wire::{Answer, Connection, server_lsn};
use std::error::Error;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Documents in a space before the work is measured.
const DOCUMENTS: [u64; 4] = [10_000, 50_000, 150_000, 400_000];
/// Spaces over which the same work is spread.
const SPACES: [u64; 4] = [1, 4, 16, 64];
/// Nodes that have pushed, of which each push has another.
const NODES: [u64; 4] = [1, 100, 1_000, 10_000];
/// Readers that wait for one change; fewer than a space may have requests in work (`limits.space_requests`), for they all
/// begin to wait at once.
const READERS: [u64; 4] = [1, 10, 100, 500];
const WORKERS: [u64; 3] = [1, 2, 3];
/// Spaces of the second curve of workers.
const WORKERS_SPACES: u64 = 8;
/// Operations of one point.
const WORK: u64 = 30_000;
/// Operations in one push of many nodes: devices send little at a time.
const FEW: u64 = 10;
const CLIENTS: usize = 8;
/// Changes for which readers wait; the median counts.
const WAKES: u64 = 9;

/// A stamp long past, as 2^10 times the milliseconds.
const STAMP: u64 = 1_700_000_000_000 << 10;

/// One push.
struct Job {
    path: String,
    body: String,
}

/// Where the spaces are.
enum Stores {
    Files,
    Database(Postgres),
}

/// One hub and what it lives on.
struct Running {
    workers: Vec<Server>,
    _dir: TempDir,
}

/// All curves.
///
/// # Errors
/// When a server does not start or a request fails.
pub fn measure() -> Result<()> {
    let mut stores = vec![("embedded", Stores::Files)];
    if postgres::possible() {
        let durable = ["-c", "fsync=on", "-c", "full_page_writes=on", "-c", "max_wal_size=4GB"];
        stores.push(("PostgreSQL", Stores::Database(Postgres::start(&durable))));
    }
    println!("Ratios to the first point; {CLIENTS} clients, pushes of 100 operations (of many nodes: {FEW}):");
    for (name, stores) in &stores {
        by_documents(name, stores)?;
        by_spaces(name, stores)?;
        by_nodes(name, stores)?;
        by_readers(name, stores)?;
    }
    for (name, stores) in &stores {
        if matches!(stores, Stores::Database(_)) {
            by_workers(name, stores, 1)?;
            by_workers(name, stores, WORKERS_SPACES)?;
        }
    }
    Ok(())
}

impl Stores {
    /// A new hub of so many workers.
    fn start(&self, workers: u64) -> Result<Running> {
        let dir = tempfile::tempdir()?;
        let workers = match self {
            Stores::Files => vec![Server::start("serve-hub", dir.path())?],
            Stores::Database(server) => {
                let url = server.url(&server.database());
                (0..workers).map(|_| postgres::start(&url, None)).collect::<Result<_>>()?
            }
        };
        Ok(Running { workers, _dir: dir })
    }
}

impl Running {
    /// Makes spaces `s0`, `s1` …; the first is the default one.
    fn spaces(&self, count: u64) -> Result<Vec<String>> {
        let mut admin = Connection::open(self.workers[0].port, TOKEN)?;
        let mut paths = vec!["/sync/push".to_owned()];
        for n in 1..count {
            admin.request("POST", "/admin/tokens", &format!(r#"{{"name":"s{n}","space":"s{n}"}}"#), |_| ())?;
            paths.push(format!("/s/s{n}/sync/push"));
        }
        Ok(paths)
    }

    /// Operations per second; whoever of the clients is free takes the next push. Each has one worker.
    fn rate(&self, ops: u64, jobs: &[Job]) -> Result<f64> {
        let next = AtomicUsize::new(0);
        let client = |n: usize| -> std::io::Result<()> {
            let mut connection = Connection::open(self.workers[n % self.workers.len()].port, TOKEN)?;
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                connection.request("POST", &job.path, &job.body, |_| ())?;
            }
            Ok(())
        };
        let client = &client;
        let began = Instant::now();
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(move || client(n))).collect();
            clients
                .into_iter()
                .try_for_each(|client| client.join().map_err(|_| "a client panicked")?.map_err(Box::from))
        })
        .map_err(|error: Box<dyn Error + Send + Sync>| error.to_string())?;
        let rate = ops as f64 / began.elapsed().as_secs_f64();
        self.workers.iter().for_each(Server::settle);
        Ok(rate)
    }
}

/// Pushes of 100 new documents each, in turn to each of these paths.
fn inserts(paths: &[String], first: u64, count: u64) -> Vec<Job> {
    let path = |n: u64| paths[usize::try_from(n).unwrap_or(0) % paths.len()].clone();
    let body = |n: u64| push_body(&format!("i-{first}-{n}"), Kind::Insert, first + n * 100, 100);
    (0..count / 100).map(|n| Job { path: path(n), body: body(n) }).collect()
}

/// Pushes that change 100 documents each, taken from all over those that are there.
fn updates(path: &str, there: u64, count: u64) -> Vec<Job> {
    let pushes = count / 100;
    let body = |n: u64| push_body(&format!("u-{there}-{n}"), Kind::Update, n * (there / pushes), 100);
    (0..pushes).map(|n| Job { path: path.to_owned(), body: body(n) }).collect()
}

fn by_documents(name: &str, stores: &Stores) -> Result<()> {
    let hub = stores.start(1)?;
    let main = hub.spaces(1)?;
    let (mut made, mut changed, mut there) = (Vec::new(), Vec::new(), 0);
    for size in DOCUMENTS {
        hub.rate(0, &inserts(&main, there, size.saturating_sub(there)))?;
        there = there.max(size);
        made.push((size, hub.rate(WORK, &inserts(&main, there, WORK))?));
        there += WORK;
        changed.push((there, hub.rate(WORK, &updates(&main[0], there, WORK))?));
    }
    curve(&format!("{name}: inserts, documents there"), "ops/s", &made);
    curve(&format!("{name}: updates, documents there"), "ops/s", &changed);
    Ok(())
}

fn by_spaces(name: &str, stores: &Stores) -> Result<()> {
    let points = forth_and_back(SPACES, |spaces| {
        let hub = stores.start(1)?;
        let paths = hub.spaces(spaces)?;
        hub.rate(WORK, &inserts(&paths, 0, WORK))
    })?;
    curve(&format!("{name}: inserts, spaces"), "ops/s", &points);
    Ok(())
}

/// Each point twice, so that what else the machine does meets all of them; the better figure counts.
fn forth_and_back<const N: usize>(
    sizes: [u64; N],
    mut figure: impl FnMut(u64) -> Result<f64>,
) -> Result<Vec<(u64, f64)>> {
    let mut points = sizes.map(|size| (size, 0.0_f64)).to_vec();
    for n in (0..N).chain((0..N).rev()) {
        points[n].1 = points[n].1.max(figure(points[n].0)?);
    }
    Ok(points)
}

/// The ops of one push of a node, with its numbers from one on.
fn of_node(node: u64, first_seq: u64, first: u64, count: u64) -> Job {
    let op = |n: u64| {
        let (seq, id, doc) = (first_seq + n, id(first + n), document(first + n, 0));
        format!(r#"{{"seq":{seq},"op":"insert","collection":"docs","id":"{id}","stamp":{STAMP},"doc":{doc}}}"#)
    };
    let ops = (0..count).map(op).collect::<Vec<_>>().join(",");
    let body = format!(r#"{{"node":"node-{node}","batchId":"{first_seq}","ops":[{ops}]}}"#);
    Job { path: "/sync/push".to_owned(), body }
}

fn by_nodes(name: &str, stores: &Stores) -> Result<()> {
    let pushes = WORK / FEW / 2;
    let points = forth_and_back(NODES, |nodes| {
        let hub = stores.start(1)?;
        let introduced: Vec<Job> = (0..nodes).map(|n| of_node(n, 1, n, 1)).collect();
        hub.rate(nodes, &introduced)?;
        let work: Vec<Job> =
            (0..pushes).map(|n| of_node(n % nodes, 2 + n / nodes * FEW, 1_000_000 + n * FEW, FEW)).collect();
        hub.rate(pushes * FEW, &work)
    })?;
    curve(&format!("{name}: inserts, nodes that push"), "ops/s", &points);
    Ok(())
}

/// How long one change takes to the last of its readers.
fn by_readers(name: &str, stores: &Stores) -> Result<()> {
    let hub = stores.start(1)?;
    let port = hub.workers[0].port;
    let mut writer = Connection::open(port, TOKEN)?;
    let mut readers: Vec<Connection> = Vec::new();
    let (mut points, mut lsn) = (Vec::new(), 0);
    for count in READERS {
        while (readers.len() as u64) < count {
            readers.push(Connection::open(port, TOKEN)?);
        }
        let mut times = Vec::new();
        for _ in 0..WAKES {
            for (n, reader) in readers.iter_mut().enumerate() {
                reader.send("GET", &poll(n, lsn), "")?;
            }
            // sleep: the readers must be waiting before the change is made, and nothing tells when they are
            std::thread::sleep(Duration::from_millis(20 + count));
            let began = Instant::now();
            writer.request("POST", "/sync/push", &push_body(&format!("w{lsn}"), Kind::Insert, lsn, 1), |_| ())?;
            let mut upto = lsn;
            for (n, reader) in readers.iter_mut().enumerate() {
                let page = awaited(reader, &poll(n, lsn))?;
                upto = server_lsn(&page).filter(|upto| *upto > lsn).ok_or("a poll ended without its change")?;
            }
            times.push(began.elapsed().as_secs_f64() * 1_000.0);
            lsn = upto;
        }
        points.push((count, median(times)));
    }
    curve(&format!("{name}: one change, readers that wait"), "ms", &points);
    Ok(())
}

fn poll(reader: usize, lsn: u64) -> String {
    format!("/sync/pull?node=reader-{reader}&collections=docs&since_lsn={lsn}&wait=30")
}

/// The page of a poll. A hub that is busy asks to come again, and the time goes on.
fn awaited(reader: &mut Connection, path: &str) -> std::io::Result<Answer> {
    loop {
        match reader.receive(|_| ()) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => reader.send("GET", path, "")?,
            page => return page,
        }
    }
}

fn by_workers(name: &str, stores: &Stores, spaces: u64) -> Result<()> {
    let points = forth_and_back(WORKERS, |workers| {
        let hub = stores.start(workers)?;
        let paths = hub.spaces(spaces)?;
        hub.rate(WORK, &inserts(&paths, 0, WORK))
    })?;
    let of = if spaces == 1 { "one space".to_owned() } else { format!("{spaces} spaces") };
    curve(&format!("{name}: inserts to {of}, workers"), "ops/s", &points);
    Ok(())
}
