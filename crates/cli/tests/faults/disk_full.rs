//! A disk without room: pushes are refused in words, nothing that was receipted is lost, and with room
//! again work goes on where it stopped.

use crate::device::Device;
use crate::disk::{Disk, with_small_files};
use crate::eventually::eventually;
use crate::history::{Answer, Deed, Log, converged};
use crate::hub::{Hub, SYNCLINE};
use crate::node::{Node, Unanswered};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use syncline::Database;
use syncline::filter::Filter;

const NOTES: &str = "notes";
/// What is left of a disk, or what a file may grow to.
const LITTLE_ROOM: u64 = 3 << 20;

#[test]
fn a_hub_without_room_refuses_pushes_and_keeps_what_it_receipted() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("hub");
    let mut hub = Hub::spawn(with_small_files(SYNCLINE, LITTLE_ROOM), &data);
    let mut node = Node::new("n", &hub.address);

    let (status, body) = push_until_refused(&mut node);
    assert!(status >= 500, "{status} {body}");
    assert!(body["error"].as_str().is_some_and(|error| !error.is_empty()) && body["code"].is_string(), "{body}");
    eventually("the log tells the operator", || hub.log().contains("a commit failed").then_some(()));
    let ready = hub.get("/health/ready");
    assert_eq!((ready.status, &ready.json()["code"]), (503, &"store_failed".into()), "those who watch are told");
    let receipted = node.answered();
    assert!(receipted > 0 && node.notes().iter().any(|op| op.answer == Answer::None));
    assert!(node.push().is_err(), "there is still no room");

    hub.kill();
    let hub = Hub::start(&data);
    Log::read(&hub.address).judge(node.notes());
    node.lead_to(&hub.address);
    node.push().unwrap();
    assert!(node.notes().iter().all(|op| op.answer != Answer::None), "the refused push is accepted now");
    Log::read(&hub.address).judge(node.notes());
    converged(&hub.address, &[]);
}

#[test]
fn a_hub_on_a_full_disk_says_so_serves_readers_and_goes_on_once_there_is_room() {
    let home = tempfile::tempdir().unwrap();
    let disk = Disk::new(home.path());
    let data = disk.path().join("hub");
    let mut hub = Hub::spawn(disk.command(SYNCLINE, LITTLE_ROOM), &data);
    let mut node = Node::new("n", &hub.address);
    let mut device = Device::new("d", home.path(), NOTES);
    let mut open = device.open(&hub.address);
    open.write(Deed::Insert, "before");
    assert!(open.cycle().success);

    disk.leave(LITTLE_ROOM);
    let (status, refusal) = push_until_refused(&mut node);
    assert_eq!(status, 503, "{refusal}");
    assert!(refusal["error"].as_str().unwrap().contains("disk"), "{refusal}");
    let ready = hub.get("/health/ready");
    assert_eq!((ready.status, &ready.json()["code"]), (503, &refusal["code"]), "those who watch are told the same");
    assert!(Log::read(&hub.address).len() > node.answered(), "readers are served");
    let said = String::from_utf8(doctor(&hub, home.path()).stdout).unwrap();
    assert!(said.contains("WRONG") && said.contains("disk"), "{said}");
    if disk.is_mounted() {
        let url = format!("http://{}", hub.address);
        let run =
            |args: &[&str]| run_plainly(&[args, &["--hub", &url, "--token", crate::hub::TOKEN]].concat(), home.path());
        // What is small may still fit.
        let added = run(&["token", "add", "late"]);
        let said = String::from_utf8(added.stderr).unwrap();
        assert!(added.status.success() || said.contains("no room") && said.contains("make room"), "{said}");
        let said = String::from_utf8(run(&["backup", "afar"]).stderr).unwrap();
        assert!(said.contains("outgoing") && said.contains("make room") && !said.contains("right file"), "{said}");
        assert!(!home.path().join("afar").exists() && !data.join("outgoing").exists());
    }
    open.write(Deed::Insert, "meanwhile");
    // So small a push may still fit.
    let outcome = open.cycle();
    assert_eq!(outcome.success, open.pending() == 0, "it waits with the device: {outcome:?}");

    disk.make_room();
    let goes_on = refusal["code"] == "no_room";
    assert!(goes_on || !disk.is_mounted(), "a full disk is told from a broken one: {refusal}");
    if !goes_on {
        assert!(refusal["error"].as_str().unwrap().contains("restart the hub"), "{refusal}");
        hub.kill();
        hub = Hub::start(&data);
        node.lead_to(&hub.address);
    }
    eventually("the hub is ready again", || (hub.get("/health/ready").status == 200).then_some(()));
    node.push().unwrap();
    drop(open);
    let mut open = device.open(&hub.address);
    assert!(open.cycle().success && open.pending() == 0);
    let replica = open.replica().len();
    assert!(replica > 2, "the device has what the node wrote");
    drop(open);
    Log::read(&hub.address).judge(&[node.notes(), device.notes()].concat());
    converged(&hub.address, &[]);
}

