//! Desktops of the exchange plan that know the hub only by the protocol document, in another language,
//! so that no mistake of the hub's own code is shared with them. The scenarios are in `strict_node.py`.

use crate::http::{self, Request};
use crate::hub::{Hub, TOKEN};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const HUB_ID: &str = "00000000-0000-4000-8000-000000000000";

#[test]
fn strict_desktops_and_the_hub_end_equal_whatever_happens_to_packets() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("hub");
    let mut hub = Hub::start(&data);
    let nodes: Vec<Value> = (1..=3).map(|n| register(&hub, n)).collect();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/strict_node.py");
    let mut desktops = Command::new("python3")
        .arg("-B")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is installed by `cargo xtask setup`");
    let mut told = desktops.stdin.take().unwrap();
    writeln!(told, "{}", json!({ "hub": hub.address, "hub_id": HUB_ID, "nodes": nodes })).unwrap();

    let mut failed = Vec::new();
    let mut held = 0;
    for line in BufReader::new(desktops.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.as_str() {
            "restart" => {
                hub.kill();
                hub = Hub::start(&data);
                writeln!(told, "{}", hub.address).unwrap();
            }
            line if line.starts_with("ok ") => held += 1,
            _ => failed.push(line),
        }
    }
    assert!(desktops.wait().unwrap().success() && failed.is_empty(), "{}", failed.join("\n"));
    assert!(held >= 16, "only {held} scenarios ran");
}

fn register(hub: &Hub, n: usize) -> Value {
    let id = format!("11111111-1111-4111-8111-00000000000{n}");
    let token = format!("a-secret-of-desktop-{n}");
    let plan = json!({ "types": ["DailyReport", "Estimate", "WorkSpecification"] });
    let (code, name) = (format!("DESKTOP-{n}"), format!("Desktop {n}"));
    let wish = json!({ "id": id, "code": code, "name": name, "plan": plan, "token": token });
    let body = wish.to_string();
    let request =
        Request { method: "POST", path: "/admin/spaces/main/nodes", token: TOKEN, body: Some(body.as_bytes()) };
    let reply = http::send(&hub.address, &request).unwrap();
    assert_eq!(reply.status, 200, "{:?}", reply.json());
    json!({ "id": id, "token": token })
}
