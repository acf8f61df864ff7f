//! Sync by numbered packets (`exchange`) instead of the log: the session stays the same, its requests
//! leave as packets and their answers come back as pages and receipts (steps 2 and 9 of the life of a
//! change). Decides nothing about documents.

use super::api::{ApiError, ApiReply};
use super::local::{Local, Outgoing};
use super::reply;
use crate::error::Error;
use crate::rebase::Resolver;
use crate::replica::{Ends, Replica, Sent, UNTIMED};
use crate::sync_error::SyncError;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use syncline_core::model::{
    Author, CollectionName, Entity, EntityEdit, Fields, Limits, Lsn, Mark, Meta, NodeId, PacketReceipt, Page, PageEdit,
    PageOp, PushReply, Rejection, Strategy,
};
use syncline_core::session::{Answer, Backlog, Failure, Positions, Request, Stored, Write};
use syncline_core::wire::exchange::{Side, UNKNOWN_TYPE, major_version, open};

/// Stands for everybody else: packets do not say who made a change.
const OTHERS: Author = Author(u32::MAX);

/// A database that exchanges packets.
pub(super) struct PacketNode {
    replica: Replica,
    ends: Ends,
}

/// A packet on its way to the hub.
pub(super) struct OutPacket {
    sent: Sent,
    ends: Ends,
    node: NodeId,
}

impl PacketNode {
    pub(super) fn new(replica: Replica, ends: Ends) -> PacketNode {
        PacketNode { replica, ends }
    }

    /// A pull asks with an empty packet. While one with ops is under way nothing else may be sent, and its
    /// answer brings the hub's news as well: the session goes on to it at once.
    fn pull(&self, since: Lsn) -> Result<Outgoing, Error> {
        Ok(match self.replica.asking_packet(&self.ends)? {
            Some(sent) => Outgoing::Packet(self.out(sent)?),
            None => {
                let (epoch, ops) = (self.ends.epoch(), Vec::new());
                Outgoing::Known(Answer::Page(Page { server_lsn: since, epoch, has_more: false, ops, receipt: None }))
            }
        })
    }

    fn push(&self, text: &str) -> Result<Outgoing, Error> {
        let opened = open(text.as_bytes(), Side::Node)?;
        let (number, ack) = (opened.header.packet_no, opened.header.ack_packet_no);
        Ok(Outgoing::Packet(self.out(Sent { number, ack, text: text.to_owned() })?))
    }

    fn out(&self, sent: Sent) -> Result<OutPacket, Error> {
        Ok(OutPacket { sent, ends: self.ends.clone(), node: Replica::node(&self.replica)? })
    }
}

impl Local for PacketNode {
    fn node(&self) -> Result<NodeId, SyncError> {
        Local::node(&self.replica)
    }

    fn join(
        &mut self,
        collections: &BTreeSet<CollectionName>,
        strategy: Strategy,
        resolver: Option<&Resolver>,
    ) -> Result<(), SyncError> {
        for name in collections {
            self.replica.set_resolver(name.clone(), resolver.cloned());
        }
        self.replica.join_packets(collections, strategy, &self.ends).map_err(|error| match error {
            Error::Sync(why) => why,
            other => SyncError::Storage(other.to_string()),
        })
    }

    fn positions(&mut self, scope: &BTreeSet<CollectionName>) -> Result<Positions, String> {
        Local::positions(&mut self.replica, scope)
    }

    fn backlog(&mut self, scope: &BTreeSet<CollectionName>) -> Result<Backlog, String> {
        Local::backlog(&mut self.replica, scope)
    }

    fn outgoing(&mut self, request: &Request) -> Result<Outgoing, String> {
        let outgoing = match request {
            Request::Pull { since, .. } => self.pull(since.lsn),
            Request::Push(batch) => self.push(&batch.body),
            // The pull of the same cycle has shown it.
            Request::Health => Ok(Outgoing::Known(Answer::Healthy)),
            Request::Snapshot { .. } => return Err("packets know no snapshot; enable sync anew".to_owned()),
        };
        outgoing.map_err(|error| error.to_string())
    }

    fn carry_out(&mut self, scope: &BTreeSet<CollectionName>, write: Write) -> Result<Stored, String> {
        match write {
            Write::NextBatch { scope, limit, recompose } => {
                self.replica.next_packet(&scope, &self.ends, limit, recompose).map_err(|error| error.to_string())
            }
            write => Local::carry_out(&mut self.replica, scope, write),
        }
    }
}

impl OutPacket {
    /// The envelope.
    pub(super) fn text(&self) -> &str {
        &self.sent.text
    }

