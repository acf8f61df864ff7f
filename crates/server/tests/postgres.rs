//! What PostgreSQL adds to the contract of stores: workers beside each other, connections that break, and databases
//! that cannot be used as they are.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::gate::{Gate, Loss};
use support::postgres::Postgres;
use support::{Hub, insert};
use syncline_core::hub::{Change, Entry, Loaded, Touch, WriteSet};
use syncline_core::model::{Body, CollectionName, DocId, Lsn, Mark, Meta, Millis, NodeId, SpaceName, Stamp, Version};
use syncline_server::store::{
    Decide, Encoder, Head, PostgresOptions, PostgresStore, PostgresUrl, Row, Scan, Scanned, Store, StoreError,
};
use tokio::sync::mpsc;
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

async fn open(url: &str) -> Result<PostgresStore, StoreError> {
    let options = PostgresOptions { patience: LONG, lock_timeout: LONG, ..PostgresOptions::default() };
    PostgresStore::open(&PostgresUrl::parse(url)?, options).await
}

/// A store on an empty database, with the space `main`.
async fn fresh() -> (Arc<PostgresStore>, String) {
    let server = Postgres::shared();
    let database = server.database();
    let store = open(&server.url(&database)).await.unwrap();
    store.open_space(&space()).await.unwrap();
    (Arc::new(store), database)
}

fn space() -> SpaceName {
    SpaceName::new("main").unwrap()
}

fn counter() -> (CollectionName, DocId) {
    (CollectionName::new("a").unwrap(), DocId::new("counter").unwrap())
}

fn touch(node: &str) -> Touch {
    Touch { docs: [counter()].into(), nodes: [NodeId::new(node).unwrap()].into(), ..Touch::default() }
}

/// Adds one to a counter, by what is loaded.
fn add_one(node: &str) -> Decide {
    let node = NodeId::new(node).unwrap();
    Box::new(move |loaded: Loaded| {
        let count = loaded
            .docs
            .get(&counter())
            .map_or(0, |old| old.body.fields().get("n").and_then(|n| n.get().parse::<u64>().ok()).unwrap());
        let (lsn, author) = (loaded.head.next(), loaded.nodes[&node].author);
        let meta = Meta::inserted(Mark { stamp: Stamp(lsn.0), lsn, author });
        let body = Body::trusted(format!("{{\"n\":{}}}", count + 1));
        let facts = body.facts().clone();
        let (collection, id) = counter();
        let change = Change { collection, id, version: Version { lsn, author, body, meta }, facts };
        WriteSet { at: Millis(1), entries: vec![Entry::Change(change)], ..WriteSet::default() }
    })
}

/// Keeps positions and the last text.
#[derive(Clone, Default)]
struct Keeper(Arc<Mutex<(Vec<u64>, String)>>);

impl Encoder for Keeper {
    fn begin(&mut self, _: &Head, _: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _: &mut Vec<u8>) -> bool {
        let mut kept = self.0.lock().unwrap();
        kept.0.push(row.lsn.0);
        kept.1 = row.body.to_owned();
        true
    }

    fn end(&mut self, _: &Scanned, _: &mut Vec<u8>) {}
}

/// The positions after one, up to where they are complete, and the last text.
async fn read(store: &PostgresStore, after: u64) -> (Vec<u64>, Lsn, String) {
    let keeper = Keeper::default();
    let (out, mut chunks) = mpsc::channel::<Bytes>(4);
    let log = Scan::Log { after: Lsn(after), collections: None, max_rows: 1_000, max_bytes: 1 << 20 };
    let space = space();
    let scanned = store.scan(&space, log, Box::new(keeper.clone()), out).await.unwrap();
    assert!(chunks.recv().await.is_none(), "it writes nothing");
    let kept = keeper.0.lock().unwrap().clone();
    (kept.0, scanned.upto, kept.1)
}

