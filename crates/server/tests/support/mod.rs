//! A hub on a free port and a client that writes HTTP by hand, so that tests can also send what no
//! well-behaved client would.
#![allow(dead_code, clippy::unwrap_used)] // each test file uses its part; a failed set-up is a failed test

pub mod faulty;
pub mod front;
pub mod gate;
pub mod postgres;
pub mod redis;
pub mod socket;

use front::Front;
use postgres::Postgres;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use syncline_core::model::NodeId;
use syncline_server::auth::{DeclaredToken, TokenSpec};
use syncline_server::store::{
    MemoryStore, PostgresOptions, PostgresStore, PostgresUrl, SqliteOptions, SqliteStore, Store,
};
use syncline_server::{Options, Server, ServerError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const ADMIN: &str = "the-admin-secret";

/// A running hub.
pub struct Hub {
    pub addr: String,
    pub stop: Option<oneshot::Sender<()>>,
    pub ended: JoinHandle<Result<(), ServerError>>,
    /// Its files live as long as the hub.
    dir: Option<TempDir>,
    /// The worker beside it, and what leads every other connection there.
    beside: Option<(Box<Hub>, Front)>,
}

/// A reply, taken apart.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Hub {
    pub async fn start() -> Hub {
        Hub::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Options)) -> Hub {
        Hub::on(Arc::new(MemoryStore::default()), change).await
    }

    pub async fn on(store: Arc<dyn Store>, change: impl FnOnce(&mut Options)) -> Hub {
        let admin = TokenSpec::admin(NodeId::new("admin").unwrap());
        let tokens = vec![DeclaredToken { secret: ADMIN.to_owned(), spec: admin }];
        let mut options = Options { listen: "127.0.0.1:0".to_owned(), tokens, ..Options::default() };
        change(&mut options);
        let server = Server::bind(store, options).await.unwrap();
        let addr = server.addr().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(server.run(async {
            stopped.await.unwrap_or_default();
        }));
        Hub { addr, stop: Some(stop), ended, dir: None, beside: None }
    }

    /// One hub for each kind of store; the last one is two workers, and each request goes to another one than the one
    /// before.
    pub async fn on_every_store() -> [Hub; 3] {
        Hub::on_every_store_with(|_| {}).await
    }

    /// The same, with options of their own.
    pub async fn on_every_store_with(change: impl Fn(&mut Options)) -> [Hub; 3] {
        let dir = TempDir::new().unwrap();
        let files = SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap();
        let files = Hub { dir: Some(dir), ..Hub::on(Arc::new(files), &change).await };
        [Hub::with(&change).await, files, Hub::of_two_workers(&change).await]
    }

    /// Two workers on a database of their own.
    pub async fn of_two_workers(change: impl Fn(&mut Options)) -> Hub {
        let [one, two] = Hub::workers(change).await;
        let front = Front::before(vec![one.addr.clone(), two.addr.clone()]).await;
        Hub { addr: front.addr.clone(), beside: Some((Box::new(two), front)), ..one }
    }

    /// The same without anything before them.
    pub async fn workers(change: impl Fn(&mut Options)) -> [Hub; 2] {
        let server = Postgres::shared();
        Hub::workers_at(&server.url(&server.database()), change).await
    }

    /// Two workers on the database at a place.
    pub async fn workers_at(url: &str, change: impl Fn(&mut Options)) -> [Hub; 2] {
        let url = PostgresUrl::parse(url).unwrap();
        let options = PostgresOptions { connections: 8, ..PostgresOptions::default() };
        let store = async || Arc::new(PostgresStore::open(&url, options).await.unwrap());
        [Hub::on(store().await, &change).await, Hub::on(store().await, &change).await]
    }

    /// Whether all requests come to one process: others count only what was done by them.
    pub fn is_one(&self) -> bool {
        self.beside.is_none()
    }

    /// Asks the hub to go down and waits until it has.
    pub async fn shut_down(self) {
        let Hub { stop, ended, beside, .. } = self;
        stop.unwrap().send(()).unwrap();
        ended.await.unwrap().unwrap();
        if let Some((worker, _front)) = beside {
            Box::pin(worker.shut_down()).await;
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[("authorization", &format!("Bearer {ADMIN}"))], b"").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_raw(path, body.to_string().as_bytes()).await
    }

    pub async fn post_raw(&self, path: &str, body: &[u8]) -> Reply {
        self.send("POST", path, &[("authorization", &format!("Bearer {ADMIN}"))], body).await
    }

    /// One request on a connection of its own.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n").into_bytes();
        for (name, value) in headers {
            head.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        head.extend(format!("content-length: {}\r\n\r\n", body.len()).into_bytes());
        head.extend_from_slice(body);
        self.send_bytes(&head).await
    }

    /// Whatever bytes, as they are.
    pub async fn send_bytes(&self, bytes: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(&self.addr).await.unwrap();
        // A hub that refuses early may close before everything is written.
        drop(stream.write_all(bytes).await);
        let mut reply = Vec::new();
        drop(stream.read_to_end(&mut reply).await);
        Reply::parse(&reply)
    }

    /// Pushes ops as a node and expects receipts.
    pub async fn push(&self, node: &str, batch: &str, ops: &Value) -> Value {
        let body = json!({ "node": node, "batchId": batch, "ops": ops });
        let reply = self.post("/sync/push", &body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }

    pub async fn pull(&self, rest: &str) -> Value {
        let reply = self.get(&format!("/sync/pull?node=reader&{rest}")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }
}

impl Reply {
    fn parse(bytes: &[u8]) -> Reply {
        let split = bytes.windows(4).position(|w| w == b"\r\n\r\n");
        let split = split.unwrap_or_else(|| panic!("no HTTP reply: {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..split].to_vec()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let pairs = lines.filter_map(|line| line.split_once(": "));
        let headers: BTreeMap<_, _> = pairs.map(|(n, v)| (n.to_lowercase(), v.to_owned())).collect();
        let body = &bytes[split + 4..];
        let chunked = headers.get("transfer-encoding").is_some_and(|v| v == "chunked");
        let body = if chunked { unchunk(body) } else { body.to_vec() };
        Reply { status, headers, body }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The code of a refusal, after checking that it is one in the promised shape.
    pub fn refusal(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?} {}", String::from_utf8_lossy(&self.body));
        let body = self.json();
        assert!(body["error"].as_str().is_some_and(|e| e.len() > 10), "a sentence: {body}");
        assert!(self.headers.contains_key("x-request-id"), "{:?}", self.headers);
        body["code"].as_str().unwrap().to_owned()
    }
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        out.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    out
}

/// An insert of a small document.
pub fn insert(seq: u64, collection: &str, id: &str) -> Value {
    json!({ "seq": seq, "op": "insert", "collection": collection, "id": id, "stamp": stamp(seq),
            "doc": { "_id": id, "n": seq } })
}

/// A stamp in the past, later for later numbers.
pub fn stamp(n: u64) -> u64 {
    (1_700_000_000_000 << 10) + n
}
