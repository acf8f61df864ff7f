//! Replies that are lost after the hub has committed, requests that arrive twice or in part: each op
//! takes effect once, whoever repeats it and however.

use crate::eventually::eventually;
use crate::foreign::Foreign;
use crate::history::{Answer, Deed, Log, converged};
use crate::hub::Hub;
use crate::node::{Node, Unanswered};
use crate::proxy::{Proxy, Weather};
use fastrand::Rng;

const ALL_REPLIES_LOST: Weather = Weather { cut_reply: 100, ..Weather::CALM };
const ALWAYS_TWICE: Weather = Weather { duplicate: 100, ..Weather::CALM };

#[test]
fn a_node_whose_replies_are_lost_gets_the_first_receipts_in_the_end() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    let proxy = Proxy::start(&hub.address, 31);
    let mut node = Node::new("n", &proxy.address);

    proxy.weather(ALL_REPLIES_LOST);
    (0..50).for_each(|number| node.write(Deed::Insert, "notes", &format!("d{number}")));
    (0..50).step_by(3).for_each(|number| node.write(Deed::Remove, "notes", &format!("d{number}")));
    for _ in 0..5 {
        assert!(matches!(node.push(), Err(Unanswered::Cut)));
    }
    let after_the_loss = Log::read(&hub.address);
    assert!(after_the_loss.shows("n-1"), "the hub had committed before the reply was lost");

    proxy.weather(ALWAYS_TWICE);
    node.push().unwrap();
    let log = Log::read(&hub.address);
    log.judge(node.notes());
    assert_eq!(log.len(), node.notes().len(), "as many changes as ops");
    assert_eq!(log.len(), after_the_loss.len(), "the repeats changed nothing");
}

#[test]
fn a_foreign_client_whose_replies_are_lost_has_one_effect_per_op() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    let proxy = Proxy::start(&hub.address, 32);
    let mut client = Foreign::new("f", &proxy.address, "notes", 32);
    client.cycle().unwrap();
    (0..45).for_each(|number| client.write(Deed::Insert, &format!("d{number}")));
    client.write(Deed::Update, "d1");
    client.write(Deed::Remove, "d2");

    // The first cycle's pull passes; its pushes are cut after the hub has committed.
    let held = proxy.hold_next_push();
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| client.cycle());
        held.reached();
        drop(held);
        pushing.join().unwrap().unwrap_err();
    });
    let mut node = Node::new("n", &hub.address);
    node.write(Deed::Remove, "notes", "d3");
    node.push().unwrap();

    proxy.weather(Weather::STORM);
    let mut notes = node.notes().to_vec();
    eventually("the log is sent", || client.cycle().is_ok().then_some(()));
    proxy.weather(Weather::CALM);
    client.cycle().unwrap();
    client.cycle().unwrap();

    notes.extend(client.notes().to_vec());
    assert!(client.notes().iter().all(|op| op.answer == Answer::Accepted));
    let log = Log::read(&hub.address);
    log.judge(&notes);
    assert!(!client.has("d3"), "the removal by another node was not undone by the repeat");
    assert_eq!(client.quarantine, Vec::<serde_json::Value>::new());
    converged(&hub.address, &[("f".into(), client.replica())]);
}

#[test]
fn random_work_through_a_storm_has_one_effect_per_op() {
    for seed in [41, 42, 43] {
        let home = tempfile::tempdir().unwrap();
        let hub = Hub::start(&home.path().join("hub"));
        let proxy = Proxy::start(&hub.address, seed);
        proxy.weather(Weather::STORM);
        let mut rng = Rng::with_seed(seed);
        let mut nodes = [Node::new("n0", &proxy.address), Node::new("n1", &proxy.address)];
        for node in &mut nodes {
            node.write(Deed::Insert, "notes", "shared");
            for number in 0..80 {
                let own = format!("{}-{}", node.name, rng.usize(0..10));
                match rng.u32(0..4) {
                    0 => node.write(Deed::Update, "notes", "shared"),
                    1 => node.write(Deed::Insert, "notes", &format!("{own}-{number}")),
                    2 => node.write(Deed::Update, "notes", &own),
                    _ => node.write(Deed::Insert, "notes", &own),
                }
                // A push that fails is repeated by a later one.
                let _ = node.push();
            }
            eventually("every op has its receipt", || {
                let _ = node.push();
                node.notes().iter().all(|op| op.answer != Answer::None).then_some(())
            });
        }
        let sent: Vec<_> = nodes.iter().flat_map(|node| node.notes().to_vec()).collect();
        Log::read(&hub.address).judge(&sent);
        converged(&hub.address, &[]);
    }
}
