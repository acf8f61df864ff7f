//! Many spaces in one hub: each is there when somebody asks, and few cost anything at a time.

use crate::eventually::eventually;
use crate::history::{Deed, Log};
use crate::http::{self, Request};
use crate::hub::{Hub, SYNCLINE, TOKEN};
use crate::node::Node;
use std::fs;
use std::process::Command;
use std::thread;

/// `limits.open_spaces` of the hub.
const OPEN: usize = 4;

#[test]
fn a_look_at_all_spaces_leaves_only_so_many_open() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("hub");
    let mut command = Command::new(SYNCLINE);
    command.env("SYNCLINE_LIMITS_OPEN_SPACES", OPEN.to_string());
    let hub = Hub::spawn(command, &data);
    for n in 0..20 {
        let path = format!("/admin/spaces/s{n}/collections/notes");
        let request = Request { method: "PUT", path: &path, token: TOKEN, body: Some(br#"{"strategy":"merge"}"#) };
        assert_eq!(http::send(&hub.address, &request).unwrap().status, 200);
    }

    let status = hub.get("/admin/status").json();

    assert_eq!(status["spaces"].as_array().unwrap().len(), 21);
    let writers = threads(hub.id()).into_iter().filter(|name| name == "space-writer").count();
    assert!((1..=OPEN).contains(&writers), "{writers} writers");
    for n in 0..20 {
        assert_eq!(hub.get(&format!("/s/s{n}/sync/pull?node=r")).status, 200);
    }
}

#[test]
fn a_space_that_only_waits_is_closed_and_opened_again_by_the_next_push() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("hub");
    let mut command = Command::new(SYNCLINE);
    command.env("SYNCLINE_LIMITS_SPACE_IDLE", "1ms");
    let hub = Hub::spawn(command, &data);
    let mut node = Node::new("n", &hub.address);
    node.write(Deed::Insert, "notes", "first");
    node.push().unwrap();
    let address = hub.address.clone();
    let poll = thread::spawn(move || {
        let path = "/sync/pull?node=r&since_lsn=1&wait=60";
        http::send(&address, &Request { method: "GET", path, token: TOKEN, body: None })
    });

    eventually("the space is closed", || {
        let waits = String::from_utf8_lossy(&hub.get("/metrics").body).contains("syncline_waiting_polls 1");
        (waits && !threads(hub.id()).iter().any(|name| name == "space-writer")).then_some(())
    });
    node.write(Deed::Insert, "notes", "second");
    node.push().unwrap();

    let page = poll.join().unwrap().unwrap().json();
    assert_eq!(page["server_lsn"], 2, "{page}");
    Log::read(&hub.address).judge(node.notes());
}

/// The names of a process's threads.
fn threads(process: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    // A thread may end between being listed and being asked.
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).collect()
}
