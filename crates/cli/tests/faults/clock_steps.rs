//! Wall clocks that are set while everybody works, the hub's and a device's: what is decided stays decided, nothing is
//! skipped, nothing happens twice, and all end equal.

use crate::clock::Clock;
use crate::device::Device;
use crate::eventually::eventually;
use crate::history::{Deed, Log, converged};
use crate::hub::{Hub, SYNCLINE, TOKEN};
use crate::load::{Load, Patience};
use std::process::Command;

const NOTES: &str = "notes";
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

#[test]
fn a_hub_whose_clock_is_set_forth_and_back_keeps_its_order_and_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("hub");
    let clock = Clock::new(home.path());
    let start = || {
        let mut command = clock.command(SYNCLINE);
        command.env("SYNCLINE_RETENTION_TRIM_EVERY", "50ms");
        Hub::spawn(command, &data)
    };
    let mut hub = start();
    let load = Load::start(&hub.address, 2, 1, Patience::Endless);
    let mut device = Device::new("d", home.path(), NOTES);
    let mut open = device.open(&hub.address);
    for seconds in [HOUR, -2 * HOUR, 40 * DAY, -365 * DAY, 0] {
        clock.set(seconds);
        let own = format!("at-{seconds}");
        open.write(Deed::Insert, &own);
        assert!(open.cycle().success);
        open.write(Deed::Update, &own);
        assert!(open.cycle().success);
        assert_eq!(open.pending(), 0, "{seconds} s ahead");
        let enough = load.receipts() + 30;
        eventually("nodes get receipts after the step", || (load.receipts() >= enough).then_some(()));
        assert_eq!(hub.get("/health/ready").status, 200, "{seconds} s ahead");
    }
    let mut sent = load.finish();
    assert!(open.cycle().success);
    let replica = open.replica();
    converged(&hub.address, &[("d".into(), replica)]);
    drop(open);
    sent.extend(device.notes().to_vec());
    Log::read(&hub.address).judge(&sent);

    hub.kill();
    hub = start();
    Log::read(&hub.address).judge(&sent);
    converged(&hub.address, &[]);
}

#[test]
fn a_doctor_sees_a_hub_whose_clock_is_behind_its_newest_change() {
    let home = tempfile::tempdir().unwrap();
    let clock = Clock::new(home.path());
    let hub = Hub::spawn(clock.command(SYNCLINE), &home.path().join("hub"));
    let mut device = Device::new("d", home.path(), NOTES);
    clock.set(HOUR);
    let mut open = device.open(&hub.address);
    open.write(Deed::Insert, "early");
    assert!(open.cycle().success);
    drop(open);

    clock.set(0);

    let url = format!("http://{}", hub.address);
    let told = Command::new(SYNCLINE).args(["doctor", "--hub", &url, "--token", TOKEN]).output().unwrap();
    let said = String::from_utf8(told.stdout).unwrap();
    assert!(said.lines().any(|line| line.starts_with("WRONG") && line.contains("clock")), "{said}");
}

#[test]
fn a_device_whose_clock_is_wrong_is_heard_and_hears() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    let clock = Clock::new(home.path());
    let mut right = Device::new("right", home.path(), NOTES);
    let wrong = Device::new("wrong", home.path(), NOTES);
    let run = |args: &[&str]| {
        let output = clock.command(SYNCLINE).args(args).current_dir(home.path()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let sync = || wrong.sync_with(clock.command(SYNCLINE), &hub.address).succeeds();
    for (n, seconds) in [0, 400 * DAY, -400 * DAY, 0].into_iter().enumerate() {
        clock.set(seconds);
        run(&["db", "insert", "wrong.db", NOTES, &format!(r#"{{"_id": "w{n}", "n": {n}}}"#)]);
        sync();
        let mut open = right.open(&hub.address);
        open.write(Deed::Insert, &format!("r{n}"));
        assert!(open.cycle().success && open.cycle().success);
        assert!(open.has(&format!("w{n}")), "it is heard with its clock {seconds} s ahead");
        // An edit of what it has seen goes through, whatever the clocks say.
        open.write(Deed::Update, &format!("w{n}"));
        assert!(open.cycle().success);
        drop(open);
        sync();
        run(&["db", "update", "wrong.db", NOTES, &format!("r{n}"), r#"{"seen": true}"#]);
        sync();
    }
    let mut open = right.open(&hub.address);
    assert!(open.cycle().success);
    let replica = open.replica();
    assert_eq!(replica.len(), 8);
    let seen = replica.iter().filter(|((_, id), _)| id.starts_with('r'));
    assert!(seen.clone().all(|(_, doc)| doc["seen"] == true), "{replica:?}");
    converged(&hub.address, &[("right".into(), replica)]);
    drop(open);
    let mut same = Device::at("wrong", &home.path().join("wrong.db"), NOTES);
    converged(&hub.address, &[("wrong".into(), same.open(&hub.address).replica())]);
}
