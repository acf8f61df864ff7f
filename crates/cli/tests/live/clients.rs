//! One hub, and clients of every kind.

use crate::machine::{Machine, TOKEN};
use crate::play::{node, play};
use crate::python::python;
use crate::worker::Worker;
use serde_json::json;

/// Small enough to be broken quickly.
const MESSAGE_BYTES: usize = 1 << 20;

fn hub(machine: &Machine) -> Worker {
    // A refused python-socketio by polling stays until the next sign of life: that is soon.
    Worker::on_a_port(machine, &[&format!("live.message_bytes={MESSAGE_BYTES}"), "live.ping_interval=1s"])
}

#[test]
fn npm_clients_work_by_websocket_by_polling_and_with_an_upgrade() {
    let machine = Machine::new();
    let hub = hub(&machine);
    let told = json!({ "url": hub.address, "token": TOKEN, "message_bytes": MESSAGE_BYTES });
    play(node("pages.mjs"), &told, 26, |wish| panic!("{wish}"));
    assert!(!hub.log().contains(TOKEN), "{}", hub.log());
    assert!(hub.stop().success());
}

#[test]
fn python_clients_work_by_websocket_by_polling_and_with_an_upgrade() {
    let machine = Machine::new();
    let hub = hub(&machine);
    let told = json!({ "be": "clients", "url": hub.address, "token": TOKEN, "message_bytes": MESSAGE_BYTES });
    play(python(), &told, 12, |wish| panic!("{wish}"));
    assert!(hub.stop().success());
}

#[test]
fn a_hundred_pages_a_slow_one_and_two_thousand_connections_miss_nothing() {
    let machine = Machine::new();
    let mut hub = Worker::on_a_port(&machine, &[]);
    play(node("crowd.mjs"), &json!({ "url": hub.address, "token": TOKEN }), 3, |wish| {
        assert_eq!(wish, "restart");
        hub.restart(&machine);
    });
    assert!(hub.stop().success());
}
