//! What is known of each object: its row, and how the hub has it (`sync_entities`).

use super::queue::mark_of;
use super::{Fault, Row, Work};
use crate::error::AttachError;
use crate::identity::{Key, UuidForm, new_uuid, uuid_of};
use crate::plan::TypePlan;
use crate::sql::Given;
use crate::value::Cell;
use foldhash::{HashMap, HashMapExt};
use syncline_core::model::{Body, Fields};
use syncline_core::wire::digest::Digest64;

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

/// How the hub has an object that is new here, if it does, and the key of its row as it is stored.
pub(crate) struct Kept<'g> {
    pub uuid: &'g str,
    pub key: Cell,
    pub base: Option<String>,
}

impl Known {
    /// The key of its row.
    pub(crate) fn row_key(&self) -> Option<Key> {
        Key::parse(self.key.as_ref()?)
    }
}

impl Work<'_> {
    pub(crate) fn known(&self, kind: &str, uuid: &str) -> Result<Option<Known>, Fault> {
        let sql = "SELECT entity_uuid, entity_key, base, gone FROM sync_entities
                   WHERE entity_hash = ?1 AND entity_uuid = ?2 AND entity_type = ?3";
        Ok(self.first(sql, &name(kind, uuid))?.and_then(read))
    }

    /// What is known of objects, by their ids.
    pub(crate) fn known_all(&self, kind: &str, uuids: &[&str]) -> Result<HashMap<String, Known>, Fault> {
        if let Some(known) = self.seen(kind, uuids) {
            return Ok(known);
        }
        let rows = self.of_entities("entity_uuid, entity_key, base, gone", kind, uuids)?;
        Ok(rows.into_iter().filter_map(read).map(|known| (known.uuid.clone(), known)).collect())
    }

    /// The same, for when it is asked next.
    pub(crate) fn see(&self, kind: &str, uuids: &[&str]) -> Result<HashMap<String, Key>, Fault> {
        let mut known = self.known_all(kind, uuids)?;
        let keys = known.iter().filter_map(|(uuid, known)| Some((uuid.clone(), known.row_key()?))).collect();
        let mut seen = self.seen.borrow_mut();
        seen.of(kind).extend(uuids.iter().map(|uuid| match known.remove_entry(*uuid) {
            Some((uuid, known)) => (uuid, Some(known)),
            None => ((*uuid).to_owned(), None),
        }));
        Ok(keys)
    }

    /// What was seen of objects, if it was and nobody has written since.
    fn seen(&self, kind: &str, uuids: &[&str]) -> Option<HashMap<String, Known>> {
        let mut seen = self.seen.borrow_mut();
        let seen = seen.of(kind);
        if !uuids.iter().all(|uuid| seen.contains_key(*uuid)) {
            return None;
        }
        let mut all = HashMap::with_capacity(uuids.len());
        for (uuid, known) in uuids.iter().filter_map(|uuid| seen.remove_entry(*uuid)) {
            all.extend(known.map(|known| (uuid, known)));
        }
        Some(all)
    }

    /// The keys of the rows of objects, of those that have one.
    pub(crate) fn row_keys(&self, kind: &str, uuids: &[&str]) -> Result<HashMap<String, Key>, Fault> {
        let rows = self.of_entities("entity_uuid, entity_key", kind, uuids)?;
        let key = |row: Vec<Cell>| {
            let mut cells = row.into_iter();
            Some((cells.next()?.into_text()?, Key::parse(&cells.next()?)?))
        };
        Ok(rows.into_iter().filter_map(key).collect())
    }

    /// Columns of objects with these ids, and of others whose ids have the same hash.
    fn of_entities(&self, columns: &str, kind: &str, uuids: &[&str]) -> Result<Vec<Vec<Cell>>, Fault> {
        let wanted: Vec<_> = uuids.iter().map(|uuid| vec![hash_of(uuid).into()]).collect();
        self.db.among(("sync_entities", &[&"entity_hash".to_owned()]), &wanted, &[kind.into()], &|condition| {
            format!("SELECT {columns} FROM sync_entities WHERE entity_type = ?1 AND {condition}")
        })
    }

    /// The key of an object's row.
    pub(crate) fn row_key(&self, kind: &str, uuid: &str) -> Result<Option<Key>, Fault> {
        match self.ahead.borrow().get(kind, uuid) {
            Some(key) => Ok(key.clone()),
            None => Ok(self.known(kind, uuid)?.and_then(|known| known.row_key())),
        }
    }

    pub(crate) fn known_by_key(&self, kind: &str, key: &Cell) -> Result<Option<Known>, Fault> {
        if let Some(known) = self.known_ahead(kind, key) {
            return Ok(known);
        }
        let sql =
            "SELECT entity_uuid, entity_key, base, gone FROM sync_entities WHERE entity_type = ?1 AND entity_key = ?2";
        Ok(self.first(sql, &[kind.into(), key.into()])?.and_then(read))
    }

    /// What is known of the objects that rows are, by the marks of their keys.
    pub(super) fn known_by_keys(&self, kind: &str, keys: &[Cell]) -> Result<HashMap<String, Known>, Fault> {
        let wanted: Vec<_> = keys.iter().map(|key| vec![key.into()]).collect();
        let rows = self.db.among(("sync_entities", &[&"entity_key".to_owned()]), &wanted, &[kind.into()], &|condition| {
            format!(
                "SELECT entity_uuid, entity_key, base, gone FROM sync_entities WHERE entity_type = ?1 AND {condition}"
            )
        })?;
        let all = rows.into_iter().filter_map(read);
        Ok(all.filter_map(|known| Some((mark_of(known.key.as_ref()?), known))).collect())
    }

    /// Notes how the hub has an object, and which row it is here.
    pub(crate) fn keep(&self, kind: &str, uuid: &str, key: Option<&Cell>, base: Option<&Fields>) -> Result<(), Fault> {
        self.look_again(kind, uuid, key);
        if let Some(key) = key {
            let sql = "UPDATE sync_entities SET entity_key = NULL
                       WHERE entity_type = ?1 AND entity_key = ?2 AND entity_uuid <> ?3";
            self.execute(sql, &[kind.into(), key.into(), uuid.into()])?;
        }
        let (base, [hash, uuid, kind]) = (base.map(Fields::to_text), name(kind, uuid));
        let values = [hash, uuid, kind, key.into(), base.as_ref().into()];
        let sql = "UPDATE sync_entities SET entity_key = ?4, base = ?5, gone = 0
                   WHERE entity_hash = ?1 AND entity_uuid = ?2 AND entity_type = ?3";
        if self.execute(sql, &values)? == 0 {
            let sql = "INSERT INTO sync_entities(entity_hash, entity_uuid, entity_type, entity_key, base)
                       VALUES (?1, ?2, ?3, ?4, ?5)";
            self.execute(sql, &values)?;
        }
        Ok(())
    }

    /// Notes how the hub has objects that are new here, and which rows they are.
    pub(crate) fn keep_new(&self, kind: &str, objects: &[Kept<'_>]) -> Result<(), Fault> {
        let columns = ["entity_hash", "entity_uuid", "entity_type", "entity_key", "base"].map(str::to_owned);
        let rows = objects.iter().map(|Kept { uuid, key, base }| {
            let [hash, uuid, kind] = name(kind, uuid);
            vec![hash, uuid, kind, key.into(), base.as_ref().into()]
        });
        let rows: Vec<Vec<Given<'_>>> = rows.collect();
        let keep = || self.db.insert_rows("sync_entities", &columns.each_ref(), &rows);
        match self.within("keys", keep) {
            // Rows that are gone had such keys before.
            Err(fault) if fault.is_taken() => {
                self.give_up_keys(kind, objects)?;
                keep()
            }
            done => done,
        }
    }

    /// Notes how the hub has objects whose rows are known: their ids, and their texts.
    pub(crate) fn keep_known(&self, kind: &str, objects: &[(&str, String)]) -> Result<(), Fault> {
        let set = ["base", "gone"].map(str::to_owned);
        let key = ["entity_hash", "entity_uuid", "entity_type"].map(str::to_owned);
        let rows = objects.iter().map(|(uuid, base)| {
            let [hash, uuid, kind] = name(kind, uuid);
            vec![base.into(), 0_i64.into(), hash, uuid, kind]
        });
        self.db.update_rows("sync_entities", &set.each_ref(), &key, &rows.collect::<Vec<_>>())
    }

    /// Other objects whose rows had the keys of these have none any more.
    fn give_up_keys(&self, kind: &str, objects: &[Kept<'_>]) -> Result<(), Fault> {
        let wanted: Vec<_> = objects.iter().map(|Kept { key, .. }| vec![key.into()]).collect();
        let sql = |condition: &str| {
            format!("UPDATE sync_entities SET entity_key = NULL WHERE entity_type = ?1 AND {condition} RETURNING 1")
        };
        let column = "entity_key".to_owned();
        if !self.db.among(("sync_entities", &[&column]), &wanted, &[kind.into()], &sql)?.is_empty() {
            self.seen.take();
        }
        Ok(())
    }

    pub(crate) fn forget(&self, kind: &str, uuid: &str) -> Result<(), Fault> {
        self.look_again(kind, uuid, None);
        let sql = "DELETE FROM sync_entities WHERE entity_hash = ?1 AND entity_uuid = ?2 AND entity_type = ?3";
        self.execute(sql, &name(kind, uuid))?;
        let sql = "DELETE FROM sync_references WHERE entity_type = ?1 AND entity_uuid = ?2";
        self.execute(sql, &[kind.into(), uuid.into()])?;
        Ok(())
    }

    /// The row is marked as removed, as the hub wished it.
    pub(crate) fn keep_gone(&self, kind: &str, uuid: &str) -> Result<(), Fault> {
        self.look_again(kind, uuid, None);
        let sql = "UPDATE sync_entities SET base = NULL, gone = 1
                   WHERE entity_hash = ?1 AND entity_uuid = ?2 AND entity_type = ?3";
        self.execute(sql, &name(kind, uuid))?;
        Ok(())
    }

    /// The id of a row that is there, drawn if it has none yet. `None`: there is no such row.
    pub(crate) fn identify(&self, plan: &TypePlan, key: &Cell) -> Result<Option<String>, Fault> {
        if let Some(known) = self.known_by_key(&plan.kind, key)? {
            return Ok(Some(known.uuid));
        }
        let Some(row_key) = Key::parse(key) else { return Ok(None) };
        let Some(row) = self.read_row(plan, &row_key)? else { return Ok(None) };
        Ok(Some(self.introduce(plan, (key, &row_key), &row)?.uuid))
    }

    /// Gives a row an id that has none: the one that it says, or one that is drawn.
    pub(crate) fn introduce(&self, plan: &TypePlan, (key, row_key): (&Cell, &Key), row: &Row) -> Result<Known, Fault> {
        let uuid = match (&plan.uuid, &row.uuid) {
            (Some((name, _)), Some(cell)) if *cell != Cell::Null => UuidForm::read(cell)
                .ok_or_else(|| Fault::aside("not_uuid", format!("column `{name}` holds no UUID")))?,
            (Some((name, form)), _) => {
                let uuid = self.fresh_uuid(plan, row)?;
                self.update_row(&plan.table, &[(name, form.write(&uuid))], (&plan.key, row_key))?;
                uuid
            }
            (None, _) => self.fresh_uuid(plan, row)?,
        };
        let known = self.known(&plan.kind, &uuid)?;
        if let Some(other) = known.as_ref().and_then(Known::row_key)
            && other != *row_key
            && self.read_row(plan, &other)?.is_some_and(|other| other.uuid == row.uuid)
        {
            return Err(Fault::aside("twice", format!("two rows of `{}` have the UUID {uuid}", plan.table)));
        }
        let base = known.and_then(|known| known.base);
        self.keep(&plan.kind, &uuid, Some(key), base.as_ref())?;
        Ok(Known { uuid, key: Some(key.clone()), base, gone: false })
    }

    /// While tables are filled the first time, two databases are to find the same id for the same row.
    fn fresh_uuid(&self, plan: &TypePlan, row: &Row) -> Result<String, Fault> {
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

    pub(super) fn is_filling(&self, kind: &str) -> Result<bool, Fault> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sync_fill WHERE entity_type = ?1 AND done < 2)";
        self.exists(sql, &[kind.into()])
    }

    /// Objects whose text at the hub has a field.
    pub(crate) fn with_field(&self, kind: &str, field: &str) -> Result<Vec<String>, AttachError> {
        let name = serde_json::to_string(field).expect("a text serializes");
        let name = name.replace('~', "~~").replace('%', "~%").replace('_', "~_");
        let sql = "SELECT entity_uuid FROM sync_entities
                   WHERE entity_type = ?1 AND entity_key IS NOT NULL AND base LIKE ?2 ESCAPE '~'";
        let rows = self.query(sql, &[kind.into(), (&format!("%{name}%")).into()])?;
        Ok(rows.into_iter().flatten().filter_map(Cell::into_text).collect())
    }
}

/// What an object is found by.
fn name<'n>(kind: &'n str, uuid: &'n str) -> [Given<'n>; 3] {
    [hash_of(uuid).into(), uuid.into(), kind.into()]
}

fn hash_of(uuid: &str) -> i64 {
    Digest64::default().with(uuid.as_bytes()).0.cast_signed()
}

fn read(row: Vec<Cell>) -> Option<Known> {
    let mut cells = row.into_iter();
    let uuid = cells.next()?.into_text()?;
    let key = cells.next().filter(|key| !matches!(key, Cell::Null | Cell::Garbled));
    let base = cells.next()?.into_text().map(|text| Body::trusted(text).fields());
    Some(Known { uuid, key, base, gone: cells.next()?.number() != 0 })
}
