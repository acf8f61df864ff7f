//! A device: the embedded database of the `syncline` library, in this process or under `syncline db`.

use crate::history::{Answer, Deed, Replica, Sent, bare, fields};
use crate::http::{self, Request};
use crate::hub::{Hub, SYNCLINE, TOKEN, signal};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use syncline::Database;
use syncline::filter::Filter;
use syncline::query::Query;
use syncline::sync::{DatabaseSync, Protocol, SyncOptions, SyncOutcome};

/// One collection of a database file, with notes for the judge.
pub struct Device {
    name: String,
    file: PathBuf,
    collection: String,
    protocol: Protocol,
    token: String,
    notes: Vec<Sent>,
}

/// A device whose file is open in this process.
pub struct Open<'a> {
    device: &'a mut Device,
    database: Database,
    sync: DatabaseSync,
}

impl Device {
    /// A device with a new file in `home`.
    pub fn new(name: &str, home: &Path, collection: &str) -> Device {
        Device::at(name, &home.join(format!("{name}.db")), collection)
    }

    /// A device with a file of its own, new or not.
    pub fn at(name: &str, file: &Path, collection: &str) -> Device {
        Device {
            name: name.into(),
            file: file.into(),
            collection: collection.into(),
            protocol: Protocol::Lsn,
            token: TOKEN.into(),
            notes: Vec::new(),
        }
    }

    /// A device that exchanges packets with the hub, which knows it as a node.
    pub fn by_packets(name: &str, home: &Path, collection: &str, hub: &Hub) -> Device {
        let device = Device::new(name, home, collection);
        let (id, token) = (device.id(), format!("a-secret-of-{name}"));
        let wish = json!({ "id": id, "code": name, "name": name, "token": token }).to_string();
        let (method, path, body) = ("POST", "/admin/spaces/main/nodes", Some(wish.as_bytes()));
        let reply = http::send(&hub.address, &Request { method, path, token: TOKEN, body }).unwrap();
        assert_eq!(reply.status, 200, "{:?}", reply.json());
        Device { protocol: Protocol::Exchange, token, ..device }
    }

    /// The id of its file.
    fn id(&self) -> String {
        Database::open(&self.file).unwrap().replica().node().unwrap().to_string()
    }

    /// Opens the file; it syncs with the hub behind `address` when told to.
    pub fn open(&mut self, address: &str) -> Open<'_> {
        let database = Database::open(&self.file).unwrap();
        let options = SyncOptions {
            collections: vec![self.collection.clone()],
            auto_sync: false,
            push_batch_size: 20,
            protocol: self.protocol,
            ..SyncOptions::new(format!("http://{address}"), self.token.clone())
        };
        let sync = database.sync(options).unwrap();
        Open { device: self, database, sync }
    }

    /// `syncline db sync` on the file, as a process of its own.
    pub fn sync_process(&self, address: &str) -> SyncProcess {
        self.sync_with(Command::new(SYNCLINE), address)
    }

    /// The same, by a command line that ends in the binary's path.
    pub fn sync_with(&self, command: Command, address: &str) -> SyncProcess {
        let child = self
            .complete(command, address)
            .args(["--protocol", if self.protocol == Protocol::Exchange { "exchange" } else { "lsn" }])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        SyncProcess(child)
    }

    /// The same, to be started.
    pub fn sync_command(&self, address: &str) -> Command {
        self.complete(Command::new(SYNCLINE), address)
    }

    fn complete(&self, mut command: Command, address: &str) -> Command {
        command
            .args(["db", "sync"])
            .arg(&self.file)
            .args(["--hub", &format!("http://{address}"), "--token", &self.token, "--collections", &self.collection])
            .current_dir(self.file.parent().unwrap());
        command
    }

    /// Bytes of the file and its journal.
    pub fn bytes(&self) -> u64 {
        let beside = self.file.with_extension("db-wal");
        [&self.file, &beside].into_iter().filter_map(|file| Some(file.metadata().ok()?.len())).sum()
    }

    /// Its name in the notes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Its collection.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// Notes a write that returned.
    pub fn note(&mut self, deed: Deed, id: &str, mark: &str) {
        let mut answer = Answer::None;
        if deed == Deed::Remove {
            for op in self.notes.iter_mut().filter(|op| op.id == id && op.answer == Answer::None) {
                (op.answer, answer) = (Answer::Cancelled, Answer::Cancelled);
            }
        }
        let (collection, id, mark) = (self.collection.clone(), id.to_owned(), mark.to_owned());
        self.notes.push(Sent { collection, id, mark, deed, answer });
    }

    /// What was written so far.
    pub fn notes(&self) -> &[Sent] {
        &self.notes
    }
}