/// Two writers, one slower than the other, and a reader that follows by position: with numbers of a sequence it never
/// sees what the slower one writes. The store takes numbers under the space's lock, so the quicker one waits its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sequence_would_skip_rows_and_the_store_does_not() {
    let (store, database) = fresh().await;
    let server = Postgres::shared();
    server.run(&database, "CREATE SEQUENCE naive; CREATE TABLE naive_log (lsn BIGINT PRIMARY KEY)");
    let seen = server.run(
        &database,
        "CREATE EXTENSION dblink;
         SELECT dblink_connect('slow', format('host=%s user=syncline dbname=%s', current_setting('unix_socket_directories'), current_database()));
         SELECT dblink_exec('slow', 'BEGIN; INSERT INTO naive_log VALUES (nextval(''naive''))');
         INSERT INTO naive_log VALUES (nextval('naive'));
         SELECT 'seen ' || max(lsn) FROM naive_log;
         SELECT dblink_exec('slow', 'COMMIT');
         SELECT 'later ' || count(*) FROM naive_log WHERE lsn > 2;
         SELECT 'there ' || count(*) FROM naive_log",
    );
    let words = ["seen ", "later ", "there "];
    let said: Vec<_> = seen.lines().filter(|line| words.iter().any(|word| line.starts_with(word))).collect();
    assert_eq!(said, ["seen 2", "later 0", "there 2"], "the reader at 2 never hears of 1");

    let deciding = Arc::new(AtomicBool::new(false));
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let slow = tokio::spawn({
        let (store, deciding) = (Arc::clone(&store), Arc::clone(&deciding));
        let mut add = add_one("slow");
        let decide: Decide = Box::new(move |loaded| {
            deciding.store(true, Ordering::SeqCst);
            // Also where the test has failed, and nobody says anything any more.
            let _said = block_in_place(|| may_go_on.recv());
            add(loaded)
        });
        async move { store.commit(&space(), touch("slow"), decide).await.unwrap().lsn }
    });
    eventually(|| deciding.load(Ordering::SeqCst)).await;
    let quick = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.commit(&space(), touch("quick"), add_one("quick")).await.unwrap().lsn }
    });
    let waits =
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    eventually(|| server.run(&database, waits) == "t").await;
    let (before, cursor, _) = read(&store, 0).await;
    go_on.send(()).unwrap();

    assert_eq!((slow.await.unwrap(), quick.await.unwrap()), (Lsn(1), Lsn(2)));
    assert_eq!((before, cursor), (vec![], Lsn(0)), "the quick one has to wait");
    assert_eq!(read(&store, cursor.0).await.0, [1, 2]);
}

/// Waits for something that another task or program does.
async fn eventually(is: impl Fn() -> bool) {
    let waiting = async {
        while !is() {
            sleep(Duration::from_millis(10)).await; // sleep: until somebody else has done it
        }
    };
    timeout(LONG, waiting).await.unwrap();
}

/// Every connection of the store is cut again and again, in the middle of anything: each commit takes place once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_break_cost_no_commit_and_repeat_none() {
    let (store, database) = fresh().await;
    let server = Postgres::shared();
    let (done, left) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let cutting = tokio::task::spawn_blocking({
        let (done, left) = (Arc::clone(&done), Arc::clone(&left));
        move || {
            while !done.load(Ordering::SeqCst) {
                let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE application_name = 'syncline' AND datname = current_database()";
                left.fetch_add(server.run(&database, sql).parse().unwrap(), Ordering::SeqCst);
            }
        }
    });
    let writers = ["w0", "w1", "w2"].map(|name| {
        let (store, left) = (Arc::clone(&store), Arc::clone(&left));
        tokio::spawn(async move {
            let mut count = 0;
            while count < 30 || left.load(Ordering::SeqCst) < 10 {
                store.commit(&space(), touch(name), add_one(name)).await.unwrap();
                count += 1;
            }
            count
        })
    });
    let counts: u64 = join_all(writers).await.into_iter().map(Result::unwrap).sum();
    done.store(true, Ordering::SeqCst);
    cutting.await.unwrap();

    let head = store.head(&space()).await.unwrap();
    let (_, _, last) = read(&store, head.lsn.0 - 1).await;
    assert_eq!((head.lsn, last), (Lsn(counts), format!("{{\"n\":{counts}}}")));
}

