//! What the application has changed becomes a packet (step 2 of the life of a change). A packet that was composed is kept
//! as text and sent again as it is until the hub has confirmed it.

use crate::error::AttachError;
use crate::identity::{Key, UuidForm};
use crate::packet::entity;
use crate::plan::TypePlan;
use crate::value::Cell;
use crate::work::{Fault, Folded, Known, Row, Work};
use syncline_core::model::{Fields, Rejection};
use syncline_core::wire::exchange::WireEntity;

/// Bytes of objects in one packet, after which no further one joins it.
const BYTES_MAX: usize = 4 << 20;

/// Changes that are looked at together. Their rows are in memory at once, however large they are.
const AHEAD: usize = 128;

/// What goes in the next packet.
#[derive(Debug, Default)]
pub(crate) struct Composed {
    pub entities: Vec<WireEntity>,
    /// Registrations up to here are told by them, or say nothing new.
    pub upto: i64,
    /// Objects that cannot be sent.
    pub kept_back: u64,
    /// Nothing was registered.
    pub empty: bool,
}

/// Composes the oldest changes that wait, of at most so many rows.
pub(crate) fn compose(work: &Work<'_>, rows_max: usize, now: &str) -> Result<Composed, AttachError> {
    work.look_for_waiting()?;
    let (folded, upto) = work.waiting(rows_max)?;
    let mut composing = Composing { work, now, removed: Vec::new(), done: Composed { upto, ..Composed::default() } };
    composing.done.empty = folded.is_empty();
    let mut bytes = 0;
    for (n, change) in folded.iter().enumerate() {
        if n % AHEAD == 0 {
            work.look_at(&folded[n..folded.len().min(n + AHEAD)])?;
        }
        if bytes > BYTES_MAX {
            composing.done.upto = folded[n..].iter().map(|change| change.first).min().unwrap_or(upto + 1) - 1;
            break;
        }
        bytes += composing.change(change)?;
    }
    for (plan, uuid, at) in std::mem::take(&mut composing.removed) {
        composing.removal(plan, &uuid, &at)?;
    }
    Ok(composing.done)
}

/// The key of a row, where it has one, and the row.
type Found = Option<(Key, Result<Option<Row>, Fault>)>;

struct Composing<'a> {
    work: &'a Work<'a>,
    now: &'a str,
    /// Objects whose rows are gone. They come last: a row whose key was changed is found by its new key before.
    removed: Vec<(&'a TypePlan, String, String)>,
    done: Composed,
}

impl<'a> Composing<'a> {
    /// What has become of one row; the bytes that it adds.
    fn change(&mut self, change: &Folded) -> Result<usize, AttachError> {
        // Registered before the mapping was changed.
        let Some(plan) = self.work.plan.named(&change.kind) else { return Ok(0) };
        let key = Key::parse(&change.key).filter(|key| !key.0.contains(&Cell::Null));
        let row = key.as_ref().map_or(Ok(None), |key| self.work.row_ahead(plan, key));
        self.part(plan, change, matches!(row, Ok(None)))?;
        match self.work.whole(|| self.object(plan, change, key.map(|key| (key, row)))) {
            Ok(Some(entity)) => {
                let bytes = entity.data.as_ref().map_or(0, |data| data.get().len()) + 128;
                self.done.entities.push(entity);
                Ok(bytes)
            }
            Ok(None) => Ok(0),
            Err(fault @ (Fault::Failed(_) | Fault::Busy(_))) => Err(fault.into()),
            Err(Fault::Aside(why)) => self.keep_back(plan, &change.key, &why),
            Err(Fault::Waits { kind, uuid }) => {
                let reason = format!("it refers to {kind} {uuid}, which is not there");
                self.keep_back(plan, &change.key, &Rejection { code: "waits".into(), reason })
            }
        }
    }

    fn keep_back(&mut self, plan: &TypePlan, key: &Cell, why: &Rejection) -> Result<usize, AttachError> {
        let known = self.work.known_by_key(&plan.kind, key)?;
        let name = known.map_or_else(|| format!("{} {}", plan.table, shown(key)), |known| known.uuid);
        self.done.kept_back += 1;
        self.work.keep_back(&plan.kind, &name, why, self.now)?;
        Ok(0)
    }

    /// An object whose row is gone is removed, whatever has taken the row's place.
    fn part(&mut self, plan: &'a TypePlan, change: &Folded, is_gone: bool) -> Result<(), Fault> {
        // A number that was given again: another object.
        let another = change.reborn && plan.numbered && plan.uuid.is_none();
        if another || is_gone {
            let known = self.work.known_by_key(&plan.kind, &change.key)?;
            self.leave(plan, known, &change.at)?;
        }
        Ok(())
    }

    fn object(&mut self, plan: &'a TypePlan, change: &Folded, found: Found) -> Result<Option<WireEntity>, Fault> {
        let work = self.work;
        let Some((key, row)) = found else {
            return Err(Fault::aside("no_key", format!("a row of `{}` has no value in its key", plan.table)));
        };
        let Some(row) = row? else { return Ok(None) };
        let mut known = work.known_by_key(&plan.kind, &change.key)?;
        let stated = row.uuid.as_ref().and_then(UuidForm::read);
        if known.as_ref().zip(stated.as_ref()).is_some_and(|(known, stated)| known.uuid != *stated) {
            self.leave(plan, known.take(), &change.at)?;
        }
        let Known { uuid, base, gone, .. } = match known {
            Some(known) => known,
            None => work.introduce(plan, (&change.key, &key), &row)?,
        };
        work.not_aside("out", &plan.kind, &uuid)?;
        let marked = || plan.is_deleted.is_some_and(|place| !matches!(row.cells[place], Cell::Null | Cell::Integer(0)));
        if gone && marked() {
            return Ok(None);
        }
        let fields = match &base {
            Some(base) => work.changed(plan, &uuid, &row, base)?,
            None => work.fields(plan, &row)?,
        };
        let nothing = base.is_some() && fields.is_empty();
        let time = self.time(plan, &fields).unwrap_or_else(|| change.at.clone());
        Ok((!nothing).then(|| entity(&plan.kind, &uuid, Some((base.is_none(), &fields)), &time)))
    }

    /// When the application says that the row was changed, where it says so with this change.
    fn time(&self, plan: &TypePlan, fields: &Fields) -> Option<String> {
        let field = fields.get(&plan.columns[plan.updated_at?].field)?;
        serde_json::from_str::<String>(field.get()).ok()
    }

    /// The object has no row any more.
    fn leave(&mut self, plan: &'a TypePlan, known: Option<Known>, at: &str) -> Result<(), Fault> {
        let Some(known) = known else { return Ok(()) };
        match &known.base {
            None => self.work.forget(&plan.kind, &known.uuid),
            base => {
                self.work.keep(&plan.kind, &known.uuid, None, base.as_ref())?;
                self.removed.push((plan, known.uuid, at.to_owned()));
                Ok(())
            }
        }
    }

    fn removal(&mut self, plan: &TypePlan, uuid: &str, at: &str) -> Result<(), AttachError> {
        let known = self.work.known(&plan.kind, uuid)?;
        // Its row may have come back under another key.
        if known.is_some_and(|known| known.key.is_none() && known.base.is_some()) {
            self.done.entities.push(entity(&plan.kind, uuid, None, at));
        }
        Ok(())
    }
}

fn shown(key: &Cell) -> String {
    match key {
        Cell::Integer(number) => number.to_string(),
        Cell::Text(text) => text.clone(),
        _ => "without a key".into(),
    }
}
