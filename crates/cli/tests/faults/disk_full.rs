//! A disk without room: pushes are refused in words, nothing that was receipted is lost, and with room
//! again work goes on where it stopped.

use crate::eventually::eventually;
use crate::history::{Answer, Deed, Log, converged};
use crate::hub::{Hub, SYNCLINE};
use crate::node::{Node, Unanswered};
use std::process::Command;

/// Files of the hub may grow to 3 MiB, in the blocks of `ulimit`.
const BLOCKS: &str = "6144";

#[test]
fn a_hub_without_room_refuses_pushes_and_keeps_what_it_receipted() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("hub");
    let mut hub = Hub::spawn(with_little_room(), &data);
    let mut node = Node::new("n", &hub.address);

    let refusal = (0..200).find_map(|round| {
        for number in 0..200 {
            node.write(Deed::Insert, "notes", &format!("{round}-{number}-{}", "x".repeat(200)));
        }
        node.push().err()
    });
    let Some(Unanswered::Refused(reply)) = refusal else { panic!("a hub without room refuses in words: {refusal:?}") };
    let body = reply.json();
    assert!(reply.status >= 500, "{} {body}", reply.status);
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

/// The binary under a limit on the size of files. Without the trap the system would end the process
/// at the first write beyond it; a full disk does not do that.
fn with_little_room() -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", BLOCKS, SYNCLINE]);
    shell
}
