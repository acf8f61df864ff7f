//! What concerns the hub as a whole: which spaces exist, the administrative records, and whether it can write.

use super::pipeline::text;
use super::pool::Pools;
use super::rows::damaged;
use super::space::{self, State};
use super::trouble::Failure;
use crate::store::columns::record_kind;
use crate::store::{Head, Record, RecordKind, StoreError};
use syncline_core::model::SpaceName;
use tokio_postgres::error::SqlState;

/// Makes the space when it is missing.
pub(super) async fn open_space(pools: &Pools, space: &SpaceName) -> Result<Head, Failure> {
    let session = pools.writing(space).await?;
    let epoch = uuid::Uuid::new_v4().to_string();
    let done = async {
        let mut pipeline = session.begin();
        let sql = "INSERT INTO syncline.spaces (space, epoch) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        pipeline.send(sql, vec![text(space.as_str()), text(&epoch)]);
        let asked = space::look(&mut pipeline, space);
        Ok(space::found(&mut session.commit(pipeline).await?, asked, space)?.head)
    };
    let done = done.await;
    session.finish(done).await
}

/// Where the space's log stands.
pub(super) async fn state(pools: &Pools, space: &SpaceName) -> Result<State, Failure> {
    let session = pools.reading(space).await?;
    let mut pipeline = session.pipeline();
    let asked = space::look(&mut pipeline, space);
    let found = match pipeline.answers().await {
        Ok(mut answers) => space::found(&mut answers, asked, space),
        Err(error) => Err(error.into()),
    };
    session.finish(found).await
}

/// The spaces that exist, by name.
pub(super) async fn spaces(pools: &Pools) -> Result<Vec<SpaceName>, Failure> {
    let rows = pools
        .reading(None)
        .await?
        .client()
        .query_typed("SELECT space FROM syncline.spaces ORDER BY space", &[])
        .await?;
    let name = |row: &tokio_postgres::Row| SpaceName::new(row.try_get::<_, String>(0)?).map_err(damaged);
    rows.iter().map(name).collect()
}

/// The records of a kind, by key.
pub(super) async fn records(pools: &Pools, kind: RecordKind) -> Result<Vec<Record>, Failure> {
    let session = pools.reading(None).await?;
    let mut pipeline = session.pipeline();
    let sql = "SELECT key, value FROM syncline.records WHERE kind = $1 ORDER BY key";
    let asked = pipeline.send(sql, vec![text(record_kind(kind))]);
    let rows = pipeline.answers().await?.take(Some(asked));
    rows.iter().map(|row| Ok(Record { key: row.try_get(0)?, value: row.try_get(1)? })).collect()
}

/// Writes a record, or removes it.
pub(super) async fn put_record(pools: &Pools, kind: RecordKind, key: &str, value: Option<&str>) -> Result<(), Failure> {
    let session = pools.writing(None).await?;
    let mut pipeline = session.begin();
    match value {
        Some(value) => {
            let sql = "INSERT INTO syncline.records VALUES ($1, $2, $3)
                ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value";
            pipeline.send(sql, vec![text(record_kind(kind)), text(key), text(value)])
        }
        None => {
            let sql = "DELETE FROM syncline.records WHERE kind = $1 AND key = $2";
            pipeline.send(sql, vec![text(record_kind(kind)), text(key)])
        }
    };
    let done = session.commit(pipeline).await.map(drop);
    session.finish(done).await
}

/// Writes a record where there is none; `false`: there is one. Asked again after a lost answer, it says so of its own.
pub(super) async fn add_record(pools: &Pools, kind: RecordKind, key: &str, value: &str) -> Result<bool, Failure> {
    let session = pools.writing(None).await?;
    let mut pipeline = session.begin();
    let params = || vec![text(record_kind(kind)), text(key), text(value)];
    pipeline.send("INSERT INTO syncline.records VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", params());
    let sql = "SELECT FROM syncline.records WHERE kind = $1 AND key = $2 AND value = $3";
    let ours = pipeline.send(sql, params());
    let done = session.commit(pipeline).await.map(|mut answers| !answers.take(Some(ours)).is_empty());
    session.finish(done).await
}

/// Writes a record over the one that was read; `false`: it does not stand there. Asked again after a lost answer, it knows its own.
pub(super) async fn replace_record(
    pools: &Pools,
    kind: RecordKind,
    key: &str,
    (before, value): (&str, &str),
) -> Result<bool, Failure> {
    let session = pools.writing(None).await?;
    let mut pipeline = session.begin();
    let sql = "UPDATE syncline.records SET value = $4 WHERE kind = $1 AND key = $2 AND value = $3";
    pipeline.send(sql, vec![text(record_kind(kind)), text(key), text(before), text(value)]);
    let sql = "SELECT FROM syncline.records WHERE kind = $1 AND key = $2 AND value = $3";
    let ours = pipeline.send(sql, vec![text(record_kind(kind)), text(key), text(value)]);
    let done = session.commit(pipeline).await.map(|mut answers| !answers.take(Some(ours)).is_empty());
    session.finish(done).await
}

/// Whether a commit would be taken: the server is there, is the primary, and its tables are ours.
pub(super) async fn check(pools: &Pools, place: &str) -> Result<(), Failure> {
    let session = pools.writing(None).await?;
    let mut pipeline = session.pipeline();
    let sql = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'";
    let asked = pipeline.send(sql, vec![]);
    let rows = pipeline.answers().await?.take(Some(asked));
    let is = |column| rows.first().is_some_and(|row| row.try_get(column).unwrap_or(false));
    let reason = match (is(0), is(1)) {
        (true, _) => "the server is a replica and takes no writes; name the primary in the store's URL",
        (_, true) => {
            "the server takes no writes: default_transaction_read_only is on, as some providers set it on a full disk; make \
             room there, or set it off"
        }
        _ => return Ok(()),
    };
    Err(StoreError::Database { place: place.to_owned(), reason: reason.to_owned() }.into())
}

/// Finds out whether a full disk has room again, without leaving anything there. Readiness must not wait for the next
/// push: while it says no, none may come.
pub(super) async fn check_room(pools: &Pools) -> Result<(), Failure> {
    let session = pools.writing(None).await?;
    let mut pipeline = session.begin();
    // About as much as a usual group of pushes adds to the log.
    pipeline.say(
        "CREATE UNLOGGED TABLE syncline.room AS SELECT repeat(md5(n::TEXT), 32) FROM generate_series(1, 1024) AS n",
    );
    let tried = pipeline.answers().await.map(drop).map_err(Failure::Engine);
    match session.finish(tried).await {
        // Who may not make a table finds out by the next commit.
        Err(Failure::Engine(error)) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(()),
        tried => tried,
    }
}