/// A commit that breaks off while another worker waits for its turn: what that one then writes, at the same position, at
/// the same time, to the same document and as a node that is new as well, is not taken for it, nor is it done twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_commit_whose_answer_is_lost_is_known_again_and_no_other_passes_for_it() {
    for loss in [Loss::Requests, Loss::Answers] {
        let (other, database) = fresh().await;
        let gate = Gate::before(Postgres::shared());
        let store = open(&gate.url(&database)).await.unwrap();
        let (attempts, runtime) = (Arc::new(AtomicU64::new(0)), tokio::runtime::Handle::current());
        let decide: Decide = Box::new({
            let (attempts, other) = (Arc::clone(&attempts), Arc::clone(&other));
            let mut add = add_one("broken");
            move |loaded| {
                let first = attempts.fetch_add(1, Ordering::SeqCst) == 0;
                if first {
                    gate.lose(loss);
                }
                if first && matches!(loss, Loss::Requests) {
                    let main = space();
                    let meanwhile = other.commit(&main, touch("other"), add_one("other"));
                    assert_eq!(block_in_place(|| runtime.block_on(meanwhile)).unwrap().lsn, Lsn(1));
                }
                add(loaded)
            }
        });
        let head = store.commit(&space(), touch("broken"), decide).await.unwrap();

        let (count, tries) = match loss {
            Loss::Requests => (2, 2),
            Loss::Answers => (1, 1),
        };
        assert_eq!((head.lsn, attempts.load(Ordering::SeqCst)), (Lsn(count), tries), "{loss:?}");
        assert_eq!(read(&other, count - 1).await.2, format!("{{\"n\":{count}}}"), "{loss:?}");
    }
}

/// One of several workers that start together makes the tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_that_start_together_make_one_schema() {
    let server = Postgres::shared();
    let (database, url) = {
        let name = server.database();
        (name.clone(), server.url(&name))
    };
    let opened = join_all((0..8).map(|_| open(&url))).await;
    let heads =
        join_all(opened.iter().map(|store| async { store.as_ref().unwrap().open_space(&space()).await.unwrap() }));
    let epochs: std::collections::BTreeSet<_> = heads.await.into_iter().map(|head| head.epoch.to_string()).collect();
    assert_eq!(epochs.len(), 1, "one space");
    assert_eq!(server.run(&database, "SELECT version FROM syncline.schema"), "2");
}

/// What earlier tables lack is made when a worker starts on them, and what stands in them stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_an_earlier_schema_are_brought_forward() {
    let server = Postgres::shared();
    let database = server.database();
    let store = open(&server.url(&database)).await.unwrap();
    store.open_space(&space()).await.unwrap();
    store.commit(&space(), touch("n1"), add_one("n1")).await.unwrap();
    server.run(&database, "DROP FUNCTION syncline.known; UPDATE syncline.schema SET version = 1");

    let later = open(&server.url(&database)).await.unwrap();

    let head = later.commit(&space(), touch("n1"), add_one("n1")).await.unwrap();
    assert_eq!((head.lsn, read(&later, 1).await.2), (Lsn(2), r#"{"n":2}"#.to_owned()));
    assert_eq!(server.run(&database, "SELECT version FROM syncline.schema"), "2");
}

/// Each says what is wrong and what to do, and none says the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_be_used_is_named_with_what_to_do() {
    let server = Postgres::shared();
    let database = server.database();
    server.run(
        &database,
        &format!(
            "CREATE USER ann PASSWORD 'right'; CREATE USER ben; REVOKE CREATE ON DATABASE {database} FROM ben, PUBLIC"
        ),
    );
    let wrong_password = server.url_as("ann:wr0ng", &database);
    let refused = async |url: &str| open(url).await.err().unwrap().to_string();

    let said = refused(&wrong_password).await;
    assert!(said.contains("password") && said.contains("pg_hba.conf") && !said.contains("wr0ng"), "{said}");
    let said = refused(&server.url("nowhere")).await;
    assert!(said.contains("nowhere") && said.contains("createdb"), "{said}");
    let said = refused(&server.url_as("ben", &database)).await;
    assert!(said.contains("permission denied") && said.contains("GRANT CREATE"), "{said}");

    open(&server.url(&database)).await.unwrap();
    let said = refused(&server.url_as("ben", &database)).await;
    assert!(said.contains("permission denied"), "{said}");
    server.run(&database, "UPDATE syncline.schema SET version = 99");
    let said = refused(&server.url(&database)).await;
    assert!(said.contains("schema 99") && said.contains("use a newer syncline"), "{said}");
}

