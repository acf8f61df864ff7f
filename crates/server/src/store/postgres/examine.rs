//! A look at the database from outside, for the person who runs the hub: facts, and no judgement. Makes nothing, and
//! leaves out what the user may not see.

use super::pipeline::long;
use super::pool::{Pools, Session};
use super::trouble::{Failure, told};
use super::{Options, Url, schema};
use crate::store::StoreError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_postgres::Row;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct DatabaseFacts {
    /// The server's version as it calls itself.
    pub version: String,
    /// The same as a number: 150004 is 15.4.
    pub version_number: i64,
    /// Bytes of the database.
    pub bytes: u64,
    /// The schema of the tables; 0: there are none.
    pub schema: u64,
    /// The newest schema that this program knows.
    pub newest_schema: u64,
    /// The user may make tables that are missing.
    pub may_make_tables: bool,
    /// Tables that the user may not read or write, or the schema where it may not even look into that.
    pub forbidden: Vec<String>,
    /// The server is a replica.
    pub replica: bool,
    /// Transactions may not write, as on a replica or where `default_transaction_read_only` is on.
    pub read_only: bool,
    /// A commit is answered before it is on disk: `synchronous_commit` or `fsync` is off, whichever it is.
    pub hasty: Option<&'static str>,
    /// Connections that the server, this user and this database may have, whichever are fewest.
    pub connections_max: u64,
    /// How many more may be opened.
    pub connections_free: u64,
    /// How many hubs have opened on this database.
    pub connections_of_hubs: u64,
    /// Transactions that have been open for longest, where that is long.
    pub long_transactions: Vec<LongTransaction>,
    /// Who replicates from this server, and replication slots that nobody reads.
    pub replicas: Vec<Follower>,
    /// How far the server's clock is ahead of this machine's, in milliseconds.
    pub clock_ahead_ms: i64,
    /// Where its files are, if the user may know.
    pub directory: Option<String>,
}

/// A transaction that has been open for long. It keeps the server from cleaning up.
#[derive(Clone, Debug)]
pub struct LongTransaction {
    /// Its process at the server.
    pub pid: i32,
    /// Who: user, application and what it is doing.
    pub who: String,
    /// Since when.
    pub open_for: Duration,
}

/// Somebody for whom the server keeps its write-ahead log.
#[derive(Clone, Debug)]
pub struct Follower {
    /// Its name.
    pub name: String,
    /// `streaming` and the like; of a slot that nobody reads: `inactive`.
    pub state: String,
    /// Bytes that it is behind.
    pub behind_bytes: u64,
}

/// From this on a transaction counts as long.
const LONG: Duration = Duration::from_secs(300);

/// Looks at a database.
///
/// # Errors
/// [`StoreError::Database`] says what is wrong and what to do.
pub async fn examine(url: &Url) -> Result<DatabaseFacts, StoreError> {
    let looked = async {
        let options = Options { connections: 1, patience: Duration::ZERO, ..Options::default() };
        let pools = Pools::new(url, &options)?;
        look(&pools.reading(None).await?).await
    };
    looked.await.map_err(|failure| told(&url.to_string(), "looking at the database", failure))
}

