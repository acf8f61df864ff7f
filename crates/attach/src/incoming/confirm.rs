//! What the hub's answer confirms of own packets (step 9 of the life of a change).

use super::{Name, Taken};
use crate::error::AttachError;
use crate::packet::{Answer, entities_of};
use crate::work::{Known, Work};
use std::collections::BTreeMap;
use syncline_core::model::{Body, Fields};
use syncline_core::wire::exchange::{Operation, WireEntity};

/// What own packets said of objects that the hub has taken; `None`: they are removed.
pub(super) type Sent = BTreeMap<Name, Option<Fields>>;

/// The hub has what own packets held, but for what it set aside. Returns what it was.
pub(super) fn confirm(work: &Work<'_>, answer: &Answer, now: &str, taken: &mut Taken) -> Result<Sent, AttachError> {
    let mut sent = Sent::default();
    if let Some((number, text)) = work.under_way()?
        && number <= answer.accepted
    {
        let has_asides = work.has_asides()?;
        let (entities, mut kept) = (entities_of(&text)?, BTreeMap::new());
        let known = known_of(work, &entities)?;
        for entity in entities {
            let of_it = |kind: &str, uuid: &str| kind == entity.kind && uuid.eq_ignore_ascii_case(&entity.uuid);
            if let Some(refused) = answer.rejected.iter().find(|refused| of_it(&refused.kind, &refused.uuid)) {
                work.keep_back(&entity.kind, &entity.uuid, &refused.why, now)?;
                taken.aside += 1;
                continue;
            }
            let name: Name = (entity.kind.as_str().into(), entity.uuid.as_str().into());
            let known = known.get(&name);
            let fields = entity.data.map(|data| Body::trusted(data.get()).fields());
            let key = known.and_then(|known| known.key.as_ref());
            // Of an object that is there twice the last one counts.
            let before = kept.remove(&name).or_else(|| known.and_then(|known| known.base.clone()));
            match (&fields, key) {
                (None, None) => work.forget(&entity.kind, &entity.uuid)?,
                (None, _) => work.keep(&entity.kind, &entity.uuid, key, None)?,
                (Some(fields), _) => {
                    let mut base = before.filter(|_| entity.operation == Operation::Update).unwrap_or_default();
                    fields.iter().for_each(|(name, value)| base.set(name, value.to_owned()));
                    match key {
                        Some(_) => drop(kept.insert(name, base)),
                        None => work.keep(&entity.kind, &entity.uuid, None, Some(&base))?,
                    }
                }
            }
            if has_asides {
                work.edit_aside(&entity.kind, &entity.uuid, fields.as_ref())?;
            }
            taken.confirmed += 1;
            sent.insert((entity.kind.into(), entity.uuid.into()), fields);
        }
        keep_all(work, &kept)?;
        work.confirm_changes()?;
        work.forget_packet()?;
    }
    work.confirmed(answer.accepted, now)?;
    Ok(sent)
}

/// What is known of the objects of an own packet.
fn known_of(work: &Work<'_>, entities: &[WireEntity]) -> Result<BTreeMap<Name, Known>, AttachError> {
    let mut uuids: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    entities.iter().for_each(|entity| uuids.entry(&entity.kind).or_default().push(&entity.uuid));
    let mut all = BTreeMap::new();
    for (kind, uuids) in uuids {
        let known = work.known_all(kind, &uuids)?;
        all.extend(known.into_iter().map(|(uuid, known)| ((kind.into(), uuid.into()), known)));
    }
    Ok(all)
}

/// Notes how the hub has objects that are rows here.
fn keep_all(work: &Work<'_>, objects: &BTreeMap<Name, Fields>) -> Result<(), AttachError> {
    let objects: Vec<_> = objects.iter().collect();
    for of_kind in objects.chunk_by(|((one, _), _), ((next, _), _)| one == next) {
        let kept = of_kind.iter().map(|((_, uuid), base)| (&**uuid, base.to_text()));
        work.keep_known(&of_kind[0].0.0, &kept.collect::<Vec<_>>())?;
    }
    Ok(())
}