impl Open<'_> {
    /// The device's name in the notes.
    pub fn name(&self) -> &str {
        &self.device.name
    }

    /// The device's collection.
    pub fn collection(&self) -> &str {
        &self.device.collection
    }

    /// A local edit; it returned, so it must never get lost.
    pub fn write(&mut self, deed: Deed, id: &str) {
        let device = &mut *self.device;
        let mark = format!("{}-{}", device.name, device.notes.len());
        let collection = self.database.collection(&device.collection).unwrap();
        let mut fields = fields(&mark);
        match deed {
            Deed::Insert => {
                fields.insert("_id".into(), json!(id));
                drop(collection.insert(Value::Object(fields)).unwrap());
            }
            Deed::Update => drop(collection.update(id, &Value::Object(fields)).unwrap()),
            Deed::Remove => assert!(collection.remove(id).unwrap()),
        }
        device.note(deed, id, &mark);
    }

    /// Takes a field away, without a note for the judge.
    pub fn take_away(&self, id: &str, field: &str) {
        let collection = self.database.collection(&self.device.collection).unwrap();
        drop(collection.update(id, &json!({field: null})).unwrap());
    }

    /// Whether the device has a document.
    pub fn has(&self, id: &str) -> bool {
        self.database.collection(&self.device.collection).unwrap().get(id).unwrap().is_some()
    }

    /// One full cycle. When nothing waits for the hub any more, every edit counts as acknowledged.
    pub fn cycle(&mut self) -> SyncOutcome {
        let outcome = self.sync.sync_now_blocking();
        if self.pending() == 0 {
            let open = self.device.notes.iter_mut().filter(|op| op.answer == Answer::None);
            open.for_each(|op| op.answer = Answer::Accepted);
        }
        outcome
    }

    /// How many edits wait for the hub.
    pub fn pending(&self) -> u64 {
        self.sync.status().unwrap().pending
    }

    /// How many documents it has.
    pub fn count(&self) -> usize {
        self.database.collection(&self.device.collection).unwrap().count(&Filter::default()).unwrap()
    }

    /// Its documents, as the other replicas show them.
    pub fn replica(&self) -> Replica {
        let collection = self.database.collection(&self.device.collection).unwrap();
        let documents = collection.find(&Query::default()).unwrap().into_iter();
        let named = documents.map(|doc| (doc["_id"].as_str().unwrap().to_owned(), bare(&doc)));
        named.map(|(id, doc)| ((self.device.collection.clone(), id), doc)).collect()
    }
}

/// A `syncline db sync` that runs. Dropping it kills it.
pub struct SyncProcess(Child);

impl SyncProcess {
    /// Whether the process has come to its end by itself.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// The process, unless it has come to its end; what has not been waited for can safely be sent signals.
    pub fn at_work(&mut self) -> Option<&mut SyncProcess> {
        if self.has_ended() { None } else { Some(self) }
    }

    /// Kills the process, if it runs.
    pub fn strike(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Sends the process a signal: `STOP` halts it until `CONT`.
    pub fn signal(&self, name: &str) {
        signal(&self.0, name);
    }

    /// Kills the process without a chance to do anything; `true`: it had ended by itself before.
    pub fn kill(mut self) -> bool {
        let ended = self.has_ended();
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        ended
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// It failed.
    pub fn succeeds(mut self) {
        let mut complaint = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
        assert!(self.0.wait().unwrap().success(), "{complaint}");
    }
}

impl Drop for SyncProcess {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
