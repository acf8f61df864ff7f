//! What a hub kept aside, over the admin API: conflicts are shown field by field and restored, ops in quarantine are
//! retried, mended and dropped; each has one effect, and devices hear of it like of any other change.

#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use serde_json::{Value, json};
use support::{ADMIN, Hub, Reply, insert, stamp};

const CONFLICTS: &str = "/admin/spaces/main/conflicts";
const QUARANTINE: &str = "/admin/spaces/main/quarantine";

/// An update by a node that knew the first version only.
fn update(seq: u64, set: &Value) -> Value {
    json!({ "seq": seq, "op": "update", "collection": "notes", "id": "n1", "base": 1, "stamp": stamp(100 + seq), "set": set })
}

fn remove(seq: u64) -> Value {
    json!({ "seq": seq, "op": "remove", "collection": "notes", "id": "n1", "base": 1, "stamp": stamp(200 + seq) })
}

async fn delete(hub: &Hub, path: &str) -> Reply {
    hub.send("DELETE", path, &[("authorization", &format!("Bearer {ADMIN}"))], b"").await
}

/// The document as a new reader gets it; null: it is gone.
async fn document(hub: &Hub) -> Value {
    let page = hub.pull("since_lsn=0").await;
    page["ops"].as_array().unwrap().iter().rfind(|op| op["id"] == "n1").map_or(Value::Null, |op| op["doc"].clone())
}

