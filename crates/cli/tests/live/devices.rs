//! Our own client behind nginx.

use crate::eventually::eventually;
use crate::machine::{Machine, TOKEN};
use crate::nginx::Nginx;
use crate::worker::Worker;
use serde_json::json;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use syncline::Database;
use syncline::sync::{DatabaseSync, SyncOptions};

/// Nothing comes by a regular cycle: what arrives was waited for.
const NEVER_MS: u64 = 3_600_000;

#[test]
fn a_device_waits_on_a_websocket_through_nginx_also_after_its_worker_was_killed() {
    let machine = Machine::new();
    machine.configure("");
    let mut worker = Worker::of_unit(&machine, "one");
    let nginx = Nginx::start(&machine);
    let (reader, _reading) = device(&machine, &nginx.pages, "reader.db");
    let (writer, writing) = device(&machine, &nginx.pages, "writer.db");

    for id in ["first", "second"] {
        eventually("both wait on WebSockets", || (websockets(&worker) == 2).then_some(()));
        writer.collection("notes").unwrap().insert(json!({ "_id": id })).unwrap();
        // Whether this one came through makes no difference: it is tried again.
        let _ = writing.sync_now_blocking();
        eventually("the other has it", || reader.collection("notes").unwrap().get(id).unwrap());
        worker.kill();
        worker = Worker::of_unit(&machine, "one");
    }
    assert!(worker.stop().success());
}

fn device(machine: &Machine, url: &str, file: &str) -> (Database, DatabaseSync) {
    let database = Database::open(machine.at(file)).unwrap();
    let options = SyncOptions::new(url, TOKEN).collections(["notes"]);
    assert!(options.use_web_sockets, "as everybody has it");
    let options = SyncOptions { min_sync_interval_ms: NEVER_MS, max_sync_interval_ms: NEVER_MS, ..options };
    let sync = database.sync(options).unwrap();
    (database, sync)
}

/// How many WebSockets are open at a worker that nobody but devices comes to.
fn websockets(worker: &Worker) -> u32 {
    let mut stream = UnixStream::connect(&worker.address).unwrap();
    let ask =
        format!("GET /metrics HTTP/1.1\r\nhost: hub\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("syncline_live_connections "));
    line.map_or(0, |number| number.parse().unwrap())
}
