//! Devices, nodes and WiseJSON clients at once, on one collection, through a bad network and over a hub
//! that is killed, until all are equal.

use crate::device::Device;
use crate::eventually::eventually;
use crate::foreign::Foreign;
use crate::history::{Answer, Deed, Log, Sent, converged};
use crate::hub::Hub;
use crate::node::Node;
use crate::proxy::{Proxy, Weather};
use fastrand::Rng;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use tempfile::TempDir;

const NOTES: &str = "notes";
const ROUNDS: usize = 32;
/// Documents that everybody edits.
const SHARED: usize = 4;
/// One in so many edits of a shared document removes it.
const REMOVAL: u32 = 8;

#[test]
fn nodes_and_foreign_clients_converge_through_a_storm() {
    for seed in [51, 52, 53] {
        Cast { nodes: 2, devices: 0, foreign: 2 }.play(seed, |world| world.proxy.weather(Weather::STORM));
    }
}

#[test]
fn two_devices_and_a_foreign_client_converge_through_a_storm() {
    for seed in [61, 62] {
        Cast { nodes: 0, devices: 2, foreign: 1 }.play(seed, |world| world.proxy.weather(Weather::STORM));
    }
}

#[test]
fn a_field_that_a_device_takes_away_goes_away_at_a_foreign_client_that_was_editing() {
    let (world, _) = World::new(0);
    let address = &world.hub.address;
    let mut client = Foreign::new("f", address, NOTES, 0);
    client.cycle().unwrap();
    let mut device = Device::new("d", world.home.path(), NOTES);
    let mut open = device.open(address);
    assert!(open.cycle().success);

    open.take_away(&shared(0), "did_founder-0");
    open.take_away(&shared(1), "did_founder-1");
    assert!(open.cycle().success);
    // This edit is newer than the one that it is about to hear of.
    client.write(Deed::Update, &shared(1));
    for _ in 0..2 {
        client.cycle().unwrap();
        assert!(open.cycle().success);
    }
    converged(address, &[("d".into(), open.replica()), ("f".into(), client.replica())]);
}

#[test]
fn everybody_converges_over_a_hub_that_is_killed_again_and_again() {
    let seed = 71;
    Cast { nodes: 1, devices: 2, foreign: 1 }.play(seed, |world| {
        world.proxy.weather(Weather { duplicate: 20, ..Weather::CALM });
        let mut rng = Rng::with_seed(seed);
        for _ in 0..3 {
            let enough = Log::read(&world.hub.address).len() + rng.usize(5..25);
            world.until("the log grows", |world| Log::read(&world.hub.address).len() >= enough);
            world.replace_hub();
        }
    });
}

#[test]
fn foreign_clients_with_one_key_converge_over_cut_replies_and_a_hub_that_is_killed() {
    for seed in [81, 82] {
        Cast { nodes: 0, devices: 0, foreign: 3 }.play(seed, |world| {
            world.proxy.weather(Weather { cut_within_bytes: 4_000, ..Weather::STORM });
            for pushes in [5, 25, 45] {
                // Whatever the hub has not answered by then is cut by its death.
                world.until("the clients push", |world| world.proxy.pushes() >= pushes);
                world.replace_hub();
            }
        });
    }
}

/// Who takes part.
#[derive(Clone, Copy)]
struct Cast {
    nodes: usize,
    devices: usize,
    foreign: usize,
}

/// What can be troubled while they work.
struct World {
    home: TempDir,
    hub: Hub,
    proxy: Proxy,
    /// Everybody who works holds a clone.
    work: Arc<()>,
}

impl World {
    /// Shared documents are there from the beginning; the founder's notes come with them.
    fn new(seed: u64) -> (World, Vec<Sent>) {
        let home = tempfile::tempdir().unwrap();
        let hub = Hub::start(&data(home.path()));
        let proxy = Proxy::start(&hub.address, seed);
        let mut founder = Node::new("founder", &hub.address);
        (0..SHARED).for_each(|number| founder.write(Deed::Insert, NOTES, &shared(number)));
        founder.push().unwrap();
        (World { home, hub, proxy, work: Arc::default() }, founder.notes().to_vec())
    }

    /// Waits for something, but not beyond the end of all work: rounds without a hub are over fast.
    fn until(&self, what: &str, there: impl Fn(&World) -> bool) {
        eventually(what, || (there(self) || Arc::strong_count(&self.work) == 1).then_some(()));
    }

    fn replace_hub(&mut self) {
        self.hub.kill();
        self.hub = Hub::start(&data(self.home.path()));
        self.proxy.lead_to(&self.hub.address);
    }
}

