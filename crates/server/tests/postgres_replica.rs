//! A replica of the shared database: what it serves, and that nobody ever reads less because of it.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::postgres::Postgres;
use support::{Hub, insert};
use syncline_server::store::{PostgresOptions, PostgresStore, PostgresUrl};
use tokio::time::sleep;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
/// More than what is read from the primary in any case.
const MANY: u64 = 1_200;

async fn hub(url: &str, replica: &str) -> Hub {
    let (url, replica) = (PostgresUrl::parse(url).unwrap(), PostgresUrl::parse(replica).unwrap());
    let store = PostgresStore::open_beside(Some(&replica), &url, PostgresOptions::default()).await.unwrap();
    Hub::on(Arc::new(store), |_| {}).await
}

async fn write(hub: &Hub, numbers: std::ops::RangeInclusive<u64>) {
    let batch = format!("b{}", numbers.start());
    let ops: Vec<Value> = numbers.map(|n| insert(n, "a", &format!("d{n}"))).collect();
    hub.push("n1", &batch, &json!(ops)).await;
}

/// The documents of a snapshot and the changes of a page that begins at the beginning: as many, with a log of inserts.
async fn read(hub: &Hub) -> u64 {
    let snapshot = hub.get("/sync/snapshot?node=reader").await.text();
    let end: Value = serde_json::from_str(snapshot.lines().last().unwrap()).unwrap();
    let mut changes = 0;
    loop {
        let page = hub.pull(&format!("since_lsn={changes}")).await;
        let ops = page["ops"].as_array().unwrap().len() as u64;
        changes += ops;
        if ops == 0 {
            break;
        }
    }
    assert_eq!(end["documents"].as_u64(), Some(changes), "{end}");
    changes
}

/// From when this returns, the replica takes over nothing more.
async fn halt(replica: &Postgres) {
    replica.run("postgres", "SELECT pg_wal_replay_pause()");
    let until = Instant::now() + LONG;
    while replica.run("postgres", "SELECT pg_get_wal_replay_pause_state()") != "paused" {
        assert!(Instant::now() < until, "the replica halts");
        sleep(Duration::from_millis(10)).await; // sleep: until another program has done its part
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_serves_long_readings_as_long_as_it_is_as_far_as_the_primary() {
    // Given a replica that has everything and takes over nothing more.
    let primary = Postgres::start(&[]);
    let (replica, database) = (primary.replica(), primary.database());
    let hub = hub(&primary.url(&database), &replica.url(&database)).await;
    write(&hub, 1..=MANY).await;
    replica.catches_up(&primary);
    halt(&replica).await;

    // When nobody can read the log at the primary, then it is read at the replica.
    let mut holder = primary.transaction(&database);
    holder.say("BEGIN; LOCK TABLE syncline.log; SELECT 'held';");
    holder.hears("held");
    let snapshot = hub.get("/sync/snapshot?node=reader").await.text();
    assert!(snapshot.ends_with(&format!("\"documents\":{MANY}}}\n")), "{}", snapshot.lines().last().unwrap());
    assert_eq!(hub.pull("since_lsn=0").await["ops"][0]["doc"]["_id"], "d1");
    holder.say("COMMIT; SELECT 'free';");
    holder.hears("free");

    // When the primary has more, then that is read; and also when the replica is gone.
    write(&hub, MANY + 1..=MANY + 1).await;
    assert_eq!(read(&hub).await, MANY + 1);
    replica.run("postgres", "SELECT pg_wal_replay_resume()");
    replica.crash();
    write(&hub, MANY + 2..=MANY + 2).await;
    assert_eq!(read(&hub).await, MANY + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_writes_itself_serves_as_nobodys_replica() {
    // Given one under the replica's name whose log says something else, as after a promotion.
    let server = Postgres::shared();
    let (database, other) = (server.database(), server.database());
    let hub = hub(&server.url(&database), &server.url(&other)).await;
    write(&hub, 1..=MANY).await;
    let dump = server.dump(&database);
    server.run(&other, &dump);
    server.run(&other, "UPDATE syncline.log SET body = '{}'");

    // When somebody reads, then the primary answers.
    let snapshot = hub.get("/sync/snapshot?node=reader").await.text();
    assert!(!snapshot.contains("\"doc\":{}") && snapshot.contains("\"n\":7"), "{}", snapshot.lines().nth(1).unwrap());
}
