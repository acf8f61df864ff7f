//! A device that is killed while its app writes: what had returned is there, and what had not is there whole or not at all.
//!
//! The app is this test program once more, started for one test with a task in a variable. It tells each write before it begins
//! and when it has returned.

use crate::device::Device;
use crate::history::{Deed, Log, converged, fields};
use crate::hub::Hub;
use fastrand::Rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use syncline::Database;

/// The task of a program that writes until it is killed.
const TASK: &str = "SYNCLINE_FAULT_WRITER";
/// The test that looks for it.
const ENTRY: &str = "writer::what_returned_before_a_kill_is_there";
/// What its lines begin with, among those of the test harness.
const LINE: &str = "writer ";
/// Nobody waits longer for the blow.
const WRITES_MAX: usize = 100_000;
const NOTES: &str = "notes";

#[test]
fn what_returned_before_a_kill_is_there() {
    if let Ok(task) = std::env::var(TASK) {
        return write_until_killed(&serde_json::from_str(&task).unwrap());
    }
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    let mut device = Device::new("d", home.path(), NOTES);
    let mut rng = Rng::with_seed(63);
    for _ in 0..5 {
        assert!(strike(&mut device, &mut rng) > 0, "it was at work");
    }

    let mut open = device.open(&hub.address);
    assert!(open.cycle().success);
    assert_eq!(open.pending(), 0);
    converged(&hub.address, &[("d".into(), open.replica())]);
    drop(open);
    Log::read(&hub.address).judge(device.notes());
}

/// Lets an app write to the device's file and kills it at a random moment. Notes what it has written; returns how much that is.
pub fn strike(device: &mut Device, rng: &mut Rng) -> usize {
    let (file, collection) = (device.file().to_owned(), device.collection().to_owned());
    let task = json!({
        "file": file, "collection": collection, "name": device.name(), "first": device.notes().len(), "seed": rng.u64(..) >> 1,
    });
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([ENTRY, "--exact", "--nocapture"]).env(TASK, task.to_string());
    let mut app = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (enough, mut told, mut returned) = (rng.usize(1..60), Vec::new(), 0);
    let mut lines = BufReader::new(app.stdout.take().unwrap()).lines().map_while(Result::ok);
    while returned < enough {
        let line = lines.next().expect("the app goes on until it is killed");
        returned += usize::from(line.contains("returned"));
        told.push(line);
    }
    thread::sleep(Duration::from_micros(rng.u64(..10_000))); // sleep: the blow may fall at any moment
    app.kill().unwrap();
    told.extend(lines);
    app.wait().unwrap();
    take_down(device, &told)
}

/// Every write that returned must have happened; the last one that had begun may have.
fn take_down(device: &mut Device, told: &[String]) -> usize {
    let database = Database::open(device.file()).unwrap();
    let collection = database.collection(device.collection()).unwrap();
    let (mut begun, mut written, mut last) = (None, 0, BTreeMap::new());
    // A line that the blow has cut says nothing.
    let lines = told.iter().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix(LINE)?).ok());
    for line in lines {
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        if text("is") == "begun" {
            begun = Some((deed(&text("deed")), text("id"), text("mark")));
            continue;
        }
        let (deed, id, mark) = begun.take().expect("what returns has begun");
        device.note(deed, &id, &mark);
        last.insert(id, (deed, mark));
        written += 1;
    }
    let stands = |deed: Deed, id: &str, mark: &str| match collection.get(id).unwrap() {
        Some(document) => deed != Deed::Remove && document["mark"] == mark,
        None => deed == Deed::Remove,
    };
    if let Some((deed, id, mark)) = begun.filter(|(deed, id, mark)| stands(*deed, id, mark)) {
        device.note(deed, &id, &mark);
        last.insert(id, (deed, mark));
    }
    for (id, (deed, mark)) in &last {
        assert!(stands(*deed, id, mark), "{mark} ({deed:?} of {id}) had returned and is not there");
    }
    written
}

fn deed(name: &str) -> Deed {
    match name {
        "insert" => Deed::Insert,
        "update" => Deed::Update,
        "remove" => Deed::Remove,
        other => panic!("{other} is no deed"),
    }
}

/// The app.
fn write_until_killed(task: &Value) {
    let text = |key: &str| task[key].as_str().unwrap();
    let number = |key: &str| task[key].as_u64().unwrap();
    let database = Database::open(Path::new(text("file"))).unwrap();
    let collection = database.collection(text("collection")).unwrap();
    let (mut rng, mut own) = (Rng::with_seed(number("seed")), Vec::<String>::new());
    let first = usize::try_from(number("first")).unwrap();
    for n in first..first + WRITES_MAX {
        let mark = format!("{}-{n}", text("name"));
        let content = Value::Object(fields(&mark));
        match rng.u32(0..5) {
            0 | 1 if !own.is_empty() => {
                let id = own[rng.usize(..own.len())].clone();
                tell("begun", "update", &id, &mark);
                drop(collection.update(&id, &content).unwrap());
            }
            2 if !own.is_empty() => {
                let id = own.swap_remove(rng.usize(..own.len()));
                tell("begun", "remove", &id, &mark);
                assert!(collection.remove(&id).unwrap());
            }
            _ => {
                let id = format!("44444444-4444-4444-8444-{:012x}", rng.u64(..) & 0xffff_ffff_ffff);
                tell("begun", "insert", &id, &mark);
                let mut document = content;
                document["_id"] = json!(id);
                drop(collection.insert(document).unwrap());
                own.push(id);
            }
        }
        tell("returned", "", "", &mark);
    }
}

fn tell(is: &str, deed: &str, id: &str, mark: &str) {
    let line = json!({ "is": is, "deed": deed, "id": id, "mark": mark });
    let mut out = stdout().lock();
    writeln!(out, "{LINE}{line}").and_then(|()| out.flush()).expect("somebody listens until the blow");
}
