//! The replica as a node that exchanges numbered packets with its hub (steps 2 and 9 of the life of a
//! change).
//!
//! A cursor's LSN is here the number of the last hub packet that is stored. Own ops that the hub has
//! accepted do not come back, so their effect becomes part of the hub's version when their packet is
//! acknowledged: before the entities of the same answer, which the hub read afterwards.

use super::absorb::absorb;
use super::pull::{self, Source, Targets};
use super::{Applying, Replica, Scope, known, push};
use crate::conflicts;
use crate::error::Result;
use crate::fate::Fate;
use crate::outbox::{self, OpRow, PacketOps, Traffic};
use crate::quarantine::{self, Aside};
use crate::store::{Row, Unit, rows};
use crate::sync_error::SyncError;
use crate::transaction::enqueue_all;
use std::collections::{BTreeMap, BTreeSet};
use syncline_core::model::{
    Body, Cursor, DocId, Epoch, Fields, Lsn, NodeId, PacketReceipt, Page, PageOp, Rejection, Strategy, Verdict,
};
use syncline_core::session::interface::{Batch, Stored};
use syncline_core::session::notice;
use syncline_core::wire::exchange::{Contents, Envelope, Header, WireEntity};
use syncline_core::wire::own::WireOp;

/// What the epoch of a collection that goes by packets begins with; a hub's log never has such a one.
const STREAM: &str = "exchange:";

/// Who exchanges with whom, in which version of the data's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// UUID of the hub.
    pub hub: String,
    /// As `major.minor.patch`.
    pub schema_version: String,
}

/// A packet that was composed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Its number.
    pub number: u64,
    /// The hub's packet that it acknowledges.
    pub ack: u64,
    /// The envelope.
    pub text: String,
}

/// How packets of the hub reach this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Each is the answer to the packet before: what it holds is the hub's state now, whatever its number.
    Certain,
    /// By files, perhaps again or in another order: only a higher number than the last one holds news.
    AnyOrder,
}

impl Ends {
    /// Stands for the hub's history: one stream of packets.
    ///
    /// # Panics
    /// Never: a UUID makes a valid epoch.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch::new(format!("{STREAM}{}", self.hub)).expect("a UUID makes a valid epoch")
    }
}

/// The number of the hub's packet that a cursor stands for; `None`: it is a place in a log.
#[must_use]
pub fn packet_of(cursor: &Cursor) -> Option<u64> {
    cursor.epoch.as_str().starts_with(STREAM).then_some(cursor.lsn.0)
}

impl Replica {
    /// The collections take part in the exchange from now on.
    ///
    /// # Errors
    /// [`SyncError::OtherDialect`] when one of them stands somewhere in the log of a hub, or packets were
    /// exchanged with another hub; or when the file cannot be written.
    pub(crate) fn join_packets(&self, scope: &Scope, strategy: Strategy, ends: &Ends) -> Result<()> {
        self.store.write(|unit| {
            if let Some(hub) = Traffic::begin(unit.conn, &ends.hub)? {
                let old = Ends { hub, ..ends.clone() }.epoch();
                let sql = "UPDATE collections SET epoch = ?2 WHERE epoch = ?1";
                unit.conn.prepare_cached(sql)?.execute([old.as_str(), ends.epoch().as_str()])?;
                unit.renamed_all();
            }
            check_hub(unit, scope, ends)
        })?;
        self.join(scope, strategy)?;
        self.store.write(|unit| enter(unit, scope, &ends.epoch()).map(drop))
    }

    /// Whether the collections may go by the log of a hub: none of them goes by packets.
    ///
    /// # Errors
    /// [`SyncError::ByPackets`] with the first one that does; or when the file cannot be read.
    pub(crate) fn check_no_packets(&self, scope: &Scope) -> Result<()> {
        self.store.read(|view| {
            for name in scope {
                if view.find(name)?.is_some_and(|named| named.epoch.as_str().starts_with(STREAM)) {
                    return Err(SyncError::ByPackets { collection: name.clone() }.into());
                }
            }
            Ok(())
        })
    }

