//! What must hold for every single answer to a packet. Knows the promises, not the code behind them.

use super::door::Answered;
use super::hub::Hub;
use super::log::{changes, documents};
use super::node::{HUB_ID, Key, Node, Row, Sent};
use super::part::Part;
use super::recorder::Committed;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use syncline_core::hub::Change;
use syncline_core::model::{Author, NodeId};

/// What was seen of one node's traffic, in the order in which the hub worked on it.
#[derive(Default)]
pub struct Watch {
    /// The highest number of a packet of the hub, and the highest acknowledgement.
    issued: u64,
    ack: u64,
    /// Work was left half done since then: a number may be burnt.
    unsure: bool,
    /// Packets that were answered.
    done: BTreeSet<String>,
    /// Its plan has changed: it is given everything again.
    pub refilled: bool,
    /// The last packet of the hub that held a row: until it is confirmed, the row may come again.
    held: BTreeMap<Key, u64>,
    /// The rows that it sent last, as it sent them.
    sent: BTreeMap<Key, Row>,
}

/// Who is answered.
pub struct Caller<'a> {
    pub id: &'a NodeId,
    /// What it is given.
    pub part: Part,
    /// It sends whole rows, and never another packet under a number that it has used.
    pub exact: bool,
}

/// An answer, read.
pub struct Reply {
    pub packet: u64,
    pub ack: u64,
    pub entities: Vec<Value>,
}

impl Watch {
    /// Somebody went away while the hub worked.
    pub fn left(&mut self) {
        self.unsure = true;
    }

    /// Says what is wrong with an answer. `before`: what the hub had committed.
    pub fn read(
        &mut self,
        caller: &Caller<'_>,
        sent: &Sent,
        answered: &Answered,
        before: Committed,
        hub: &Hub,
        told: &mut Vec<String>,
    ) {
        let text = &answered.1;
        let Some(reply) = envelope(caller.id, answered) else {
            told.push(format!("form: {} is answered with {answered:?}", sent.text));
            return;
        };
        let mut problem = |what: String| told.push(format!("{what}: {} is answered with {text}", sent.text));
        if reply.ack < sent.number || reply.ack < self.ack {
            problem(format!("numbers: an acknowledgement fell back from {}", self.ack));
        }
        let rises = if reply.entities.is_empty() { self.unsure } else { true };
        let exact = if rises { reply.packet > self.issued } else { reply.packet == self.issued };
        if !(exact || self.unsure && reply.packet == self.issued && reply.entities.is_empty()) {
            problem(format!("numbers: the hub's last packet was {}", self.issued));
        }
        let page = hub.parts().2.page_changes;
        let rows: BTreeSet<(&str, &str)> = reply.entities.iter().map(names).collect();
        if rows.len() > page || reply.entities.len() > 2 * page {
            problem(format!("bounds: more than {page} rows"));
        }
        if !self.done.insert(sent.text.clone()) {
            if changes(&hub.log()[before.log..]).next().is_some() {
                problem("exactly one effect: a repeat changed something".to_owned());
            }
            if hub.committed().aside > before.aside {
                problem("exactly one effect: a repeat was set aside, or lost a conflict".to_owned());
            }
        }
        if let Some(place) = foreign(hub, caller, before.log) {
            problem(format!("rows: {place} is not one that the node may write"));
        }
        // Of a packet that was composed anew under its number its sender is told what stands.
        let exact = caller.exact && !caller.part.filtered && !self.refilled;
        self.note_sent(sent);
        for entity in reply.entities.iter().filter(|_| exact) {
            let (kind, uuid) = names(entity);
            let key = (kind.to_owned(), uuid.to_owned());
            let waits = self.held.insert(key.clone(), reply.packet).is_some_and(|packet| packet > sent.ack);
            let same = self.sent.get(&key) == entity["data"].as_object();
            if same && !waits && hub.author(caller.id).is_some_and(|author| is_all_its_own(hub, (kind, uuid), author)) {
                problem(format!("own change: nobody else has ever touched {uuid}"));
            }
        }
        (self.issued, self.ack, self.unsure) = (reply.packet.max(self.issued), reply.ack.max(self.ack), false);
    }
}

