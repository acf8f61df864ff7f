//! Two workers as `docs/deploy` has them: nginx before them, Redis between them.

use crate::eventually::eventually;
use crate::machine::{Machine, TOKEN};
use crate::nginx::Nginx;
use crate::play::{node, play};
use crate::python::Publisher;
use crate::redis::{DB, PASSWORD, Redis};
use crate::worker::{SYNCLINE, Worker};
use serde_json::json;
use std::collections::BTreeMap;
use std::process::Command;

#[test]
fn pages_do_not_notice_which_worker_they_are_on_whatever_happens_to_workers_and_redis() {
    let machine = Machine::new();
    let mut redis = Redis::start(&machine);
    machine.configure(&redis.section(PASSWORD));
    let start = |name: &str| (name.to_owned(), Worker::of_unit(&machine, name));
    let mut workers = BTreeMap::from([start("one"), start("two")]);
    let nginx = Nginx::start(&machine);
    let redis_url = format!("unix://{}?db={DB}&password={PASSWORD}", redis.socket.display());
    let mut python = Publisher::start(&machine, &json!({ "be": "publisher", "redis": redis_url }));

    let told = json!({
        "pages": nginx.pages,
        "documents": nginx.documents,
        "workers": { "one": workers["one"].address, "two": workers["two"].address },
        "token": TOKEN,
        "redis": { "path": redis.socket, "password": PASSWORD, "db": DB },
    });
    play(node("workers.mjs"), &told, 8, |wish| match wish.split_once(' ').unwrap() {
        ("python", event) => python.publish(event),
        ("device", document) => sync_a_device(&machine, &nginx.pages, document),
        ("stop", "redis") => redis.stop(),
        ("start", "redis") => redis.start_again(),
        ("kill", name) => workers.get_mut(name).unwrap().kill(),
        ("stop", name) => assert!(workers.remove(name).unwrap().stop().success()),
        ("start", name) => workers.extend([start(name)]),
        other => panic!("{other:?}"),
    });
    for (name, worker) in workers {
        let log = worker.log();
        assert!(!log.contains(PASSWORD) && !log.contains(TOKEN), "{log}");
        assert!(worker.stop().success(), "{name}: {log}");
    }
}

/// A device with one new document.
fn sync_a_device(machine: &Machine, url: &str, document: &str) {
    let insert = ["insert", "device.db", "groups", document];
    let sync = ["sync", "device.db", "--hub", url, "--token", TOKEN, "--collections", "groups"];
    for arguments in [&insert[..], &sync[..]] {
        let ran = Command::new(SYNCLINE).arg("db").args(arguments).current_dir(machine.at("")).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
}

#[test]
fn a_wrong_password_of_redis_is_named_and_never_shown() {
    const WRONG: &str = "not-the-password-of-redis";
    let machine = Machine::new();
    let redis = Redis::start(&machine);
    machine.configure(&redis.section(WRONG));
    let worker = Worker::of_unit(&machine, "one");
    let log =
        eventually("it says that Redis is away", || Some(worker.log()).filter(|log| log.contains("Redis is away")));
    assert!(log.contains("redis.sock") && log.to_lowercase().contains("password"), "{log}");
    assert!(worker.stop().success());
    assert!(!log.contains(WRONG), "{log}");
}
