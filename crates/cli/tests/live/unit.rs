//! The unit of `docs/deploy`: systemd takes it as it is, and what it starts is stopped as it says.

use crate::machine::Machine;
use crate::worker::{SYNCLINE, Worker};
use std::process::Command;

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let machine = Machine::new();
    let unit = machine.deployed("syncline@.service").replace("/usr/bin/syncline", SYNCLINE);
    let file = machine.write("syncline@one.service", &unit);
    let verified = Command::new("systemd-analyze").arg("verify").arg(file).output();
    let verified = verified.expect("systemd-analyze is installed by `cargo xtask setup`");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && !said.contains("syncline@"), "{said}");
}

#[test]
fn an_instance_stops_in_the_time_that_the_unit_gives_it_and_takes_its_socket_file_along() {
    let machine = Machine::new();
    machine.configure("");
    let unit = machine.deployed("syncline@.service");
    assert!(unit.contains("KillSignal=SIGTERM") && unit.contains("TimeoutStopSec=45"));
    let worker = Worker::of_unit(&machine, "one");
    let socket = machine.at("run/syncline/one/hub.sock");
    assert!(socket.exists());
    assert!(worker.stop().success());
    assert!(!socket.exists());
}