    /// The hub's packet in return, as the answer to the session's request.
    pub(super) fn answer(&self, request: &Request, reply: Result<ApiReply, ApiError>) -> Result<Answer, Failure> {
        let reply = reply.map_err(|error| Failure::Network(error.to_string()))?;
        if !(200..300).contains(&reply.status) {
            return Err(refusal(reply));
        }
        let mut page = read(&reply.body, &self.ends, &self.node).map_err(Failure::Server)?;
        let accepted = page.receipt.as_ref().map_or(0, |receipt| receipt.accepted);
        if accepted < self.sent.number {
            let number = self.sent.number;
            let late =
                format!("its answer to packet {number} acknowledges {accepted} only: it is the answer to another one");
            return Err(Failure::Server(late));
        }
        if !page.ops.is_empty() {
            // A hub that was restored counts from an earlier number again; what it sends is news all the same.
            page.server_lsn = page.server_lsn.max(Lsn(self.sent.ack).next());
        }
        Ok(match request {
            Request::Push(_) => {
                let (server_lsn, epoch) = (page.server_lsn, page.epoch.clone());
                Answer::Pushed(PushReply {
                    status: "ok".into(),
                    server_lsn,
                    epoch,
                    page: Some(page),
                    ..PushReply::default()
                })
            }
            _ => Answer::Page(page),
        })
    }
}

/// What an answer means that is not a success. Only what the hub says of single entities, or of the
/// packet's size, speaks against the ops; all else is repeated.
fn refusal(reply: ApiReply) -> Failure {
    let (status, code) = (reply.status, code_of(&reply.body));
    let entity = matches!(code.as_deref(), Some(UNKNOWN_TYPE)) || status == 413;
    match reply::refusal(reply) {
        Failure::CollectionRefused { message, .. }
        | Failure::PushingRefused(message)
        | Failure::PullingRefused(message) => Failure::Unauthorized(message),
        Failure::Refused(message) if !entity && !message.contains("body.entities[") => Failure::Server(message),
        Failure::Resync(message) | Failure::BatchReused(message) => Failure::Server(message),
        failure => failure,
    }
}

fn code_of(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Words {
        code: Option<String>,
    }
    serde_json::from_slice::<Words>(body).ok()?.code
}

/// A packet of the hub for this node as a page; or why it is none.
pub(crate) fn read(text: &[u8], ends: &Ends, node: &NodeId) -> Result<Page, String> {
    let opened = open(text, Side::Hub).map_err(|error| format!("no packet of a hub: {error}"))?;
    let header = &opened.header;
    if !header.sender_node_id.eq_ignore_ascii_case(&ends.hub) {
        return Err(format!("it comes from `{}`, not from hub `{}`", header.sender_node_id, ends.hub));
    }
    if !header.recipient_node_id.eq_ignore_ascii_case(node.as_str()) {
        return Err(format!("it is for node `{}`; this database is node `{node}`", header.recipient_node_id));
    }
    if major_version(&header.schema_version) != major_version(&ends.schema_version) {
        let (theirs, ours) = (&header.schema_version, &ends.schema_version);
        return Err(format!(
            "its schema has version {theirs}, this database's {ours}; the major versions must be equal"
        ));
    }
    // The hub has checked its documents by its own limits.
    let limits = Limits { document_bytes: usize::MAX, depth: Limits::DEPTH_MAX, ..Limits::default() };
    let accept = |kind: &str| {
        CollectionName::new(kind).map_err(|why| Rejection { code: UNKNOWN_TYPE.to_owned(), reason: why.to_string() })
    };
    let entities = opened.entities(&limits, accept).map_err(|error| format!("no packet of a hub: {error}"))?;
    let (number, accepted) = (header.packet_no, header.ack_packet_no);
    let ops = entities.into_iter().map(|entity| op_of(entity, Lsn(number.max(1)))).collect::<Result<_, _>>()?;
    Ok(Page {
        server_lsn: Lsn(number),
        epoch: ends.epoch(),
        has_more: header.has_more,
        ops,
        receipt: Some(PacketReceipt { number, accepted, refused: header.rejected.clone() }),
    })
}

fn op_of(entity: Entity, lsn: Lsn) -> Result<PageOp, String> {
    let Entity { kind, uuid: id, edit, .. } = entity;
    let (stamp, author) = (UNTIMED, OTHERS);
    match edit {
        EntityEdit::Put { collection, set, .. } => {
            let doc = Some(document(id.as_str(), &set));
            Ok(PageOp { op: PageEdit::Put, lsn, collection, id, stamp, author, meta: None, doc })
        }
        EntityEdit::Remove { collection } => {
            let mark = Mark { stamp, lsn, author };
            let removed = Some(Mark { stamp: stamp.next(), ..mark });
            let meta = Some(Meta { removed, ..Meta::inserted(mark) });
            Ok(PageOp { op: PageEdit::Remove, lsn, collection, id, stamp, author, meta, doc: None })
        }
        EntityEdit::Unusable(why) => Err(format!("entity `{id}` of type `{kind}` cannot be stored: {}", why.reason)),
    }
}

/// The object as a document: its fields behind its id.
fn document(id: &str, fields: &Fields) -> Box<RawValue> {
    let id = serde_json::value::to_raw_value(id).expect("text serializes");
    let all: Fields =
        [("_id", id)].into_iter().chain(fields.iter().map(|(name, value)| (name, value.to_owned()))).collect();
    RawValue::from_string(all.to_body().text().to_owned()).expect("fields are JSON")
}
