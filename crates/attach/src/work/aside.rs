//! What cannot be applied or sent for now (`sync_aside`), and edits that lost (`sync_conflicts`).

use super::{Fault, Work};
use crate::error::AttachError;
use crate::value::Cell;
use serde::Serialize;
use syncline_core::model::{Body, Fields, Rejection};

/// An object that was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Aside {
    /// `in`: it came from the hub and cannot be stored; `out`: it cannot be sent, or the hub does not take it.
    pub direction: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which object, or which row where it has no id yet.
    pub uuid: String,
    /// Why, as a word.
    pub code: String,
    /// Why, as a sentence.
    pub reason: String,
    /// When.
    pub noted_at: String,
}

/// An own edit that the hub overruled, in part or whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which object.
    pub uuid: String,
    /// What was written here, as JSON; `None`: it was removed.
    pub ours: Option<String>,
    /// What stands, as JSON; `None`: it is gone.
    pub theirs: Option<String>,
    /// When it was told.
    pub noted_at: String,
}

/// An object of the hub that waits to be stored; without data: removed.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub kind: String,
    pub uuid: String,
    pub data: Option<String>,
}

impl Work<'_> {
    /// Sets an object aside that came from the hub, with its text: it is tried again.
    pub(crate) fn set_aside(
        &self,
        kind: &str,
        uuid: &str,
        data: Option<&str>,
        fault: &Fault,
        now: &str,
    ) -> Result<(), AttachError> {
        self.quiet.set(false);
        let because = |code: &str, reason: String| Rejection { code: code.into(), reason };
        let (why, waits) = match fault {
            Fault::Aside(why) => (why.clone(), None),
            Fault::Waits { kind: target, uuid } => {
                let reason = format!("it refers to {target} {uuid}, which has not arrived");
                (because("waits", reason), Some((target, uuid)))
            }
            Fault::Busy(reason) => (because("busy", format!("{reason}; it is tried again")), None),
            Fault::Failed(error) => (because("failed", error.to_string()), None),
        };
        let sql = "INSERT INTO sync_aside
                   (direction, entity_type, entity_uuid, data, code, reason, waits_type, waits_uuid, noted_at)
                   VALUES ('in', ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                   ON CONFLICT(direction, entity_type, entity_uuid) DO UPDATE SET data = excluded.data,
                   code = excluded.code, reason = excluded.reason, waits_type = excluded.waits_type,
                   waits_uuid = excluded.waits_uuid, noted_at = excluded.noted_at";
        let waits = [waits.map(|(kind, _)| kind).into(), waits.map(|(_, uuid)| uuid).into()];
        let values = [
            kind.into(),
            uuid.into(),
            data.into(),
            (&why.code).into(),
            (&why.reason).into(),
            waits[0],
            waits[1],
            now.into(),
        ];
        self.execute(sql, &values)?;
        Ok(())
    }

    /// Notes an object that is not sent, or that the hub does not take.
    pub(crate) fn keep_back(&self, kind: &str, uuid: &str, why: &Rejection, now: &str) -> Result<(), AttachError> {
        self.quiet.set(false);
        let sql = "INSERT INTO sync_aside(direction, entity_type, entity_uuid, code, reason, noted_at)
                   VALUES ('out', ?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT(direction, entity_type, entity_uuid)
                   DO UPDATE SET code = excluded.code, reason = excluded.reason, noted_at = excluded.noted_at";
        self.execute(sql, &[kind.into(), uuid.into(), (&why.code).into(), (&why.reason).into(), now.into()])?;
        Ok(())
    }

    /// The object is in order again.
    pub(crate) fn not_aside(&self, direction: &str, kind: &str, uuid: &str) -> Result<(), Fault> {
        if self.quiet.get() {
            return Ok(());
        }
        let sql = "DELETE FROM sync_aside WHERE direction = ?1 AND entity_type = ?2 AND entity_uuid = ?3";
        self.execute(sql, &[direction.into(), kind.into(), uuid.into()])?;
        Ok(())
    }

    /// Whether objects of the hub wait to be stored.
    pub(crate) fn has_asides(&self) -> Result<bool, AttachError> {
        Ok(self.exists("SELECT EXISTS (SELECT 1 FROM sync_aside WHERE direction = 'in')", &[])?)
    }

    /// The hub has taken an own edit of an object that it had sent before, and that could not be stored: what waits to be
    /// stored is what the edit has made of it.
    pub(crate) fn edit_aside(&self, kind: &str, uuid: &str, edit: Option<&Fields>) -> Result<(), Fault> {
        let sql = "SELECT entity_type, entity_uuid, data FROM sync_aside
                   WHERE direction = 'in' AND entity_type = ?1 AND entity_uuid = ?2";
        let waiting = self.first(sql, &[kind.into(), uuid.into()])?.and_then(held);
        let Some(Held { data, .. }) = waiting else { return Ok(()) };
        let (Some(data), Some(edit)) = (data, edit) else { return self.not_aside("in", kind, uuid) };
        let mut fields = Body::trusted(data).fields();
        edit.iter().for_each(|(name, value)| fields.set(name, value.to_owned()));
        let sql = "UPDATE sync_aside SET data = ?3 WHERE direction = 'in' AND entity_type = ?1 AND entity_uuid = ?2";
        self.execute(sql, &[kind.into(), uuid.into(), (&fields.to_text()).into()])?;
        Ok(())
    }

    /// Objects that wait for others that are here now.
    pub(crate) fn waiting_for(&self, kind: &str, uuid: &str) -> Result<Vec<Held>, AttachError> {
        if self.quiet.get() {
            return Ok(Vec::new());
        }
        let sql = "SELECT entity_type, entity_uuid, data FROM sync_aside WHERE waits_type = ?1 AND waits_uuid = ?2";
        Ok(self.query(sql, &[kind.into(), uuid.into()])?.into_iter().filter_map(held).collect())
    }

    /// The oldest objects that were set aside for another reason.
    pub(crate) fn to_retry(&self, limit: u64) -> Result<Vec<Held>, AttachError> {
        let sql = "SELECT entity_type, entity_uuid, data FROM sync_aside
                   WHERE direction = 'in' AND waits_type IS NULL ORDER BY id LIMIT ?1";
        Ok(self.query(sql, &[limit.into()])?.into_iter().filter_map(held).collect())
    }

    pub(crate) fn note_conflict(
        &self,
        (kind, uuid): (&str, &str),
        ours: Option<&str>,
        theirs: Option<&str>,
        now: &str,
    ) -> Result<(), Fault> {
        let sql =
            "INSERT INTO sync_conflicts(entity_type, entity_uuid, ours, theirs, noted_at) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.execute(sql, &[kind.into(), uuid.into(), ours.into(), theirs.into(), now.into()])?;
        Ok(())
    }

    pub(crate) fn asides(&self) -> Result<Vec<Aside>, AttachError> {
        let sql = "SELECT direction, entity_type, entity_uuid, code, reason, noted_at FROM sync_aside ORDER BY id";
        let read = |row: Vec<Cell>| {
            let mut texts = row.into_iter().map(|cell| cell.into_text().unwrap_or_default());
            let mut next = || texts.next().unwrap_or_default();
            let (direction, kind, uuid, code) = (next(), next(), next(), next());
            Aside { direction, kind, uuid, code, reason: next(), noted_at: next() }
        };
        Ok(self.query(sql, &[])?.into_iter().map(read).collect())
    }

    pub(crate) fn conflicts(&self) -> Result<Vec<Conflict>, AttachError> {
        let sql = "SELECT entity_type, entity_uuid, ours, theirs, noted_at FROM sync_conflicts ORDER BY id";
        let read = |row: Vec<Cell>| {
            let mut texts = row.into_iter().map(Cell::into_text);
            let mut next = || texts.next().flatten();
            let (kind, uuid) = (next().unwrap_or_default(), next().unwrap_or_default());
            Conflict { kind, uuid, ours: next(), theirs: next(), noted_at: next().unwrap_or_default() }
        };
        Ok(self.query(sql, &[])?.into_iter().map(read).collect())
    }
}

fn held(row: Vec<Cell>) -> Option<Held> {
    let mut texts = row.into_iter().map(Cell::into_text);
    Some(Held { kind: texts.next()??, uuid: texts.next()??, data: texts.next()? })
}
