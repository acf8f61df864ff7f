//! A backup that is taken while a hub takes writes, and the hub that comes back from it: the backup is one moment of the
//! log, devices take over what stands in it, and what waited in their outboxes arrives.

use crate::device::Device;
use crate::history::{Answer, Deed, Log};
use crate::hub::{Hub, SYNCLINE};
use crate::node::Node;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

const NOTES: &str = "notes";
const WRITES_BEFORE: usize = 50;

fn syncline(args: &[&str], home: &Path) -> Value {
    let output = Command::new(SYNCLINE).arg("--json").args(args).current_dir(home).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A backup while a node pushes one op after the other; the manifest and the node.
fn back_up_under_writes(hub: &Hub, home: &Path) -> (Value, Node) {
    let mut busy = Node::new("busy", &hub.address);
    let (warm, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let manifest = std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                busy.write(Deed::Insert, "load", &format!("b{n}"));
                busy.push().unwrap();
                warm.store(n > WRITES_BEFORE, Ordering::Release);
                if stop.load(Ordering::Acquire) {
                    return;
                }
            }
        });
        while !warm.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        let manifest = syncline(&["backup", "saved", "--data", "hub"], home);
        stop.store(true, Ordering::Release);
        manifest
    });
    (manifest, busy)
}

/// Everything up to the backup's LSN is there, and nothing after it.
fn is_one_moment(log: &Log, busy: &Node, saved: u64) {
    let mut seen = (0, 0);
    for sent in busy.notes() {
        let Answer::Receipt { lsn, .. } = &sent.answer else { panic!("{} was not answered", sent.mark) };
        assert_eq!(log.shows(&sent.mark), *lsn <= saved, "{} has LSN {lsn}, the backup ends at {saved}", sent.mark);
        if *lsn <= saved { seen.0 += 1 } else { seen.1 += 1 }
    }
    assert!(seen.0 > WRITES_BEFORE && seen.1 > 0, "the backup was taken between writes: {seen:?}");
}

#[test]
fn a_hub_that_was_backed_up_under_writes_comes_back_and_no_outbox_loses_anything() {
    let home = tempfile::tempdir().unwrap();
    let mut hub = Hub::start(&home.path().join("hub"));
    let id = |n: usize| format!("00000000-0000-4000-8000-{n:012}");
    let mut laptop = Device::new("laptop", home.path(), NOTES);
    let mut phone = Device::new("phone", home.path(), NOTES);
    let mut till = Device::by_packets("till", home.path(), NOTES, &hub);
    for (n, device) in [&mut laptop, &mut phone, &mut till].into_iter().enumerate() {
        let mut open = device.open(&hub.address);
        open.write(Deed::Insert, &id(n));
        assert!(open.cycle().success);
    }
    for device in [&mut laptop, &mut phone, &mut till] {
        assert!(device.open(&hub.address).cycle().success);
    }

    let (manifest, busy) = back_up_under_writes(&hub, home.path());
    let saved = manifest["spaces"][0]["lsn"].as_u64().unwrap();

    // Accepted and read by others, after the backup; then edits that the hub does not get to see.
    let write = |device: &mut Device, deed, n| {
        let mut open = device.open(&hub.address);
        open.write(deed, &id(n));
        // The second cycle reads past what the first one has sent.
        assert!(open.cycle().success && open.cycle().success);
    };
    write(&mut laptop, Deed::Update, 1);
    write(&mut till, Deed::Update, 0);
    write(&mut laptop, Deed::Insert, 10);
    assert!(phone.open(&hub.address).cycle().success);
    hub.kill();
    for (n, device) in [&mut laptop, &mut phone, &mut till].into_iter().enumerate() {
        let mut open = device.open(&hub.address);
        open.write(Deed::Insert, &id(20 + n));
        open.write(Deed::Update, &id(2));
        assert_eq!(open.pending(), 2);
    }

    syncline(&["restore", "saved", "--data", "back"], home.path());
    let hub = Hub::start(&home.path().join("back"));
    is_one_moment(&Log::read(&hub.address), &busy, saved);
    // The new history grows past what the devices have read of the old one: only the epoch tells them apart.
    let mut later = Node::new("later", &hub.address);
    (0..busy.notes().len() + 100).for_each(|n| later.write(Deed::Insert, "load", &format!("l{n}")));
    later.push().unwrap();
    for _ in 0..2 {
        for device in [&mut laptop, &mut phone, &mut till] {
            let mut open = device.open(&hub.address);
            let outcome = open.cycle();
            assert!(outcome.success && open.pending() == 0, "{outcome:?}");
        }
    }
    let log = Log::read(&hub.address);
    let notes: Vec<_> = log.replica().into_iter().filter(|((collection, _), _)| collection == NOTES).collect();
    assert!(!notes.iter().any(|((_, note), _)| *note == id(10)), "what came after the backup is gone everywhere");
    for device in [&mut laptop, &mut phone, &mut till] {
        for sent in device.notes().iter().rev().take(2) {
            assert!(log.shows(&sent.mark), "{} waited in an outbox and is not at the hub", sent.mark);
        }
        let open = device.open(&hub.address);
        let name = open.name().to_owned();
        assert_eq!(open.replica().into_iter().collect::<Vec<_>>(), notes, "{name}");
    }
}
