//! Somebody in a space of his own, with a token that opens nothing else: whatever befalls the others, and whichever worker
//! answers, he sees his own and nothing of theirs.

use super::reader_of;
use crate::eventually::eventually;
use crate::history::{Answer, Deed, Log};
use crate::http::{self, Request};
use crate::hub::TOKEN;
use crate::load::{NOTES, Patience, push};
use crate::node::Node;
use serde_json::json;
use std::thread;
use std::time::Duration;

const SPACE: &str = "side";
const ROUNDS: usize = 40;
const PAUSE: Duration = Duration::from_millis(15);

pub struct Bystander {
    node: Node,
    /// What a reader sees who is always there.
    log: Log,
    secret: String,
    address: String,
}

impl Bystander {
    pub fn new(address: &str) -> Bystander {
        let wish = json!({ "name": "bystander", "space": SPACE }).to_string();
        let request = Request { method: "POST", path: "/admin/tokens", token: TOKEN, body: Some(wish.as_bytes()) };
        let reply = http::send(address, &request).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.json());
        let secret = reply.json()["token"].as_str().unwrap().to_owned();
        let mut node = Node::of_space(SPACE, "b", address, &secret);
        node.write(Deed::Insert, NOTES, "founded");
        node.push().unwrap();
        let log = reader_of(Log::of_space(SPACE), address);
        Bystander { node, log, secret, address: address.into() }
    }

    /// Writes, reads, and tries the door of the others.
    pub fn work(&mut self) {
        for round in 0..ROUNDS {
            self.node.write(Deed::Insert, NOTES, &format!("shared-{round}"));
            self.node.write(Deed::Update, NOTES, "shared-0");
            push(&mut self.node, Patience::Endless);
            // What is cut off now is read later.
            let _ = (self.node.pull(), self.log.read_on(&self.address));
            self.is_kept_out();
            thread::sleep(PAUSE); // sleep: the others get on meanwhile
        }
        eventually("the space is read", || {
            (self.node.pull().is_ok() && self.log.read_on(&self.address).is_ok()).then_some(())
        });
    }

    fn is_kept_out(&self) {
        for path in ["/s/main/sync/pull?node=b", "/s/main/sync/snapshot?node=b"] {
            let request = Request { method: "GET", path, token: &self.secret, body: None };
            let Ok(reply) = http::send(&self.address, &request) else { continue };
            assert!(reply.status == 403 || reply.status >= 500, "{path}: {}", String::from_utf8_lossy(&reply.body));
        }
    }

    /// In peace: his space holds what he wrote, once, in order, and nothing else. `trims`: whether the log was trimmed.
    pub fn judge(mut self, trims: bool) {
        assert!(self.node.notes().iter().all(|op| op.answer != Answer::None));
        let Bystander { node, log, address, .. } = &mut self;
        log.read_on(address).unwrap();
        log.read_aside(address);
        log.judge(node.notes());
        log.in_order(node.notes());
        assert_eq!(*node.replica(), log.replica());
        if !trims {
            let mut now = Log::of_space(SPACE);
            now.read_on(address).unwrap();
            log.same_as(&now);
        }
        self.is_kept_out();
    }
}
