//! Nodes and WiseJSON clients at once, on one collection, through a bad network, until all are equal.

use crate::eventually::eventually;
use crate::foreign::Foreign;
use crate::history::{Answer, Deed, Log, converged};
use crate::hub::Hub;
use crate::node::Node;
use crate::proxy::{Proxy, Weather};
use fastrand::Rng;
use std::thread;

const NOTES: &str = "notes";
const ROUNDS: usize = 40;

#[test]
fn nodes_and_foreign_clients_converge_through_a_storm() {
    for seed in [51, 52, 53] {
        let home = tempfile::tempdir().unwrap();
        let hub = Hub::start(&home.path().join("hub"));
        let proxy = Proxy::start(&hub.address, seed);
        proxy.weather(Weather::STORM);
        let mut nodes = [Node::new("n0", &proxy.address), Node::new("n1", &proxy.address)];
        let mut foreign =
            ["f0", "f1"].map(|name| Foreign::new(name, &proxy.address, NOTES, seed ^ u64::from(name.as_bytes()[1])));

        thread::scope(|scope| {
            for (number, node) in nodes.iter_mut().enumerate() {
                scope.spawn(move || work_as_node(node, Rng::with_seed(seed * 10 + number as u64)));
            }
            for (number, client) in foreign.iter_mut().enumerate() {
                scope.spawn(move || work_as_foreign(client, Rng::with_seed(seed * 10 + 5 + number as u64)));
            }
        });

        proxy.weather(Weather::default());
        // Whoever came first hears in the second round what the last one said.
        for _ in 0..3 {
            foreign.iter_mut().for_each(|client| client.cycle().unwrap());
            nodes.iter_mut().for_each(|node| node.pull().unwrap());
        }
        let of_nodes = nodes.iter().flat_map(|node| node.notes().to_vec());
        let sent: Vec<_> = of_nodes.chain(foreign.iter().flat_map(|client| client.notes().to_vec())).collect();
        assert!(sent.iter().all(|op| op.answer != Answer::None));
        println!("seed {seed}: {} ops, {} faults", sent.len(), proxy.faults());
        Log::read(&hub.address).judge(&sent);
        let [f0, f1] = &foreign;
        assert!(f0.quarantine.is_empty() && f1.quarantine.is_empty(), "{:?} {:?}", f0.quarantine, f1.quarantine);
        let [n0, n1] = &nodes;
        let replicas = [("n0", n0.replica()), ("n1", n1.replica()), ("f0", &f0.replica()), ("f1", &f1.replica())];
        converged(&hub.address, &replicas);
    }
}

/// Writes, pushes and pulls in turn; failures are made up for later, at the latest at the end.
fn work_as_node(node: &mut Node, mut rng: Rng) {
    for round in 0..ROUNDS {
        let own = format!("{}-{round}", node.name);
        node.write(Deed::Insert, NOTES, &own);
        let shared = format!("shared-{}", rng.usize(0..4));
        node.write(if round < 4 { Deed::Insert } else { Deed::Update }, NOTES, &shared);
        if rng.u32(0..4) == 0 {
            node.write(Deed::Remove, NOTES, &own);
        }
        let _ = node.push();
        let _ = node.pull();
    }
    eventually("every op has its receipt and the log is read", || {
        let _ = node.push();
        let done = node.notes().iter().all(|op| op.answer != Answer::None);
        (done && node.pull().is_ok()).then_some(())
    });
}

/// The same, as a WiseJSON application does it.
fn work_as_foreign(client: &mut Foreign, mut rng: Rng) {
    for round in 0..ROUNDS {
        let own = format!("{}-{round}", client.name());
        client.write(Deed::Insert, &own);
        let shared = format!("shared-{}", rng.usize(0..4));
        client.write(if client.has(&shared) { Deed::Update } else { Deed::Insert }, &shared);
        if rng.u32(0..4) == 0 {
            client.write(Deed::Remove, &own);
        }
        let _ = client.cycle();
    }
    eventually("the log is sent", || client.cycle().is_ok().then_some(()));
}
