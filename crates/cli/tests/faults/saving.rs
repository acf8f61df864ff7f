//! `syncline backup` and `syncline restore`, killed at random moments: what bears the name is whole, and the next attempt
//! needs nobody's help.

use crate::device::Device;
use crate::eventually::eventually;
use crate::history::{Deed, Log};
use crate::hub::{Hub, SYNCLINE};
use crate::load::{Load, Patience};
use crate::node::Node;
use fastrand::Rng;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

const NOTES: &str = "notes";
const ATTEMPTS: usize = 4;

#[test]
fn a_backup_that_is_killed_leaves_no_backup_and_the_hub_takes_writes_meanwhile() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    let mut filler = fill(&hub);
    let load = Load::start(&hub.address, 2, 5, Patience::Endless);

    let killed = attempt(home.path(), &["backup", "saved", "--data", "hub"], "saved", 5);
    run(home.path(), &["backup", "whole", "--data", "hub"]);

    let enough = load.receipts() + 30;
    eventually("nodes get receipts", || (load.receipts() >= enough).then_some(()));
    let mut sent = load.finish();
    filler.write(Deed::Insert, NOTES, "last");
    filler.push().unwrap();
    sent.extend(filler.notes().to_vec());
    Log::read(&hub.address).judge(&sent);
    assert!(killed > 0, "nobody was killed at work");
    run(home.path(), &["restore", "whole", "--data", "back"]);
    drop(Hub::start(&home.path().join("back")));
}

#[test]
fn a_restoration_that_is_killed_leaves_no_data_that_a_hub_would_start_on() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    let filler = fill(&hub);
    let mut device = Device::new("d", home.path(), NOTES);
    assert!(device.open(&hub.address).cycle().success);
    run(home.path(), &["backup", "saved", "--data", "hub"]);
    drop(hub);
    let mut open = device.open("127.0.0.1:9");
    open.write(Deed::Insert, "meanwhile");
    drop(open);

    let killed = attempt(home.path(), &["restore", "saved", "--data", "back"], "back", 6);
    assert!(killed > 0, "nobody was killed at work");
    if !home.path().join("back").exists() {
        run(home.path(), &["restore", "saved", "--data", "back"]);
    }
    let hub = Hub::start(&home.path().join("back"));
    Log::read(&hub.address).judge(filler.notes());
    assert!(device.open(&hub.address).cycle().success);
    Log::read(&hub.address).judge(&[filler.notes(), device.notes()].concat());
}

/// Runs a command that makes a directory again and again, and kills it at a random moment of its usual time. Whenever
/// the directory has its name it is complete, and goes for the next attempt. How often it was killed at work.
fn attempt(home: &Path, args: &[&str], makes: &str, seed: u64) -> usize {
    let mut rng = Rng::with_seed(seed);
    let began = Instant::now();
    run(home, args);
    let usual = began.elapsed();
    let mut killed = 0;
    for _ in 0..ATTEMPTS {
        if home.join(makes).exists() {
            whole(home, args[0], makes);
            std::fs::remove_dir_all(home.join(makes)).unwrap();
        }
        let mut process = start(home, args);
        thread::sleep(usual.mul_f64(rng.f64())); // sleep: the blow may fall at any moment of it
        if process.try_wait().unwrap().is_none() {
            killed += 1;
        }
        process.kill().unwrap();
        process.wait().unwrap();
    }
    killed
}

/// What has its name can be used.
fn whole(home: &Path, made_by: &str, name: &str) {
    if made_by == "backup" {
        run(home, &["restore", name, "--data", "tried"]);
        std::fs::remove_dir_all(home.join("tried")).unwrap();
    } else {
        drop(Hub::start(&home.join(name)));
    }
}

/// A node that has filled the hub with some megabytes.
fn fill(hub: &Hub) -> Node {
    let mut node = Node::new("filler", &hub.address);
    for batch in 0..2 {
        (0..1_500).for_each(|n| node.write(Deed::Insert, NOTES, &format!("{batch}-{n}-{}", "x".repeat(200))));
        node.push().unwrap();
    }
    node
}

fn start(home: &Path, args: &[&str]) -> Child {
    let mut command = Command::new(SYNCLINE);
    command.args(args).current_dir(home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn run(home: &Path, args: &[&str]) {
    let output = Command::new(SYNCLINE).args(args).current_dir(home).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
