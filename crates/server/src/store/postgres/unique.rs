//! Which documents have which values that must be unique: kept in the transaction that changes the documents, and built
//! from what is there when a collection gets such a rule. Every commit holds the keys of the collections that it touches
//! against their rules of that moment.

use super::pipeline::{Param, Pipeline, long, longs, stream, text, texts};
use super::pool::Session;
use super::rows::damaged;
use super::trouble::Failure;
use crate::store::Holders;
use crate::store::columns::{LIVE, int};
use futures_util::TryStreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use syncline_core::hub::{Claimed, Touch};
use syncline_core::model::{Body, CollectionName, Demands, DocId, Millis, SpaceName, UniqueKey, UniqueValue};
use tokio_postgres::Row;

/// The keys whose values are kept, with their numbers.
#[derive(Debug, Default)]
pub(super) struct Keys {
    kept: BTreeMap<(CollectionName, UniqueKey), i64>,
    last: i64,
    /// Whether some were built or dropped.
    pub changed: bool,
}

/// Values that are written together while a key is built.
const TOGETHER: usize = 1_000;

impl Keys {
    /// Of the keys of a space, those of the touched collections.
    pub fn of(rows: &[Row], touch: &Touch) -> Result<Keys, Failure> {
        let mut keys = Keys::default();
        for row in rows {
            let n = row.try_get(2)?;
            keys.last = keys.last.max(n);
            let collection = CollectionName::new(row.try_get::<_, String>(0)?).map_err(damaged)?;
            if touch.collections.contains(&collection) {
                let key = serde_json::from_str(row.try_get(1)?).map_err(damaged)?;
                keys.kept.insert((collection, key), n);
            }
        }
        Ok(keys)
    }

    /// Builds what the rules of the touched collections ask for, and drops what they no longer do.
    pub async fn keep(
        &mut self,
        session: &Session,
        space: &SpaceName,
        touch: &Touch,
        rules: &BTreeMap<CollectionName, Arc<Demands>>,
    ) -> Result<(), Failure> {
        let none = BTreeSet::new();
        let wanted = |name: &CollectionName| rules.get(name).map_or(&none, |demands| &demands.rule.unique);
        let idle: Vec<i64> =
            self.kept.iter().filter(|((name, key), _)| !wanted(name).contains(key)).map(|(_, n)| *n).collect();
        if !idle.is_empty() {
            let mut pipeline = session.pipeline();
            for sql in [
                "DELETE FROM syncline.unique_values WHERE space = $1 AND n = ANY($2)",
                "DELETE FROM syncline.unique_keys WHERE space = $1 AND n = ANY($2)",
            ] {
                pipeline.send(sql, vec![text(space.as_str()), longs(idle.clone())]);
            }
            pipeline.answers().await?;
            self.kept.retain(|_, n| !idle.contains(n));
            self.changed = true;
        }
        for name in &touch.collections {
            let missing = wanted(name).iter().filter(|key| !self.kept.contains_key(&(name.clone(), (*key).clone())));
            let missing: Vec<UniqueKey> = missing.cloned().collect();
            if !missing.is_empty() {
                self.build(session, space, name, missing).await?;
            }
        }
        Ok(())
    }

    async fn build(
        &mut self,
        session: &Session,
        space: &SpaceName,
        name: &CollectionName,
        missing: Vec<UniqueKey>,
    ) -> Result<(), Failure> {
        self.changed = true;
        let mut numbered = Vec::with_capacity(missing.len());
        let mut pipeline = session.pipeline();
        for key in missing {
            self.last += 1;
            let sql =
                "INSERT INTO syncline.unique_keys SELECT $1, $2, $3, t.fields FROM unnest($4::TEXT[]) AS t (fields)";
            let params: Vec<Param<'_>> =
                vec![text(space.as_str()), long(self.last), text(name.as_str()), texts([key.text()])];
            pipeline.send(sql, params);
            self.kept.insert((name.clone(), key.clone()), self.last);
            numbered.push((key, self.last));
        }
        pipeline.answers().await?;
        let sql =
            "SELECT l.lsn, h.id, l.body FROM syncline.heads h JOIN syncline.log l ON l.space = $1 AND l.lsn = h.lsn
            WHERE h.space = $1 AND h.collection = $2 AND l.kind = $3";
        let mut found = Values::default();
        {
            let params = [text(space.as_str()), text(name.as_str()), long(LIVE)];
            let mut rows = pin!(stream(session.client(), sql, &params).await?);
            while let Some(row) = rows.try_next().await? {
                // A text that is damaged has no values; whoever reads it is told.
                let Ok(fields) = Body::stored(row.try_get::<_, &str>(2)?).map(|body| body.fields()) else { continue };
                for (key, n) in &numbered {
                    if let Ok(Some(value)) = key.value(&fields) {
                        found.add(*n, value, row.try_get(0)?, row.try_get(1)?);
                    }
                }
            }
        }
        while let Some(part) = found.part() {
            let mut pipeline = session.pipeline();
            part.send(&mut pipeline, space);
            pipeline.answers().await?;
        }
        Ok(())
    }