/// What was answered before a crash is there after it, and a server that has become a replica says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_crashes_is_waited_for_and_one_that_takes_no_writes_is_named() {
    let server = Arc::new(Postgres::start(&[]));
    let url = PostgresUrl::parse(&server.url(&server.database())).unwrap();
    let options = PostgresOptions { patience: LONG, lock_timeout: LONG, ..PostgresOptions::default() };
    let store = PostgresStore::open(&url, options).await.unwrap();
    store.open_space(&space()).await.unwrap();
    store.commit(&space(), touch("n1"), add_one("n1")).await.unwrap();
    server.crash();
    let starting = tokio::task::spawn_blocking({
        let server = Arc::clone(&server);
        move || server.start_again()
    });
    let head = store.commit(&space(), touch("n1"), add_one("n1")).await.unwrap();
    starting.await.unwrap();
    assert_eq!((head.lsn, read(&store, 1).await.2), (Lsn(2), r#"{"n":2}"#.to_owned()));

    server.demote();
    server.crash();
    server.start_again();
    let impatient = PostgresOptions { patience: Duration::from_millis(100), ..options };
    let store = PostgresStore::open(&url, impatient).await.unwrap();
    assert_eq!(read(&store, 0).await.0, [1, 2], "it is there to read");
    let refused = store.commit(&space(), touch("n1"), add_one("n1")).await.unwrap_err().to_string();
    assert!(refused.contains("read-only") && refused.contains("name the primary"), "{refused}");
    let unready = store.check().await.unwrap_err().to_string();
    assert!(unready.contains("replica"), "{unready}");
}

/// A change that was read before another worker's removal and written after it changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_one_worker_removes_while_another_one_changes_it_is_gone() {
    let (store, database) = fresh().await;
    let server = Postgres::shared();
    let hub = Arc::new(Hub::on(store, |options| options.settings.bounds.request_timeout = LONG).await);
    let made = hub.post("/admin/tokens", &json!({ "name": "gone" })).await.json();
    let secret = format!("Bearer {}", made["token"].as_str().unwrap());
    for (method, path, body) in
        [("PATCH", "/admin/tokens/gone", r#"{"write":false}"#), ("POST", "/admin/tokens/gone/rotate", "null")]
    {
        let mut removal = server.transaction(&database);
        removal.say("BEGIN; DELETE FROM syncline.records WHERE key = 'gone'; SELECT 'removed';");
        removal.hears("removed");
        let change = tokio::spawn({
            let hub = Arc::clone(&hub);
            let bearer = format!("Bearer {}", support::ADMIN);
            async move { hub.send(method, path, &[("authorization", &bearer)], body.as_bytes()).await.status }
        });
        until_somebody_waits(server, &database).await;

        removal.say("COMMIT;");

        assert_eq!(change.await.unwrap(), 404, "{method}");
        let pull = hub.send("GET", "/sync/pull?node=r", &[("authorization", &secret)], b"").await;
        assert_eq!(pull.status, 401, "{method}");
        assert_eq!(server.run(&database, "SELECT count(*) FROM syncline.records WHERE key = 'gone'"), "0");
        let again = hub.post("/admin/tokens", &json!({ "name": "gone" })).await;
        assert_eq!(again.status, 200, "{}", again.text());
    }
}

/// Returns when a statement waits for the lock of another one.
async fn until_somebody_waits(server: &Postgres, database: &str) {
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let until = async {
        while server.run(database, waits) != "1" {
            sleep(Duration::from_millis(10)).await; // sleep: until another program has come so far
        }
    };
    timeout(LONG, until).await.unwrap();
}

/// While another worker has the turn, what arrives waits in one group and not behind a small one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pushes_that_arrive_before_their_worker_has_the_turn_share_a_commit() {
    // Given a worker that knows that others write to its space, and somebody who has the turn.
    let (store, database) = fresh().await;
    let server = Postgres::shared();
    let other = Hub::on(Arc::new(open(&server.url(&database)).await.unwrap()), |_| {}).await;
    let hub = Arc::new(Hub::on(store, |options| options.settings.bounds.request_timeout = LONG).await);
    for (n, writer) in [(1, &*hub), (2, &other), (3, &*hub)] {
        writer.push(&format!("n{n}"), "before", &json!([insert(1, "users", &format!("u{n}"))])).await;
    }
    let mut turn = server.transaction(&database);
    turn.say("BEGIN; SELECT FROM syncline.spaces FOR UPDATE; SELECT 'has the turn';");
    turn.hears("has the turn");

    // When a push waits for the turn, and then two more come.
    let push = |n: u64| {
        let hub = Arc::clone(&hub);
        tokio::spawn(async move {
            hub.push(&format!("n{n}"), "together", &json!([insert(2, "users", &format!("v{n}"))])).await
        })
    };
    let first = push(1);
    until_somebody_waits(server, &database).await;
    let more = [push(2), push(3)];
    let until = async {
        while !hub.get("/metrics").await.text().contains("syncline_space_queued_pushes{space=\"main\"} 2") {
            sleep(Duration::from_millis(10)).await; // sleep: until both are there
        }
    };
    timeout(LONG, until).await.unwrap();
    turn.say("COMMIT;");

    // Then all of them are in one transaction.
    first.await.unwrap();
    for pushed in more {
        pushed.await.unwrap();
    }
    let sql = "SELECT count(*), count(DISTINCT xmin::TEXT) FROM syncline.batches WHERE id = 'together'";
    assert_eq!(server.run(&database, sql), "3|1");
}

/// Each worker serves what another one took in, also while readers wait at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_on_one_database_are_one_hub() {
    let (first_store, database) = fresh().await;
    let second_store = open(&Postgres::shared().url(&database)).await.unwrap();
    let first = Hub::on(first_store, |_| {}).await;
    let second = Hub::on(Arc::new(second_store), |_| {}).await;
    first.push("n1", "b1", &json!([insert(1, "users", "u1")])).await;
    assert_eq!(second.pull("since_lsn=0").await["ops"][0]["doc"]["_id"], "u1");
    assert_eq!(second.pull("since_lsn=1").await["ops"], json!([]), "a position that another worker has handed out");

    let waiting = async { second.pull("since_lsn=1&wait=20").await };
    let pushing = async {
        sleep(Duration::from_millis(200)).await; // sleep: gives the poll a chance to wait
        first.push("n1", "b2", &json!([insert(2, "users", "u2")])).await
    };
    let (pulled, _) = timeout(LONG, async { tokio::join!(waiting, pushing) }).await.unwrap();
    assert_eq!(pulled["ops"][0]["doc"]["_id"], "u2");
    first.push("n1", "b2", &json!([insert(2, "users", "u2")])).await;
    let repeated = second.push("n1", "b2", &json!([insert(2, "users", "u2")])).await;
    assert_eq!(repeated["server_lsn"], 2, "a repeat at another worker: {repeated}");
    first.shut_down().await;
    second.shut_down().await;
}

/// What is done to tokens at one worker holds at the other: a new one at once, an end as soon as the hint is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tokens_of_one_worker_are_those_of_the_other() {
    let [one, two] = Hub::workers(|_| {}).await;
    for n in 0..3 {
        let made = one.post("/admin/tokens", &json!({ "name": format!("kiosk-{n}") })).await.json();
        let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
        let pull = async || two.send("GET", "/sync/pull?node=k&since_lsn=0", &[("authorization", &bearer)], b"").await;
        assert_eq!(pull().await.status, 200, "at once");
        let admin = format!("Bearer {}", support::ADMIN);
        let path = format!("/admin/tokens/kiosk-{n}");
        assert_eq!(one.send("DELETE", &path, &[("authorization", &admin)], b"").await.status, 200);
        let refused = async {
            while pull().await.status != 401 {
                sleep(Duration::from_millis(5)).await; // sleep: until another worker has heard
            }
        };
        timeout(LONG, refused).await.unwrap();
    }
    let desk = json!({ "name": "desk" });
    let (here, there) = tokio::join!(one.post("/admin/tokens", &desk), two.post("/admin/tokens", &desk));
    let mut statuses = [here.status, there.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "one of them makes it");
}
