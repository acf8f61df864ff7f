//! What a packet says of each document: the net of its ops, because a hub names what it set aside by
//! document and takes a packet as a set.

use super::payload::edit_of;
use super::{OpRow, damaged};
use crate::error::Result;
use crate::store::{Named, Unit, rows};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use syncline_core::model::{Body, DocId, Edit, Fields, Stamp};
use syncline_core::wire::exchange::{Operation, WireEntity};

/// The ops as entities, one for each document, in the order of their first ops.
pub(crate) fn entities(unit: &mut Unit<'_>, ops: &[OpRow]) -> Result<Vec<WireEntity>> {
    let mut order: Vec<i64> = Vec::new();
    let mut by_doc: BTreeMap<i64, Vec<&OpRow>> = BTreeMap::new();
    for op in ops {
        let doc = op.doc.ok_or_else(|| damaged(op.seq, "is a clear in a packet"))?;
        let of_it = by_doc.entry(doc).or_default();
        if of_it.is_empty() {
            order.push(doc);
        }
        of_it.push(op);
    }
    order.iter().map(|doc| entity(unit, *doc, &by_doc[doc])).collect()
}

fn entity(unit: &mut Unit<'_>, doc: i64, ops: &[&OpRow]) -> Result<WireEntity> {
    let last = ops.last().expect("a document of a packet has an op");
    let row = rows::by_doc(unit.conn, doc)?.ok_or_else(|| damaged(last.seq, "names a row that is gone"))?;
    let named = unit.by_cid(last.cid)?;
    let live = row.version()?.filter(|version| version.meta.is_live());
    let known = live.map(|version| version.body.fields());
    let mut net = Net::Nothing;
    for op in ops {
        net = net.then(edit_of(op, row.body.as_deref())?, known.as_ref());
    }
    Ok(net.entity(&named, &row.id, last.stamp))
}

/// What some ops do to a document, taken together.
enum Net {
    Nothing,
    Put { insert: bool, set: Fields, unset: BTreeSet<String> },
    Gone,
}

impl Net {
    /// With one more op; `known` is what the hub has of the document.
    fn then(self, edit: Edit, known: Option<&Fields>) -> Net {
        match (edit, self) {
            (Edit::Remove, _) => Net::Gone,
            // After a removal the document starts anew; else an insert sets its fields, here and at the hub.
            (Edit::Insert(body), Net::Gone) => Net::whole(false, &body, known),
            (Edit::Insert(body), Net::Nothing) => {
                Net::Put { insert: known.is_none(), set: body.fields(), unset: BTreeSet::new() }
            }
            (Edit::Insert(body), Net::Put { insert, set, unset }) => {
                Net::patched((insert, set, unset), body.fields(), BTreeSet::new())
            }
            (Edit::Replace { body, .. }, net) => Net::whole(matches!(net, Net::Put { insert: true, .. }), &body, known),
            (Edit::Update { set, unset }, Net::Put { insert, set: before, unset: gone }) => {
                Net::patched((insert, before, gone), set, unset)
            }
            (Edit::Update { set, unset }, Net::Nothing | Net::Gone) => Net::Put { insert: false, set, unset },
        }
    }

    fn whole(insert: bool, body: &Body, known: Option<&Fields>) -> Net {
        let set = body.fields();
        let gone = known.into_iter().flat_map(Fields::iter).filter(|(name, _)| set.get(name).is_none());
        let unset = gone.map(|(name, _)| name.to_owned()).collect();
        Net::Put { insert, set, unset }
    }

    fn patched(before: (bool, Fields, BTreeSet<String>), set: Fields, unset: BTreeSet<String>) -> Net {
        let (insert, mut all, mut gone) = before;
        for (name, value) in set.iter() {
            gone.remove(name);
            all.set(name, value.to_owned());
        }
        for name in unset {
            all.remove(&name);
            if !insert {
                gone.insert(name);
            }
        }
        Net::Put { insert, set: all, unset: gone }
    }

    fn entity(self, named: &Named, id: &DocId, stamp: Stamp) -> WireEntity {
        let (kind, uuid, time) = (named.name.to_string(), id.to_string(), stamp.millis().iso());
        let (operation, fields, unset) = match self {
            Net::Put { insert, set, unset } => {
                (if insert { Operation::Insert } else { Operation::Update }, Some(set), unset)
            }
            Net::Gone | Net::Nothing => (Operation::Delete, None, BTreeSet::new()),
        };
        // A time of the application's own says more than ours.
        let stated = fields.as_ref().is_some_and(|fields| fields.get("updated_at").is_some());
        let data = fields.map(|mut fields| {
            fields.remove("_id");
            let text = fields.to_text();
            RawValue::from_string(text).expect("fields are JSON")
        });
        WireEntity { kind, uuid, operation, data, updated_at: (!stated).then_some(time), unset }
    }
}
