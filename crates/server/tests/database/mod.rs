//! Databases that take no writes, now or ever.

#[allow(dead_code)] // others start programs on it
#[path = "../../../cli/tests/faults/disk.rs"]
mod disk;
mod full;
mod read_only;
mod small;

use crate::support::Hub;
use crate::support::postgres::Postgres;
use disk::Disk;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use syncline_server::store::{PostgresStore, PostgresUrl};
use tokio::time::{sleep, timeout};

/// A hub that gives up soon.
async fn hub(server: &Postgres, database: &str) -> Hub {
    let url = PostgresUrl::parse(&server.url(database)).unwrap();
    Hub::on(Arc::new(PostgresStore::open(&url, super::IMPATIENT).await.unwrap()), |_| {}).await
}

fn push(n: u64, bytes: usize) -> Value {
    let mut op = crate::support::insert(n, "notes", &format!("n{n}"));
    // What the server could make smaller would take long to fill a disk.
    let mut rng = fastrand::Rng::with_seed(n);
    op["doc"]["text"] = json!((0..bytes).map(|_| rng.alphanumeric()).collect::<String>());
    json!({ "node": "n1", "batchId": format!("b{n}"), "ops": [op] })
}

async fn until_ready(hub: &Hub) {
    let ready = async {
        while hub.get("/health/ready").await.status != 200 {
            sleep(Duration::from_millis(20)).await; // sleep: until the hub has looked again
        }
    };
    timeout(super::LONG, ready).await.expect("it is ready again");
}

/// The ids in the log, in its order.
async fn log(hub: &Hub) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), 0);
    loop {
        let page = hub.pull(&format!("since_lsn={after}")).await;
        ids.extend(page["ops"].as_array().unwrap().iter().map(|op| op["id"].as_str().unwrap().to_owned()));
        after = page["server_lsn"].as_u64().unwrap();
        if page["has_more"] == json!(false) {
            return ids;
        }
    }
}
