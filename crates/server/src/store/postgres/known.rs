//! What a commit looks up by keys (steps 4 and 5 of the life of a change), by one function of the database. PostgreSQL plans
//! the statements in a function once for each connection, whoever else is served by it; written out, they would be planned
//! for every commit, which takes longer than carrying them out. Nothing is left in a session that somebody could miss.
//!
//! Keys are looked up one by one (`LATERAL … LIMIT 1`), and the settings of the function leave the planner no other way than
//! the index: a plan that was made while a table was small must hold when it has grown.

use super::pipeline::{Param, Pipeline, longs, text, texts};
use crate::store::CollectionRule;
use crate::store::RecordKind;
use crate::store::columns::{int, record_kind};
use syncline_core::hub::Touch;
use syncline_core::model::{NodeId, SpaceName};
use tokio_postgres::{Error, Row};

/// Parts of the answer, by what they tell of.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Name, owner, number; in the seventh column what is forgotten.
    pub authors: Vec<Row>,
    /// Collection, id, and a version.
    pub docs: Vec<Row>,
    /// Node, id, digest, LSN.
    pub batches: Vec<Row>,
    /// Node and receipts, oldest first.
    pub receipts: Vec<Row>,
    /// Key and text.
    pub rules: Vec<Row>,
    /// Collection, fields, number.
    pub keys: Vec<Row>,
}

/// Where a row says which part it is of.
const PART: usize = 8;

impl Known {
    /// Takes an answer apart.
    pub fn of(rows: Vec<Row>) -> Result<Known, Error> {
        let mut known = Known::default();
        for row in rows {
            let part = match row.try_get::<_, i64>(PART)? {
                1 => &mut known.authors,
                2 => &mut known.docs,
                3 => &mut known.batches,
                4 => &mut known.receipts,
                5 => &mut known.rules,
                _ => &mut known.keys,
            };
            part.push(row);
        }
        Ok(known)
    }
}

/// Asks for what `touch` names.
pub(super) fn ask<'a>(pipeline: &mut Pipeline<'a>, space: &'a SpaceName, touch: &'a Touch) -> usize {
    let (collections, ids): (Vec<_>, Vec<_>) =
        touch.docs.iter().map(|(collection, id)| (collection.as_str(), id.as_str())).unzip();
    let (senders, batches): (Vec<_>, Vec<_>) =
        touch.batches.iter().map(|(node, id)| (node.as_str(), id.as_str())).unzip();
    let (mut nodes, mut firsts, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
    for (node, seqs) in &touch.seqs {
        for (first, last) in seqs.ranges() {
            nodes.push(node.as_str());
            firsts.push(int(first.0));
            lasts.push(int(last.0));
        }
    }
    let params: Vec<Param<'a>> = vec![
        text(space.as_str()),
        texts(touch.nodes.iter().map(NodeId::as_str)),
        texts(collections),
        texts(ids),
        texts(senders),
        texts(batches),
        texts(nodes),
        longs(firsts),
        longs(lasts),
        text(record_kind(RecordKind::Collection)),
        texts(touch.collections.iter().map(|name| CollectionRule::key(space, name))),
    ];
    pipeline.send("SELECT * FROM syncline.known($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)", params)
}

/// Asks for nodes by their names; all that is found is of the first part.
pub(super) fn ask_nodes<'a>(
    pipeline: &mut Pipeline<'a>,
    space: &'a SpaceName,
    nodes: impl IntoIterator<Item = &'a NodeId>,
) -> usize {
    let sql = "SELECT * FROM syncline.known($1, $2, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '', '{}')";
    pipeline.send(sql, vec![text(space.as_str()), texts(nodes.into_iter().map(NodeId::as_str))])
}

/// The step of the schema that makes it. Rows with receipts come oldest first, and what lies between the numbers is not
/// read. Buried documents are looked for only where there are any.
pub(super) const FUNCTION: &str = r#"
CREATE FUNCTION syncline.known(
    TEXT, nodes TEXT[], collections TEXT[], ids TEXT[], senders TEXT[], batch_ids TEXT[],
    receivers TEXT[], firsts BIGINT[], lasts BIGINT[], record_kind TEXT, record_keys TEXT[])
RETURNS TABLE (t1 TEXT, t2 TEXT, n1 BIGINT, n2 BIGINT, n3 BIGINT, n4 BIGINT, t3 TEXT, t4 TEXT, part BIGINT)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    none CONSTANT BIGINT := NULL;
BEGIN
    RETURN QUERY SELECT a.node, a.owner, a.author, none, none, none, a.forgotten, NULL, 1::BIGINT
        FROM unnest(nodes) AS t (name) CROSS JOIN LATERAL (
            SELECT * FROM syncline.authors WHERE space = $1 AND node = t.name LIMIT 1) a;
    RETURN QUERY SELECT t.c, t.i, l.kind, l.lsn, l.author, l.stamp, l.meta, l.body, 2::BIGINT
        FROM unnest(collections, ids) AS t (c, i)
            CROSS JOIN LATERAL (SELECT lsn FROM syncline.heads
                WHERE space = $1 AND collection = t.c AND id = t.i LIMIT 1) h
            CROSS JOIN LATERAL (SELECT * FROM syncline.log WHERE space = $1 AND lsn = h.lsn LIMIT 1) l;
    IF EXISTS (SELECT FROM syncline.log WHERE space = $1 AND kind = 4) THEN
        RETURN QUERY SELECT t.c, t.i, l.kind, l.lsn, l.author, none, NULL, NULL, 2::BIGINT
            FROM unnest(collections, ids) AS t (c, i) CROSS JOIN LATERAL (
                SELECT * FROM syncline.log WHERE space = $1 AND collection = t.c AND id = t.i AND kind = 4 LIMIT 1) l;
    END IF;
    RETURN QUERY SELECT t.n, t.i, b.digest, b.lsn, none, none, NULL, NULL, 3::BIGINT
        FROM unnest(senders, batch_ids) AS t (n, i)
            CROSS JOIN LATERAL (SELECT author FROM syncline.authors WHERE space = $1 AND node = t.n LIMIT 1) a
            CROSS JOIN LATERAL (SELECT * FROM syncline.batches
                WHERE space = $1 AND author = a.author AND id = t.i LIMIT 1) b;
    IF cardinality(receivers) > 0 THEN
        RETURN QUERY SELECT DISTINCT ON (r.n) t.m, r.body, none, none, none, none, NULL, NULL, 4::BIGINT
            FROM unnest(receivers, firsts, lasts) AS t (m, first, last)
                CROSS JOIN LATERAL (
                    SELECT author, last_seq FROM syncline.authors WHERE space = $1 AND node = t.m LIMIT 1) a
                CROSS JOIN LATERAL (SELECT n, body FROM syncline.receipts
                    WHERE a.last_seq >= t.first AND space = $1 AND author = a.author AND last_seq >= t.first
                        AND first_seq <= t.last OFFSET 0) r
            ORDER BY r.n;
    END IF;
    RETURN QUERY SELECT r.key, r.value, none, none, none, none, NULL, NULL, 5::BIGINT
        FROM syncline.records r WHERE r.kind = record_kind AND r.key = ANY(record_keys);
    RETURN QUERY SELECT k.collection, k.fields, k.n, none, none, none, NULL, NULL, 6::BIGINT
        FROM syncline.unique_keys k WHERE k.space = $1;
END $$;
"#;