/// `ann` and `bob` have written the same fields of one document; `bob` won.
async fn contested(hub: &Hub) {
    hub.push("ann", "a1", &json!([insert(1, "notes", "n1")])).await;
    hub.push("ann", "a2", &json!([update(2, &json!({ "title": "Ann's", "n": 5 }))])).await;
    hub.push("bob", "b1", &json!([update(3, &json!({ "title": "Bob's", "n": null }))])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_is_shown_field_by_field_beside_what_stands() {
    for hub in Hub::on_every_store().await {
        contested(&hub).await;
        hub.push("bob", "b2", &json!([update(4, &json!({ "title": "Bob's second" }))])).await;

        let shown = hub.get(&format!("{CONFLICTS}/1")).await.json();

        let row = &shown["conflict"];
        assert_eq!(
            (&row["loser"], &row["winner"], &row["rule"]),
            (&json!("ann"), &json!("bob"), &json!("last-write-wins"))
        );
        assert_eq!(
            shown["fields"],
            json!([{ "field": "n", "lost": 5, "won": null, "now": null },
                   { "field": "title", "lost": "Ann's", "won": "Bob's", "now": "Bob's second" }])
        );
        assert_eq!(shown["now"], json!({ "_id": "n1", "n": null, "title": "Bob's second" }));
        assert_eq!(row.get("restored"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_losing_side_is_restored_once_and_travels_like_any_change() {
    for hub in Hub::on_every_store().await {
        contested(&hub).await;
        let before = hub.pull("since_lsn=0").await["server_lsn"].clone();

        let first = hub.post(&format!("{CONFLICTS}/1/restore"), &Value::Null).await.json();
        let again = hub.post(&format!("{CONFLICTS}/1/restore"), &Value::Null).await.json();

        assert_eq!(first, json!({ "n": 1, "result": "applied", "lsn": 4, "repeated": false }));
        assert_eq!(again, json!({ "n": 1, "result": "applied", "lsn": 4, "repeated": true }));
        let page = hub.pull(&format!("since_lsn={before}")).await;
        assert_eq!(page["ops"].as_array().unwrap().len(), 1, "one change: {page}");
        assert_eq!(page["ops"][0]["doc"], json!({ "_id": "n1", "n": 5, "title": "Ann's" }));
        let shown = hub.get(&format!("{CONFLICTS}/1")).await.json();
        assert_eq!(shown["conflict"]["restored"], 4);
        assert_eq!(hub.get(CONFLICTS).await.json()["conflicts"].as_array().unwrap().len(), 1, "no conflict of its own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_side_wins_under_every_strategy_and_against_a_removal() {
    for hub in Hub::on_every_store().await {
        let rule = json!({ "strategy": "server-wins" });
        let admin = format!("Bearer {ADMIN}");
        let path = "/admin/spaces/main/collections/notes";
        hub.send("PUT", path, &[("authorization", &admin)], rule.to_string().as_bytes()).await;
        hub.push("ann", "a1", &json!([insert(1, "notes", "n1")])).await;
        hub.push("bob", "b1", &json!([remove(1)])).await;
        hub.push("ann", "a2", &json!([update(2, &json!({ "title": "Ann's" }))])).await;
        assert_eq!(document(&hub).await, Value::Null, "the removal came first");

        let restored = hub.post(&format!("{CONFLICTS}/1/restore"), &Value::Null).await;

        assert_eq!(restored.status, 200, "{}", restored.text());
        assert_eq!(document(&hub).await, json!({ "_id": "n1", "n": 1, "title": "Ann's" }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_none_and_rows_that_are_not_there_are_named() {
    for hub in Hub::on_every_store().await {
        contested(&hub).await;
        for path in ["conflicts/2", "conflicts/0", "conflicts/18446744073709551615", "quarantine/1"] {
            let reply = hub.get(&format!("/admin/spaces/main/{path}")).await;
            assert_eq!(reply.refusal(404), "not_found");
            assert!(reply.text().contains("retention."), "{}", reply.text());
        }
        for path in ["conflicts/7/restore", "quarantine/7/retry"] {
            let reply = hub.post(&format!("/admin/spaces/main/{path}"), &Value::Null).await;
            assert_eq!(reply.refusal(404), "not_found");
        }
        assert_eq!(delete(&hub, &format!("{QUARANTINE}/7")).await.refusal(404), "not_found");
        assert_eq!(hub.get(&format!("{CONFLICTS}/first")).await.status, 400);
        let nowhere = hub.post("/admin/spaces/nowhere/conflicts/1/restore", &Value::Null).await;
        assert_eq!(nowhere.refusal(404), "unknown_space");
    }
}

/// An update of a document that nobody has: it waits in quarantine as number 1.
async fn set_aside(hub: &Hub) {
    let op = update(1, &json!({ "title": "early" }));
    let pushed = hub.push("ann", "a1", &json!([op])).await;
    assert_eq!(pushed["receipts"][0]["result"], "rejected");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_op_is_retried_once_what_was_in_its_way_is_gone() {
    for hub in Hub::on_every_store().await {
        set_aside(&hub).await;
        let shown = hub.get(&format!("{QUARANTINE}/1")).await.json();
        assert_eq!((&shown["code"], &shown["node"]), (&json!("unknown_document"), &json!("ann")));
        let retry = format!("{QUARANTINE}/1/retry");
        let too_early = hub.post_raw(&retry, b"").await;
        assert_eq!(too_early.refusal(422), "still_refused");
        assert!(too_early.text().contains("does not exist in `notes`"), "{}", too_early.text());
        hub.push("bob", "b1", &json!([insert(1, "notes", "n1")])).await;

        let first = hub.post_raw(&retry, b"").await.json();
        let again = hub.post_raw(&retry, b"").await.json();

        assert_eq!(first, json!({ "n": 1, "result": "applied", "lsn": 2, "repeated": false }));
        assert_eq!(again, json!({ "n": 1, "result": "applied", "lsn": 2, "repeated": true }));
        assert_eq!(document(&hub).await, json!({ "_id": "n1", "n": 1, "title": "early" }));
        assert_eq!(hub.get(QUARANTINE).await.json()["quarantine"], json!([]));
        assert_eq!(delete(&hub, &format!("{QUARANTINE}/1")).await.refusal(409), "retried");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mended_op_is_tried_in_its_place() {
    for hub in Hub::on_every_store().await {
        set_aside(&hub).await;
        let retry = format!("{QUARANTINE}/1/retry");
        for (mended, why) in [
            ("garbage", "expected value"),
            (r#"{"op":"insert","doc":{"_id":"other"}}"#, "`doc._id`"),
            (r#"{"op":"clear"}"#, "whole collection"),
            ("{}", "neither `op` nor `type`"),
        ] {
            let reply = hub.post_raw(&retry, mended.as_bytes()).await;
            assert_eq!(reply.refusal(422), "still_refused");
            assert!(reply.text().contains(why), "{}", reply.text());
        }

        let done = hub.post(&retry, &json!({ "op": "insert", "doc": { "_id": "n1", "title": "mended" } })).await;

        assert_eq!(done.status, 200, "{}", done.text());
        assert_eq!(document(&hub).await, json!({ "_id": "n1", "title": "mended" }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_op_that_could_not_be_read_still_says_which_document_it_means() {
    for hub in Hub::on_every_store().await {
        let op = json!({ "seq": 1, "op": "explode", "collection": "notes", "id": "n1", "stamp": 1 });
        hub.push("ann", "a1", &json!([op])).await;

        let listed = hub.get(&format!("{QUARANTINE}?collection=notes&id=n1")).await.json();
        assert_eq!(listed["quarantine"][0]["code"], "malformed_json", "{listed}");
        let done = hub.post(&format!("{QUARANTINE}/1/retry"), &json!({ "op": "insert", "doc": { "_id": "n1" } })).await;

        assert_eq!(done.status, 200, "{}", done.text());
        assert_eq!(document(&hub).await, json!({ "_id": "n1" }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_op_cannot_be_retried() {
    for hub in Hub::on_every_store().await {
        set_aside(&hub).await;
        let first = delete(&hub, &format!("{QUARANTINE}/1")).await.json();
        let again = delete(&hub, &format!("{QUARANTINE}/1")).await.json();
        assert_eq!((&first["result"], &first["repeated"]), (&json!("discarded"), &json!(false)));
        assert_eq!(again["repeated"], true);

        let retried = hub.post_raw(&format!("{QUARANTINE}/1/retry"), b"").await;

        assert_eq!(retried.refusal(409), "discarded");
        assert_eq!(hub.pull("since_lsn=0").await["ops"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_op_of_a_foreign_client_is_retried_in_its_own_form() {
    for hub in Hub::on_every_store().await {
        let early = json!({ "batchId": "b1", "ops": [
            { "op": "UPDATE", "id": "n1", "data": { "title": "early" }, "opId": "1" }] });
        hub.post("/c/notes/sync/push", &early).await;
        hub.push("ann", "a1", &json!([insert(1, "notes", "n1")])).await;

        let done = hub.post_raw(&format!("{QUARANTINE}/1/retry"), b"").await;

        assert_eq!(done.status, 200, "{}", done.text());
        assert_eq!(document(&hub).await["title"], "early");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_metrics_count_what_is_kept() {
    for hub in Hub::on_every_store().await {
        contested(&hub).await;
        hub.push("bob", "b9", &json!([{ "seq": 9, "op": "explode", "collection": "notes", "stamp": 1 }])).await;
        let counted = async || {
            let space = hub.get("/admin/status").await.json()["spaces"][0].clone();
            let metrics = hub.get("/metrics").await.text();
            let gauge = |name: &str| {
                let line = metrics.lines().find(|line| line.starts_with(&format!("{name}{{space=\"main\"}}"))).unwrap();
                line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()
            };
            assert_eq!(space["conflicts"], gauge("syncline_space_conflicts"));
            assert_eq!(space["quarantined"], gauge("syncline_space_quarantined"));
            (gauge("syncline_space_conflicts"), gauge("syncline_space_quarantined"))
        };
        assert_eq!(counted().await, (1, 1));
        delete(&hub, &format!("{QUARANTINE}/1")).await;
        assert_eq!(counted().await, (1, 0));
    }
}
