//! A hub that holds a counter for a log, and a device that holds a counter for an outbox.

use crate::rebase::Resolver;
use crate::sync::api::{ApiClient, ApiError, ApiReply};
use crate::sync::link::Link;
use crate::sync::local::Local;
use crate::sync::{SyncError, SyncEvent, SyncOptions, SyncOutcome, SyncStatus};
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use syncline_core::model::{BatchId, CollectionName, Cursor, Millis, NodeId, Strategy};
use syncline_core::session::{Backlog, Batch, Positions, SnapshotProgress, Stored, Write};
use tokio::sync::watch;

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn collections(names: &[&str]) -> BTreeSet<CollectionName> {
    names.iter().map(|name| CollectionName::new(name).unwrap()).collect()
}

enum Next {
    Answer(Result<ApiReply, ApiError>),
    Lose,
    Panic,
}

/// Answers as a hub with an empty collection whose log has some length.
pub(super) struct Hub {
    head: watch::Sender<u64>,
    next: Mutex<VecDeque<(&'static str, Next)>>,
    seen: Sender<String>,
    asked: Mutex<(Receiver<String>, Vec<String>)>,
    bodies: Mutex<Vec<String>>,
    batch_limit: Mutex<usize>,
}

impl Hub {
    pub(super) fn new() -> Arc<Hub> {
        let (seen, asked) = channel();
        Arc::new(Hub {
            head: watch::Sender::new(0),
            next: Mutex::default(),
            seen,
            asked: Mutex::new((asked, Vec::new())),
            bodies: Mutex::default(),
            batch_limit: Mutex::new(usize::MAX),
        })
    }

    pub(super) fn grow_to(&self, lsn: u64) {
        self.head.send_replace(lsn);
    }

    pub(super) fn answer_next(&self, path: &'static str, answer: Result<ApiReply, ApiError>) {
        self.next.lock().unwrap().push_back((path, Next::Answer(answer)));
    }

    pub(super) fn lose_reply(&self, path: &'static str) {
        self.next.lock().unwrap().push_back((path, Next::Lose));
    }

    pub(super) fn panic_next(&self, path: &'static str) {
        self.next.lock().unwrap().push_back((path, Next::Panic));
    }

    pub(super) fn limit_batches_to(&self, ops: usize) {
        *self.batch_limit.lock().unwrap() = ops;
    }

    /// Waits for a request whose path contains this; earlier ones are passed over.
    pub(super) fn expect_request(&self, part: &str) {
        let mut asked = self.asked.lock().unwrap();
        loop {
            let path = asked.0.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{part} among {:?}", asked.1));
            asked.1.push(path.clone());
            if path.contains(part) {
                return;
            }
        }
    }

    pub(super) fn expect_waiting_pull(&self) {
        self.expect_request("&wait=");
    }

    pub(super) fn requests(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap();
        let new: Vec<_> = asked.0.try_iter().collect();
        asked.1.extend(new);
        asked.1.clone()
    }

    pub(super) fn bodies(&self) -> Vec<String> {
        self.bodies.lock().unwrap().clone()
    }

    async fn answer(&self, path: &str, body: Option<String>) -> Result<ApiReply, ApiError> {
        self.seen.send(path.to_owned()).unwrap();
        let next = {
            let mut next = self.next.lock().unwrap();
            next.front().is_some_and(|(part, _)| path.starts_with(part)).then(|| next.pop_front().unwrap().1)
        };
        match next {
            Some(Next::Answer(answer)) => return answer,
            Some(Next::Panic) => panic!("a bug in the api client"),
            Some(Next::Lose) => {
                self.usual(path, body).await?;
                return Err(ApiError::new("the connection was cut"));
            }
            None => {}
        }
        self.usual(path, body).await
    }

