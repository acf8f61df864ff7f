//! What cannot be applied or sent for now (`sync_aside`), and edits that lost (`sync_conflicts`).

use super::{Fault, Work};
use crate::error::AttachError;
use rusqlite::params;
use serde::Serialize;
use syncline_core::model::Rejection;

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
        let (why, waits) = match fault {
            Fault::Aside(why) => (why.clone(), None),
            Fault::Waits { kind: target, uuid } => {
                let reason = format!("it refers to {target} {uuid}, which has not arrived");
                (Rejection { code: "waits".into(), reason }, Some((target, uuid)))
            }
            Fault::Failed(error) => (Rejection { code: "failed".into(), reason: error.to_string() }, None),
        };
        let sql = "INSERT OR REPLACE INTO sync_aside
                   (direction, entity_type, entity_uuid, data, code, reason, waits_type, waits_uuid, noted_at)
                   VALUES ('in', ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let waits = (waits.map(|(kind, _)| kind), waits.map(|(_, uuid)| uuid));
        let values = params![kind, uuid, data, why.code, why.reason, waits.0, waits.1, now];
        self.conn.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Notes an object that is not sent, or that the hub does not take.
    pub(crate) fn keep_back(&self, kind: &str, uuid: &str, why: &Rejection, now: &str) -> Result<(), AttachError> {
        let sql = "INSERT OR REPLACE INTO sync_aside(direction, entity_type, entity_uuid, code, reason, noted_at)
                   VALUES ('out', ?1, ?2, ?3, ?4, ?5)";
        self.conn.prepare_cached(sql)?.execute(params![kind, uuid, why.code, why.reason, now])?;
        Ok(())
    }

    /// The object is in order again.
    pub(crate) fn not_aside(&self, direction: &str, kind: &str, uuid: &str) -> Result<(), Fault> {
        let sql = "DELETE FROM sync_aside WHERE direction = ?1 AND entity_type = ?2 AND entity_uuid = ?3";
        self.conn.prepare_cached(sql)?.execute([direction, kind, uuid])?;
        Ok(())
    }

    /// Objects that wait for others that are here now.
    pub(crate) fn waiting_for(&self, kind: &str, uuid: &str) -> Result<Vec<Held>, AttachError> {
        let sql = "SELECT entity_type, entity_uuid, data FROM sync_aside WHERE waits_type = ?1 AND waits_uuid = ?2";
        let mut find = self.conn.prepare_cached(sql)?;
        let rows =
            find.query_map([kind, uuid], |row| Ok(Held { kind: row.get(0)?, uuid: row.get(1)?, data: row.get(2)? }))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The oldest objects that were set aside for another reason.
    pub(crate) fn to_retry(&self, limit: usize) -> Result<Vec<Held>, AttachError> {
        let sql = "SELECT entity_type, entity_uuid, data FROM sync_aside
                   WHERE direction = 'in' AND waits_type IS NULL ORDER BY id LIMIT ?1";
        let mut find = self.conn.prepare_cached(sql)?;
        let rows =
            find.query_map([limit], |row| Ok(Held { kind: row.get(0)?, uuid: row.get(1)?, data: row.get(2)? }))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
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
        self.conn.prepare_cached(sql)?.execute(params![kind, uuid, ours, theirs, now])?;
        Ok(())
    }

    pub(crate) fn asides(&self) -> Result<Vec<Aside>, AttachError> {
        let sql = "SELECT direction, entity_type, entity_uuid, code, reason, noted_at FROM sync_aside ORDER BY id";
        let mut find = self.conn.prepare_cached(sql)?;
        let rows = find.query_map([], |row| {
            Ok(Aside {
                direction: row.get(0)?,
                kind: row.get(1)?,
                uuid: row.get(2)?,
                code: row.get(3)?,
                reason: row.get(4)?,
                noted_at: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    pub(crate) fn conflicts(&self) -> Result<Vec<Conflict>, AttachError> {
        let sql = "SELECT entity_type, entity_uuid, ours, theirs, noted_at FROM sync_conflicts ORDER BY id";
        let mut find = self.conn.prepare_cached(sql)?;
        let rows = find.query_map([], |row| {
            Ok(Conflict {
                kind: row.get(0)?,
                uuid: row.get(1)?,
                ours: row.get(2)?,
                theirs: row.get(3)?,
                noted_at: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
