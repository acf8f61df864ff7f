//! Requests that were damaged, at every door of the hub: bodies packed or not, positions and epochs, tokens, packets of
//! Socket.IO. Each is taken or refused with a code; the hub goes on, with the memory that it had.

use crate::history::{Deed, Log, converged};
use crate::http::{self, Reply};
use crate::hub::{Hub, TOKEN};
use crate::node::Node;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use syncline_core::mutation::{damaged, damaged_text, seeds_in};

/// What the hub's memory may reach: damaged requests are small, and so is what they hold.
const MEMORY_KIB: u64 = 600 << 10;

const PUSH: &str = r#"{"node":"damaged","batchId":"b1","ops":[
    {"seq":1,"op":"insert","collection":"odd","id":"x","stamp":1024,"doc":{"_id":"x","a":[1,{"b":null}]}},
    {"seq":2,"op":"update","collection":"odd","id":"x","stamp":2048,"base":1,"set":{"a":1},"unset":["c"]}]}"#;
const WISE: &str = r#"{"batchId":"w1","ops":[{"op":"INSERT","doc":{"_id":"w","updatedAt":"2026-01-01T00:00:00.000Z"},"opId":"o1"},
    {"op":"UPDATE","id":"w","data":{"n":1,"updatedAt":"2026-01-01T00:00:01.000Z"},"opId":"o2"},{"op":"CLEAR","opId":"o3"},
    {"txn":"op","txid":"t","type":"insert","args":[{"_id":"t"}],"ts":"2026-01-01T00:00:00.000Z","col":"odd"}]}"#;
const ADMIN: &str = r#"{"name":"t","access":"read-write","space":"main","collections":["odd"],"expires":"2027-01-31T00:00:00Z",
    "rooms":["index"],"emit":true,"id":"11111111-1111-4111-8111-000000000001","code":"n","rows":{"odd":{"a":{"$gt":1}}},
    "attributes":{"branch":"north"},"strategy":"merge","event":"files:changed","room":"files","data":{"id":7}}"#;
const PATHS: [&str; 9] = [
    "/sync/pull?node=n1&since_lsn=0&epoch=8259cb5f-489f-43a9-ad10-20c5835a3920&limit=5&collections=a,b&wait=0",
    "/sync/snapshot?node=n1&after=odd/x&collections=odd",
    "/c/odd/sync/pull?since_lsn=17.5",
    "/c/odd/sync/pull?since=2026-01-01T00:00:00.000Z",
    "/c/odd/sync/snapshot",
    "/admin/spaces/main/conflicts?before=5&limit=7&collection=odd&id=x",
    "/admin/spaces/main/quarantine/3",
    "/socket.io/?EIO=4&transport=polling&t=abc",
    "/sync/digests?collections=odd&ranges=3f,40a1",
];
const DOORS: [&str; 9] = [
    "/sync/push",
    "/c/odd/sync/push",
    "/s/main/c/odd/sync/push",
    "/api/sync/exchange",
    "/s/main/api/sync/exchange",
    "/admin/tokens",
    "/admin/spaces/main/nodes",
    "/admin/spaces/main/collections/odd",
    "/api/sync/emit",
];

/// A request that was damaged.
#[derive(Clone, Debug)]
struct Damaged {
    method: &'static str,
    path: String,
    token: String,
    coding: &'static str,
    body: Vec<u8>,
}

#[test]
fn damaged_requests_at_every_door_are_taken_or_refused_with_a_code() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    let mut node = Node::new("n", &hub.address);
    node.write(Deed::Insert, "notes", "before");
    node.push().unwrap();

    let mut runner = TestRunner::default();
    runner
        .run(&(requests(), frames()), |(request, frame)| {
            check(&request, send(&hub.address, &request));
            speak_socket_io(&hub.address, &frame);
            Ok(())
        })
        .unwrap();

    let memory = peak_kib(&hub);
    assert!(memory < MEMORY_KIB, "the hub's memory reached {memory} KiB");
    node.write(Deed::Insert, "notes", "after");
    node.push().unwrap();
    assert_eq!(hub.get("/health/ready").status, 200);
    let log = hub.log();
    assert!(!log.contains("panicked"), "{log}");
    let kept = Log::read(&hub.address).replica();
    assert!(["before", "after"].iter().all(|id| kept.contains_key(&("notes".to_owned(), (*id).to_owned()))));
    converged(&hub.address, &[]);
}

