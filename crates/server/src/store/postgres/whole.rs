//! Databases as a whole, for those who take them elsewhere or bring them.

use super::pool::{Pools, Session};
use super::trouble::{Failure, told};
use super::{Options, Url, schema};
use crate::store::StoreError;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// By this name the server knows connections that move a hub; those of hubs are called otherwise.
const MOVER: &str = "syncline migrate";

/// How long connections of a hub that has ended may take to be gone.
const PARTING: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One state of a database that no hub uses.
pub(in crate::store) async fn moving_from(url: &Url) -> Result<Session, StoreError> {
    let begun = async {
        let pools = pools(url)?;
        if !schema::is_there(&pools).await? {
            return Err(empty(url).into());
        }
        let until = Instant::now() + PARTING;
        let session = loop {
            let (session, hubs) = look(&pools, url).await?;
            match hubs {
                0 => break session,
                _ if Instant::now() < until => {
                    session.finish(Ok(())).await?;
                    sleep(LOOK_EVERY).await;
                }
                _ => {
                    let reason =
                        format!("hubs use it by {hubs} connections; stop them, so that nothing is left behind");
                    return Err(StoreError::Database { place: url.to_string(), reason }.into());
                }
            }
        };
        schema::prepare(&pools, &url.to_string()).await?;
        Ok(session)
    };
    begun.await.map_err(|failure| said(url, "looking at the database", failure))
}

/// A transaction in a database that holds a hub, and how many connections of hubs there are.
async fn look(pools: &Pools, url: &Url) -> Result<(Session, i64), Failure> {
    let session = pools.reading(None).await?;
    let mut pipeline = session.pipeline();
    let sql = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'syncline' AND datname = current_database()";
    let asked = pipeline.send(sql, vec![]);
    let any = "SELECT FROM syncline.spaces UNION ALL SELECT FROM syncline.records LIMIT 1";
    let any = pipeline.send(any, vec![]);
    let mut answers = pipeline.answers().await?;
    if answers.take(Some(any)).is_empty() {
        return Err(empty(url).into());
    }
    let found = answers.take(Some(asked));
    let hubs = found.first().map(|row| row.try_get::<_, i64>(0)).transpose()?;
    Ok((session, hubs.unwrap_or_default()))
}

fn empty(url: &Url) -> StoreError {
    let reason = "there is no hub in it; name the database of one".to_owned();
    StoreError::Database { place: url.to_string(), reason }
}

/// A transaction in a database that is to be filled.
pub(in crate::store) async fn moving_into(url: &Url) -> Result<Session, StoreError> {
    let begun = async {
        let pools = pools(url)?;
        schema::prepare(&pools, &url.to_string()).await?;
        pools.writing(None).await
    };
    begun.await.map_err(|failure| said(url, "making the tables", failure))
}

fn pools(url: &Url) -> Result<Pools, Failure> {
    Ok(Pools::new(&url.clone().named(MOVER), &Options::default())?)
}

/// What a person is told.
pub(in crate::store) fn said(url: &Url, action: &'static str, failure: Failure) -> StoreError {
    told(&url.to_string(), action, failure)
}