const SERVER: &str = "
    WITH used AS (
        SELECT count(*) AS of_all, count(*) FILTER (WHERE usename = current_user) AS of_user,
            count(*) FILTER (WHERE datname = current_database()) AS of_base,
            count(*) FILTER (WHERE datname = current_database() AND application_name = 'syncline') AS of_hubs
        FROM pg_stat_activity WHERE datname IS NOT NULL),
    limits AS (
        SELECT current_setting('max_connections')::BIGINT - current_setting('superuser_reserved_connections')::BIGINT AS of_all,
            (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user) AS of_user,
            (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()) AS of_base)
    SELECT current_setting('server_version'), current_setting('server_version_num')::BIGINT,
        pg_database_size(current_database()), has_database_privilege(current_database(), 'CREATE'),
        pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
        current_setting('synchronous_commit') = 'off', current_setting('fsync') = 'off',
        least(l.of_all, l.of_user, l.of_base)::BIGINT,
        least(l.of_all - u.of_all, l.of_user - u.of_user, l.of_base - u.of_base)::BIGINT, u.of_hubs,
        (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT
    FROM used u, limits l";

/// None is in a transaction, so that what is refused spoils nothing else.
async fn look(session: &Session) -> Result<DatabaseFacts, Failure> {
    let asked = Instant::now();
    let rows = session.client().query_typed(SERVER, &[]).await?;
    let (here, took) = (SystemTime::now(), asked.elapsed());
    let mut facts = rows.first().map(server).transpose()?.unwrap_or_default();
    // The server read its clock about half way.
    let here = here.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(took / 2);
    facts.clock_ahead_ms -= i64::try_from(here.as_millis()).unwrap_or(i64::MAX);
    // The one by which we look is none of a hub, and goes.
    facts.connections_of_hubs = facts.connections_of_hubs.saturating_sub(1);
    facts.connections_free += 1;
    facts.newest_schema = u64::try_from(schema::newest()).unwrap_or_default();
    let sql = "SELECT 'the schema ' || nspname FROM pg_namespace
        WHERE nspname = 'syncline' AND NOT has_schema_privilege(oid, 'USAGE')";
    facts.forbidden = some(session, sql, |row| row.try_get(0)).await;
    if !facts.forbidden.is_empty() {
        return Ok(facts);
    }
    facts.schema = schema::found(session).await?;
    let sql = "SELECT c.relname::TEXT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'syncline' AND c.relkind = 'r'
            AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
        ORDER BY 1";
    facts.forbidden = some(session, sql, |row| row.try_get(0)).await;
    facts.long_transactions = long_transactions(session).await;
    facts.replicas = match facts.replica {
        true => some(session, DELAYED, replica).await,
        false => some(session, REPLICAS, replica).await,
    };
    facts.directory = some(session, "SHOW data_directory", |row| row.try_get(0)).await.pop();
    Ok(facts)
}

fn server(row: &Row) -> Result<DatabaseFacts, tokio_postgres::Error> {
    let count = |column: usize| row.try_get::<_, i64>(column).map(|n| u64::try_from(n).unwrap_or_default());
    let hasty = match (row.try_get(6)?, row.try_get(7)?) {
        (true, _) => Some("synchronous_commit"),
        (_, true) => Some("fsync"),
        _ => None,
    };
    Ok(DatabaseFacts {
        version: row.try_get(0)?,
        version_number: row.try_get(1)?,
        bytes: count(2)?,
        may_make_tables: row.try_get(3)?,
        replica: row.try_get(4)?,
        read_only: row.try_get(5)?,
        hasty,
        connections_max: count(8)?,
        connections_free: count(9)?,
        connections_of_hubs: count(10)?,
        clock_ahead_ms: row.try_get(11)?,
        ..DatabaseFacts::default()
    })
}

async fn long_transactions(session: &Session) -> Vec<LongTransaction> {
    let sql = "SELECT pid, concat_ws(', ', usename, nullif(application_name, ''), state),
            extract(epoch FROM now() - xact_start)::BIGINT
        FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < now() - $1 * interval '1 second'
        ORDER BY xact_start LIMIT 5";
    let asked = [long(i64::try_from(LONG.as_secs()).unwrap_or(i64::MAX))];
    let asked: Vec<_> = asked.iter().map(|(value, kind)| (&**value as _, kind.clone())).collect();
    let rows = session.client().query_typed(sql, &asked).await.unwrap_or_default();
    let read = |row: &Row| {
        let seconds: i64 = row.try_get(2).ok()?;
        let open_for = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        Some(LongTransaction { pid: row.try_get(0).ok()?, who: row.try_get(1).ok()?, open_for })
    };
    rows.iter().filter_map(read).collect()
}

const REPLICAS: &str = "
    SELECT coalesce(nullif(application_name, ''), client_addr::TEXT, 'a replica'), coalesce(state, 'unknown'),
        coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn), 0)::BIGINT FROM pg_stat_replication
    UNION ALL
    SELECT slot_name::TEXT, 'inactive', coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::BIGINT
        FROM pg_replication_slots WHERE NOT active";

/// What a replica has received and not yet replayed.
const DELAYED: &str = "
    SELECT 'this server', 'replaying', coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0)::BIGINT";

fn replica(row: &Row) -> Result<Follower, tokio_postgres::Error> {
    let behind: i64 = row.try_get(2)?;
    Ok(Follower {
        name: row.try_get(0)?,
        state: row.try_get(1)?,
        behind_bytes: u64::try_from(behind).unwrap_or_default(),
    })
}

/// Rows, or nothing where the user may not see them.
async fn some<T>(session: &Session, sql: &str, read: impl Fn(&Row) -> Result<T, tokio_postgres::Error>) -> Vec<T> {
    let rows = session.client().query_typed(sql, &[]).await.unwrap_or_default();
    rows.iter().filter_map(|row| read(row).ok()).collect()
}
