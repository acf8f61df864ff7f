//! Which documents have which values that must be unique: kept in the transaction that changes the documents, and built
//! from what is there when a collection gets such a rule.
//!
//! Every commit holds the keys of the collections that it touches against their rules of that moment, so that no change
//! of a rule, and no crash beside one, leaves an index that is not kept.

use super::columns::{LIVE, int, wrong_text};
use super::known::Known;
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use syncline_core::hub::{Claimed, Touch};
use syncline_core::model::{Body, CollectionName, Demands, DocId, Millis, UniqueKey, UniqueValue};

/// By document: of one value there may be very many holders.
const GIVEN_UP: &str = "DELETE FROM unique_values WHERE n = ?1 AND value = ?2 AND id = ?3";

type Rules = BTreeMap<CollectionName, Arc<Demands>>;

/// Builds what the rules of the touched collections ask for, and drops what they no longer do.
pub(super) fn keep(conn: &Connection, known: &mut Known, touch: &Touch, rules: &Rules) -> rusqlite::Result<()> {
    let none = BTreeSet::new();
    for name in &touch.collections {
        let wanted = rules.get(name).map_or(&none, |demands| &demands.rule.unique);
        let kept = known.unique_keys(name);
        if kept.len() == wanted.len() && wanted.iter().all(|key| kept.contains_key(key)) {
            continue;
        }
        let kept = kept.clone();
        for (key, n) in kept.iter().filter(|(key, _)| !wanted.contains(*key)) {
            conn.execute("DELETE FROM unique_values WHERE n = ?1", [n])?;
            conn.execute("DELETE FROM unique_keys WHERE n = ?1", [n])?;
            known.drop_unique(name, key);
        }
        let missing: Vec<UniqueKey> = wanted.iter().filter(|key| !kept.contains_key(*key)).cloned().collect();
        if !missing.is_empty() {
            build(conn, known, name, missing)?;
        }
    }
    Ok(())
}

fn build(conn: &Connection, known: &mut Known, name: &CollectionName, keys: Vec<UniqueKey>) -> rusqlite::Result<()> {
    let cid = known.collection_or_new(conn, name)?;
    let mut numbers = Vec::with_capacity(keys.len());
    for key in keys {
        conn.execute("INSERT INTO unique_keys (cid, fields) VALUES (?1, ?2)", params![cid, key.text()])?;
        let n = conn.last_insert_rowid();
        known.add_unique(name, key.clone(), n);
        numbers.push((key, n));
    }
    let mut find = conn.prepare(
        "SELECT l.lsn, h.id, l.body FROM heads h CROSS JOIN log l ON l.lsn = h.lsn WHERE h.cid = ?1 AND l.kind = ?2",
    )?;
    let mut add = conn.prepare("INSERT INTO unique_values VALUES (?1, ?2, ?3, ?4)")?;
    let mut rows = find.query(params![cid, LIVE])?;
    while let Some(row) = rows.next()? {
        // A text that is damaged has no values; whoever reads it is told.
        let Ok(fields) = Body::stored(row.get_ref(2)?.as_str()?).map(|body| body.fields()) else { continue };
        for (key, n) in &numbers {
            if let Ok(Some(value)) = key.value(&fields) {
                add.execute(params![n, value, row.get::<_, i64>(0)?, row.get_ref(1)?.as_str()?])?;
            }
        }
    }
    Ok(())
}

/// Who has a value at a time, whoever had it first before the others, and no more than so many.
pub(super) fn holders(
    conn: &Connection,
    value: &UniqueValue,
    (most, at): (usize, Millis),
) -> rusqlite::Result<Vec<DocId>> {
    let mut find = conn.prepare_cached(
        "SELECT v.id FROM collections c CROSS JOIN unique_keys k ON k.cid = c.cid CROSS JOIN unique_values v ON v.n = k.n
             LEFT JOIN heads h ON h.cid = c.cid AND h.id = v.id LEFT JOIN log l ON l.lsn = h.lsn
         WHERE c.name = ?1 AND k.fields = ?2 AND v.value = ?3 AND (l.expires IS NULL OR l.expires > ?5)
         ORDER BY v.since, v.id LIMIT ?4",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let (name, fields) = (value.collection.as_str(), value.key.text());
    let ids = find.query_map(params![name, fields, value.value, most, int(at.0)], |row| {
        DocId::new(row.get_ref(0)?.as_str()?).map_err(|e| wrong_text(0, e))
    })?;
    ids.collect()
}

/// Writes what changed.
pub(super) fn write(conn: &Connection, known: &Known, claims: &[Claimed]) -> rusqlite::Result<()> {
    for Claimed { value, id, since } in claims {
        let Some(n) = known.unique_keys(&value.collection).get(&value.key) else { continue };
        match since {
            Some(lsn) => conn
                .prepare_cached("INSERT INTO unique_values VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING")?
                .execute(params![n, value.value, int(lsn.0), id.as_str()])?,
            None => conn.prepare_cached(GIVEN_UP)?.execute(params![n, value.value, id.as_str()])?,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::schema::SPACE;
    use super::GIVEN_UP;
    use rusqlite::Connection;

    #[test]
    fn whoever_gives_up_a_value_is_found_without_a_walk_along_all_its_holders() {
        let conn = Connection::open_in_memory().unwrap();
        SPACE.iter().for_each(|step| conn.execute_batch(step).unwrap());
        let plan: String = conn
            .query_row(&format!("EXPLAIN QUERY PLAN {GIVEN_UP}"), rusqlite::params![1, "v", "x"], |row| row.get(3))
            .unwrap();
        assert!(plan.contains("unique_by_id") && plan.contains("id=?"), "{plan}");
    }
}
