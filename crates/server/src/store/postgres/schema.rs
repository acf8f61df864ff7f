//! What the tables look like, how they are made and brought forward. A database with a newer schema is refused, never
//! touched; of workers that start together one makes the tables and the others wait for it.

use super::pipeline::{Pipeline, long};
use super::pool::{Pools, Session};
use super::trouble::Failure;
use crate::store::StoreError;

/// Steps from an empty database to the newest schema; `syncline.schema` counts the steps taken.
///
/// Bodies stand once, in the append-only log. Heads are narrow and point into it; `superseded` lists the log rows that
/// are no longer anybody's head, each with the row that took its place, so that a snapshot is one pass over two ordered
/// indexes, trimming finds what may go, and who compares finds what stood before. `unique_values` says which documents
/// have which values of the keys that rules ask for; `late` rows of the ledger are those whose losing side had been
/// accepted before. The space leads every key: an engine that spreads tables over machines can keep all of a space
/// together. All text is compared byte by byte, as everywhere else. Numbers of nodes, receipts and kept rows are counted
/// in the row of their space, whose lock gives a commit its turn.
pub(super) const STEPS: &[&str] = &[r#"
    CREATE TABLE syncline.spaces (
        space TEXT COLLATE "C" PRIMARY KEY, epoch TEXT NOT NULL,
        lsn BIGINT NOT NULL DEFAULT 0, last_change BIGINT NOT NULL DEFAULT 0,
        horizon BIGINT NOT NULL DEFAULT 0, swept BIGINT NOT NULL DEFAULT 0,
        conflicts BIGINT NOT NULL DEFAULT 0, quarantined BIGINT NOT NULL DEFAULT 0,
        last_author BIGINT NOT NULL DEFAULT 0, last_receipts BIGINT NOT NULL DEFAULT 0,
        last_conflict BIGINT NOT NULL DEFAULT 0, last_quarantined BIGINT NOT NULL DEFAULT 0
    ) WITH (fillfactor = 20);
    CREATE TABLE syncline.log (
        space TEXT COLLATE "C" NOT NULL, lsn BIGINT NOT NULL, kind BIGINT NOT NULL, author BIGINT NOT NULL,
        at BIGINT NOT NULL, stamp BIGINT NOT NULL, created BIGINT NOT NULL, born BIGINT, flags BIGINT NOT NULL,
        expires BIGINT, collection TEXT COLLATE "C" NOT NULL, id TEXT COLLATE "C" NOT NULL, meta TEXT, body TEXT NOT NULL,
        PRIMARY KEY (space, lsn));
    CREATE INDEX log_buried ON syncline.log (space, collection, id) WHERE kind = 4;
    CREATE TABLE syncline.heads (
        space TEXT COLLATE "C" NOT NULL, collection TEXT COLLATE "C" NOT NULL, id TEXT COLLATE "C" NOT NULL,
        lsn BIGINT NOT NULL, expires BIGINT,
        PRIMARY KEY (space, collection, id)) WITH (fillfactor = 80);
    CREATE INDEX heads_expiring ON syncline.heads (space, expires) WHERE expires IS NOT NULL;
    CREATE TABLE syncline.superseded (
        space TEXT COLLATE "C" NOT NULL, lsn BIGINT NOT NULL, until BIGINT NOT NULL,
        PRIMARY KEY (space, lsn), UNIQUE (space, until));
    CREATE TABLE syncline.unique_keys (
        space TEXT COLLATE "C" NOT NULL, n BIGINT NOT NULL, collection TEXT COLLATE "C" NOT NULL,
        fields TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (space, n));
    CREATE INDEX unique_keys_by_collection ON syncline.unique_keys (space, collection);
    CREATE TABLE syncline.unique_values (
        space TEXT COLLATE "C" NOT NULL, n BIGINT NOT NULL, value TEXT COLLATE "C" NOT NULL, since BIGINT NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (space, n, value, since, id));
    CREATE INDEX unique_by_id ON syncline.unique_values (space, n, id);
    CREATE TABLE syncline.authors (
        space TEXT COLLATE "C" NOT NULL, node TEXT COLLATE "C" NOT NULL, author BIGINT NOT NULL,
        last_seq BIGINT NOT NULL DEFAULT 0, forgotten TEXT, cursor BIGINT NOT NULL DEFAULT 0,
        seen_at BIGINT NOT NULL DEFAULT 0, owner TEXT,
        PRIMARY KEY (space, node), UNIQUE (space, author)) WITH (fillfactor = 80);
    CREATE TABLE syncline.batches (
        space TEXT COLLATE "C" NOT NULL, author BIGINT NOT NULL, id TEXT COLLATE "C" NOT NULL, digest BIGINT NOT NULL,
        lsn BIGINT NOT NULL, at BIGINT NOT NULL,
        PRIMARY KEY (space, author, id));
    CREATE INDEX batches_by_time ON syncline.batches (space, at);
    CREATE TABLE syncline.receipts (
        space TEXT COLLATE "C" NOT NULL, n BIGINT NOT NULL, author BIGINT NOT NULL, first_seq BIGINT NOT NULL,
        last_seq BIGINT NOT NULL, at BIGINT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (space, n));
    CREATE INDEX receipts_by_seq ON syncline.receipts (space, author, last_seq, first_seq);
    CREATE TABLE syncline.seen (
        space TEXT COLLATE "C" NOT NULL, key BYTEA NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (space, key));
    CREATE TABLE syncline.nodes (
        space TEXT COLLATE "C" NOT NULL, author BIGINT NOT NULL, id TEXT COLLATE "C" NOT NULL,
        code TEXT COLLATE "C" NOT NULL, name TEXT NOT NULL, plan TEXT NOT NULL,
        last_sync_in BIGINT NOT NULL, last_sync_out BIGINT NOT NULL,
        received_packet_no BIGINT NOT NULL, sent_packet_no BIGINT NOT NULL,
        issued_packet_no BIGINT NOT NULL, cursor BIGINT NOT NULL, fill TEXT,
        sent TEXT NOT NULL, last TEXT NOT NULL, known TEXT NOT NULL,
        PRIMARY KEY (space, author), UNIQUE (space, id), UNIQUE (space, code)) WITH (fillfactor = 80);
    CREATE TABLE syncline.held (
        space TEXT COLLATE "C" NOT NULL, author BIGINT NOT NULL, collection TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL, since BIGINT NOT NULL, gone BIGINT,
        PRIMARY KEY (space, author, collection, id));
    CREATE INDEX held_until ON syncline.held (space, author, gone) WHERE gone IS NOT NULL;
    CREATE TABLE syncline.ledger (
        space TEXT COLLATE "C" NOT NULL, n BIGINT NOT NULL, at BIGINT NOT NULL, collection TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL, lsn BIGINT NOT NULL, rule TEXT NOT NULL, winner BIGINT NOT NULL,
        loser BIGINT NOT NULL, losing_kind TEXT NOT NULL, losing TEXT, winning_kind TEXT NOT NULL, winning TEXT,
        restored BIGINT, late BIGINT NOT NULL,
        PRIMARY KEY (space, n));
    CREATE INDEX ledger_late ON syncline.ledger (space, loser, n) WHERE late = 1;
    CREATE TABLE syncline.quarantine (
        space TEXT COLLATE "C" NOT NULL, n BIGINT NOT NULL, at BIGINT NOT NULL, collection TEXT COLLATE "C",
        id TEXT COLLATE "C", node TEXT NOT NULL, seq BIGINT, code TEXT NOT NULL, reason BYTEA NOT NULL,
        op BYTEA NOT NULL,
        PRIMARY KEY (space, n));
    CREATE TABLE syncline.records (
        kind TEXT COLLATE "C" NOT NULL, key TEXT COLLATE "C" NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key));
