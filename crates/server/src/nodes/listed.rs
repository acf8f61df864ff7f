//! How registered nodes are listed, for people and for programs.

use crate::hub::NodeView;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use syncline_core::model::{Millis, NodeId, Plan, Registration, Traffic};

/// A registered node as it is listed, with the columns of `sync_nodes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredNode {
    /// Its id.
    pub id: NodeId,
    /// Its code.
    pub code: String,
    /// Its name for people.
    pub name: String,
    /// What it exchanges.
    pub plan: Plan,
    /// When its last packet was accepted, as ISO 8601.
    pub last_sync_in: Option<String>,
    /// When it last confirmed a packet of the hub, as ISO 8601.
    pub last_sync_out: Option<String>,
    /// The last packet accepted from it.
    pub received_packet_no: u64,
    /// The last packet sent to it and confirmed by it.
    pub sent_packet_no: u64,
    /// The last number given to a packet for it.
    pub issued_packet_no: u64,
    /// It has confirmed everything up to here.
    pub cursor: u64,
    /// Whether it is being given everything that is alive.
    pub filling: bool,
    /// Where it was silent for longer than `retention.nodes`: when it was last heard of, as ISO 8601. It will be filled
    /// anew, and for that alone the hub keeps what was removed since, without its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_since: Option<String>,
}

impl RegisteredNode {
    pub(super) fn of((registration, traffic): (Registration, Traffic), silent: Millis) -> RegisteredNode {
        let time = |at: Millis| (at > Millis(0)).then(|| at.iso());
        RegisteredNode {
            id: registration.id,
            code: registration.code,
            name: registration.name,
            plan: registration.plan,
            last_sync_in: time(traffic.received_at),
            last_sync_out: time(traffic.confirmed_at),
            received_packet_no: traffic.received,
            sent_packet_no: traffic.confirmed,
            issued_packet_no: traffic.issued,
            cursor: traffic.cursor.0,
            filling: traffic.fill.is_some(),
            silent_since: time(traffic.received_at).filter(|_| traffic.received_at <= silent),
        }
    }
}

/// One list for programs: what is known of each node as a reader of the log, and, where it is registered, as such. One
/// that exchanges packets alone has no place in the log of its own and numbers no ops: nothing is said of these.
#[must_use]
pub fn joined(registered: &[RegisteredNode], readers: &[NodeView]) -> Vec<Value> {
    let mut readers: BTreeMap<&str, &NodeView> = readers.iter().map(|view| (view.node.node.as_str(), view)).collect();
    let mut all = Vec::with_capacity(readers.len());
    for node in registered {
        let mut row = readers.remove(node.id.as_str()).map_or_else(|| json!({ "node": node.id }), |view| json!(view));
        row["registered"] = json!(node);
        if let Some(fields) = row.as_object_mut().filter(|fields| fields.get("seen_at") == Some(&json!(0))) {
            fields.retain(|name, _| !["last_seq", "cursor", "seen_at"].contains(&name.as_str()));
        }
        all.push(row);
    }
    all.extend(readers.into_values().map(|view| json!(view)));
    all
}
