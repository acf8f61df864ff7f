//! How a device is connected that exchanges packets, and a packet of it on its way.

use super::network::Fate;
use super::part::Part;
use super::watch::Watch;
use syncline::sync::{OutPacket, PacketNode};
use syncline_core::session::{Request, RequestId, Session, Settings};

/// Ops in one packet: few, so that a backlog takes several.
const OPS_MAX: usize = 3;

/// What makes a device a node.
pub struct Line {
    pub node: PacketNode,
    pub part: Part,
    pub token: String,
    /// Packets of a node that the hub does not know are refused, and looked at no further.
    pub known: bool,
    pub watch: Watch,
}

/// A packet of a device on its way, with what the session asked.
#[derive(Clone)]
pub(super) struct Parcel {
    pub device: usize,
    pub life: u32,
    pub id: RequestId,
    pub request: Request,
    pub packet: OutPacket,
    pub fate: Fate,
}

impl Line {
    pub fn new(node: PacketNode, part: Part, number: usize) -> Line {
        let token = format!("secret-of-database-{number}");
        Line { node, part, token, known: false, watch: Watch::default() }
    }

    /// A session as the library sets it up for packets.
    pub fn start(&mut self) -> Session {
        Session::new(Settings { wait_s: None, push_batch_size: OPS_MAX, ..Settings::default() })
    }
}
