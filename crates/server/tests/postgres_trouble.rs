//! What stands between a worker and its database, or is wrong with it: certificates, poolers, limits, disks, and
//! databases that were set back. Each says what is wrong and what to do, and nothing is half done.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod database;
mod support;

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::postgres::{Pooler, Postgres};
use support::{Hub, insert};
use syncline_core::model::{NodeId, Plan, Registration, SpaceName};
use syncline_server::store::{Heard, PostgresOptions, PostgresStore, PostgresUrl, Store, StoreError};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
/// Long enough for a server that is there.
const IMPATIENT: PostgresOptions = PostgresOptions {
    connections: 4,
    connect_timeout: Duration::from_secs(5),
    patience: Duration::from_millis(300),
    lock_timeout: Duration::from_secs(10),
    reader_stall: Duration::from_secs(30),
};

async fn open(url: &str) -> Result<PostgresStore, StoreError> {
    PostgresStore::open(&PostgresUrl::parse(url)?, IMPATIENT).await
}

async fn refusal(url: &str) -> String {
    open(url).await.err().unwrap().to_string()
}

fn main_space() -> SpaceName {
    SpaceName::new("main").unwrap()
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// A key that the user of the server alone may read, as PostgreSQL asks for.
fn key_for_the_server(dir: &TempDir) -> PathBuf {
    let key = dir.path().join("server.key");
    let mut install = Command::new("install");
    install.args(["-m", "600"]);
    if Postgres::runs_as_another_user() {
        install.args(["-o", "postgres"]);
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    assert!(install.arg(data("hub.key.pem")).arg(&key).status().unwrap().success());
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_checked_as_far_as_the_url_asks_for_it() {
    let dir = TempDir::new().unwrap();
    let setting = |name: &str, file: &Path| format!("{name}={}", file.display());
    let (cert, key) = (setting("ssl_cert_file", &data("hub.pem")), setting("ssl_key_file", &key_for_the_server(&dir)));
    let server = Postgres::start_on_a_port(&["-c", "ssl=on", "-c", &cert, "-c", &key]);
    let database = server.database();
    let url = |host: &str, rest: &str| format!("{}?{rest}", server.tcp_url(host, &database));
    let (ca, wrong) = (data("ca.pem").display().to_string(), data("hub.pem").display().to_string());

    let full = url("localhost", &format!("sslmode=verify-full&sslrootcert={ca}"));
    let store = open(&full).await.unwrap();
    let sql =
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'syncline'";
    assert_eq!(server.run(&database, sql), "t", "nothing goes in the clear");
    drop(store);
    open(&url("127.0.0.2", &format!("sslmode=verify-ca&sslrootcert={ca}"))).await.unwrap();
    open(&url("127.0.0.2", "sslmode=require")).await.unwrap();
    for (url, says) in [
        (url("127.0.0.2", &format!("sslmode=verify-full&sslrootcert={ca}")), "not valid for"),
        (url("localhost", &format!("sslmode=verify-full&sslrootcert={wrong}")), "certificate"),
        (url("localhost", "sslmode=verify-full"), "certificate"),
        (url("localhost", "sslmode=verify-full&sslrootcert=/nowhere.pem"), "/nowhere.pem"),
    ] {
        let said = refusal(&url).await;
        assert!(said.contains(says) && said.contains("sslrootcert"), "{url}: {said}");
    }
    let plain = Postgres::start_on_a_port(&[]);
    let said = refusal(&format!("{}?sslmode=require", plain.tcp_url("localhost", "postgres"))).await;
    assert!(said.contains("TLS") && said.contains("sslmode"), "{said}");
}

/// A session of the server is another one with each transaction, and NOTIFY reaches nobody: workers look by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn workers_behind_a_pooler_in_transaction_mode_are_one_hub() {
    let server = Postgres::shared();
    let (pooler, database) = (Pooler::before(server), server.database());
    let url = PostgresUrl::parse(&pooler.url(&database)).unwrap();
    let store = async || Arc::new(PostgresStore::open(&url, PostgresOptions::default()).await.unwrap());
    let (one, two) = (Hub::on(store().await, |_| {}).await, Hub::on(store().await, |_| {}).await);

    let pushes = (0..20u64).map(|n| {
        let (hub, ops) = (if n % 2 == 0 { &one } else { &two }, json!([insert(1, "users", &format!("u{n}"))]));
        async move { hub.push(&format!("n{n}"), "b", &ops).await }
    });
    futures_util::future::join_all(pushes).await;
    assert_eq!(one.pull("since_lsn=0").await["ops"], two.pull("since_lsn=0").await["ops"]);

    let waiting = async { two.pull("since_lsn=20&wait=50").await };
    let pushing = async {
        sleep(Duration::from_millis(300)).await; // sleep: gives the poll a chance to wait
        one.push("n0", "b2", &json!([insert(2, "users", "late")])).await
    };
    let (pulled, _) = timeout(LONG, async { tokio::join!(waiting, pushing) }).await.unwrap();
    assert_eq!(pulled["ops"][0]["doc"]["_id"], "late", "found by looking");
}

/// The word that a session says to itself comes through; what others say does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_hears_nobody_through_a_pooler_notices_and_looks_every_second() {
    let server = Postgres::shared();
    let (pooler, database) = (Pooler::before(server), server.database());
    let store = open(&pooler.url(&database)).await.unwrap();
    let mut heard = store.listen().unwrap();
    let mut pauses = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        assert_eq!(timeout(LONG, heard.recv()).await.unwrap(), Some(Heard::Anything));
        pauses.push(began.elapsed());
    }
    // The first look comes at once; while others are heard, the next one ten seconds later.
    let every_second = |pause: &&Duration| (500..5_000).contains(&pause.as_millis());
    assert!(pauses.iter().filter(every_second).count() >= 2, "{pauses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_free_connection_says_so_and_is_used_again_when_it_has_one() {
    let server = Postgres::shared();
    let database = server.database();
    let grant = format!("GRANT CREATE ON DATABASE {database} TO hub");
    server.run(&database, &format!("CREATE USER hub CONNECTION LIMIT 5; {grant}"));
    let url = server.url_as("hub", &database);
    let store = open(&url).await.unwrap();
    store.open_space(&main_space()).await.unwrap();
    drop(store);
    let connected = async |count: &str| {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'hub'";
        while server.run(&database, sql) != count {
            sleep(Duration::from_millis(10)).await; // sleep: until others have come or gone
        }
    };
    timeout(LONG, connected("0")).await.unwrap();
    let mut busy: Vec<Child> = (0..5).map(|_| server.idle("hub", &database)).collect();
    timeout(LONG, connected("5")).await.unwrap();

    let said = refusal(&url).await;
    assert!(said.contains("max_connections") && said.contains("postgres.connections"), "{said}");
    server.run(&database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'hub'");
    for child in &mut busy {
        child.wait().unwrap();
    }
    let patient = PostgresOptions { patience: LONG, ..IMPATIENT };
    let store = PostgresStore::open(&PostgresUrl::parse(&url).unwrap(), patient).await.unwrap();
    assert_eq!(store.head(&main_space()).await.unwrap().lsn.0, 0);
}

fn log_of(pulled: &Value) -> Vec<&str> {
    pulled["ops"].as_array().unwrap().iter().map(|op| op["id"].as_str().unwrap()).collect()
}

/// A dump that is brought back is another history: devices have seen what is no longer there.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_filled_from_a_dump_begins_a_new_history() {
    let server = Postgres::shared();
    let (first, second) = (server.database(), server.database());
    let store = Arc::new(open(&server.url(&first)).await.unwrap());
    let hub = Hub::on(store.clone(), |_| {}).await;
    hub.push("n1", "b1", &json!([insert(1, "users", "saved")])).await;
    let id = NodeId::new("11111111-1111-4111-8111-000000000001").unwrap();
    let registration = Registration { id, code: "DESK".into(), name: "Desk".into(), plan: Plan::default() };
    store.register(&main_space(), registration, None).await.unwrap();
    let epoch = hub.pull("since_lsn=0").await["epoch"].clone();
    let dump = server.dump(&first);
    hub.push("n1", "b2", &json!([insert(2, "users", "lost")])).await;
    hub.shut_down().await;

    let again = Hub::on(Arc::new(open(&server.url(&first)).await.unwrap()), |_| {}).await;
    assert_eq!(again.pull("since_lsn=2").await["epoch"], epoch, "a restart is no new history");
    again.shut_down().await;
    server.run(&second, &dump);
    let restored = Hub::on(Arc::new(open(&server.url(&second)).await.unwrap()), |_| {}).await;

    let pulled = restored.pull("since_lsn=0").await;
    assert_ne!(pulled["epoch"], epoch);
    assert_eq!(log_of(&pulled), ["saved"]);
    let old = format!("/sync/pull?node=n1&since_lsn=2&epoch={}", epoch.as_str().unwrap());
    assert_eq!(restored.get(&old).await.refusal(410), "resync");
    assert!(server.run(&second, "SELECT fill FROM syncline.nodes").contains("\"again\":true"), "nodes are filled anew");
    restored.shut_down().await;
    let epoch = pulled["epoch"].clone();
    let again = Hub::on(Arc::new(open(&server.url(&second)).await.unwrap()), |_| {}).await;
    assert_eq!(again.pull("since_lsn=0").await["epoch"], epoch, "once");
}

/// What a failover to a replica that lacked the last commits looks like.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_set_back_under_a_hub_is_noticed_by_the_next_commit_and_goes_on_under_another_epoch() {
    let server = Postgres::shared();
    let database = server.database();
    let store = async || Arc::new(open(&server.url(&database)).await.unwrap());
    let (one, two) = (Hub::on(store().await, |_| {}).await, Hub::on(store().await, |_| {}).await);
    for n in 1..=3 {
        one.push("n1", &format!("b{n}"), &json!([insert(n, "users", &format!("u{n}"))])).await;
    }
    let epoch = two.pull("since_lsn=0").await["epoch"].clone();
    server.run(
        &database,
        "DELETE FROM syncline.log WHERE lsn > 2; DELETE FROM syncline.heads WHERE lsn > 2;
         UPDATE syncline.spaces SET lsn = 2, last_change = 2",
    );
    let push = json!({ "node": "n1", "batchId": "b4", "ops": [insert(4, "users", "u4")] });

    let refused = one.post("/sync/push", &push).await;
    assert_eq!(refused.refusal(503), "store_failed");
    assert!(refused.json()["error"].as_str().unwrap().contains("set back"), "{}", refused.text());
    assert_eq!(one.post("/sync/push", &push).await.status, 503, "it commits nothing any more");
    assert_eq!(one.get("/health/ready").await.status, 503);
    let noticed = async {
        while two.get("/health/ready").await.status != 503 {
            sleep(Duration::from_millis(20)).await; // sleep: until the other worker has looked
        }
    };
    timeout(LONG, noticed).await.unwrap();
    assert_eq!(server.run(&database, "SELECT count(*) FROM syncline.log"), "2", "nothing was written");

    let fresh = Hub::on(store().await, |_| {}).await;
    let pulled = fresh.pull("since_lsn=0").await;
    assert_ne!(pulled["epoch"], epoch);
    assert_eq!(log_of(&pulled), ["u1", "u2"]);
    assert_eq!(fresh.post("/sync/push", &push).await.status, 200);
}