    /// Whether the collections go by packets already; where none of them has synced yet, whether the others of this
    /// file do. `None`: nothing here has synced.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn goes_by_packets(&self, scope: &Scope) -> Result<Option<bool>> {
        self.store.read(|view| {
            let sql = "SELECT name, epoch FROM collections WHERE epoch <> ''";
            let mut find = view.conn.prepare_cached(sql)?;
            let all = find.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let all: Vec<(String, String)> = all.collect::<rusqlite::Result<_>>()?;
            let named = |(name, _): &&(String, String)| scope.iter().any(|wanted| wanted.as_str() == name);
            let any_named = all.iter().any(|row| named(&row));
            let mut meant = all.iter().filter(|row| named(row) || !any_named).peekable();
            Ok(meant.peek().is_some().then(|| meant.any(|(_, epoch)| epoch.starts_with(STREAM))))
        })
    }

    /// The packet under way, or else the next one of these collections, as a batch whose body it is.
    /// `recompose` gives the one under way up first.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn next_packet(&self, scope: &Scope, ends: &Ends, ops_max: usize, recompose: bool) -> Result<Stored> {
        let mut batch = None;
        let mut stored = self.edit(|unit, applying| {
            if recompose {
                outbox::dissolve_packets(unit)?;
            }
            if let Some(packet) = compose(unit, applying, scope, ops_max.max(1))? {
                let sent = envelope(unit, ends, &packet)?;
                batch = Some(Batch { id: packet.id, ops: packet.ops.len(), body: sent.text });
            }
            Ok(())
        })?;
        stored.batch = batch;
        stored.backlog = Some(self.backlog(scope)?);
        Ok(stored)
    }

    /// A packet that only asks and acknowledges; `None` while one with ops is under way, which does both.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn asking_packet(&self, ends: &Ends) -> Result<Option<Sent>> {
        self.store.write(|unit| {
            if outbox::packet_under_way(unit)?.is_some() {
                return Ok(None);
            }
            let number = Traffic::draw(unit.conn)?;
            write(unit, ends, number, Vec::new()).map(Some)
        })
    }

    /// One packet of everything that waits, composed anew with what was added since the last one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn whole_packet(&self, scope: &Scope, ends: &Ends, ops_max: usize) -> Result<Sent> {
        let mut sent = None;
        self.edit(|unit, applying| {
            let members = known(unit, scope)?;
            if outbox::any_waits(unit, &members)? {
                outbox::dissolve_packets(unit)?;
            }
            sent = Some(match compose(unit, applying, scope, ops_max)? {
                Some(packet) => envelope(unit, ends, &packet)?,
                None => {
                    let number = Traffic::draw(unit.conn)?;
                    write(unit, ends, number, Vec::new())?
                }
            });
            Ok(())
        })?;
        Ok(sent.expect("a packet was written"))
    }

    /// The number of the hub's packet that is stored here.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn received_packet(&self) -> Result<u64> {
        self.store.read(|unit| Ok(Traffic::load(unit.conn)?.map_or(0, |traffic| traffic.received)))
    }

    /// Stores a packet of the hub: what became of own packets, then its entities, then the cursor.
    ///
    /// # Errors
    /// When the file cannot be written; nothing of it is then kept.
    pub(crate) fn take_packet(&self, scope: &Scope, page: &Page, order: Order) -> Result<Stored> {
        let mut stored = self.edit(|unit, applying| take(unit, applying, scope, (page, order)))?;
        stored.backlog = Some(self.backlog(scope)?);
        Ok(stored)
    }
}

fn check_hub(unit: &mut Unit<'_>, scope: &Scope, ends: &Ends) -> Result<()> {
    let other = Traffic::load(unit.conn)?.filter(|traffic| traffic.hub != ends.hub).map(|traffic| traffic.hub);
    if let Some(hub) = other {
        return Err(SyncError::OtherExchange { hub, wanted: ends.hub.clone() }.into());
    }
    for name in scope {
        let epoch = unit.find(name)?.map(|named| named.epoch.clone()).unwrap_or_default();
        if !epoch.as_str().is_empty() && epoch != ends.epoch() {
            return Err(SyncError::OtherDialect { collection: name.clone() }.into());
        }
    }
    Ok(())
}

/// Collections that stand where the stream of packets stands. Returns whether any of them is new there.
fn enter(unit: &mut Unit<'_>, names: &Scope, epoch: &Epoch) -> Result<bool> {
    let received = Traffic::load(unit.conn)?.map_or(0, |traffic| traffic.received);
    let mut any = false;
    for named in known(unit, names)?.into_iter().filter(|named| named.lsn.is_none() || named.epoch != *epoch) {
        any = true;
        unit.conn
            .prepare_cached("UPDATE collections SET lsn = ?2, epoch = ?3 WHERE cid = ?1")?
            .execute(rusqlite::params![named.cid, received, epoch.as_str()])?;
        unit.renamed(&named.name);
    }
    Ok(any)
}

