//! Nodes and WiseJSON clients at once, on one collection, through a bad network, until all are equal.

use crate::device::Device;
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

#[test]
fn two_devices_and_a_foreign_client_converge_through_a_storm() {
    for seed in [71, 72] {
        let home = tempfile::tempdir().unwrap();
        let hub = Hub::start(&home.path().join("hub"));
        let proxy = Proxy::start(&hub.address, seed);
        let mut founder = Node::new("founder", &hub.address);
        (0..4).for_each(|number| founder.write(Deed::Insert, NOTES, &format!("shared-{number}")));
        founder.push().unwrap();
        let mut devices = ["d0", "d1"].map(|name| Device::new(name, home.path(), NOTES));
        let mut client = Foreign::new("f", &proxy.address, NOTES, seed);

        proxy.weather(Weather::STORM);
        thread::scope(|scope| {
            let address = &proxy.address;
            for (number, device) in devices.iter_mut().enumerate() {
                scope.spawn(move || work_as_device(device, address, Rng::with_seed(seed * 10 + number as u64)));
            }
            scope.spawn(|| work_as_foreign(&mut client, Rng::with_seed(seed * 10 + 5)));
        });

        proxy.weather(Weather::default());
        let [d0, d1] = &mut devices;
        let (mut open0, mut open1) = (d0.open(&proxy.address), d1.open(&proxy.address));
        for _ in 0..3 {
            client.cycle().unwrap();
            assert!(open0.cycle().success && open1.cycle().success);
        }
        assert!(client.quarantine.is_empty(), "{:?}", client.quarantine);
        let replicas = [("d0", &open0.replica()), ("d1", &open1.replica()), ("f", &client.replica())];
        converged(&hub.address, &replicas);
        drop((open0, open1));

        let sent = [founder.notes(), d0.notes(), d1.notes(), client.notes()].concat();
        assert!(sent.iter().all(|op| op.answer != Answer::None));
        println!("seed {seed}: {} ops, {} faults", sent.len(), proxy.faults());
        Log::read(&hub.address).judge(&sent);
    }
}

/// Edits and syncs in turn, and now and then the application is closed and opened again.
fn work_as_device(device: &mut Device, address: &str, mut rng: Rng) {
    let name = device.name().to_owned();
    for life in 0..4 {
        let mut open = device.open(address);
        for round in 0..ROUNDS / 4 {
            let own = format!("{name}-{life}-{round}");
            open.write(Deed::Insert, &own);
            let shared = format!("shared-{}", rng.usize(0..4));
            if open.has(&shared) {
                open.write(Deed::Update, &shared);
            }
            if rng.u32(0..4) == 0 {
                open.write(Deed::Remove, &own);
            }
            let _ = open.cycle();
        }
    }
    let mut open = device.open(address);
    eventually("nothing waits for the hub", || (open.cycle().success && open.pending() == 0).then_some(()));
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