/// One space has a turn that takes for ever, and very many that want something of it; another one goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_flooded_space_leaves_connections_and_requests_to_others() {
    let server = Postgres::shared();
    let database = server.database();
    let url = PostgresUrl::parse(&server.url(&database)).unwrap();
    let patient = PostgresOptions { connections: 8, patience: LONG, lock_timeout: LONG, ..PostgresOptions::default() };
    let store = Arc::new(PostgresStore::open(&url, patient).await.unwrap());
    let hub = Hub::on(store.clone(), |options| {
        let bounds = &mut options.settings.bounds;
        (bounds.requests, bounds.space_requests, bounds.request_timeout) = (12, 8, LONG);
    });
    let hub = Arc::new(hub.await);
    assert_eq!(hub.post("/admin/tokens", &json!({ "name": "flood", "space": "flood" })).await.status, 200);
    let mut turn = server.transaction(&database);
    turn.say("BEGIN; SELECT FROM syncline.spaces WHERE space = 'flood' FOR UPDATE; SELECT 'has the turn';");
    turn.hears("has the turn");

    let push =
        |n: u64| json!({ "node": format!("n{n}"), "batchId": "b", "ops": [insert(1, "users", &format!("u{n}"))] });
    let flood: Vec<_> = (0..40)
        .map(|n| {
            let (hub, store, body) = (Arc::clone(&hub), Arc::clone(&store), push(n));
            tokio::spawn(async move {
                let registration = Registration {
                    id: NodeId::new(format!("11111111-1111-4111-8111-{n:012}")).unwrap(),
                    code: format!("N{n}"),
                    name: String::new(),
                    plan: Plan::default(),
                };
                let space = SpaceName::new("flood").unwrap();
                let (pushed, registered) =
                    tokio::join!(hub.post("/s/flood/sync/push", &body), store.register(&space, registration, None));
                registered.unwrap();
                pushed
            })
        })
        .collect();
    let sql =
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let waits = async {
        while server.run(&database, sql) != "t" {
            sleep(Duration::from_millis(10)).await; // sleep: until the flood is there
        }
    };
    timeout(LONG, waits).await.unwrap();
    for n in 0..20 {
        let reply = hub.post("/sync/push", &push(100 + n)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert_eq!(hub.pull("since_lsn=0").await["ops"].as_array().unwrap().len(), 20);

    turn.say("COMMIT;");
    let (mut done, mut refused) = (0, 0);
    for pushed in flood {
        let reply = pushed.await.unwrap();
        match reply.status {
            200 => done += 1,
            _ => {
                assert_eq!(reply.refusal(503), "overloaded");
                assert!(reply.json()["error"].as_str().unwrap().contains("limits.space_requests"), "{}", reply.text());
                refused += 1;
            }
        }
    }
    assert!(done >= 8 && refused > 0, "{done} done, {refused} refused");
}
