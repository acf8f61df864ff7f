//! What the tables look like, how they are made and brought forward. A database with a newer schema is refused, never
//! touched; of workers that start together one makes the tables and the others wait for it.

use super::history;
use super::known;
use super::pipeline::{Pipeline, long, text};
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
/// together. The `mark` of a row of the log says which attempt wrote it. All text is compared byte by byte, as everywhere else. Numbers of nodes, receipts and kept rows are counted
/// in the row of their space, whose lock gives a commit its turn.
pub(super) const STEPS: &[&str] = &[TABLES, known::FUNCTION];

const TABLES: &str = r#"
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
        mark BIGINT,
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
    CREATE VIEW syncline.sync_nodes AS SELECT
        space, id, code, name,
        CASE WHEN last_sync_in > 0 THEN to_char(to_timestamp(last_sync_in / 1000.0) AT TIME ZONE 'UTC',
            'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') END AS last_sync_in,
        CASE WHEN last_sync_out > 0 THEN to_char(to_timestamp(last_sync_out / 1000.0) AT TIME ZONE 'UTC',
            'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') END AS last_sync_out,
        received_packet_no, sent_packet_no
    FROM syncline.nodes;
    CREATE VIEW syncline.sync_changes AS
    WITH due AS (
        SELECT n.space, n.author, l.lsn, l.collection, l.id, l.kind, l.created, l.at FROM syncline.nodes n
            JOIN syncline.log l ON l.space = n.space AND l.lsn > n.cursor
            JOIN syncline.heads h
                ON h.space = l.space AND h.collection = l.collection AND h.id = l.id AND h.lsn = l.lsn
        WHERE l.author <> n.author OR l.lsn <= coalesce((n.fill::JSON ->> 'start')::BIGINT, 0)
        UNION ALL
        SELECT n.space, n.author, max(r.lsn), r.collection, r.id, coalesce(max(l.kind), 1), coalesce(max(l.created), 0),
            max(r.at) FROM syncline.nodes n
            JOIN syncline.log r ON r.space = n.space AND r.lsn > n.cursor AND r.kind = 3 AND r.author = n.author
            LEFT JOIN syncline.heads h ON h.space = r.space AND h.collection = r.collection AND h.id = r.id
            LEFT JOIN syncline.log l ON l.space = h.space AND l.lsn = h.lsn
        WHERE l.lsn IS NULL OR l.lsn <= n.cursor
            OR (l.author = n.author AND l.lsn > coalesce((n.fill::JSON ->> 'start')::BIGINT, 0))
        GROUP BY n.space, n.author, r.collection, r.id
        UNION ALL
        SELECT n.space, n.author, l.lsn, l.collection, l.id, 1, 0, l.at FROM syncline.nodes n
            JOIN syncline.log l ON l.space = n.space AND l.lsn > n.cursor AND l.kind = 4)
    SELECT
        d.space, d.lsn AS id, n.id AS node_id, d.collection AS entity_type, d.id AS entity_uuid,
        CASE WHEN d.kind = 1 THEN 'DELETE'
            WHEN d.created > coalesce((n.known::JSON ->> 'upto')::BIGINT, 0) THEN 'INSERT' ELSE 'UPDATE' END AS operation,
        (SELECT max((sent ->> 0)::BIGINT) FROM json_array_elements(n.sent::JSON) AS t (sent)
            WHERE (sent ->> 1)::BIGINT >= d.lsn) AS packet_no,
        to_char(to_timestamp(d.at / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS created_at
    FROM due d JOIN syncline.nodes n ON n.space = d.space AND n.author = d.author
    WHERE CASE WHEN n.plan::JSON ->> 'types' IS NULL THEN TRUE
            ELSE d.collection IN (SELECT json_array_elements_text(n.plan::JSON -> 'types')) END
        AND d.id ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
        AND NOT (d.kind = 1 AND d.lsn <= coalesce((n.fill::JSON ->> 'start')::BIGINT, 0)
            AND (n.fill::JSON ->> 'again')::BOOLEAN IS FALSE);
"#;

/// The number of the lock under which tables are made: the letters `syncline`.
const LOCK: i64 = 0x7379_6e63_6c69_6e65;

/// Sees that the tables are there and of this program's schema.
pub(super) async fn prepare(pools: &Pools, place: &str) -> Result<(), Failure> {
    let session = pools.writing(None).await?;
    let here = identity(&session).await;
    let found = look(&session, session.begin()).await;
    let found = session.finish(found).await?;
    if found.is_hasty {
        let reason =
            "synchronous_commit is off: pushes would be answered before they are on disk; put it on, e.g. `ALTER \
                      DATABASE name SET synchronous_commit = on`"
                .to_owned();
        return Err(StoreError::Database { place: place.to_owned(), reason }.into());
    }
    if is_newest(&found, place)? && found.is_at_home(&here) { Ok(()) } else { migrate(pools, place).await }
}

/// Whether there are tables at all.
pub(super) async fn is_there(pools: &Pools) -> Result<bool, Failure> {
    let session = pools.reading(None).await?;
    let found = look(&session, session.begin()).await;
    Ok(session.finish(found).await?.version > 0)
}

/// The schema of the tables that are there; 0: none are.
pub(super) async fn found(session: &Session) -> Result<u64, Failure> {
    Ok(u64::try_from(look(session, session.pipeline()).await?.version).unwrap_or_default())
}

/// The newest schema of this program.
pub(super) fn newest() -> i64 {
    i64::try_from(STEPS.len()).expect("few steps")
}

/// What is there before anything is done.
struct Found {
    schema: bool,
    version: i64,
    /// Where the tables were made.
    home: Option<String>,
    /// Which tables these are.
    table: Option<String>,
    /// Commits are answered before they are on disk.
    is_hasty: bool,
}

impl Found {
    /// Whether the tables were made here and did not come from a dump.
    fn is_at_home(&self, here: &str) -> bool {
        self.home.as_deref().is_some_and(|home| home == self.address(here))
    }

    fn address(&self, here: &str) -> String {
        format!("{here}/{}", self.table.as_deref().unwrap_or_default())
    }
}

/// What tells this server from others; empty where it does not say.
async fn identity(session: &Session) -> String {
    let sql = "SELECT system_identifier::TEXT FROM pg_control_system()";
    let said = session.client().query_typed(sql, &[]).await;
    said.ok().and_then(|rows| rows.first()?.try_get(0).ok()).unwrap_or_default()
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
                      to_regclass('syncline.schema') IS NOT NULL,
                      to_regclass('syncline.spaces')::OID::TEXT,
                      current_setting('synchronous_commit') = 'off'";
    let asked = pipeline.send(sql, vec![]);
    let rows = pipeline.answers().await?.take(Some(asked));
    let row = rows.first().ok_or_else(|| missing("what is there"))?;
    let (schema, counted): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    let (table, is_hasty) = (row.try_get(2)?, row.try_get(3)?);
    if !counted {
        return Ok(Found { schema, version: 0, home: None, table, is_hasty });
    }
    let mut pipeline = session.pipeline();
    let asked = pipeline.send("SELECT version, home FROM syncline.schema", vec![]);
    let rows = pipeline.answers().await?.take(Some(asked));
    let row = rows.first().ok_or_else(|| missing("the version of the schema"))?;
    Ok(Found { schema, version: row.try_get(0)?, home: row.try_get(1)?, table, is_hasty })
}

fn missing(what: &str) -> StoreError {
    StoreError::engine("reading the schema of the database")(format!("it does not say {what}"))
}

/// All steps and their number move in one transaction, under a lock that a pooler in between cannot mislay.
async fn migrate(pools: &Pools, place: &str) -> Result<(), Failure> {
    let session = pools.writing(None).await?;
    let done = steps(&session, place).await;
    session.finish(done).await
}

async fn steps(session: &Session, place: &str) -> Result<(), Failure> {
    let here = identity(session).await;
    let mut pipeline = session.begin();
    pipeline.send("SELECT pg_advisory_xact_lock($1)", vec![long(LOCK)]);
    let found = look(session, pipeline).await?;
    if is_newest(&found, place)? {
        return settle(session, &found, &here).await;
    }
    let mut pipeline = session.pipeline();
    if !found.schema {
        pipeline.say("CREATE SCHEMA syncline");
    }
    if found.version == 0 {
        pipeline.say("CREATE TABLE syncline.schema (version BIGINT NOT NULL, home TEXT)");
        pipeline.say("INSERT INTO syncline.schema VALUES (0, NULL)");
    }
    for step in STEPS.iter().skip(usize::try_from(found.version).unwrap_or(0)) {
        pipeline.say(*step);
    }
    pipeline.send("UPDATE syncline.schema SET version = $1", vec![long(newest())]);
    pipeline.answers().await?;
    let found = look(session, session.pipeline()).await?;
    settle(session, &found, &here).await
}

/// Notes where the tables are. Where they came from elsewhere, their spaces begin new histories: nobody knows what was
/// committed after the dump was made.
async fn settle(session: &Session, found: &Found, here: &str) -> Result<(), Failure> {
    if found.home.is_some() && !found.is_at_home(here) {
        history::begin_all(session).await?;
    }
    let address = found.address(here);
    let mut pipeline = session.pipeline();
    pipeline.send("UPDATE syncline.schema SET home = $1", vec![text(&address)]);
    session.commit(pipeline).await.map(drop)
}