#[test]
fn a_backup_and_a_restoration_without_room_name_the_full_disk_and_leave_nothing_on_it() {
    let home = tempfile::tempdir().unwrap();
    let disk = Disk::new(home.path());
    let hub = Hub::start(&home.path().join("hub"));
    let mut node = Node::new("n", &hub.address);
    (0..3_000).for_each(|n| node.write(Deed::Insert, NOTES, &format!("{n}-{}", "x".repeat(200))));
    node.push().unwrap();
    let little = LITTLE_ROOM / 4;
    let run = |args: &[&str]| disk.command(SYNCLINE, little).args(args).current_dir(home.path()).output().unwrap();
    assert!(run_plainly(&["backup", "saved", "--data", "hub"], home.path()).status.success());

    disk.leave(little);
    for args in [["backup", "disk/saved", "--data", "hub"], ["restore", "saved", "--data", "disk/back"]] {
        let output = run(&args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        let names_the_target = said.contains("disk/saved.part") || said.contains("disk/back.part");
        assert!(names_the_target && !said.contains("put the right file"), "{args:?}: {said}");
        let left: Vec<_> = disk.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| name == "ballast"), "{args:?} left {left:?}");
    }

    disk.make_room();
    assert!(run_plainly(&["backup", "disk/saved", "--data", "hub"], home.path()).status.success());
    assert!(run_plainly(&["restore", "disk/saved", "--data", "back"], home.path()).status.success());
    let back = Hub::start(&home.path().join("back"));
    Log::read(&back.address).judge(node.notes());
}

#[test]
fn a_device_on_a_full_disk_keeps_what_it_said_was_written_and_syncs_once_there_is_room() {
    let home = tempfile::tempdir().unwrap();
    let disk = Disk::new(home.path());
    let hub = Hub::start(&home.path().join("hub"));
    let file = disk.path().join("d.db");
    let insert = |number: usize, command: &mut std::process::Command| {
        let doc = format!(r#"{{"_id": "d{number}", "text": "{}"}}"#, "x".repeat(100_000));
        command.args(["db", "insert"]).arg(&file).args([NOTES, &doc]).output().unwrap()
    };
    assert!(insert(0, &mut disk.command(SYNCLINE, LITTLE_ROOM)).status.success());
    disk.leave(LITTLE_ROOM);

    let mut written = 1;
    let refused = loop {
        let output = insert(written, &mut disk.command(SYNCLINE, LITTLE_ROOM));
        if !output.status.success() {
            break output;
        }
        written += 1;
    };
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(!disk.is_mounted() || said.contains("d.db") && said.contains("make room"), "{said}");
    let database = Database::open(&file).unwrap();
    let notes = database.collection(NOTES).unwrap();
    if disk.is_mounted() {
        let refused = notes.insert(json!({"_id": format!("d{written}"), "text": "x".repeat(200_000)})).unwrap_err();
        assert!(matches!(refused, syncline::Error::NoRoom(_)), "{refused}");
        assert_eq!(notes.count(&Filter::default()).unwrap(), written, "what was written can be read");
    }

    disk.make_room();
    // The same handle goes on.
    drop(notes.insert(json!({"_id": format!("d{written}")})).unwrap());
    drop((notes, database));
    Device::at("d", &file, NOTES).sync_process(&hub.address).succeeds();
    let log = Log::read(&hub.address);
    let arrived: Vec<String> = log.replica().into_keys().map(|(_, id)| id).collect();
    assert_eq!(arrived.len(), written + 1, "{arrived:?}");
}

fn run_plainly(args: &[&str], home: &Path) -> Output {
    std::process::Command::new(SYNCLINE).args(args).current_dir(home).output().unwrap()
}

fn doctor(hub: &Hub, home: &Path) -> Output {
    let url = format!("http://{}", hub.address);
    run_plainly(&["doctor", "--hub", &url, "--token", crate::hub::TOKEN], home)
}

/// Writes and pushes until the hub says no; the status and the body of its refusal.
fn push_until_refused(node: &mut Node) -> (u16, Value) {
    let refusal = (0..400).find_map(|round| {
        for number in 0..200 {
            node.write(Deed::Insert, NOTES, &format!("{round}-{number}-{}", "x".repeat(200)));
        }
        node.push().err()
    });
    let Some(Unanswered::Refused(reply)) = refusal else { panic!("a hub without room refuses in words: {refusal:?}") };
    (reply.status, reply.json())
}