fn requests() -> BoxedStrategy<Damaged> {
    let bodies = [PUSH, WISE, ADMIN].map(seeds_in).concat();
    let packets = seeds_in(include_str!("../../../../spec/vectors/exchange-sequences.json"));
    let packed = ["push.json.gz", "push-members.json.gz", "packet.json.gz", "push.json.zst", "bomb.gz"];
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../server/tests/data");
    let packed = packed.map(|name| fs::read(format!("{data}/{name}")).unwrap()).to_vec();
    let token = || prop_oneof![Just(TOKEN.to_owned()), Just(TOKEN.to_owned()), damaged_text(&[TOKEN])];
    let posted = (select(&DOORS[..]), token(), damaged([bodies, packets].concat()))
        .prop_map(|(path, token, body)| Damaged { method: "POST", path: path.into(), token, coding: "identity", body });
    let unpacked =
        (select(&DOORS[..]), select(&["gzip", "zstd"][..]), damaged(packed)).prop_map(|(path, coding, body)| Damaged {
            method: "POST",
            path: path.into(),
            token: TOKEN.into(),
            coding,
            body,
        });
    let asked = (damaged_text(&PATHS), token()).prop_map(|(path, token)| Damaged {
        method: "GET",
        path: format!("/{path}"),
        token,
        coding: "identity",
        body: Vec::new(),
    });
    prop_oneof![posted, unpacked, asked].boxed()
}

/// Packets of Engine.IO and Socket.IO as a client posts them by polling.
fn frames() -> BoxedStrategy<Vec<u8>> {
    let token = format!(r#"40{{"token":"{TOKEN}"}}"#);
    let events = r#"42["client:sync",[{"id":"e1","type":"insert","collection":"users","documentId":"d","data":{"id":"d"},"timestamp":7,"clientId":"c"}]]"#;
    let texts = [
        &token,
        events,
        r#"420["client:hello",{"clientId":"c"}]"#,
        "3",
        "41",
        r#"451-["x",{"_placeholder":true,"num":0}]"#,
        "bAAEC",
        "2probe",
    ];
    let joined = texts.join("\u{1e}");
    damaged(texts.iter().map(|text| text.as_bytes().to_vec()).chain([joined.into_bytes()]).collect())
}

/// Taken, or refused with a code in words; at a door for machines that is JSON.
fn check(request: &Damaged, reply: Option<Reply>) {
    // A request line that is none is answered by hanging up.
    let Some(reply) = reply else { return };
    let shown = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(reply.status < 500 || reply.status == 503, "{request:?}: {} {shown}", reply.status);
    if reply.status >= 400 && request.method == "POST" {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("{request:?}: {shown}"));
        assert!(body["error"].as_str().is_some_and(|error| !error.is_empty()), "{request:?}: {shown}");
    }
}

fn send(address: &str, request: &Damaged) -> Option<Reply> {
    let Damaged { method, path, token, coding, body } = request;
    let visible = |text: &str| -> String { text.chars().filter(|c| !c.is_control() && *c != ' ').collect() };
    let mut bytes = format!(
        "{method} {} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
        visible(path),
        visible(token),
        body.len()
    )
    .into_bytes();
    bytes.extend(body);
    say(address, &bytes)
}

/// A connection by polling that sends one damaged message.
fn speak_socket_io(address: &str, frame: &[u8]) {
    let ask = |method: &str, path: &str, body: &[u8]| {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        say(address, &[head.as_bytes(), body].concat())
    };
    let opened = ask("GET", "/socket.io/?EIO=4&transport=polling", b"").expect("the door is open");
    let text = String::from_utf8(opened.body).unwrap();
    let opening: Value = serde_json::from_str(text.trim_start_matches('0')).unwrap_or_else(|_| panic!("{text}"));
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", opening["sid"].as_str().unwrap());
    if let Some(reply) = ask("POST", &path, frame) {
        assert!(reply.status < 500, "{}: {}", String::from_utf8_lossy(frame), reply.status);
    }
    // It goes without waiting for what it would be told.
    let _ = ask("POST", &path, b"1");
}

fn say(address: &str, bytes: &[u8]) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut heard = Vec::new();
    // The hub may answer and hang up before everything is said.
    let _ = stream.write_all(bytes);
    let _ = stream.read_to_end(&mut heard);
    http::decode(&heard)
}

/// The most memory that the hub ever had.
fn peak_kib(hub: &Hub) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", hub.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim_end_matches("kB").trim().parse().unwrap()
}
