//! A server that takes no writes for a while, and one that does not keep what it has confirmed.

use super::{hub, log, push, until_ready};
use crate::support::postgres::Postgres;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_set_to_read_only_serves_readers_says_so_and_takes_writes_again() {
    let server = Postgres::shared();
    let database = server.database();
    let hub = hub(server, &database).await;
    assert_eq!(hub.post("/sync/push", &push(1, 10)).await.status, 200);
    let set = |on: &str| {
        let sql = format!(
            "ALTER DATABASE {database} SET default_transaction_read_only = {on};
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
        );
        server.run("postgres", &sql);
    };
    set("on");

    let refused = hub.post("/sync/push", &push(2, 10)).await;
    assert_eq!(refused.refusal(503), "store_failed");
    let said = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(said.contains("takes no writes") && said.contains("default_transaction_read_only"), "{said}");
    let unready = hub.get("/health/ready").await;
    assert!(unready.status == 503 && unready.text().contains("default_transaction_read_only"), "{}", unready.text());
    assert_eq!(log(&hub).await, ["n1"], "readers are served");

    set("off");
    until_ready(&hub).await;
    assert_eq!(hub.post("/sync/push", &push(2, 10)).await.status, 200);
    assert_eq!(log(&hub).await, ["n1", "n2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_would_forget_what_it_has_confirmed_is_refused() {
    let server = Postgres::shared();
    let database = server.database();
    server.run("postgres", &format!("ALTER DATABASE {database} SET synchronous_commit = off"));
    let said = crate::refusal(&server.url(&database)).await;
    assert!(said.contains("synchronous_commit is off") && said.contains("ALTER DATABASE"), "{said}");
    assert_eq!(server.run(&database, "SELECT to_regnamespace('syncline') IS NULL"), "t", "nothing is made");
}
