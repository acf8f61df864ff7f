//! What an own client sees over a real socket: receipts, pages, snapshots, waiting, resync.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use serde_json::{Value, json};
use support::{Hub, insert, stamp};

fn lsns(page: &Value) -> Vec<u64> {
    page["ops"].as_array().unwrap().iter().map(|op| op["lsn"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_document_is_receipted_and_pulled_as_it_was_written() {
    for hub in Hub::on_every_store().await {
        let pushed = hub.push("n1", "b1", &json!([insert(1, "users", "u1")])).await;
        assert_eq!(pushed["receipts"], json!([{ "seq": 1, "result": "applied", "lsn": 1 }]));

        let page = hub.pull("since_lsn=0").await;
        assert_eq!(page["ops"][0]["doc"], json!({ "_id": "u1", "n": 1 }));
        assert_eq!((&page["server_lsn"], &page["has_more"]), (&json!(1), &json!(false)));
        assert_eq!(page["epoch"], pushed["epoch"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_push_gets_its_first_receipts() {
    for hub in Hub::on_every_store().await {
        let first = hub.push("n1", "b1", &json!([insert(1, "users", "u1")])).await;
        let again = hub.push("n1", "b1", &json!([insert(1, "users", "u1")])).await;
        let recomposed = hub.push("n1", "b2", &json!([insert(1, "users", "u1"), insert(2, "users", "u2")])).await;
        assert_eq!(first["receipts"], again["receipts"]);
        assert_eq!(first["receipts"][0], recomposed["receipts"][0]);
        assert_eq!(lsns(&hub.pull("since_lsn=0").await), [1, 2], "one change for each op");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_bounded_and_go_on_where_they_ended() {
    for hub in Hub::on_every_store().await {
        let ops: Vec<_> = (1..=5).map(|n| insert(n, "users", &format!("u{n}"))).collect();
        hub.push("n1", "b1", &json!(ops)).await;
        let first = hub.pull("since_lsn=0&limit=2").await;
        assert_eq!((lsns(&first), &first["has_more"]), (vec![1, 2], &json!(true)));
        let rest = hub.pull(&format!("since_lsn={}", first["server_lsn"])).await;
        assert_eq!((lsns(&rest), &rest["has_more"]), (vec![3, 4, 5], &json!(false)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_holds_only_the_collections_that_were_asked_for() {
    for hub in Hub::on_every_store().await {
        hub.push("n1", "b1", &json!([insert(1, "a", "x"), insert(2, "b", "x"), insert(3, "c", "x")])).await;
        assert_eq!(lsns(&hub.pull("since_lsn=0&collections=a,c").await), [1, 3]);
        let by_path = hub.get("/c/b/sync/pull?node=reader").await.json();
        assert_eq!(lsns(&by_path), [2]);
        assert_eq!(by_path["server_lsn"], json!(3), "complete up to the end of the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_has_a_first_and_a_last_line_and_can_be_resumed() {
    for hub in Hub::on_every_store().await {
        hub.push("n1", "b1", &json!([insert(1, "a", "x"), insert(2, "a", "y"), insert(3, "b", "z")])).await;
        let reply = hub.get("/sync/snapshot?node=reader").await;
        assert_eq!(reply.headers["content-type"], "application/x-ndjson");
        let text = reply.text();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[0]["server_lsn"], json!(3));
        assert_eq!(lines[4], json!({ "end": true, "documents": 3 }));

        let resumed = hub.get("/sync/snapshot?node=reader&after=2").await.text();
        assert_eq!(resumed.lines().count(), 3, "{resumed}");
        assert!(resumed.contains(r#""id":"z""#) && resumed.contains(r#""documents":1"#));
    }
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_count_what_a_snapshot_shows_and_tell_where_two_spaces_differ() {
    for hub in Hub::on_every_store().await {
        let ops: Vec<_> = (1..=40).map(|n| insert(n, "users", &format!("u{n}"))).collect();
        hub.push("n1", "b1", &json!(ops)).await;
        hub.push("n1", "b2", &json!([insert(41, "other", "x")])).await;
        let digests =
            async |query: &str| json_lines(&hub.get(&format!("/sync/digests?node=reader&{query}")).await.text());
        let before = digests("collections=users&at=40").await;
        assert_eq!(
            (&before[0]["server_lsn"], before.last().unwrap()),
            (&json!(41), &json!({ "end": true, "documents": 40 }))
        );
        let counted: u64 =
            before.iter().filter_map(|line| line["digest"].as_str().and(line["documents"].as_u64())).sum();
        assert_eq!(counted, 40);

        // What changes later leaves its range and touches no other.
        let update =
            json!({ "seq": 42, "op": "remove", "collection": "users", "id": "u7", "base": 7, "stamp": stamp(42) });
        hub.push("n1", "b3", &json!([update])).await;
        let after = digests("collections=users&at=40").await;
        let gone: Vec<_> = before.iter().filter(|line| line["range"].is_string() && !after.contains(line)).collect();
        assert_eq!(gone.len(), 1, "{gone:?}");

        let range = gone[0]["range"].as_str().unwrap();
        let documents = hub.get(&format!("/sync/snapshot?node=reader&collections=users&ranges={range}")).await.text();
        assert_eq!(json_lines(&documents).len() as u64, gone[0]["documents"].as_u64().unwrap() - 1 + 2, "{documents}");
        let parts = digests(&format!("collections=users&at=40&ranges={range}")).await;
        assert!(parts.iter().all(|line| line["range"].as_str().is_none_or(|part| part.starts_with(range))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_of_nothing_sensible_are_refused() {
    for hub in Hub::on_every_store().await {
        hub.push("n1", "b1", &json!([insert(1, "users", "u1")])).await;
        let many = (0..65).map(|n| format!("{n:02x}")).collect::<Vec<_>>().join(",");
        for (query, said) in [
            ("at=1&ranges=xy".to_owned(), "hexadecimal"),
            ("at=1&ranges=00112233".to_owned(), "at most 6 digits"),
            (format!("at=1&ranges={many}"), "at most 64"),
            ("at=-1".to_owned(), "at"),
            ("at=1&epoch=another".to_owned(), "epoch"),
        ] {
            let reply = hub.get(&format!("/sync/digests?node=reader&{query}")).await;
            assert!((400..500).contains(&reply.status), "{query}: {}", reply.status);
            assert!(reply.json()["error"].as_str().unwrap().contains(said), "{query}: {}", reply.text());
        }
        assert_eq!(hub.get("/sync/digests?at=1").await.status, 400, "a node reads");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_poll_is_answered_by_the_change_it_waits_for_and_no_other() {
    for hub in Hub::on_every_store().await.map(std::sync::Arc::new) {
        let waiting = tokio::spawn({
            let hub = std::sync::Arc::clone(&hub);
            async move { hub.pull("since_lsn=0&collections=wanted&wait=30").await }
        });
        until_waiting(&hub).await;
        hub.push("n1", "b1", &json!([insert(1, "other", "x")])).await;
        hub.push("n1", "b2", &json!([insert(2, "wanted", "x")])).await;
        let page = waiting.await.unwrap();
        assert_eq!(lsns(&page), [2]);
    }
}

/// Looks at the hub's own gauge until a poll waits.
async fn until_waiting(hub: &Hub) {
    loop {
        if hub.get("/metrics").await.text().contains("syncline_waiting_polls 1") {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_whose_time_is_over_gets_an_empty_page() {
    for hub in Hub::on_every_store().await {
        hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
        let page = hub.pull("since_lsn=1&wait=0.05").await;
        assert_eq!((lsns(&page), &page["server_lsn"]), (vec![], &json!(1)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_with_a_position_of_another_history_is_told_to_resync() {
    for hub in Hub::on_every_store().await {
        let epoch = hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await["epoch"].clone();
        for path in [
            "/sync/pull?node=r&since_lsn=2",
            "/sync/pull?node=r&since_lsn=1&epoch=other",
            "/sync/snapshot?node=r&epoch=x",
        ] {
            let reply = hub.get(path).await;
            assert_eq!(reply.refusal(410), "resync", "{path}");
            assert_eq!((&reply.json()["epoch"], &reply.json()["horizon"]), (&epoch, &json!(0)));
        }
        let body = json!({ "node": "n1", "batchId": "b2", "epoch": "other", "ops": [insert(2, "a", "y")] });
        assert_eq!(hub.post("/sync/push", &body).await.refusal(410), "resync");
        assert_eq!(lsns(&hub.pull("since_lsn=0").await), [1], "nothing of it was applied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_id_with_other_content_is_refused_and_changes_nothing() {
    for hub in Hub::on_every_store().await {
        hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
        let other = json!({ "node": "n1", "batchId": "b1", "ops": [insert(2, "a", "y")] });
        assert_eq!(hub.post("/sync/push", &other).await.refusal(409), "batch_reused");
        assert_eq!(lsns(&hub.pull("since_lsn=0").await), [1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concurrent_edit_that_loses_is_in_the_ledger() {
    for hub in Hub::on_every_store().await {
        hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
        let update = |seq: u64, at: u64, v: &str| json!([{ "seq": seq, "op": "update", "collection": "a", "id": "x", "base": 1, "stamp": stamp(at), "set": { "v": v } }]);
        hub.push("n1", "b2", &update(2, 50, "late")).await;
        let loser = hub.push("n2", "b1", &update(1, 40, "early")).await;
        assert_eq!(loser["receipts"][0]["result"], "superseded");
        let ledger = hub.get("/admin/spaces/main/conflicts").await.json();
        assert_eq!(ledger["conflicts"][0]["losing"], json!({ "v": "early" }));
        assert_eq!((&ledger["conflicts"][0]["winner"], &ledger["conflicts"][0]["loser"]), (&json!("n1"), &json!("n2")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_accepted_and_beaten_later_hears_of_it_with_a_page_and_nobody_else_does() {
    for hub in Hub::on_every_store().await {
        hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
        let update = |seq: u64, at: u64, v: &str| json!([{ "seq": seq, "op": "update", "collection": "a", "id": "x", "base": 1, "stamp": stamp(at), "set": { "v": v } }]);
        let accepted = hub.push("n1", "b2", &update(2, 40, "early")).await;
        assert_eq!(accepted["receipts"][0]["result"], "applied");
        hub.push("n2", "b1", &update(1, 50, "late")).await;

        let pulled = async |node: &str, after: &str| {
            hub.get(&format!("/sync/pull?node={node}&since_lsn=2&wait=30{after}")).await.json()["conflicts"].clone()
        };
        let told = pulled("n1", "&conflicts_after=0").await;
        let row =
            json!({ "n": 1, "collection": "a", "id": "x", "lsn": 3, "lost": "fields", "values": { "v": "early" } });
        assert_eq!(told, json!({ "upto": 1, "rows": [row] }));
        assert_eq!(pulled("n1", "&conflicts_after=1").await, Value::Null, "told once");
        assert_eq!(pulled("n1", "").await, Value::Null, "not asked for");
        assert_eq!(
            pulled("n2", "&conflicts_after=0").await,
            json!({ "upto": 1, "rows": [] }),
            "the winner lost nothing"
        );
        let at_the_end = hub.get("/sync/pull?node=n1&since_lsn=3&wait=30&conflicts_after=0").await.json();
        assert_eq!(at_the_end["conflicts"], told, "what is to be told waits for no change");
        let restored = hub.get("/sync/pull?node=n1&since_lsn=2&conflicts_after=7").await.json();
        assert_eq!(restored["conflicts"], json!({ "upto": 1, "rows": [] }), "an older ledger counts from its own end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pushes_at_once_share_commits_and_each_gets_its_own_answer() {
    for hub in Hub::on_every_store().await.map(std::sync::Arc::new) {
        let pushes = (0..32u64).map(|n| {
            let hub = std::sync::Arc::clone(&hub);
            tokio::spawn(async move {
                let id = format!("d{n}");
                let reply = hub.push(&format!("n{n}"), "b1", &json!([insert(1, "a", &id)])).await;
                (id, reply["receipts"][0]["lsn"].as_u64().unwrap())
            })
        });
        let mut expected: Vec<(u64, String)> = Vec::new();
        for push in pushes.collect::<Vec<_>>() {
            let (id, lsn) = push.await.unwrap();
            expected.push((lsn, id));
        }
        expected.sort();
        let page = hub.pull("since_lsn=0").await;
        let ops = page["ops"].as_array().unwrap();
        let found: Vec<_> =
            ops.iter().map(|op| (op["lsn"].as_u64().unwrap(), op["id"].as_str().unwrap().to_owned())).collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_reply_names_a_position_that_pages_reach() {
    for hub in Hub::on_every_store().await {
        hub.push("n1", "b1", &json!([insert(1, "a", "x")])).await;
        // The number of a foreign push stands behind the last change.
        let foreign = json!({ "batchId": "f1", "ops": [] });
        assert_eq!(hub.post("/c/a/sync/push", &foreign).await.json()["server_lsn"], json!(2));
        let pushed = hub.push("n1", "b2", &json!([insert(1, "a", "x")])).await;
        assert_eq!(pushed["server_lsn"], hub.pull("since_lsn=0").await["server_lsn"]);
    }
}