/// The packet under way, or a new one of what can travel.
fn compose(unit: &mut Unit<'_>, applying: &mut Applying, scope: &Scope, ops_max: usize) -> Result<Option<PacketOps>> {
    if let Some(packet) = outbox::packet_under_way(unit)? {
        return Ok(Some(packet));
    }
    let members = known(unit, scope)?;
    outbox::spell_out_clears(unit, &members)?;
    loop {
        let unfit = outbox::unfit(unit, &members, ops_max)?;
        if unfit.is_empty() {
            return outbox::next_packet(unit, &members, ops_max);
        }
        for row in unfit {
            keep_here(unit, applying, row)?;
        }
    }
}

/// A document whose id no packet can carry stays, in this database alone; its ops are set aside.
fn keep_here(unit: &mut Unit<'_>, applying: &mut Applying, mut row: Row) -> Result<()> {
    let reason = format!(
        "the id `{}` is no UUID, and packets name documents by UUID: the document stays in this database alone; \
         insert it without `_id` to get one that travels",
        row.id
    );
    let rejection = Rejection { code: "id_not_uuid".into(), reason };
    let chain = outbox::of_doc(unit.conn, row.op)?;
    for op in &chain {
        let named = unit.by_cid(op.cid)?;
        let operation = serde_json::to_value(outbox::wire_op(unit, &named, op, None)?).expect("an op serializes");
        let seq = Some(op.wire_seq.unwrap_or(op.seq));
        let aside = Aside { collection: &named.name, id: Some(&row.id), seq, operation, rejection: &rejection };
        applying.quarantined.push(quarantine::add(unit, aside)?);
        unit.recount_waiting(op.cid);
    }
    unit.outbox_shrinks();
    row.op = outbox::retire(unit.conn, row.op, &chain.iter().map(OpRow::number).collect())?;
    if row.body.is_none() { rows::delete(unit.conn, row.doc) } else { rows::save(unit.conn, &row) }
}

fn envelope(unit: &mut Unit<'_>, ends: &Ends, packet: &PacketOps) -> Result<Sent> {
    let entities = outbox::entities(unit, &packet.ops)?;
    write(unit, ends, packet.number, entities)
}

fn write(unit: &Unit<'_>, ends: &Ends, number: u64, entities: Vec<WireEntity>) -> Result<Sent> {
    let ack = Traffic::load(unit.conn)?.map_or(0, |traffic| traffic.received);
    let node: &NodeId = unit.node();
    let header = Header {
        sender_node_id: node.to_string(),
        recipient_node_id: ends.hub.clone(),
        packet_no: number,
        ack_packet_no: ack,
        schema_version: ends.schema_version.clone(),
        whole_objects: true,
        conflicts_after: Some(conflicts::told(unit.conn)?),
        ..Header::default()
    };
    let envelope = Envelope { header, body: Contents { entities } };
    Ok(Sent { number, ack, text: serde_json::to_string(&envelope).expect("a packet serializes") })
}

fn take(unit: &mut Unit<'_>, applying: &mut Applying, scope: &Scope, (page, order): (&Page, Order)) -> Result<()> {
    let Some(receipt) = &page.receipt else { return Ok(()) };
    let mut traffic = Traffic::load(unit.conn)?.unwrap_or(Traffic { hub: String::new(), sent: 0, received: 0 });
    let before = traffic.clone();
    Traffic::meet(unit.conn)?;
    let settled = settle(unit, applying, receipt, Lsn(traffic.received.max(1)))?;
    // A number that the hub has seen is used up, whatever an older copy of this file knows of it.
    traffic.sent = traffic.sent.max(receipt.accepted);
    let news = order == Order::Certain || receipt.number > traffic.received;
    let mut names = scope.clone();
    if news {
        traffic.received = receipt.number;
        names.extend(page.ops.iter().map(|op| op.collection.clone()));
    }
    for name in &names {
        // What the hub sends comes once: a collection that does not sync yet is kept all the same.
        enqueue_all(unit, name)?;
    }
    let moved = enter(unit, &names, &page.epoch)? || traffic != before;
    if news {
        store(unit, applying, &names, page, &settled)?;
    }
    if let Some(late) = &page.conflicts {
        applying.conflicts.extend(conflicts::take_late(unit, late)?);
    }
    if moved {
        traffic.save(unit.conn)?;
        let sql = "UPDATE collections SET lsn = ?2 WHERE epoch = ?1";
        unit.conn.prepare_cached(sql)?.execute(rusqlite::params![page.epoch.as_str(), traffic.received])?;
        unit.renamed_all();
    }
    Ok(())
}

