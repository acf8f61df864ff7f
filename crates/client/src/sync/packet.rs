//! A packet on its way to the hub, and the hub's packet as a page (steps 2 and 9 of the life of a
//! change). Decides nothing about documents.

use super::api::{ApiError, ApiReply};
use super::reply;
use crate::replica::{Ends, Sent, UNTIMED};
use serde::Deserialize;
use serde_json::value::RawValue;
use syncline_core::model::{
    Author, CollectionName, DocId, Entity, EntityEdit, Limits, Lsn, Mark, Meta, NodeId, PacketReceipt, Page, PageEdit,
    PageOp, PushReply, Rejection, Views,
};
use syncline_core::session::{Answer, Failure, Request};
use syncline_core::wire::exchange::{Side, UNKNOWN_TYPE, major_version, open};

/// Stands for everybody else: packets do not say who made a change.
const OTHERS: Author = Author(u32::MAX);

/// A packet on its way to the hub.
#[derive(Clone, Debug)]
pub struct OutPacket {
    /// What was composed.
    pub(super) sent: Sent,
    /// Between whom.
    pub(super) ends: Ends,
    /// Who sends.
    pub(super) node: NodeId,
}

impl OutPacket {
    /// The envelope: the body of a `POST /api/sync/exchange`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.sent.text
    }

    /// The hub's packet in return, as the answer to the session's request.
    ///
    /// # Errors
    /// [`Failure`], as the session reads it, where the answer is none, or the one to another packet.
    pub fn answer(&self, request: &Request, reply: Result<ApiReply, ApiError>) -> Result<Answer, Failure> {
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
    #[derive(Deserialize)]
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
    let elements = opened.elements().map_err(|error| format!("no packet of a hub: {error}"))?;
    let entities = elements.entities(&limits, accept).map_err(|error| format!("no packet of a hub: {error}"))?;
    let (number, accepted) = (header.packet_no, header.ack_packet_no);
    let outside = entities.iter().filter(|entity| leaves_filter(entity)).filter_map(named).collect();
    let ops = entities.into_iter().map(|entity| op_of(entity, Lsn(number.max(1)))).collect::<Result<_, _>>()?;
    Ok(Page {
        server_lsn: Lsn(number),
        epoch: ends.epoch(),
        has_more: header.has_more,
        views: Views::new(),
        ops,
        conflicts: header.conflicts.clone(),
        receipt: Some(PacketReceipt { number, accepted, refused: header.rejected.clone(), outside }),
    })
}

/// Whether the hub says that the object is still there, and just not for this node.
fn leaves_filter(entity: &Entity) -> bool {
    #[derive(Deserialize)]
    struct Words {
        #[serde(default)]
        outside: bool,
    }
    matches!(entity.edit, EntityEdit::Remove { .. })
        && serde_json::from_str::<Words>(&entity.raw).is_ok_and(|words| words.outside)
}

fn named(entity: &Entity) -> Option<(CollectionName, DocId)> {
    Some((CollectionName::new(&entity.kind).ok()?, entity.uuid.clone()))
}

fn op_of(entity: Entity, lsn: Lsn) -> Result<PageOp, String> {
    let Entity { kind, uuid: id, edit, .. } = entity;
    let (stamp, author) = (UNTIMED, OTHERS);
    match edit {
        EntityEdit::Put { collection, sent, .. } => {
            let doc = Some(RawValue::from_string(sent.text().to_owned()).expect("a document is JSON"));
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
