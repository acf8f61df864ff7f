//! A hub that comes back from a backup while clients of event sync are connected.

use crate::machine::{Machine, TOKEN};
use crate::play::{node, play};
use crate::worker::{SYNCLINE, Worker};
use serde_json::json;
use std::fs;
use std::process::Command;

#[test]
fn live_clients_keep_what_they_have_across_a_restoration_and_their_unsent_work_arrives() {
    let machine = Machine::new();
    let mut hub = Worker::on_a_port(&machine, &[]);
    let data = machine.at("var/lib/syncline/alone");
    let run = |args: &[&str]| {
        let output = Command::new(SYNCLINE).args(args).arg("--data").arg(&data).current_dir(machine.at("")).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    play(node("restored.mjs"), &json!({ "url": hub.address, "token": TOKEN }), 1, |wish| match wish {
        "backup" => run(&["backup", "saved"]),
        "kill" => hub.kill(),
        "restore" => {
            fs::rename(&data, machine.at("var/lib/syncline/old")).unwrap();
            run(&["restore", "saved"]);
            hub.restart(&machine);
        }
        other => panic!("{other}"),
    });
    assert!(hub.stop().success());
}
