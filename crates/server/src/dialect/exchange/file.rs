//! Packets by file, for sites without a network: the same rounds, cut in two. An administrator stands in
//! for the node's token.

use super::super::body::Held;
use super::arrival::{Arrival, read, sender};
use super::round::{Round, TRIES_MAX, envelope, overtaken};
use crate::app::App;
use crate::error::ServerError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use syncline_core::hub::Taken;
use syncline_core::model::{Author, NodeId, Packet, Refused, SpaceName};
use syncline_core::wire::exchange::Header;

/// What became of a packet that came by file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Whose packet it was.
    pub node: NodeId,
    /// Its number.
    pub packet_no: u64,
    /// The highest packet that is accepted from the node, for its next packet to go on.
    pub ack_packet_no: u64,
    /// It was taken in before, and nothing changed by it now.
    pub repeated: bool,
    /// How many entities it held.
    pub entities: usize,
    /// Those that were set aside.
    pub rejected: Vec<Refused>,
}

/// Takes in a packet of a node, as if the node had posted it; the answer is [`export`]ed.
///
/// # Errors
/// As for a posted packet.
pub async fn import(app: &App, space: &SpaceName, text: Bytes) -> Result<Imported, ServerError> {
    let body = Held::unshared(text);
    let read = read(app, &body).await?;
    let node = sender(&read.header)?;
    if node.as_str().eq_ignore_ascii_case(&app.options.exchange.hub_id) {
        return Err(own(&read.header));
    }
    let space = app.hub.space(space).await?;
    let desk = app.nodes.desk(space.name(), &node).await?;
    let arrival = Arrival::check(app, &desk, read, body)?;
    let round = Round { app, space: &space, desk: &desk };
    let mut turn = round.turn().await?;
    let Arrival { packet, body, .. } = arrival;
    let (packet_no, entities) = (packet.number, packet.entities.len());
    let taken = round.take(Packet { settled: turn.take(), ..packet }, body.into_share()).await?;
    let Taken { ack: ack_packet_no, repeated, refused: rejected, .. } = taken;
    Ok(Imported { node, packet_no, ack_packet_no, repeated, entities, rejected })
}

/// An export that came back to where it was written.
fn own(header: &Header) -> ServerError {
    let reason = format!(
        "the packet was written by this hub for node `{}`; take it in there (`syncline db exchange import`), and \
         bring that node's packet here",
        header.recipient_node_id
    );
    ServerError::Unfit { code: "wrong_recipient", reason }
}

/// The hub's next packet for a node, as text. It takes a number, and counts as sent and not as confirmed.
///
/// # Errors
/// [`ServerError::UnknownNode`], [`ServerError::Unfit`] for a node that was silent for too long, or those
/// of the store.
pub async fn export(app: &App, space: &SpaceName, node: &NodeId) -> Result<Vec<u8>, ServerError> {
    let space = app.hub.space(space).await?;
    let desk = app.nodes.desk(space.name(), node).await?;
    let round = Round { app, space: &space, desk: &desk };
    let mut turn = round.turn().await?;
    let author = author(app, space.name(), node).await?;
    for _ in 0..TRIES_MAX {
        let found = app.hub.store().registered(space.name(), Some(node)).await?.pop();
        let unknown = || ServerError::UnknownNode { node: node.clone(), space: space.name().clone() };
        let (_, traffic) = found.ok_or_else(unknown)?;
        let reached = traffic.reached();
        let next = match round.next(author, reached, traffic.last.whole_objects).await {
            Err(ServerError::Resync { .. }) => return Err(silent(node)),
            next => next?,
        };
        let Some(number) = round.number(&next, reached, traffic.issued, &mut turn).await? else { continue };
        let options = &app.options.exchange;
        let header = Header {
            sender_node_id: options.hub_id.clone(),
            recipient_node_id: node.to_string(),
            packet_no: number,
            ack_packet_no: traffic.received,
            schema_version: options.schema_version.clone(),
            has_more: next.more,
            rejected: traffic.last.refused,
            ..Header::default()
        };
        return Ok(envelope(&header, &next.told));
    }
    Err(overtaken())
}

/// The number under which the space knows a node; every registered one has one.
pub(super) async fn author(app: &App, space: &SpaceName, node: &NodeId) -> Result<Author, ServerError> {
    let rows = app.hub.store().nodes(space).await?;
    Ok(rows.iter().find(|row| row.node == node.as_str()).map_or(Author::default(), |row| row.author))
}

fn silent(node: &NodeId) -> ServerError {
    let reason = format!(
        "node `{node}` was silent for so long that the log no longer reaches back to what it has; import its next \
         packet first, and everything is exported anew"
    );
    ServerError::Unfit { code: "silent_node", reason }
}
