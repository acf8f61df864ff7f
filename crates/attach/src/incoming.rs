//! A packet of the hub becomes rows (step 9 of the life of a change): what it confirms, then what it brings, then its
//! number, in one transaction.
//!
//! One object that cannot be stored is set aside and tried again; it holds up nothing else: objects of a type are stored
//! together, and those of a group in which something fails one by one. References are satisfied by order, or by the end of
//! the transaction; unique values that change places are taken out of the way first.

mod confirm;
mod order;

use crate::error::AttachError;
use crate::packet::{Answer, Arrival};
use crate::plan::TypePlan;
use crate::work::{Arrivals, Fault, Held, Named, Work};
use confirm::{Sent, confirm};
use foldhash::HashMap;
use order::targets_first;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use syncline_core::model::{Body, Fields, Rejection};

/// Objects that were set aside and are tried again with each packet.
const RETRIES_MAX: u64 = 200;

/// Objects that are stored together, at most: all of them go one by one where one fails.
const GROUP: usize = 1_024;

/// Fewer are not worth a statement for several.
const GROUP_MIN: usize = 3;

/// What a packet of the hub did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// Objects that became rows, or whose rows were changed.
    pub stored: u64,
    /// Objects that were removed.
    pub removed: u64,
    /// Own changes that the hub has confirmed.
    pub confirmed: u64,
    /// Own edits that lost, in part or whole.
    pub conflicts: u64,
    /// Objects that cannot be stored or were not taken by the hub: `sync_aside` says why.
    pub aside: u64,
    /// Objects of types that the mapping does not have, by type.
    pub unmapped: BTreeMap<String, u64>,
    /// More waits at the hub.
    #[serde(skip)]
    pub more: bool,
}

type Name = (Arc<str>, Arc<str>);

/// How a packet is taken in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// References count only when their targets are rows already.
    pub careful: bool,
    /// Each object goes by itself, so that whatever fails has its name.
    pub single: bool,
    /// Objects for which the application undoes whole transactions, and why.
    pub barred: Named<Rejection>,
}

/// Takes a packet in.
pub(crate) fn take(work: &Work<'_>, answer: &Answer, manner: &Manner, now: &str) -> Result<Taken, AttachError> {
    let Manner { careful, single, barred } = manner.clone();
    let mut taken = Taken { more: answer.more, ..Taken::default() };
    work.look_for_waiting()?;
    let sent = confirm(work, answer, now, &mut taken)?;
    let uuids: Vec<&str> = answer.objects.iter().map(|object| &*object.uuid).collect();
    // A long queue is not read for an answer that brings nothing.
    let idle = uuids.is_empty() && work.to_retry(1)?.is_empty();
    let unsent = if idle || !work.is_waiting()? { Named::default() } else { work.unsent(&uuids)? };
    let arrivals = Arrivals { careful, unsent, barred, now: now.to_owned(), ..Arrivals::default() };
    let mut intake = Intake { work, arrivals, single, taken, present: Vec::new() };
    let arriving = intake.sort_out(&answer.objects);
    intake.tell_conflicts(&arriving, &sent)?;
    work.defer(!careful)?;
    let (put, gone) = in_order(arriving);
    intake.prepare(&put)?;
    let left = intake.all(put, gone)?;
    if !careful && left.iter().any(|left| intake.has_number(&left.object)) {
        return Err(AttachError::Dangling("others of it refer to some that were set aside".into()));
    }
    intake.set_aside(left)?;
    intake.follow_up()?;
    work.received(answer.number, now)?;
    Ok(intake.taken)
}

struct Intake<'a> {
    work: &'a Work<'a>,
    arrivals: Arrivals,
    single: bool,
    taken: Taken,
    /// Objects that have rows now.
    present: Vec<Name>,
}

/// An object on its way in, and why it is not in yet.
struct Left<'a> {
    plan: &'a TypePlan,
    object: Arrival,
    why: Option<Fault>,
}

