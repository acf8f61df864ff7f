//! Nodes, a hub and everything that may happen between them.

use super::{Node, at, delete, insert, node_id, post, told, update, uuid, world};
use crate::support::Hub;
use serde_json::{Value, json};
use std::sync::Arc;
use syncline_core::model::Limits;
use syncline_server::store::{SqliteOptions, SqliteStore};

#[tokio::test(flavor = "multi_thread")]
async fn x2_an_insert_travels_unchanged_and_not_back() {
    let (_hub, mut nodes) = world(2).await;
    let [a, b] = &mut nodes[..] else { panic!() };
    let data =
        json!({ "n": 1.5, "lines": [{ "qty": 2.50, "deep": [[], {}] }], "note": "é \"x\"", "updated_at": at(1) });
    a.edit(insert("Report", 1, data.clone()));

    assert_eq!(a.round().await, Vec::<Value>::new(), "nothing of its own comes back");
    assert!(a.queue.is_empty(), "the hub has acknowledged it");
    let came = b.round().await;

    assert_eq!(told(&came), [("INSERT".to_owned(), 1)]);
    assert_eq!(b.object("Report", 1), Some(data));
    assert!(b.round().await.is_empty() && a.round().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn x3_updates_and_removals_travel_and_empty_rounds_work() {
    let (_hub, mut nodes) = world(2).await;
    let [a, b] = &mut nodes[..] else { panic!() };
    a.edit(insert("Report", 1, json!({ "x": 1, "y": 1, "updated_at": at(1) })));
    a.settle().await;
    b.settle().await;

    b.edit(update("Report", 1, json!({ "x": 2, "updated_at": at(2) })));
    b.settle().await;
    assert_eq!(told(&a.round().await), [("UPDATE".to_owned(), 1)]);
    assert_eq!(a.object("Report", 1), Some(json!({ "x": 2, "y": 1, "updated_at": at(2) })));

    a.edit(delete("Report", 1));
    a.settle().await;
    assert_eq!(told(&b.round().await), [("DELETE".to_owned(), 1)]);
    assert_eq!(b.object("Report", 1), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn x4_only_the_acknowledgement_of_a_packet_that_was_sent_confirms() {
    let (_hub, mut nodes) = world(2).await;
    let [a, b] = &mut nodes[..] else { panic!() };
    a.edit(insert("Report", 1, json!({ "x": 1 })));
    a.settle().await;
    let first = b.post(1, &[]).await;
    assert_eq!((&first["header"]["packet_no"], told_in(&first)), (&json!(1), 1));

    let again = b.post(2, &[]).await;
    assert_eq!((&again["header"]["packet_no"], told_in(&again)), (&json!(2), 1), "again, under a new number");
    for bogus in [987_654_321, (1 << 53) - 1] {
        b.ack = bogus;
        b.number = 2 + bogus % 7;
        assert_eq!(told_in(&b.post(b.number, &[]).await), 1, "an acknowledgement of {bogus} confirms nothing");
    }
    b.ack = 2;
    let done = b.post(100, &[]).await;
    assert_eq!(told_in(&done), 0, "packet 2 held it too");
    assert_eq!(done["header"]["packet_no"], 4, "an empty packet repeats the last number");
    b.ack = 1;
    assert_eq!(told_in(&b.post(101, &[]).await), 0, "an old acknowledgement takes nothing back");
}

fn told_in(reply: &Value) -> usize {
    reply["body"]["entities"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn x5_a_repeat_undoes_nothing_and_brings_what_is_unconfirmed() {
    let (_hub, mut nodes) = world(2).await;
    let [a, b] = &mut nodes[..] else { panic!() };
    a.edit(insert("Report", 1, json!({ "x": 1, "updated_at": at(1) })));
    let packet = a.queue.clone();
    a.settle().await;
    b.settle().await;
    b.edit(update("Report", 1, json!({ "x": 2, "updated_at": at(2) })));
    b.settle().await;

    let repeated = a.post(1, &packet).await;
    assert_eq!(repeated["body"]["entities"][0]["data"]["x"], 2);
    assert!(repeated["header"]["ack_packet_no"].as_u64().unwrap() >= 1);

    b.edit(delete("Report", 1));
    b.settle().await;
    let after_removal = a.post(1, &packet).await;
    assert_eq!(told(after_removal["body"]["entities"].as_array().unwrap()), [("DELETE".to_owned(), 1)]);
    assert!(b.round().await.is_empty(), "the removed object did not come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn x5_three_copies_at_once_count_once() {
    let (_hub, mut nodes) = world(2).await;
    let [a, b] = &mut nodes[..] else { panic!() };
    let packet = a.packet(1, &[insert("Report", 1, json!({ "x": 1 })), insert("Report", 2, json!({ "x": 1 }))]);

    let copies = (0..3).map(|_| {
        let (hub, token, packet) = (Arc::clone(&a.hub), a.token.clone(), packet.clone());
        tokio::spawn(async move { post(&hub, &token, &packet).await })
    });
    for copy in copies.collect::<Vec<_>>() {
        let reply = copy.await.unwrap();
        assert_eq!((reply.status, &reply.json()["header"]["ack_packet_no"]), (200, &json!(1)));
    }

    assert_eq!(told(&b.round().await).len(), 2);
    let page = b.hub.pull("since_lsn=0").await;
    assert_eq!(page["ops"].as_array().unwrap().len(), 2, "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn x6_a_gap_is_accepted_and_what_came_late_is_not_lost_in_silence() {
    let (hub, mut nodes) = world(2).await;
    let [a, b] = &mut nodes[..] else { panic!() };
    let later = a.post(5, &[insert("Report", 1, json!({ "v": "two", "updated_at": at(2) }))]).await;
    assert_eq!(later["header"]["ack_packet_no"], 5);

    let entities = [insert("Report", 1, json!({ "v": "one", "updated_at": at(1) })), insert("Report", 2, json!({}))];
    let late = a.post(4, &entities).await;

    assert_eq!(late["header"]["ack_packet_no"], 5);
    let rejected = &late["header"]["rejected"];
    assert_eq!((rejected[0]["uuid"].as_str(), rejected[0]["code"].as_str()), (Some(&*uuid(2)), Some("late_packet")));
    assert_eq!(rejected.as_array().unwrap().len(), 1, "the first was sent again since");
    b.settle().await;
    assert_eq!((b.object("Report", 1).unwrap()["v"].clone(), b.object("Report", 2)), (json!("two"), None));
    let listed = hub.get("/admin/spaces/main/quarantine").await.json();
    assert_eq!(
        (&listed["quarantine"][0]["code"], &listed["quarantine"][0]["id"]),
        (&json!("late_packet"), &json!(uuid(2)))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn x7_the_same_number_with_more_changes_loses_none() {
    let (_hub, mut nodes) = world(2).await;
    let [a, b] = &mut nodes[..] else { panic!() };
    let (x, y) = (insert("Report", 1, json!({ "n": 1 })), insert("Report", 2, json!({ "n": 1 })));
    a.post(1, std::slice::from_ref(&x)).await;

    a.post(1, &[x.clone(), y]).await;

    b.settle().await;
    assert!(b.object("Report", 1).is_some() && b.object("Report", 2).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn x7_a_removal_that_is_sent_again_does_not_undo_a_revival() {
    let (_hub, mut nodes) = world(2).await;
    let [a, b] = &mut nodes[..] else { panic!() };
    a.edit(insert("Report", 1, json!({ "n": 1, "updated_at": at(1) })));
    a.settle().await;
    b.settle().await;
    let number = a.number + 1;
    a.post(number, &[delete("Report", 1)]).await;
    b.settle().await;
    b.edit(insert("Report", 1, json!({ "n": 2 })));
    b.settle().await;

    // The reply to the removal was lost: the node sends it again with what it has done meanwhile.
    a.number = number + 1;
    let reply = a.post(a.number, &[delete("Report", 1), insert("Report", 2, json!({}))]).await;
    a.objects.clear();
    a.store(&reply);

    assert_eq!(a.object("Report", 1), Some(json!({ "n": 2 })));
    b.settle().await;
    assert!(b.object("Report", 1).is_some() && b.object("Report", 2).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn x8_conflicts_end_alike_in_either_order_of_arrival() {
    for order in [[0, 1], [1, 0]] {
        let (hub, mut nodes) = world(3).await;
        nodes[2].edit(insert("Report", 1, json!({ "v": "old", "other": 1, "updated_at": at(1) })));
        for node in nodes.iter_mut().rev() {
            node.settle().await;
        }
        nodes[0].edit(update("Report", 1, json!({ "v": "early", "updated_at": at(10) })));
        nodes[1].edit(update("Report", 1, json!({ "v": "late", "updated_at": at(20) })));

        for n in order {
            nodes[n].round().await;
        }
        for node in &mut nodes {
            node.settle().await;
        }

        let expected = json!({ "v": "late", "other": 1, "updated_at": at(20) });
        for node in &nodes {
            assert_eq!(node.object("Report", 1), Some(expected.clone()), "{order:?} {}", node.id);
        }
        let ledger = hub.get("/admin/spaces/main/conflicts").await.json();
        assert_eq!(ledger["conflicts"].as_array().unwrap().len(), 1, "the loser is kept: {ledger}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn x8_an_edit_against_a_removal() {
    let (_hub, mut nodes) = world(2).await;
    let [a, b] = &mut nodes[..] else { panic!() };
    for n in 1..=2 {
        a.edit(insert("Report", n, json!({ "v": 0, "updated_at": at(n) })));
    }
    a.settle().await;
    b.settle().await;
    a.edit(delete("Report", 1));
    a.edit(delete("Report", 2));
    a.settle().await;

    b.edit(update("Report", 1, json!({ "v": "earlier", "updated_at": at(30) })));
    b.edit(update("Report", 2, json!({ "v": "later", "updated_at": "2026-12-30T00:00:00Z" })));
    b.settle().await;
    a.settle().await;

    assert_eq!((a.object("Report", 1), b.object("Report", 1)), (None, None), "the removal came later");
    for node in [&*a, &*b] {
        assert_eq!(node.object("Report", 2).unwrap()["v"], "later", "{}", node.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn x12_ten_thousand_changes_travel_in_bounded_packets() {
    let limits = Limits { page_changes: 500, ..Limits::default() };
    let hub = Arc::new(Hub::with(|options| options.settings.limits = limits).await);
    let (mut a, mut b) = (Node::new(&hub, 1).await, Node::new(&hub, 2).await);
    for chunk in 0..20 {
        let entities: Vec<Value> = (0..500).map(|n| insert("Row", chunk * 500 + n, json!({ "n": n }))).collect();
        a.number += 1;
        let reply = a.post(a.number, &entities).await;
        a.store(&reply);
    }

    let mut packets = 0;
    loop {
        b.number += 1;
        let reply = b.post(b.number, &[]).await;
        let came = b.store(&reply);
        assert!(came.len() <= 500);
        assert_eq!(reply["header"].get("has_more").is_some(), packets < 19, "{}", reply["header"]);
        packets += 1;
        if reply["header"].get("has_more").is_none() {
            break;
        }
    }

    assert_eq!((packets, b.objects.len()), (20, 10_000));
    assert!(b.round().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn x13_a_restart_forgets_no_number_and_no_packet() {
    let dir = tempfile::TempDir::new().unwrap();
    let open = || Arc::new(SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap());
    let first = Arc::new(Hub::on(open(), |_| {}).await);
    let (mut a, mut b) = (Node::new(&first, 1).await, Node::new(&first, 2).await);
    let packet = [insert("Report", 1, json!({ "v": 1, "updated_at": at(1) }))];
    a.number = 1;
    a.post(1, &packet).await;
    let sent = b.post(1, &[]).await;
    let stop = |node: &mut Node| node.hub = Arc::clone(&a.hub);
    stop(&mut b);
    let (a_token, b_token) = (a.token.clone(), b.token.clone());
    drop((a, b));
    Arc::into_inner(first).unwrap().shut_down().await;

    let second = Arc::new(Hub::on(open(), |_| {}).await);
    let node = |n: usize, token: &str| Node {
        hub: Arc::clone(&second),
        id: node_id(n),
        token: token.to_owned(),
        number: 1,
        ack: 0,
        objects: Default::default(),
        queue: Vec::new(),
    };
    let (a, mut b) = (node(1, &a_token), node(2, &b_token));
    let repeated = a.post(1, &packet).await;
    assert_eq!((&repeated["header"]["ack_packet_no"], told_in(&repeated)), (&json!(1), 0));
    let again = b.post(2, &[]).await;
    assert_eq!(
        (&sent["header"]["packet_no"], &again["header"]["packet_no"]),
        (&json!(1), &json!(2)),
        "a number is used once"
    );
    assert_eq!(again["body"], sent["body"]);
    b.ack = 2;
    assert_eq!(told_in(&b.post(3, &[]).await), 0);
    assert_eq!(second.pull("since_lsn=0").await["ops"].as_array().unwrap().len(), 1, "applied once");
}

#[tokio::test(flavor = "multi_thread")]
async fn x14_fifty_edits_are_one_delivery_and_an_insert_stays_one_until_confirmed() {
    let (_hub, mut nodes) = world(2).await;
    let [a, b] = &mut nodes[..] else { panic!() };
    a.edit(insert("Report", 1, json!({ "v": 0, "updated_at": at(1) })));
    a.settle().await;
    assert_eq!(told_in(&b.post(1, &[]).await), 1);
    for n in 1..=50 {
        a.edit(update("Report", 1, json!({ "v": n, "updated_at": at(1 + n) })));
        a.settle().await;
    }

    let reply = b.post(2, &[]).await;

    let entities = reply["body"]["entities"].as_array().unwrap();
    assert_eq!(told(entities), [("INSERT".to_owned(), 1)]);
    assert_eq!(entities[0]["data"]["v"], 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changes_between_a_packet_and_its_confirmation_comes_again() {
    let (_hub, mut nodes) = world(2).await;
    let [a, b] = &mut nodes[..] else { panic!() };
    a.edit(insert("Report", 1, json!({ "v": 1, "updated_at": at(1) })));
    a.settle().await;
    let reply = b.post(1, &[]).await;
    a.edit(update("Report", 1, json!({ "v": 2, "updated_at": at(2) })));
    a.settle().await;

    b.number = 1;
    b.store(&reply);
    let came = b.round().await;

    assert_eq!((told(&came), b.object("Report", 1).unwrap()["v"].clone()), (vec![("UPDATE".to_owned(), 1)], json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn x15_nodes_that_work_at_the_same_time_end_equal() {
    let (_hub, nodes) = world(3).await;
    let working = nodes.into_iter().enumerate().map(|(who, mut node)| {
        tokio::spawn(async move {
            for n in 0..30 {
                let shared = json!({ "by": who, "n": n, "updated_at": at(3 * n + who) });
                let entity =
                    if n % 3 == 0 { insert("Row", n, shared) } else { insert("Row", 100 * (who + 1) + n, shared) };
                node.edit(entity);
                node.round().await;
            }
            node
        })
    });
    let mut nodes = Vec::new();
    for node in working.collect::<Vec<_>>() {
        nodes.push(node.await.unwrap());
    }
    for _ in 0..2 {
        for node in &mut nodes {
            node.settle().await;
        }
    }

    assert_eq!(nodes[0].objects.len(), 10 + 3 * 20);
    assert!(nodes.iter().all(|node| node.objects == nodes[0].objects));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_is_given_everything_that_is_alive() {
    let hub = Arc::new(Hub::start().await);
    let mut a = Node::new(&hub, 1).await;
    for n in 1..=5 {
        a.edit(insert("Report", n, json!({ "n": n })));
    }
    a.edit(delete("Report", 3));
    a.settle().await;

    let mut late = Node::new(&hub, 2).await;
    let came = late.round().await;

    let inserts: Vec<_> = [1, 2, 4, 5].map(|n| ("INSERT".to_owned(), n)).into();
    assert_eq!(told(&came), inserts, "nothing of what was removed before");
    let shown = hub.get(&format!("/admin/spaces/main/nodes/{}", node_id(2))).await.json();
    assert_eq!((&shown["filling"], &shown["issued_packet_no"]), (&json!(true), &json!(1)), "{shown}");
    assert!(late.round().await.is_empty());
    let shown = hub.get(&format!("/admin/spaces/main/nodes/{}", node_id(2))).await.json();
    assert_eq!((&shown["filling"], &shown["sent_packet_no"]), (&json!(false), &json!(1)), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_may_be_packed() {
    let (hub, nodes) = world(1).await;
    let packed = include_bytes!("../data/packet.json.gz");
    let bearer = format!("Bearer {}", nodes[0].token);
    let headers =
        [("authorization", bearer.as_str()), ("content-encoding", "gzip"), ("content-type", "application/json")];
    let reply = hub.send("POST", "/api/sync/exchange", &headers, packed).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["header"]["ack_packet_no"], 7);

    let mut b = Node::new(&hub, 2).await;
    let bearer = format!("Bearer {}", b.token);
    let headers = [("authorization", bearer.as_str()), ("accept-encoding", "gzip")];
    let reply = hub.send("POST", "/api/sync/exchange", &headers, b.packet(1, &[]).to_string().as_bytes()).await;
    assert_eq!((reply.headers["content-encoding"].as_str(), &reply.body[..2]), ("gzip", &[0x1f, 0x8b][..]));
    b.settle().await;
    assert_eq!(b.objects.len(), 1);
}