impl Cast {
    /// Everybody works while `trouble` happens; then there is peace, and everybody must be equal.
    fn play(self, seed: u64, trouble: impl FnOnce(&mut World)) {
        let (mut world, mut sent) = World::new(seed);
        let address = world.proxy.address.clone();
        let mut nodes: Vec<Node> = (0..self.nodes).map(|n| Node::new(&format!("n{n}"), &address)).collect();
        let mut devices: Vec<Device> =
            (0..self.devices).map(|n| Device::new(&format!("d{n}"), world.home.path(), NOTES)).collect();
        let mut foreign: Vec<Foreign> =
            (0..self.foreign).map(|n| Foreign::new(&format!("f{n}"), &address, NOTES, seed * 100 + n as u64)).collect();

        thread::scope(|scope| {
            let mut seeds = seed * 1_000..;
            let mut start = || (Rng::with_seed(seeds.next().unwrap()), Arc::clone(&world.work));
            for node in &mut nodes {
                let (rng, working) = start();
                scope.spawn(move || {
                    work_as_node(node, rng);
                    drop(working);
                });
            }
            for device in &mut devices {
                let ((rng, working), address) = (start(), &address);
                scope.spawn(move || {
                    work_as_device(device, address, rng);
                    drop(working);
                });
            }
            for client in &mut foreign {
                let (rng, working) = start();
                scope.spawn(move || {
                    work_as_foreign(client, rng);
                    drop(working);
                });
            }
            trouble(&mut world);
        });

        world.proxy.weather(Weather::CALM);
        settle(&world, &mut nodes, &mut devices, &mut foreign);
        sent.extend(nodes.iter().flat_map(|node| node.notes().to_vec()));
        sent.extend(devices.iter().flat_map(|device| device.notes().to_vec()));
        sent.extend(foreign.iter().flat_map(|client| client.notes().to_vec()));
        println!("seed {seed}: {} ops, {} faults", sent.len(), world.proxy.faults());
        assert!(sent.iter().all(|op| op.answer != Answer::None), "everything is acknowledged");
        let log = Log::read(&world.hub.address);
        log.judge(&sent);

        assert!(world.proxy.echo_every_push() > 0);
        settle(&world, &mut nodes, &mut devices, &mut foreign);
        assert_eq!(Log::read(&world.hub.address).effects(), log.effects(), "late repeats change nothing");
    }
}

/// Without new edits everybody hears the last word in a few rounds.
fn settle(world: &World, nodes: &mut [Node], devices: &mut [Device], foreign: &mut [Foreign]) {
    let mut open: Vec<_> = devices.iter_mut().map(|device| device.open(&world.hub.address)).collect();
    for _ in 0..3 {
        foreign.iter_mut().for_each(|client| client.cycle().unwrap());
        nodes.iter_mut().for_each(|node| node.pull().unwrap());
        for device in &mut open {
            let outcome = device.cycle();
            assert!(outcome.success, "{outcome:?}");
        }
    }
    for client in foreign.iter() {
        assert!(client.quarantine.is_empty(), "{:?}", client.quarantine);
    }
    let of_nodes = nodes.iter().map(|node| (node.name.clone(), node.replica().clone()));
    let of_devices = open.iter().map(|device| (device.name().to_owned(), device.replica()));
    let of_foreign = foreign.iter().map(|client| (client.name().to_owned(), client.replica()));
    let replicas: Vec<_> = of_nodes.chain(of_devices).chain(of_foreign).collect();
    converged(&world.hub.address, &replicas);
}

/// Writes, pushes and pulls in turn; failures are made up for later, at the latest at the end.
fn work_as_node(node: &mut Node, mut rng: Rng) {
    for round in 0..ROUNDS {
        let own = format!("{}-{round}", node.name);
        node.write(Deed::Insert, NOTES, &own);
        // It does not look before it writes: some of this is rejected.
        let deed = if rng.u32(0..REMOVAL) == 0 { Deed::Remove } else { Deed::Update };
        node.write(deed, NOTES, &shared(rng.usize(0..SHARED)));
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

/// Edits and syncs in turn, and now and then the application is closed and opened again.
fn work_as_device(device: &mut Device, address: &str, mut rng: Rng) {
    for life in 0..4 {
        let mut open = device.open(address);
        for round in 0..ROUNDS / 4 {
            let own = format!("{}-{life}-{round}", open.name());
            open.write(Deed::Insert, &own);
            let shared = shared(rng.usize(0..SHARED));
            open.write(deed(open.has(&shared), &mut rng), &shared);
            if rng.u32(0..4) == 0 {
                open.write(Deed::Remove, &own);
            }
            // What fails now is made up for later.
            let _ = open.cycle();
        }
    }
    let mut open = device.open(address);
    eventually("nothing waits for the hub", || (open.cycle().success && open.pending() == 0).then_some(()));
}

/// The same, as a WiseJSON application does it.
pub fn work_as_foreign(client: &mut Foreign, mut rng: Rng) {
    for round in 0..ROUNDS {
        let own = |n: u32| format!("{}-{round}-{n}", client.name());
        let [first, second, third] = [own(1), own(2), own(3)];
        client.write(Deed::Insert, &first);
        client.insert_many(&[second.clone(), third.clone()]);
        let shared = shared(rng.usize(0..SHARED));
        let deed = deed(client.has(&shared), &mut rng);
        match rng.u32(0..3) {
            0 => client.transact(&[(Deed::Update, second), (deed, shared), (Deed::Remove, third)]),
            1 => client.write(deed, &shared),
            _ => {
                client.transact(&[(deed, shared.clone()), (Deed::Update, second)]);
                client.write(Deed::Update, &shared);
                client.write(Deed::Remove, &third);
            }
        }
        let _ = client.cycle();
    }
    eventually("the log is sent", || client.cycle().is_ok().then_some(()));
}

/// What somebody does to a shared document who sees whether it is there.
fn deed(there: bool, rng: &mut Rng) -> Deed {
    match (there, rng.u32(0..REMOVAL)) {
        (false, _) => Deed::Insert,
        (true, 0) => Deed::Remove,
        (true, _) => Deed::Update,
    }
}

fn shared(number: usize) -> String {
    format!("shared-{number}")
}

fn data(home: &Path) -> PathBuf {
    home.join("hub")
}
