//! Hubs that can be stopped and devices that can be asked.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use syncline::query::Query;
use syncline::sync::{ApiClient, ApiError, ApiReply, ApiStream, DatabaseSync, HttpApiClient, SyncOptions};
use syncline::{Collection, Database};
use syncline_core::model::NodeId;
use syncline_server::auth::{DeclaredToken, TokenSpec};
use syncline_server::store::{SqliteOptions, SqliteStore};
use syncline_server::{Options, Server, ServerError};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const TOKEN: &str = "a-secret-of-the-tests";
/// Longer than anything takes on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

type Boxed<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send + 'a>>;

/// A hub on files of its own.
pub struct Hub {
    runtime: Runtime,
    url: String,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServerError>>,
    dir: TempDir,
}

/// A hub that is down.
pub struct Stopped {
    listen: String,
    dir: TempDir,
}

impl Hub {
    pub fn start() -> Hub {
        Hub::start_with(|_| {})
    }

    pub fn start_with(change: impl FnOnce(&mut Options)) -> Hub {
        Hub::on("127.0.0.1:0".to_owned(), TempDir::new().unwrap(), change)
    }

    fn on(listen: String, dir: TempDir, change: impl FnOnce(&mut Options)) -> Hub {
        let admin = TokenSpec::admin(NodeId::new("admin").unwrap());
        let tokens = vec![DeclaredToken { secret: TOKEN.to_owned(), spec: admin }];
        let mut options = Options { listen, tokens, ..Options::default() };
        change(&mut options);
        let runtime = Runtime::new().unwrap();
        let store = Arc::new(SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap());
        let server = runtime.block_on(Server::bind(store, options)).unwrap();
        let url = server.url();
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = runtime.spawn(server.run(async {
            stopped.await.unwrap_or_default();
        }));
        Hub { runtime, url, stop, ended, dir }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Goes down in an orderly way.
    pub fn stop(self) -> Stopped {
        self.stop.send(()).unwrap();
        self.runtime.block_on(self.ended).unwrap().unwrap();
        Stopped { listen: self.url.trim_start_matches("http://").to_owned(), dir: self.dir }
    }
}

impl Stopped {
    pub fn start_again(self) -> Hub {
        self.start_again_with(|_| {})
    }

    /// With the same documents and other options.
    pub fn start_again_with(self, change: impl FnOnce(&mut Options)) -> Hub {
        Hub::on(self.listen, self.dir, change)
    }

    pub fn start_empty(self) -> Hub {
        Hub::on(self.listen, TempDir::new().unwrap(), |_| {})
    }
}

/// Only moves when told to.
pub fn manual(options: SyncOptions) -> SyncOptions {
    SyncOptions { auto_sync: false, ..options }
}

/// An application with one collection.
pub struct Device {
    pub db: Database,
    pub notes: Collection,
    pub sync: DatabaseSync,
    pub url: String,
}

impl Device {
    pub fn on(hub: &Hub) -> Device {
        Device::through_url(hub.url())
    }

    pub fn through_url(url: &str) -> Device {
        Device::with(Database::open_in_memory().unwrap(), manual(SyncOptions::new(url, TOKEN)))
    }

    pub fn through(api: Arc<dyn ApiClient>) -> Device {
        Device::with(Database::open_in_memory().unwrap(), manual(SyncOptions::with_api_client(api)))
    }

    pub fn with(db: Database, options: SyncOptions) -> Device {
        let url = options.url.clone();
        let sync = db.sync(SyncOptions { collections: vec!["notes".into()], ..options }).unwrap();
        Device { notes: db.collection("notes").unwrap(), db, sync, url }
    }

    /// Set up for the hub, and switched off.
    pub fn idle(hub: &Hub) -> Device {
        let device = Device::on(hub);
        device.sync.disable();
        device
    }

    pub fn enable(&self, options: SyncOptions) {
        self.notes.enable_sync(options).unwrap();
    }

    /// Every document, by id.
    pub fn all(&self) -> Vec<Value> {
        let mut all = self.notes.find(&Query::from_json(&json!({})).unwrap()).unwrap();
        all.sort_by_key(|document| document["_id"].to_string());
        all
    }

    /// Payloads of the events of this name, from now on.
    pub fn hear(&self, event: &str) -> Receiver<Value> {
        let (told, heard) = channel();
        let told = Mutex::new(told);
        self.sync
            .on(event, move |event| {
                // The test may have heard enough.
                let _ = told.lock().unwrap().send(event.payload());
            })
            .unwrap();
        heard
    }
}

/// The way to a hub over a bad line: requests arrive, some answers do not.
pub struct Flaky {
    inner: HttpApiClient,
    lose: AtomicUsize,
}

impl Flaky {
    pub fn before(hub: &Hub) -> Arc<Flaky> {
        let inner = HttpApiClient::new(hub.url(), TOKEN, PATIENCE).unwrap();
        Arc::new(Flaky { inner, lose: AtomicUsize::new(0) })
    }

    pub fn lose_push_replies(&self, count: usize) {
        self.lose.store(count, Ordering::SeqCst);
    }
}

impl ApiClient for Flaky {
    fn get<'a>(&'a self, path: &'a str) -> Boxed<'a, ApiReply> {
        self.inner.get(path)
    }

    fn post<'a>(&'a self, path: &'a str, body: String) -> Boxed<'a, ApiReply> {
        Box::pin(async move {
            let reply = self.inner.post(path, body).await?;
            let lost = self.lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            if lost { Err(ApiError::new("the line went dead")) } else { Ok(reply) }
        })
    }

    fn stream<'a>(&'a self, path: &'a str) -> Boxed<'a, ApiStream> {
        self.inner.stream(path)
    }
}