"#];

/// The number of the lock under which tables are made: the letters `syncline`.
const LOCK: i64 = 0x7379_6e63_6c69_6e65;

/// Sees that the tables are there and of this program's schema.
pub(super) async fn prepare(pools: &Pools, place: &str) -> Result<(), Failure> {
    let session = pools.writing().await?;
    let found = look(&session, session.begin()).await;
    let found = session.finish(found).await?;
    if is_newest(&found, place)? { Ok(()) } else { migrate(pools, place).await }
}

/// Whether there are tables at all.
pub(super) async fn is_there(pools: &Pools) -> Result<bool, Failure> {
    let session = pools.reading().await?;
    let found = look(&session, session.begin()).await;
    Ok(session.finish(found).await?.version > 0)
}

/// The newest schema of this program.
pub(super) fn newest() -> i64 {
    i64::try_from(STEPS.len()).expect("few steps")
}

/// What is there before anything is done.
struct Found {
    schema: bool,
    version: i64,
}

fn is_newest(found: &Found, place: &str) -> Result<bool, StoreError> {
    let (found, known) = (found.version, newest());
    if found > known {
        return Err(StoreError::NewerSchema { place: place.to_owned(), found, known });
    }
    Ok(found == known)
}

async fn look(session: &Session, mut pipeline: Pipeline<'_>) -> Result<Found, Failure> {
    let sql = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'syncline'),
                      to_regclass('syncline.schema') IS NOT NULL";
    let asked = pipeline.send(sql, vec![]);
    let rows = pipeline.answers().await?.take(Some(asked));
    let row = rows.first().ok_or_else(|| missing("what is there"))?;
    let (schema, counted): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    if !counted {
        return Ok(Found { schema, version: 0 });
    }
    let mut pipeline = session.pipeline();
    let asked = pipeline.send("SELECT version FROM syncline.schema", vec![]);
    let rows = pipeline.answers().await?.take(Some(asked));
    let version = rows.first().ok_or_else(|| missing("the version of the schema"))?.try_get(0)?;
    Ok(Found { schema, version })
}

fn missing(what: &str) -> StoreError {
    StoreError::engine("reading the schema of the database")(format!("it does not say {what}"))
}

/// All steps and their number move in one transaction, under a lock that a pooler in between cannot mislay.
async fn migrate(pools: &Pools, place: &str) -> Result<(), Failure> {
    let session = pools.writing().await?;
    let done = steps(&session, place).await;
    session.finish(done).await
}

async fn steps(session: &Session, place: &str) -> Result<(), Failure> {
    let mut pipeline = session.begin();
    pipeline.send("SELECT pg_advisory_xact_lock($1)", vec![long(LOCK)]);
    let found = look(session, pipeline).await?;
    if is_newest(&found, place)? {
        return Ok(());
    }
    let mut pipeline = session.pipeline();
    if !found.schema {
        pipeline.say("CREATE SCHEMA syncline");
    }
    if found.version == 0 {
        pipeline.say("CREATE TABLE syncline.schema (version BIGINT NOT NULL); INSERT INTO syncline.schema VALUES (0)");
    }
    for step in STEPS.iter().skip(usize::try_from(found.version).unwrap_or(0)) {
        pipeline.say(*step);
    }
    pipeline.send("UPDATE syncline.schema SET version = $1", vec![long(newest())]);
    session.commit(pipeline).await.map(drop)
}
