//! Registered nodes, as plain as the protocol allows: they count packets and acknowledge what they got.

use crate::hub::TOKEN;
use crate::process::Server;
use crate::wire::{Connection, Counter, number_behind};
use std::io::{Error, Result};

const HUB: &str = "00000000-0000-4000-8000-000000000000";

/// Registers nodes of one hub.
pub struct Registrar {
    port: u16,
    connection: Connection,
}

impl Registrar {
    /// Connects as an admin.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn new(hub: &Server) -> Result<Registrar> {
        Ok(Registrar { port: hub.port, connection: Connection::open(hub.port, TOKEN)? })
    }

    /// Registers the node with a number.
    ///
    /// # Errors
    /// When it is refused.
    pub fn register(&mut self, n: usize) -> Result<Node> {
        let (id, token) =
            (format!("11111111-1111-4111-8111-{n:012}"), format!("the-token-of-node-{n:012}-of-the-benchmark"));
        let wish = format!(r#"{{"id":"{id}","code":"NODE-{n}","name":"Node {n}","token":"{token}"}}"#);
        self.connection.request("POST", "/admin/spaces/main/nodes", &wish, |_| ())?;
        Ok(Node { id, token, port: self.port, connection: None, number: 0, ack: 0 })
    }
}

/// A registered node.
pub struct Node {
    id: String,
    token: String,
    port: u16,
    /// Open from its first packet on.
    connection: Option<Connection>,
    number: u64,
    ack: u64,
}

impl Node {
    /// What it shows the hub.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Sends a packet of these entities and takes what comes back. Returns how many objects that were.
    ///
    /// # Errors
    /// When the packet is refused, or not acknowledged.
    pub fn send(&mut self, entities: &str) -> Result<u64> {
        self.number += 1;
        let Node { id, number, ack, .. } = self;
        let packet = format!(
            r#"{{"header":{{"sender_node_id":"{id}","recipient_node_id":"{HUB}","packet_no":{number},"ack_packet_no":{ack},"schema_version":"1.0.0"}},"body":{{"entities":[{entities}]}}}}"#
        );
        let connection = match &mut self.connection {
            Some(connection) => connection,
            closed => closed.insert(Connection::open(self.port, &self.token)?),
        };
        let mut counter = Counter::of("\"mark\":");
        let reply = connection.request("POST", "/api/sync/exchange", &packet, |piece| counter.feed(piece))?;
        let header = |name: &str| number_behind(&reply.head, name).ok_or_else(|| Error::other(format!("no {name}")));
        if header("\"ack_packet_no\":")? != self.number {
            return Err(Error::other(format!("packet {} was not acknowledged", self.number)));
        }
        self.ack = header("\"packet_no\":")?;
        Ok(counter.seen)
    }
}
