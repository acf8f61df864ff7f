//! Hubs on PostgreSQL beside PostgreSQL itself: the same documents by prepared statements over one connection and by
//! COPY; two workers beside one; and how fast a change reaches a reader at another worker. One server, which really
//! waits for its disk.

use crate::Extent;
use crate::documents::{Kind, document, id};
use crate::hub::{REDIS_PORT, STORE, TOKEN};
use crate::live::Redis;
use crate::process::Server;
use crate::report::{Goal, median, pair, single};
use crate::server::{Pooler, Postgres};
use crate::wire::Connection;
use crate::workloads::{push, wake_across};
use std::error::Error;
use std::process::Command;
use std::time::Instant;
use tokio_postgres::{Client, NoTls};
use tokio_stream::StreamExt;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Documents in one statement of the yardstick, as many as in a push.
const BATCH: u64 = 100;
/// Clients that push.
const CLIENTS: usize = 8;
const WAKES: u64 = 50;

/// Whether PostgreSQL is there.
pub fn possible() -> bool {
    std::path::Path::new("/usr/lib/postgresql").is_dir()
}

/// Everything, as ratios. Tells whether every goal was met.
///
/// # Errors
/// When a server does not start or a request fails.
pub fn compare(extent: Extent) -> Result<bool> {
    println!("Hubs on PostgreSQL, {} documents, {} rounds, alternating:", extent.documents, extent.rounds);
    let server = Postgres::start(&["-c", "fsync=on", "-c", "full_page_writes=on", "-c", "max_wal_size=4GB"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut one, mut two, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    let (mut streamed, mut copied) = (Vec::new(), Vec::new());
    for n in 0..extent.rounds {
        eprintln!("  round {} of {}", n + 1, extent.rounds);
        let url = server.url(&server.database());
        let worker = start(&url, None)?;
        one.push(push(&worker, TOKEN, Kind::Insert, 0, extent.documents, CLIENTS)?.ops_per_s);
        streamed.push(snapshot(&worker, extent.documents)?);
        copied.push(runtime.block_on(copy(&url, extent.documents))?);
        drop(worker);
        two.push(by_two_workers(&server.url(&server.database()), extent.documents)?);
        plain.push(runtime.block_on(insert(&server.url(&server.database()), extent.documents))?);
    }
    let mut met = pair("W1 push, one connection's batches beside", "ops/s", &one, &plain, Goal::AtLeast(0.5));
    met &= pair("W1 push, two workers beside one", "ops/s", &two, &one, Goal::AtLeast(0.9));
    met &= pair("snapshot beside COPY TO STDOUT", "docs/s", &streamed, &copied, Goal::AtLeast(0.7));
    met &= wakes(&server)?;
    Ok(met)
}

/// A worker on a database.
///
/// # Errors
/// When it does not start.
pub fn start(url: &str, redis: Option<u16>) -> Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve-hub", "unused"]).env(STORE, url);
    if let Some(port) = redis {
        command.env(REDIS_PORT, port.to_string());
    }
    Ok(Server::spawn(&mut command)?)
}

/// The clients are the same; half of them have another worker.
fn by_two_workers(url: &str, documents: u64) -> Result<f64> {
    let workers = [start(url, None)?, start(url, None)?];
    let started = Instant::now();
    std::thread::scope(|scope| {
        let halves = [0, 1].map(|n: usize| {
            let (worker, half) = (&workers[n], documents / 2);
            let first = n as u64 * half;
            scope.spawn(move || push(worker, TOKEN, Kind::Insert, first, half, CLIENTS / 2))
        });
        halves
            .into_iter()
            .try_for_each(|half| half.join().map_err(|_| "a client panicked")?.map(drop).map_err(Box::from))
    })
    .map_err(|error: Box<dyn Error + Send + Sync>| error.to_string())?;
    Ok(documents as f64 / started.elapsed().as_secs_f64())
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The rows that a hub needs for them, and nothing else: a log, and heads that point into it. Each batch is a
/// transaction.
async fn insert(url: &str, documents: u64) -> Result<f64> {
    let client = connect(url).await?;
    let tables =
        "CREATE TABLE log (space TEXT, lsn BIGINT, collection TEXT, id TEXT, body TEXT, PRIMARY KEY (space, lsn));
        CREATE TABLE heads (space TEXT, collection TEXT, id TEXT, lsn BIGINT, PRIMARY KEY (space, collection, id))";
    client.batch_execute(tables).await?;
    let insert = "WITH rows AS (SELECT * FROM unnest($1::BIGINT[], $2::TEXT[], $3::TEXT[]) AS t (lsn, id, body)),
            log AS (INSERT INTO log SELECT 'main', lsn, 'docs', id, body FROM rows)
        INSERT INTO heads SELECT 'main', 'docs', id, lsn FROM rows";
    let insert = client.prepare(insert).await?;
    let started = Instant::now();
    for first in (0..documents).step_by(usize::try_from(BATCH)?) {
        let numbers = first..first + BATCH;
        let lsns: Vec<i64> = numbers.clone().map(i64::try_from).collect::<std::result::Result<_, _>>()?;
        let (ids, bodies): (Vec<String>, Vec<String>) = numbers.map(|n| (id(n), document(n, 1))).unzip();
        client.execute(&insert, &[&lsns, &ids, &bodies]).await?;
    }
    Ok(documents as f64 / started.elapsed().as_secs_f64())
}

/// All documents of a hub by the server's own stream, with what the hub's stream tells of each.
async fn copy(url: &str, documents: u64) -> Result<f64> {
    let client = connect(url).await?;
    let started = Instant::now();
    let columns = "lsn, collection, id, stamp, author, meta, body";
    let rows = client.copy_out(&format!("COPY (SELECT {columns} FROM syncline.log WHERE kind = 0) TO STDOUT")).await?;
    let mut rows = std::pin::pin!(rows);
    let mut lines = 0;
    while let Some(piece) = rows.next().await {
        lines += count_lines(&piece?);
    }
    if lines != documents {
        return Err(format!("COPY: {lines} documents instead of {documents}").into());
    }
    Ok(documents as f64 / started.elapsed().as_secs_f64())
}

/// The same by a hub: one line for each, one before them and one behind. Lines are counted as [`copy`] counts them, or the
/// client's own work would make the difference.
fn snapshot(worker: &Server, documents: u64) -> Result<f64> {
    let mut connection = Connection::open(worker.port, TOKEN)?;
    let mut lines = 0;
    let started = Instant::now();
    connection.request("GET", "/sync/snapshot?node=bench&collections=docs", "", |piece| lines += count_lines(piece))?;
    if lines != documents + 2 {
        return Err(format!("the snapshot has {lines} lines instead of {documents} and two").into());
    }
    Ok(documents as f64 / started.elapsed().as_secs_f64())
}

fn count_lines(piece: &[u8]) -> u64 {
    piece.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// From a push at one worker to a poll that waits at the other one.
fn wakes(server: &Postgres) -> Result<bool> {
    let database = server.database();
    let between = |how: &str, url: &str, redis: Option<u16>, goal: Goal| -> Result<bool> {
        let (one, two) = (start(url, redis)?, start(url, redis)?);
        let mut times = wake_across((&one, &two), TOKEN, WAKES)?;
        times.sort_by(f64::total_cmp);
        let late = times.get(times.len() * 9 / 10).copied().unwrap_or_default();
        let met = single(&format!("wake-up across workers, {how}"), "ms", median(times), goal);
        single("    nine of ten within", "ms", late, Goal::Open);
        Ok(met)
    };
    let mut met = between("NOTIFY", &server.url(&database), None, Goal::AtMost(10.0))?;
    // A pooler that keeps no sessions keeps NOTIFY back: then workers look by themselves, or Redis tells them.
    let pooler = Pooler::possible().then(|| Pooler::before(server));
    let url = pooler.as_ref().map_or_else(|| server.url(&database), |pooler| pooler.url(&database));
    if let Some(redis) = Redis::start()? {
        met &= between("Redis", &url, Some(redis.port), Goal::AtMost(10.0))?;
    }
    if pooler.is_some() {
        between("looking", &url, None, Goal::Open)?;
    }
    Ok(met)
}
