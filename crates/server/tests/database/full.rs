//! A disk without room for the database, as far as this machine lets us mount one; elsewhere tables that refuse as a full
//! disk makes them.

use super::small::Small;
use super::{Postgres, hub, log, push, until_ready};

const LITTLE_ROOM: u64 = 3 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_database_is_named_nothing_is_half_done_and_work_goes_on_by_itself() {
    let server = Postgres::start(&[]);
    let small = Small::new(&server);
    let hub = hub(&server, &small.database).await;
    let mut taken = Vec::new();
    hub.push("n0", "b0", &serde_json::json!([crate::support::insert(1, "notes", "first")])).await;
    small.fill(&server, LITTLE_ROOM);
    let refused = loop {
        let n = taken.len() as u64 + 1;
        let reply = hub.post("/sync/push", &push(n, 200_000)).await;
        if reply.status != 200 {
            break reply;
        }
        taken.push(format!("n{n}"));
    };
    assert_eq!(refused.refusal(503), "no_room");
    assert!(refused.json()["error"].as_str().unwrap().contains("make room"), "{}", refused.text());
    assert_eq!(hub.post("/sync/push", &push(taken.len() as u64 + 1, 200_000)).await.refusal(503), "no_room", "still");
    if small.is_mounted() {
        assert_eq!(hub.get("/health/ready").await.refusal(503), "no_room", "those who watch are told");
    }
    let before = log(&hub).await;
    assert_eq!(before, [vec!["first".to_owned()], taken.clone()].concat(), "readers are served, and see all of it");

    small.make_room(&server);
    until_ready(&hub).await;
    let n = taken.len() as u64 + 1;
    assert_eq!(hub.post("/sync/push", &push(n, 200_000)).await.status, 200, "what was refused is taken now");
    assert_eq!(log(&hub).await, [before, vec![format!("n{n}")]].concat(), "once");
    assert_eq!(server.run(&small.database, "SELECT to_regclass('syncline.room') IS NULL"), "t", "nothing stays behind");
    hub.shut_down().await;
    let said = server.log();
    assert!(!said.contains("no transaction in progress"), "what failed is taken back once: {said}");
    drop(server);
}