/// Own documents that were accepted just now.
type Settled = BTreeMap<(i64, DocId), Accepted>;

/// What was accepted of one document.
struct Accepted {
    /// The hub's text before and after.
    texts: (Option<Body>, Option<Body>),
    /// The ops, with their numbers.
    ops: Vec<(i64, WireOp)>,
}

fn store(unit: &mut Unit<'_>, applying: &mut Applying, names: &Scope, page: &Page, settled: &Settled) -> Result<()> {
    let members = known(unit, names)?;
    let mut targets = Targets::of(unit, &members, Source::Packet)?;
    for op in &page.ops {
        let Some(target) = targets.of_name(&op.collection) else { continue };
        if let Some(Accepted { texts: (before, after), ops }) = settled.get(&(target.named.cid, op.id.clone())) {
            let outside = page
                .receipt
                .as_ref()
                .is_some_and(|receipt| receipt.outside.contains(&(op.collection.clone(), op.id.clone())));
            match verdict(before.as_ref(), after.as_ref(), op).filter(|_| !outside) {
                None => applying.echoes += 1,
                Some(result) => {
                    for (number, wire) in ops {
                        let conflict = conflicts::add(unit, wire, &op.id, result, op.lsn)?;
                        unit.note_fate(*number, Fate::of_conflict(result, op.lsn, conflict));
                    }
                    let (collection, id, lsn) = (op.collection.clone(), op.id.clone(), op.lsn);
                    applying.conflicts.push(notice::Conflict { collection, id, result, lsn });
                }
            }
        }
        pull::apply(unit, applying, target, op)?;
    }
    Ok(())
}

/// What became of an own edit, when the hub returns its document; `None`: it stands just so.
fn verdict(before: Option<&Body>, after: Option<&Body>, returned: &PageOp) -> Option<Verdict> {
    let fields = |body: Option<&Body>| body.map(Body::fields);
    let (before, after) = (fields(before).unwrap_or_default(), fields(after));
    let stands = returned.doc.as_ref().and_then(|doc| Body::stored(doc.get()).ok()).map(|body| body.fields());
    if after == stands {
        return None;
    }
    let (Some(after), Some(stands)) = (after, stands) else { return Some(Verdict::Superseded) };
    let text = |fields: &Fields, name: &str| fields.get(name).map(|value| value.get().to_owned());
    let names: BTreeSet<&str> = before.iter().chain(after.iter()).map(|(name, _)| name).collect();
    let ours = |name: &&str| text(&before, name) != text(&after, name) && text(&after, name) == text(&stands, name);
    Some(if names.iter().any(|name| *name != "_id" && ours(name)) { Verdict::Merged } else { Verdict::Superseded })
}

/// Own packets that the hub has accepted: what it set aside is taken back, the rest is part of its version.
fn settle(unit: &mut Unit<'_>, applying: &mut Applying, receipt: &PacketReceipt, lsn: Lsn) -> Result<Settled> {
    let mut settled = Settled::new();
    for packet in outbox::accepted(unit, receipt.accepted)? {
        outbox::dissolve(unit, packet.batch)?;
        applying.settled += packet.ops.len();
        let mut by_doc: BTreeMap<i64, Vec<&OpRow>> = BTreeMap::new();
        for op in &packet.ops {
            by_doc.entry(op.doc.unwrap_or_default()).or_default().push(op);
        }
        for (doc, ops) in by_doc {
            let Some(row) = rows::by_doc(unit.conn, doc)? else { continue };
            let named = unit.by_cid(ops[0].cid)?;
            let of_it =
                |kind: &str, uuid: &str| kind == named.name.as_str() && uuid.eq_ignore_ascii_case(row.id.as_str());
            match receipt.refused.iter().find(|refused| of_it(&refused.kind, &refused.uuid)) {
                Some(refused) => {
                    for op in ops {
                        push::reject(unit, applying, &named, op, &refused.why)?;
                    }
                }
                None => {
                    let key = (named.cid, row.id.clone());
                    let mut wired = Vec::with_capacity(ops.len());
                    for op in &ops {
                        wired.push((op.number(), outbox::wire_op(unit, &named, op, None)?));
                        unit.note_fate(op.number(), Fate::Accepted { lsn: Lsn::ZERO });
                    }
                    let texts = absorb(unit, &named, row, (&ops, lsn))?;
                    settled.insert(key, Accepted { texts, ops: wired });
                }
            }
        }
    }
    Ok(settled)
}