    async fn usual(&self, path: &str, body: Option<String>) -> Result<ApiReply, ApiError> {
        if let Some(body) = body {
            let ops: usize = body.split_whitespace().count() - 1;
            self.bodies.lock().unwrap().push(body);
            if ops > *self.batch_limit.lock().unwrap() {
                return Ok(super::refusal(413, "batch_too_large"));
            }
            return Ok(ApiReply::ok(r#"{"status":"ok","server_lsn":99,"epoch":"e1","receipts":[]}"#));
        }
        let head = *self.head.borrow();
        if path.starts_with("/sync/snapshot") {
            let text = format!("{{\"server_lsn\":{head},\"epoch\":\"e1\"}}\n{{\"end\":true,\"documents\":0}}\n");
            return Ok(ApiReply::ok(text));
        }
        if path.starts_with("/sync/health") {
            return Ok(ApiReply::ok(r#"{"status":"ok"}"#));
        }
        let since: u64 = path.split("since_lsn=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap();
        if path.contains("&wait=") {
            self.head.subscribe().wait_for(|head| *head > since).await.unwrap();
        }
        Ok(ApiReply::ok(page(since, *self.head.borrow())))
    }
}

fn page(since: u64, head: u64) -> String {
    let op = format!(
        r#"{{"op":"put","lsn":{head},"collection":"users","id":"d","stamp":1,"author":1,"doc":{{"_id":"d"}}}}"#
    );
    let ops = if head > since { op } else { String::new() };
    format!(r#"{{"server_lsn":{head},"epoch":"e1","has_more":false,"ops":[{ops}]}}"#)
}

impl ApiClient for Hub {
    fn get<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<ApiReply, ApiError>> {
        Box::pin(self.answer(path, None))
    }

    fn post<'a>(&'a self, path: &'a str, body: String) -> BoxFuture<'a, Result<ApiReply, ApiError>> {
        Box::pin(self.answer(path, Some(body)))
    }
}

#[derive(Default)]
struct Held {
    cursors: BTreeMap<CollectionName, Cursor>,
    snapshot: Option<SnapshotProgress>,
    pending: usize,
    batches: u32,
    batch: Option<Batch>,
}

/// A database that counts.
struct Memory(Arc<Mutex<Held>>);

impl Local for Memory {
    fn node(&self) -> Result<NodeId, SyncError> {
        Ok(NodeId::new("device").unwrap())
    }

    fn join(&mut self, _: &BTreeSet<CollectionName>, _: Strategy, _: Option<&Resolver>) -> Result<(), SyncError> {
        Ok(())
    }

    fn positions(&mut self, scope: &BTreeSet<CollectionName>) -> Result<Positions, String> {
        let held = self.0.lock().unwrap();
        let cursors = scope.iter().map(|name| (name.clone(), held.cursors.get(name).cloned())).collect();
        Ok(Positions { cursors, snapshot: held.snapshot.clone(), ..Positions::default() })
    }

    fn backlog(&mut self, _: &BTreeSet<CollectionName>) -> Result<Backlog, String> {
        let pending = self.0.lock().unwrap().pending as u64;
        Ok(Backlog { pending, oldest: (pending > 0).then_some(Millis(1)) })
    }

    fn carry_out(&mut self, _: &BTreeSet<CollectionName>, write: Write) -> Result<Stored, String> {
        let mut held = self.0.lock().unwrap();
        Ok(match write {
            Write::SnapshotBegin { scope, head } => {
                let cursor = Cursor { epoch: head.epoch, lsn: head.server_lsn };
                held.snapshot = Some(SnapshotProgress { scope, cursor, after: None, documents: 0 });
                Stored::default()
            }
            Write::SnapshotPart(ops) => {
                let begun = held.snapshot.as_mut().unwrap();
                begun.after = ops.last().map(|op| op.lsn);
                Stored::default()
            }
            Write::SnapshotFinish => {
                let done = held.snapshot.take().unwrap();
                let new = done.scope.into_iter().map(|name| (name, done.cursor.clone()));
                held.cursors.extend(new);
                Stored::default()
            }
            Write::Page { scope, page } => {
                let at = Cursor { epoch: page.epoch, lsn: page.server_lsn };
                held.cursors.extend(scope.into_iter().map(|name| (name, at.clone())));
                Stored::default()
            }
            Write::NextBatch { limit, recompose, .. } => held.next_batch(limit, recompose),
            Write::Receipts { .. } | Write::Refuse { .. } => held.settle(),
            Write::Withdraw(name) => {
                held.cursors.remove(&name);
                Stored::default()
            }
            Write::Resync(scope) => {
                held.cursors.retain(|name, _| !scope.contains(name));
                Stored::default()
            }
        })
    }
}

impl Held {
    fn next_batch(&mut self, limit: usize, recompose: bool) -> Stored {
        if self.batch.is_none() || recompose {
            self.batches += 1;
            let ops = self.pending.min(limit);
            let id = format!("b{}", self.batches);
            let batch = Batch { id: BatchId::new(&id).unwrap(), ops, body: id + &" op".repeat(ops) };
            self.batch = (ops > 0).then_some(batch);
        }
        Stored { batch: self.batch.clone(), ..Stored::default() }
    }

    fn settle(&mut self) -> Stored {
        let settled = self.batch.take().map_or(0, |batch| batch.ops);
        self.pending -= settled;
        let backlog = Some(Backlog { pending: self.pending as u64, oldest: None });
        Stored { settled, backlog, ..Stored::default() }
    }
}

/// A database with a link, without the database.
pub(super) struct Device {
    pub(super) link: Arc<Link>,
    held: Arc<Mutex<Held>>,
}

impl Device {
    pub(super) fn new(pending: usize) -> Device {
        Device { link: Arc::default(), held: Arc::new(Mutex::new(Held { pending, ..Held::default() })) }
    }

    pub(super) fn enable(&self, hub: &Arc<Hub>, names: &[&str]) -> Result<(), SyncError> {
        self.enable_with(SyncOptions::with_api_client(hub.clone()), names)
    }

    pub(super) fn enable_manually(&self, hub: &Arc<Hub>, names: &[&str]) -> Result<(), SyncError> {
        let options = SyncOptions { auto_sync: false, ..SyncOptions::with_api_client(hub.clone()) };
        self.enable_with(options, names)
    }

    pub(super) fn enable_with(&self, options: SyncOptions, names: &[&str]) -> Result<(), SyncError> {
        self.link.enable(options, collections(names), || Box::new(Memory(self.held.clone())))
    }

    pub(super) fn write(&self) {
        self.held.lock().unwrap().pending += 1;
        self.link.wrote();
    }

    pub(super) fn trigger(&self) -> SyncOutcome {
        self.link.trigger_blocking(None)
    }

    pub(super) fn status(&self) -> SyncStatus {
        let pending = self.held.lock().unwrap().pending as u64;
        self.link.status(None, Backlog { pending, oldest: None }, Millis(0))
    }

    pub(super) fn watch_events(&self) -> Heard {
        let (told, heard) = channel();
        let told = Mutex::new(told);
        self.link
            .listeners()
            .add("*", None, move |event| {
                // The test may have heard enough.
                let _ = told.lock().unwrap().send(event.clone());
            })
            .unwrap();
        Heard(heard)
    }
}

pub(super) struct Heard(Receiver<SyncEvent>);

impl Heard {
    /// Everything up to the first event of this name.
    pub(super) fn until(&self, name: &str) -> Vec<SyncEvent> {
        let mut events = Vec::new();
        loop {
            let event = self.0.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name} after {events:?}"));
            let done = event.name() == name;
            events.push(event);
            if done {
                return events;
            }
        }
    }
}