impl<'a> Intake<'a> {
    /// Objects of types that are mapped, each once, as it was said last.
    fn sort_out(&mut self, objects: &[Arrival]) -> Vec<Left<'a>> {
        let last: HashMap<(&str, &str), usize> =
            objects.iter().enumerate().map(|(n, object)| ((&*object.kind, &*object.uuid), n)).collect();
        let mut sorted = Vec::with_capacity(objects.len());
        for (n, object) in objects.iter().enumerate() {
            if last[&(&*object.kind, &*object.uuid)] != n {
                continue;
            }
            match self.work.plan.named(&object.kind) {
                Some(plan) => sorted.push(Left { plan, object: object.clone(), why: None }),
                None => *self.taken.unmapped.entry(object.kind.to_string()).or_default() += 1,
            }
        }
        sorted
    }

    /// Own edits that the hub returns in another state have lost, in part or whole.
    fn tell_conflicts(&mut self, arriving: &[Left<'_>], sent: &Sent) -> Result<(), AttachError> {
        if sent.is_empty() {
            return Ok(());
        }
        for Left { object, .. } in arriving {
            let Some(ours) = sent.get(&name_of(object)) else { continue };
            let lost = match (ours, &object.data) {
                (None, theirs) => theirs.is_some(),
                (Some(_), None) => true,
                (Some(ours), Some(theirs)) => {
                    ours.iter().any(|(name, value)| theirs.get(name).map_or("null", |v| v.get()) != value.get())
                }
            };
            if lost {
                let text = |fields: Option<&Fields>| fields.map(Fields::to_text);
                let (ours, theirs) = (text(ours.as_ref()), text(object.data.as_deref()));
                let name = (&*object.kind, &*object.uuid);
                self.work.note_conflict(name, ours.as_deref(), theirs.as_deref(), &self.arrivals.now)?;
                self.taken.conflicts += 1;
            }
        }
        Ok(())
    }

    /// Finds rows that are the same as new objects, and numbers for new rows, before anything refers to them.
    fn prepare(&mut self, put: &[Left<'a>]) -> Result<(), AttachError> {
        let mut new: BTreeMap<&str, (&TypePlan, Vec<&str>)> = BTreeMap::new();
        for group in groups(put) {
            let plan = group[0].plan;
            for left in self.rowless(plan, group)? {
                self.arrivals.arriving.insert(&plan.kind, left.object.uuid.to_string(), None);
                if plan.numbered {
                    new.entry(&plan.kind).or_insert((plan, Vec::new())).1.push(&left.object.uuid);
                }
            }
        }
        for (kind, (plan, uuids)) in new {
            for (uuid, number) in self.work.numbers(plan, uuids)? {
                self.arrivals.arriving.insert(kind, uuid.to_owned(), Some(number));
            }
        }
        Ok(())
    }

    /// Whether others may refer to the number that its row was to have.
    fn has_number(&self, object: &Arrival) -> bool {
        self.arrivals.arriving.get(&object.kind, &object.uuid).is_some_and(Option::is_some)
    }

    /// Objects of one type that are no row so far. Others are noted to be the row that they are.
    fn rowless<'l>(&self, plan: &TypePlan, group: &'l [Left<'a>]) -> Result<Vec<&'l Left<'a>>, AttachError> {
        let uuids: Vec<&str> = group.iter().map(|left| &*left.object.uuid).collect();
        let here = self.work.have_rows(plan, &uuids)?;
        let mut rest: Vec<_> = group.iter().filter(|left| !here.contains(&*left.object.uuid)).collect();
        let objects: Vec<_> =
            rest.iter().filter_map(|left| Some((&*left.object.uuid, left.object.data.as_deref()?))).collect();
        match self.work.whole(|| self.work.have_twins(plan, &objects, &self.arrivals)) {
            Ok(false) => return Ok(rest),
            Err(Fault::Failed(error)) => return Err(error),
            // Whatever is wrong with one of them will be found when it is stored.
            Ok(true) | Err(_) => {}
        }
        let mut failed = Ok(());
        rest.retain(|left| {
            let Some(data) = left.object.data.as_deref().filter(|_| failed.is_ok()) else { return false };
            match self.work.whole(|| self.work.claim(plan, &left.object.uuid, data, &self.arrivals)) {
                Err(Fault::Failed(error)) => failed = Err(error),
                Ok(true) => return false,
                Ok(false) | Err(_) => {}
            }
            true
        });
        failed.map(|()| rest)
    }

    /// Stores everything that can be; returns the rest.
    fn all(&mut self, mut put: Vec<Left<'a>>, mut gone: Vec<Left<'a>>) -> Result<Vec<Left<'a>>, AttachError> {
        let (mut swapped, mut tried) = (false, false);
        loop {
            let before = put.len() + gone.len();
            put = if tried { self.each(put)? } else { self.together(put)? };
            tried = true;
            if self.arrivals.careful || gone.is_empty() {
                gone = self.each(gone)?;
            } else {
                self.work.remove_strictly(true)?;
                gone = self.each(gone)?;
                self.work.remove_strictly(false)?;
            }
            if put.is_empty() && gone.is_empty() {
                return Ok(put);
            }
            if put.len() + gone.len() < before {
                continue;
            }
            if swapped || !put.iter().any(is_taken) {
                put.extend(gone);
                return Ok(put);
            }
            swapped = true;
            put = self.swap(put)?;
        }
    }

    /// One try for all, those of a type together; returns those that it did not work for.
    fn together(&mut self, objects: Vec<Left<'a>>) -> Result<Vec<Left<'a>>, AttachError> {
        let sizes: Vec<usize> = groups(&objects).map(<[_]>::len).collect();
        let (mut objects, mut left) = (objects.into_iter(), Vec::new());
        for size in sizes {
            left.extend(self.group(objects.by_ref().take(size).collect())?);
        }
        Ok(left)
    }

    fn group(&mut self, mut group: Vec<Left<'a>>) -> Result<Vec<Left<'a>>, AttachError> {
        if self.single || group.len() < GROUP_MIN {
            return self.each(group);
        }
        let plan = group[0].plan;
        let objects = group.iter().filter_map(|left| Some((&*left.object.uuid, left.object.data.as_deref()?)));
        let objects: Vec<_> = objects.collect();
        match self.work.whole(|| self.work.put_together(plan, &objects, &self.arrivals)) {
            Ok(plain) => {
                let mut plain = plain.into_iter();
                let (stored, rest): (Vec<_>, Vec<_>) = group.into_iter().partition(|_| plain.next() == Some(true));
                self.taken.stored += stored.len() as u64;
                self.present.extend(stored.iter().map(|left| name_of(&left.object)));
                self.each(rest)
            }
            Err(Fault::Failed(error)) => Err(error),
            Err(Fault::Aside(why)) if self.work.is_undone() => Err(undone(&group.swap_remove(0).object, why)),
            Err(_) => {
                // Whose fault it is will be found in one of the halves.
                let behind = group.split_off(group.len() / 2);
                let mut left = self.group(group)?;
                left.extend(self.group(behind)?);
                Ok(left)
            }
        }
    }

    /// One try for each; returns those that it did not work for.
    fn each(&mut self, objects: Vec<Left<'a>>) -> Result<Vec<Left<'a>>, AttachError> {
        let mut left = Vec::new();
        for mut object in objects {
            match self.one(&object) {
                Ok(()) => {}
                Err(Fault::Aside(why)) if self.work.is_undone() => {
                    return Err(undone(&object.object, why));
                }
                Err(Fault::Failed(error)) => return Err(error),
                Err(fault) => {
                    object.why = Some(fault);
                    left.push(object);
                }
            }
        }
        Ok(left)
    }

    fn one(&mut self, Left { plan, object, .. }: &Left<'a>) -> Result<(), Fault> {
        let (work, uuid) = (self.work, &object.uuid);
        if let Some(why) = self.arrivals.barred.get(&object.kind, uuid) {
            return Err(Fault::Aside(why.clone()));
        }
        match &object.data {
            Some(data) => {
                work.whole(|| work.put(plan, uuid, data, &self.arrivals))?;
                self.present.push(name_of(object));
                self.taken.stored += 1;
            }
            None => {
                work.whole(|| work.remove(plan, uuid, &self.arrivals))?;
                self.taken.removed += 1;
            }
        }
        Ok(())
    }

    /// Objects that wait for each other's unique values, together: all of a group or none of it.
    fn swap(&mut self, objects: Vec<Left<'a>>) -> Result<Vec<Left<'a>>, AttachError> {
        let (mut group, mut rest): (Vec<_>, Vec<_>) = objects.into_iter().partition(is_taken);
        while group.len() > 1 {
            let (stored, present) = (self.taken.stored, self.present.len());
            self.work.save("swap")?;
            for Left { plan, object, .. } in &group {
                // What else cannot step aside will fail below, and leave the group.
                if let Err(Fault::Failed(error)) = self.work.whole(|| self.work.step_aside(plan, &object.uuid)) {
                    return Err(error);
                }
            }
            let tried = group.iter().map(|left| Left { plan: left.plan, object: left.object.clone(), why: None });
            let mut failed = self.each(tried.collect())?;
            loop {
                let before = failed.len();
                failed = self.each(failed)?;
                if failed.is_empty() || failed.len() == before {
                    break;
                }
            }
            if failed.is_empty() {
                self.work.release("swap")?;
                return Ok(rest);
            }
            self.work.back_to("swap")?;
            self.taken.stored = stored;
            self.present.truncate(present);
            let names: BTreeSet<Name> = failed.iter().map(|left| name_of(&left.object)).collect();
            group.retain(|left| !names.contains(&name_of(&left.object)));
            rest.extend(failed);
        }
        rest.extend(group);
        Ok(rest)
    }

    fn set_aside(&mut self, left: Vec<Left<'_>>) -> Result<(), AttachError> {
        for Left { object, why, .. } in left {
            let Some(why) = why else { continue };
            if object.data.is_none()
                && let Some(known) = self.work.known(&object.kind, &object.uuid)?
            {
                // The hub has none: edits meanwhile go there as a whole.
                self.work.keep(&object.kind, &object.uuid, known.key.as_ref(), None)?;
            }
            let data = object.data.map(|data| data.to_text());
            self.work.set_aside(&object.kind, &object.uuid, data.as_deref(), &why, &self.arrivals.now)?;
            self.taken.aside += 1;
        }
        Ok(())
    }

    /// What waited for the objects that are here now, and what was set aside before.
    fn follow_up(&mut self) -> Result<(), AttachError> {
        let mut retry = self.work.to_retry(RETRIES_MAX)?;
        if retry.is_empty() && !self.work.has_waiting() {
            return Ok(());
        }
        self.arrivals.careful = true;
        self.work.defer(false)?;
        loop {
            for (kind, uuid) in std::mem::take(&mut self.present) {
                self.work.arrived(&kind, &uuid)?;
                retry.extend(self.work.waiting_for(&kind, &uuid)?);
            }
            let held = std::mem::take(&mut retry).into_iter().filter_map(|Held { kind, uuid, data }| {
                let plan = self.work.plan.named(&kind)?;
                let data = data.map(|data| Arc::new(Body::trusted(data).fields()));
                let object = Arrival { kind: kind.into(), uuid: uuid.into(), data };
                Some(Left { plan, object, why: None })
            });
            // Together, because they may wait for each other's unique values.
            let (put, gone) = in_order(held.collect());
            let left = self.all(put, gone)?;
            self.again(left)?;
            if self.present.is_empty() {
                return Ok(());
            }
        }
    }

    /// It still cannot be stored, perhaps for another reason.
    fn again(&mut self, left: Vec<Left<'_>>) -> Result<(), AttachError> {
        let counted = self.taken.aside;
        self.set_aside(left)?;
        self.taken.aside = counted;
        Ok(())
    }
}

/// What is stored, targets first, and what is removed, targets last.
fn in_order(arriving: Vec<Left<'_>>) -> (Vec<Left<'_>>, Vec<Left<'_>>) {
    let (mut gone, put): (Vec<_>, Vec<_>) = arriving.into_iter().partition(|left| left.object.data.is_none());
    gone.reverse();
    (targets_first(put), gone)
}

/// Neighbours of one type.
fn groups<'s, 'a>(objects: &'s [Left<'a>]) -> impl Iterator<Item = &'s [Left<'a>]> {
    objects.chunk_by(|one, next| std::ptr::eq(one.plan, next.plan)).flat_map(|all| all.chunks(GROUP))
}

fn is_taken(left: &Left<'_>) -> bool {
    left.why.as_ref().is_some_and(Fault::is_taken)
}

fn name_of(object: &Arrival) -> Name {
    (Arc::clone(&object.kind), Arc::clone(&object.uuid))
}

fn undone(object: &Arrival, why: Rejection) -> AttachError {
    AttachError::Undone { kind: object.kind.to_string(), uuid: object.uuid.to_string(), why }
}
