//! The yardstick: axum and SQLite with group commit and nothing else. It keeps no receipts, finds
//! no repeats, merges nothing and knows no tokens, so no real hub can be much faster.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use tokio::sync::oneshot;

type Answer = Result<i64, String>;
type Job = (Bytes, oneshot::Sender<Answer>);

#[derive(Clone)]
struct Yardstick {
    jobs: mpsc::SyncSender<Job>,
    file: Arc<PathBuf>,
    head: Arc<AtomicI64>,
}

#[derive(Deserialize)]
struct Push<'a> {
    #[serde(rename = "batchId")]
    batch: &'a str,
    #[serde(borrow)]
    ops: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Op<'a> {
    #[serde(borrow)]
    doc: Option<&'a RawValue>,
    id: Option<&'a str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Id<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
}

fn open(file: &Path) -> Connection {
    let connection = Connection::open(file).expect("the yardstick's database opens");
    connection
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-65536;
             PRAGMA mmap_size=2147483648; PRAGMA wal_autocheckpoint=4000;
             CREATE TABLE IF NOT EXISTS ops(lsn INTEGER PRIMARY KEY, body TEXT NOT NULL);
             CREATE TABLE IF NOT EXISTS docs(id TEXT PRIMARY KEY, lsn INTEGER NOT NULL, body TEXT) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS batches(id TEXT PRIMARY KEY, lsn INTEGER NOT NULL) WITHOUT ROWID;",
        )
        .expect("the yardstick's schema is valid");
    connection
}

fn write(jobs: &mpsc::Receiver<Job>, file: &Path, head: &AtomicI64) {
    let connection = open(file);
    let mut lsn = head.load(Ordering::Relaxed);
    while let Ok(first) = jobs.recv() {
        let group: Vec<Job> = std::iter::once(first).chain(jobs.try_iter().take(63)).collect();
        connection.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
        let answers: Vec<Answer> =
            group.iter().map(|(body, _)| push(&connection, body, &mut lsn).map_err(|e| e.to_string())).collect();
        connection.execute_batch("COMMIT").expect("the disk has room");
        head.store(lsn, Ordering::Release);
        for ((_, done), answer) in group.into_iter().zip(answers) {
            drop(done.send(answer));
        }
    }
}

fn push(connection: &Connection, body: &[u8], lsn: &mut i64) -> Result<i64, Box<dyn std::error::Error>> {
    let push: Push<'_> = serde_json::from_slice(body)?;
    let mut batch = connection.prepare_cached("INSERT OR IGNORE INTO batches VALUES (?1, ?2)")?;
    if batch.execute((push.batch, *lsn))? == 0 {
        return Ok(*lsn);
    }
    let mut log = connection.prepare_cached("INSERT INTO ops VALUES (?1, ?2)")?;
    let mut doc = connection.prepare_cached(
        "INSERT INTO docs VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET lsn = excluded.lsn, body = excluded.body",
    )?;
    for raw in push.ops {
        let op: Op<'_> = serde_json::from_str(raw.get())?;
        *lsn += 1;
        log.execute((*lsn, raw.get()))?;
        if let Some(text) = op.doc {
            let id: Id<'_> = serde_json::from_str(text.get())?;
            doc.execute((id.id, *lsn, text.get()))?;
        } else if let (Some(id), Some(data)) = (op.id, op.data) {
            let text = format!(r#"{{"_id":"{id}",{}"#, &data.get()[1..]);
            doc.execute((id, *lsn, text))?;
        }
    }
    Ok(*lsn)
}

async fn on_push(State(me): State<Yardstick>, body: Bytes) -> Response {
    let (done, answer) = oneshot::channel();
    if me.jobs.send((body, done)).is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match answer.await {
        Ok(Ok(lsn)) => json(Body::from(format!(r#"{{"status":"ok","server_lsn":{lsn}}}"#))),
        Ok(Err(error)) => (StatusCode::BAD_REQUEST, error).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn json(body: Body) -> Response {
    ([("content-type", "application/json")], body).into_response()
}

/// Rows as a JSON array in pieces of 64 KiB.
fn stream(me: &Yardstick, name: &'static str, sql: &'static str, since: i64) -> Response {
    let (out, pieces) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(8);
    let (file, head) = (me.file.clone(), me.head.load(Ordering::Acquire));
    tokio::task::spawn_blocking(move || {
        let connection = open(&file);
        let mut query = connection.prepare(sql).expect("the query is valid");
        let mut rows = query.query([since]).expect("the query takes one number");
        let mut buffer = format!(r#"{{"server_lsn":{head},"{name}":["#).into_bytes();
        let mut separator = "";
        while let Some(row) = rows.next().expect("the rows can be read") {
            buffer.extend_from_slice(separator.as_bytes());
            separator = ",";
            buffer.extend_from_slice(row.get_ref(0).and_then(|v| Ok(v.as_bytes()?)).expect("bodies are text"));
            if buffer.len() > 64 << 10
                && out.blocking_send(Ok(std::mem::replace(&mut buffer, Vec::with_capacity(72 << 10)).into())).is_err()
            {
                return;
            }
        }
        buffer.extend_from_slice(format!(r#"],"server_lsn":{head}}}"#).as_bytes());
        drop(out.blocking_send(Ok(buffer.into())));
    });
    json(Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(pieces)))
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since_lsn: i64,
}

/// Serves until the process ends; prints the port once it accepts connections.
///
/// # Errors
/// When no port can be bound.
pub async fn serve(dir: &Path) -> std::io::Result<()> {
    let (jobs, queue) = mpsc::sync_channel(4096);
    let (file, head) = (Arc::new(dir.join("yardstick.db")), Arc::new(AtomicI64::new(0)));
    let (writer_file, writer_head) = (file.clone(), head.clone());
    drop(open(&file));
    std::thread::spawn(move || write(&queue, &writer_file, &writer_head));
    let app = Router::new()
        .route("/sync/push", post(on_push))
        .route(
            "/sync/snapshot",
            get(async |State(me): State<Yardstick>| {
                stream(&me, "documents", "SELECT body FROM docs WHERE lsn > ?1 AND body IS NOT NULL", 0)
            }),
        )
        .route(
            "/sync/pull",
            get(async |State(me): State<Yardstick>, Query(since): Query<Since>| {
                stream(&me, "ops", "SELECT body FROM ops WHERE lsn > ?1", since.since_lsn)
            }),
        )
        .layer(DefaultBodyLimit::max(64 << 20))
        .with_state(Yardstick { jobs, file, head });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, app).await
}
