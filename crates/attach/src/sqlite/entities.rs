//! What is known of each object: its row, and how the hub has it (`sync_entities`).

use super::{Fault, Work, cell_at};
use crate::error::AttachError;
use crate::identity::{Key, UuidForm, new_uuid, uuid_of};
use crate::plan::TypePlan;
use crate::value::Cell;
use rusqlite::{OptionalExtension, params};
use syncline_core::model::{Body, Fields};

/// One object.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub uuid: String,
    /// Its row, as `entity_key` holds it; `None`: it has none here.
    pub key: Option<Cell>,
    /// The object at the hub, as it was last heard or confirmed; `None`: the hub has none.
    pub base: Option<Fields>,
    /// The hub has removed it, and the row is marked as removed.
    pub gone: bool,
}

impl Known {
    /// The key of its row.
    pub(crate) fn row_key(&self) -> Option<Key> {
        Key::parse(self.key.as_ref()?)
    }
}

impl Work<'_> {
    pub(crate) fn known(&self, kind: &str, uuid: &str) -> Result<Option<Known>, Fault> {
        let sql =
            "SELECT entity_uuid, entity_key, base, gone FROM sync_entities WHERE entity_type = ?1 AND entity_uuid = ?2";
        Ok(self.conn.prepare_cached(sql)?.query_row([kind, uuid], read).optional()?)
    }

    pub(crate) fn known_by_key(&self, kind: &str, key: &Cell) -> Result<Option<Known>, Fault> {
        let sql =
            "SELECT entity_uuid, entity_key, base, gone FROM sync_entities WHERE entity_type = ?1 AND entity_key = ?2";
        Ok(self.conn.prepare_cached(sql)?.query_row(params![kind, key], read).optional()?)
    }

    /// Notes how the hub has an object, and which row it is here.
    pub(crate) fn keep(&self, kind: &str, uuid: &str, key: Option<&Cell>, base: Option<&Fields>) -> Result<(), Fault> {
        if let Some(key) = key {
            let sql = "UPDATE sync_entities SET entity_key = NULL
                       WHERE entity_type = ?1 AND entity_key = ?2 AND entity_uuid <> ?3";
            self.conn.prepare_cached(sql)?.execute(params![kind, key, uuid])?;
        }
        let sql = "INSERT INTO sync_entities(entity_type, entity_uuid, entity_key, base) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT(entity_type, entity_uuid)
                   DO UPDATE SET entity_key = excluded.entity_key, base = excluded.base, gone = 0";
        let base = base.map(|base| base.to_body().text().to_owned());
        self.conn.prepare_cached(sql)?.execute(params![kind, uuid, key, base])?;
        Ok(())
    }

    pub(crate) fn forget(&self, kind: &str, uuid: &str) -> Result<(), Fault> {
        for table in ["sync_entities", "sync_references"] {
            let sql = format!("DELETE FROM {table} WHERE entity_type = ?1 AND entity_uuid = ?2");
            self.conn.prepare_cached(&sql)?.execute([kind, uuid])?;
        }
        Ok(())
    }

    /// The row is marked as removed, as the hub wished it.
    pub(crate) fn keep_gone(&self, kind: &str, uuid: &str) -> Result<(), Fault> {
        let sql = "UPDATE sync_entities SET base = NULL, gone = 1 WHERE entity_type = ?1 AND entity_uuid = ?2";
        self.conn.prepare_cached(sql)?.execute([kind, uuid])?;
        Ok(())
    }

    /// The id of a row that is there, drawn if it has none yet. `None`: there is no such row.
    pub(crate) fn identify(&self, plan: &TypePlan, key: &Cell) -> Result<Option<String>, Fault> {
        if let Some(known) = self.known_by_key(&plan.kind, key)? {
            return Ok(Some(known.uuid));
        }
        let Some(row_key) = Key::parse(key) else { return Ok(None) };
        let Some(row) = self.read_row(plan, &row_key)? else { return Ok(None) };
        let uuid = match (&plan.uuid, &row.uuid) {
            (Some((name, _)), Some(cell)) if *cell != Cell::Null => UuidForm::read(cell)
                .ok_or_else(|| Fault::aside("not_uuid", format!("column `{name}` holds no UUID")))?,
            (Some((name, form)), _) => {
                let uuid = self.fresh_uuid(plan, &row)?;
                self.update_row(&plan.table, &[(name, form.write(&uuid))], (&plan.key, &row_key))?;
                uuid
            }
            (None, _) => self.fresh_uuid(plan, &row)?,
        };
        let known = self.known(&plan.kind, &uuid)?;
        if let Some(other) = known.as_ref().and_then(Known::row_key)
            && other != row_key
            && self.read_row(plan, &other)?.is_some_and(|other| other.uuid == row.uuid)
        {
            return Err(Fault::aside("twice", format!("two rows of `{}` have the UUID {uuid}", plan.table)));
        }
        self.keep(&plan.kind, &uuid, Some(key), known.and_then(|known| known.base).as_ref())?;
        Ok(Some(uuid))
    }

    /// While tables are filled the first time, two databases are to find the same id for the same row.
    fn fresh_uuid(&self, plan: &TypePlan, row: &super::rows::Row) -> Result<String, Fault> {
        if plan.matching.is_empty() || !self.is_filling(&plan.kind)? {
            return Ok(new_uuid());
        }
        let mut natural = String::new();
        for place in &plan.matching {
            natural.push_str(self.wire(&plan.columns[*place], &row.cells[*place])?.get());
            natural.push(',');
        }
        let uuid = uuid_of(&plan.kind, &natural);
        Ok(if self.known(&plan.kind, &uuid)?.is_some() { new_uuid() } else { uuid })
    }

    fn is_filling(&self, kind: &str) -> Result<bool, Fault> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sync_fill WHERE entity_type = ?1 AND done < 2)";
        Ok(self.conn.prepare_cached(sql)?.query_row([kind], |row| row.get(0))?)
    }

    /// Objects whose text at the hub has a field.
    pub(crate) fn with_field(&self, kind: &str, field: &str) -> Result<Vec<String>, AttachError> {
        let name = format!("%{}%", serde_json::to_string(field).expect("a text serializes"));
        let sql = "SELECT entity_uuid FROM sync_entities
                   WHERE entity_type = ?1 AND entity_key IS NOT NULL AND base LIKE ?2";
        let mut find = self.conn.prepare_cached(sql)?;
        let rows = find.query_map([kind, &name], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Known> {
    let key = match cell_at(row, 1) {
        Ok(Cell::Null) | Err(_) => None,
        Ok(cell) => Some(cell),
    };
    let base: Option<String> = row.get(2)?;
    Ok(Known { uuid: row.get(0)?, key, base: base.map(|text| Body::trusted(text).fields()), gone: row.get(3)? })
}