    /// Writes what changed; of keys that are not kept, nothing.
    pub fn write<'a>(&self, pipeline: &mut Pipeline<'a>, space: &'a SpaceName, claims: &'a [Claimed]) {
        let (mut gone, mut come) = (Values::default(), Values::default());
        for Claimed { value: UniqueValue { collection, key, value }, id, since } in claims {
            let Some(n) = self.kept.get(&(collection.clone(), key.clone())) else { continue };
            match since {
                Some(lsn) => come.add(*n, value.clone(), int(lsn.0), id.to_string()),
                None => gone.add(*n, value.clone(), 0, id.to_string()),
            }
        }
        if !gone.ids.is_empty() {
            let sql = "DELETE FROM syncline.unique_values v
                USING unnest($2::BIGINT[], $3::TEXT[], $4::TEXT[]) AS t (n, value, id)
                WHERE v.space = $1 AND v.n = t.n AND v.value = t.value AND v.id = t.id";
            pipeline.send(sql, vec![text(space.as_str()), longs(gone.n), texts(gone.values), texts(gone.ids)]);
        }
        if !come.ids.is_empty() {
            come.send(pipeline, space);
        }
    }
}

/// Rows of values, column by column.
#[derive(Default)]
struct Values {
    n: Vec<i64>,
    values: Vec<String>,
    since: Vec<i64>,
    ids: Vec<String>,
}

impl Values {
    fn add(&mut self, n: i64, value: String, since: i64, id: String) {
        self.n.push(n);
        self.values.push(value);
        self.since.push(since);
        self.ids.push(id);
    }

    /// Some of them, until none are left.
    fn part(&mut self) -> Option<Values> {
        let rest = self.ids.len().saturating_sub(TOGETHER);
        let part = Values {
            n: self.n.split_off(rest),
            values: self.values.split_off(rest),
            since: self.since.split_off(rest),
            ids: self.ids.split_off(rest),
        };
        (!part.ids.is_empty()).then_some(part)
    }

    fn send<'a>(self, pipeline: &mut Pipeline<'a>, space: &'a SpaceName) {
        let sql = "INSERT INTO syncline.unique_values (space, n, value, since, id)
            SELECT $1, t.* FROM unnest($2::BIGINT[], $3::TEXT[], $4::BIGINT[], $5::TEXT[]) AS t ON CONFLICT DO NOTHING";
        let params = vec![text(space.as_str()), longs(self.n), texts(self.values), longs(self.since), texts(self.ids)];
        pipeline.send(sql, params);
    }
}

/// Asks who has values at a time, whoever had one first before the others.
pub(super) const HOLDERS: &str = "SELECT t.place, h.id
    FROM unnest($2::TEXT[], $3::TEXT[], $4::TEXT[]) WITH ORDINALITY AS t (collection, fields, value, place)
        JOIN syncline.unique_keys k ON k.space = $1 AND k.collection = t.collection AND k.fields = t.fields
        CROSS JOIN LATERAL (
            SELECT v.id, v.since FROM syncline.unique_values v
                LEFT JOIN syncline.heads d ON d.space = $1 AND d.collection = k.collection AND d.id = v.id
            WHERE v.space = $1 AND v.n = k.n AND v.value = t.value AND (d.expires IS NULL OR d.expires > $6)
            ORDER BY v.since, v.id LIMIT $5) h
    ORDER BY t.place, h.since, h.id";

/// The values of [`HOLDERS`].
pub(super) fn asking<'a>(
    space: &'a SpaceName,
    values: &'a [UniqueValue],
    (most, at): (usize, Millis),
) -> Vec<Param<'a>> {
    vec![
        text(space.as_str()),
        texts(values.iter().map(|value| value.collection.as_str())),
        texts(values.iter().map(|value| value.key.text())),
        texts(values.iter().map(|value| value.value.as_str())),
        long(int(most as u64)),
        long(int(at.0)),
    ]
}

/// What [`HOLDERS`] found: every value, also where nobody has it.
pub(super) fn found(values: Vec<UniqueValue>, rows: &[Row]) -> Result<Holders, Failure> {
    let mut holders: Holders = values.into_iter().map(|value| (value, Vec::new())).collect();
    for row in rows {
        let place = usize::try_from(row.try_get::<_, i64>(0)?).map_err(damaged)?;
        let id = DocId::new(row.try_get::<_, String>(1)?).map_err(damaged)?;
        if let Some((_, ids)) = holders.get_mut(place.saturating_sub(1)) {
            ids.push(id);
        }
    }
    Ok(holders)
}