impl Watch {
    fn note_sent(&mut self, sent: &Sent) {
        let packet: Value = serde_json::from_str(&sent.text).expect("nodes send JSON");
        for entity in packet["body"]["entities"].as_array().into_iter().flatten() {
            let (kind, uuid) = names(entity);
            let key = (kind.to_owned(), uuid.to_owned());
            match entity["data"].as_object() {
                Some(row) => drop(self.sent.insert(key, row.clone())),
                None => drop(self.sent.remove(&key)),
            }
        }
    }
}

/// A packet of the hub for a node; `None`: it is none.
pub fn envelope(node: &NodeId, (status, text): &Answered) -> Option<Reply> {
    let whole: Value = serde_json::from_str(text).ok().filter(|_| *status == 200)?;
    let header = &whole["header"];
    let addressed = header["sender_node_id"] == HUB_ID && header["recipient_node_id"] == node.as_str();
    let entities = whole["body"]["entities"].as_array()?.clone();
    let formed = entities.iter().all(|entity| match entity["operation"].as_str() {
        Some("DELETE") => entity.get("data").is_some_and(Value::is_null),
        Some("INSERT" | "UPDATE") => entity["data"].is_object(),
        _ => false,
    });
    let reply = Reply { packet: header["packet_no"].as_u64()?, ack: header["ack_packet_no"].as_u64()?, entities };
    (addressed && formed && header["schema_version"] == "1.0.0").then_some(reply)
}

fn names(entity: &Value) -> (&str, &str) {
    (entity["type"].as_str().unwrap_or_default(), entity["uuid"].as_str().unwrap_or_default())
}

/// A document that a packet found or left, and that its node may not write.
fn foreign(hub: &Hub, caller: &Caller<'_>, before: usize) -> Option<String> {
    let author = hub.author(caller.id).filter(|_| !caller.part.writes_all())?;
    let log = hub.log();
    let mut stands: BTreeMap<(&str, &str), &Change> = BTreeMap::new();
    let may = |change: &Change| {
        let document = || serde_json::from_str(change.version.body.text()).expect("documents are JSON");
        !change.version.meta.is_live() || caller.part.holds(change.collection.as_str(), &document())
    };
    for change in changes(&log) {
        let place = (change.collection.as_str(), change.id.as_str());
        let found = stands.insert(place, change);
        if change.version.lsn.0 > before as u64 && change.version.author == author {
            let taken = !may(change) || found.is_some_and(|found| !may(found));
            if taken {
                return Some(format!("{}/{}", place.0, place.1));
            }
        }
    }
    None
}

/// Whether nobody else has ever touched a document, and it never went: one that is removed and comes again is told always.
fn is_all_its_own(hub: &Hub, key: (&str, &str), author: Author) -> bool {
    let log = hub.log();
    changes(&log)
        .filter(|change| (change.collection.as_str(), change.id.as_str()) == key)
        .all(|change| change.version.author == author && change.version.meta.is_live())
}

/// Every promise to packet nodes that is broken in a world at rest.
pub fn at_rest(hub: &Hub, nodes: &[Node]) -> Vec<String> {
    let mut problems = Vec::new();
    let truth = documents(hub);
    for (n, node) in nodes.iter().enumerate() {
        let shown = node.shown();
        let due = truth.iter().filter(|(key, document)| node.part().holds(&key.0, document));
        let due = due.map(|(key, document)| {
            let mut row = super::node::without_nulls(document.as_object().expect("documents are objects"));
            row.remove("_id");
            (key.clone(), row)
        });
        let due = due.collect();
        if shown != due {
            problems.push(format!("convergence: node {n} has\n  {shown:?}\nand the hub has for it\n  {due:?}"));
        }
        if !node.is_idle() {
            problems.push(format!("convergence: node {n} still has changes that are not acknowledged"));
        }
        problems.extend(effects(hub, node).map(|what| format!("{what} by node {n}")));
    }
    problems
}

/// A node cannot have changed a document more often than its user did.
fn effects<'a>(hub: &'a Hub, node: &'a Node) -> impl Iterator<Item = String> + 'a {
    let author = hub.author(&node.id);
    let made = move |key: &Key| {
        let is_it = |change: &&Change| {
            change.collection.as_str() == key.0 && change.id.as_str() == key.1 && Some(change.version.author) == author
        };
        changes(&hub.log()).filter(is_it).count()
    };
    node.registered.iter().filter_map(move |(key, registered)| {
        let made = made(key);
        let wrong = made > *registered;
        wrong.then(|| format!("exactly one effect: {registered} changes of {} took effect {made} times", key.1))
    })
}
