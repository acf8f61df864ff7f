//! Plans: which types and which rows a node gets.

use super::{Node, at, delete, insert, node_id, told, update};
use crate::support::Hub;
use crate::support::socket::{Client, Packet};
use serde_json::{Value, json};
use std::sync::Arc;

fn branch(name: &str) -> Value {
    json!({ "rows": { "Report": { "branch": "$node.branch" } }, "attributes": { "branch": name } })
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_enter_and_leave_a_filter_come_and_go() {
    for hub in Hub::on_every_store().await {
        let hub = Arc::new(hub);
        let mut centre = Node::new(&hub, 1).await;
        let mut north = Node::with(&hub, 2, branch("north")).await;
        for (n, name) in [(1, "north"), (2, "south")] {
            centre.edit(insert("Report", n, json!({ "branch": name, "updated_at": at(n) })));
        }
        centre.edit(insert("Other", 3, json!({ "branch": "south" })));
        centre.settle().await;
        assert_eq!(told(&north.round().await), [("INSERT".to_owned(), 1), ("INSERT".to_owned(), 3)]);
        assert!(north.round().await.is_empty());

        centre.edit(update("Report", 1, json!({ "branch": "south", "updated_at": at(10) })));
        centre.edit(update("Report", 2, json!({ "branch": "north", "updated_at": at(10) })));
        centre.settle().await;
        assert_eq!(told(&north.round().await), [("DELETE".to_owned(), 1), ("INSERT".to_owned(), 2)]);
        centre.edit(update("Report", 2, json!({ "x": 1, "updated_at": at(11) })));
        centre.edit(update("Report", 1, json!({ "x": 1, "updated_at": at(11) })));
        centre.settle().await;
        assert_eq!(told(&north.round().await), [("UPDATE".to_owned(), 2)], "it has one of the two");
        assert!(north.round().await.is_empty());

        centre.edit(update("Report", 1, json!({ "branch": "north", "updated_at": at(12) })));
        centre.settle().await;
        assert_eq!(told(&north.round().await), [("INSERT".to_owned(), 1)], "back again");
        assert_eq!(centre.object("Report", 1).unwrap()["branch"], "north", "nothing was removed for others");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_may_write_any_row_gives_rows_away() {
    let hub = Arc::new(Hub::start().await);
    let mut plan = branch("north");
    plan["write_rows"] = json!({ "Report": {} });
    let (mut centre, mut north) = (Node::new(&hub, 1).await, Node::with(&hub, 2, plan).await);
    north.edit(insert("Report", 1, json!({ "branch": "north" })));
    north.edit(insert("Report", 2, json!({ "branch": "south" })));

    let came = north.round().await;

    assert_eq!(told(&came), [("DELETE".to_owned(), 2)], "what it may keep does not come back");
    assert_eq!((north.object("Report", 1).is_some(), north.object("Report", 2)), (true, None));
    centre.settle().await;
    assert!(centre.object("Report", 1).is_some() && centre.object("Report", 2).is_some());
    north.edit(update("Report", 1, json!({ "branch": "south" })));
    assert_eq!(told(&north.round().await), [("DELETE".to_owned(), 1)], "it gave the row away itself");
}

/// Uuid number and code of what was set aside.
fn rejected(reply: &Value) -> Vec<(usize, String)> {
    let number = |one: &Value| one["uuid"].as_str().unwrap()[24..].parse().unwrap();
    let all = reply["header"]["rejected"].as_array().into_iter().flatten();
    all.map(|one| (number(one), one["code"].as_str().unwrap().to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_takes_no_row_of_others_and_learns_nothing_of_it() {
    for hub in Hub::on_every_store().await {
        let hub = Arc::new(hub);
        let (mut centre, mut north) = (Node::new(&hub, 1).await, Node::with(&hub, 2, branch("north")).await);
        for (n, name) in [(1, "south"), (2, "south"), (3, "north")] {
            centre.edit(insert("Report", n, json!({ "branch": name, "secret": "SEKRET", "updated_at": at(n) })));
        }
        centre.edit(delete("Report", 2));
        centre.settle().await;
        north.settle().await;

        for entity in [update, insert] {
            for n in [1, 2] {
                north.edit(entity("Report", n, json!({ "branch": "north", "updated_at": at(100) })));
            }
        }
        north.edit(delete("Report", 1));
        north.edit(update("Report", 3, json!({ "branch": "south", "updated_at": at(100) })));
        north.edit(insert("Report", 4, json!({ "branch": "south", "updated_at": at(100) })));
        north.edit(insert("Report", 5, json!({ "branch": "north", "updated_at": at(100) })));
        north.number += 1;
        let reply = north.post(north.number, &north.queue).await;
        let again = north.post(north.number, &north.queue).await;

        let forbidden = |numbers: &[usize]| -> Vec<(usize, String)> {
            numbers.iter().map(|n| (*n, "row_forbidden".to_owned())).collect()
        };
        assert_eq!(rejected(&reply), forbidden(&[1, 2, 1, 2, 1, 3, 4]));
        assert_eq!(rejected(&again), rejected(&reply), "a repeat is told the same");
        let (told_of_3, others): (Vec<_>, Vec<_>) =
            reply["body"]["entities"].as_array().unwrap().iter().partition(|entity| entity["uuid"] == super::uuid(3));
        assert_eq!(told_of_3[0]["data"]["branch"], "north", "what stands of its own");
        assert!(others.iter().all(|entity| entity["operation"] == "DELETE"), "{others:?}");
        assert!(!others.iter().any(|entity| entity.to_string().contains("SEKRET")));
        north.store(&again);
        north.settle().await;
        let here: Vec<_> = north.objects.keys().map(|(_, id)| id.clone()).collect();
        assert_eq!(here, [super::uuid(3), super::uuid(5)], "a node that knows of no refusals has what it is to have");
        centre.settle().await;
        assert_eq!(centre.object("Report", 1).unwrap()["secret"], "SEKRET");
        assert_eq!((centre.object("Report", 2), centre.object("Report", 4)), (None, None));
        assert!(centre.object("Report", 5).is_some());
        let kept = hub.get("/admin/spaces/main/quarantine").await;
        assert!(kept.text().contains("row_forbidden"), "{}", kept.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_that_writes_what_it_may_not_is_not_told_the_ids_of_others() {
    let hub = Arc::new(Hub::start().await);
    let (mut centre, mut north) = (Node::new(&hub, 1).await, Node::with(&hub, 2, branch("north")).await);
    for n in [1, 2] {
        centre.edit(insert("Report", n, json!({ "branch": "south" })));
    }
    centre.edit(delete("Report", 2));
    centre.settle().await;
    north.edit(insert("Report", 9, json!({ "branch": "south" })));
    north.edit(update("Report", 2, json!({ "branch": "north" })));

    let mut heard = told(&north.round().await);
    heard.extend(told(&north.round().await));

    heard.sort_by_key(|(_, n)| *n);
    assert_eq!(heard, [("DELETE".to_owned(), 2), ("DELETE".to_owned(), 9)], "what it has made itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_packet_is_held_against_the_filter_too() {
    let hub = Arc::new(Hub::start().await);
    let (mut centre, mut north) = (Node::new(&hub, 1).await, Node::with(&hub, 2, branch("north")).await);
    centre.edit(insert("Report", 1, json!({ "branch": "south" })));
    centre.settle().await;
    north.edit(update("Report", 1, json!({ "branch": "north" })));

    let imported = hub.post("/admin/spaces/main/packets", &north.packet(1, &north.queue)).await;

    assert_eq!(imported.status, 200, "{}", imported.text());
    assert_eq!(imported.json()["rejected"][0]["code"], "row_forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_looked_through_past_whole_pages_of_other_rows() {
    let limits = syncline_core::model::Limits { page_changes: 10, ..Default::default() };
    let hub = Arc::new(Hub::with(|options| options.settings.limits = limits).await);
    let (mut centre, mut north) = (Node::new(&hub, 1).await, Node::with(&hub, 2, branch("north")).await);
    for n in 1..=95 {
        centre.edit(insert("Report", n, json!({ "branch": if n == 95 { "north" } else { "south" } })));
    }
    centre.round().await;

    assert_eq!(told(&north.round().await), [("INSERT".to_owned(), 95)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_plan_brings_what_it_gives_and_takes_what_it_does_not() {
    let hub = Arc::new(Hub::start().await);
    let (mut centre, mut node) = (Node::new(&hub, 1).await, Node::with(&hub, 2, branch("north")).await);
    for (n, name) in [(1, "north"), (2, "south")] {
        centre.edit(insert("Report", n, json!({ "branch": name })));
    }
    centre.settle().await;
    node.settle().await;
    assert!(node.object("Report", 1).is_some() && node.object("Report", 2).is_none());

    let path = format!("/admin/spaces/main/nodes/{}", node_id(2));
    let headers = [("authorization", format!("Bearer {}", crate::support::ADMIN))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let change = json!({ "plan": branch("south") }).to_string();
    assert_eq!(hub.send("PUT", &path, &headers, change.as_bytes()).await.status, 200);
    node.settle().await;

    assert!(node.object("Report", 1).is_none() && node.object("Report", 2).is_some(), "{:?}", node.objects);
}

#[tokio::test(flavor = "multi_thread")]
async fn types_outside_the_plan_neither_come_nor_go() {
    let hub = Arc::new(Hub::start().await);
    let mut centre = Node::new(&hub, 1).await;
    let mut part = Node::with(&hub, 2, json!({ "types": ["Report"] })).await;
    centre.edit(insert("Report", 1, json!({})));
    centre.edit(insert("Salary", 2, json!({})));
    centre.settle().await;
    assert_eq!(told(&part.round().await), [("INSERT".to_owned(), 1)]);

    let reply = part.post(9, &[insert("Salary", 3, json!({})), insert("Report", 4, json!({}))]).await;

    let rejected = &reply["header"]["rejected"];
    assert_eq!((&rejected[0]["type"], &rejected[0]["code"]), (&json!("Salary"), &json!("unknown_type")));
    centre.settle().await;
    assert_eq!((centre.object("Salary", 3), centre.object("Report", 4).is_some()), (None, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_a_type_that_leaves_the_plan_stay_as_they_are() {
    let hub = Arc::new(Hub::start().await);
    let mut centre = Node::new(&hub, 1).await;
    let mut part = Node::with(&hub, 2, json!({ "types": ["Report", "Salary"] })).await;
    centre.edit(insert("Report", 1, json!({ "v": 1, "updated_at": at(1) })));
    centre.edit(insert("Salary", 2, json!({ "v": 1, "updated_at": at(1) })));
    centre.settle().await;
    part.settle().await;

    let path = format!("/admin/spaces/main/nodes/{}", node_id(2));
    let headers = [("authorization", format!("Bearer {}", crate::support::ADMIN))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let change = json!({ "plan": { "types": ["Report"] } }).to_string();
    assert_eq!(hub.send("PUT", &path, &headers, change.as_bytes()).await.status, 200);
    centre.edit(update("Salary", 2, json!({ "v": 2, "updated_at": at(2) })));
    centre.settle().await;

    assert_eq!(told(&part.round().await), [("INSERT".to_owned(), 1)], "everything of what it still gets");
    assert_eq!(part.object("Salary", 2).unwrap()["v"], 1);
    assert!(part.round().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_changes_while_the_node_exchanges_leaves_just_its_own_rows() {
    let hub = Arc::new(Hub::start().await);
    let (mut centre, mut node) = (Node::new(&hub, 1).await, Node::with(&hub, 2, branch("b0")).await);
    for n in 1..=90 {
        centre.edit(insert("Report", n, json!({ "branch": format!("b{}", n % 3) })));
    }
    centre.settle().await;
    // The log is quiet: only the plan tells one reading of it from another.
    for turn in 0..15 {
        let planner = Arc::clone(&hub);
        let changes = tokio::spawn(async move {
            for change in 0..6 {
                let path = format!("/admin/spaces/main/nodes/{}", node_id(2));
                let wish = json!({ "plan": branch(&format!("b{}", (turn + change) % 3)) }).to_string();
                let bearer = format!("Bearer {}", crate::support::ADMIN);
                let reply = planner.send("PUT", &path, &[("authorization", &bearer)], wish.as_bytes()).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
            }
        });
        while !changes.is_finished() {
            node.number += 1;
            let reply = super::post(&hub, &node.token, &node.packet(node.number, &[])).await;
            match reply.status {
                200 => drop(node.store(&reply.json())),
                status => assert_eq!(status, 503, "{}", reply.text()),
            }
        }
        changes.await.unwrap();
        node.settle().await;

        let last = format!("b{}", (turn + 5) % 3);
        let (own, all) = (node.objects.values().filter(|row| row["branch"] == last).count(), node.objects.len());
        assert_eq!((own, all), (30, 30), "turn {turn}: it has {all} rows, {own} of them of {last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_node_with_some_rows_reads_them_by_packets_only() {
    let hub = Hub::start().await;
    let register = async |n: usize, plan: Value| {
        let wish = json!({ "id": node_id(n), "code": format!("N{n}"), "name": "a node", "plan": plan });
        let made = hub.post("/admin/spaces/main/nodes", &wish).await;
        made.json()["token"].as_str().unwrap_or_else(|| panic!("{}", made.text())).to_owned()
    };
    let (some, all) = (register(1, branch("north")).await, register(2, json!({ "types": ["Report"] })).await);
    let pull = async |secret: &str, n: usize| {
        let path = format!("/sync/pull?node={}&since_lsn=0", node_id(n));
        hub.send("GET", &path, &[("authorization", &format!("Bearer {secret}"))], b"").await
    };

    assert_eq!(pull(&some, 1).await.refusal(403), "forbidden");
    let (_, said) = Client::greet(&hub.addr, &json!({ "token": some })).await;
    assert!(matches!(&said, Packet::Refused(why) if why.contains("only packets")), "{said:?}");

    assert_eq!(pull(&all, 2).await.status, 200);
    assert_eq!(Client::greet(&hub.addr, &json!({ "token": all })).await.1, Packet::Connected);
}
