//! Databases that exchange packets, and their hub, killed in the middle of exchanges: afterwards all are
//! equal with a device of the log, and every edit was done once.

use crate::device::{Device, Open};
use crate::eventually::eventually;
use crate::history::{Answer, Deed, Log, Sent, converged};
use crate::hub::Hub;
use crate::proxy::{Proxy, Weather};
use fastrand::Rng;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const NOTES: &str = "notes";
const ROUNDS: usize = 5;
/// Documents that everybody edits.
const SHARED: usize = 4;

#[test]
fn a_node_killed_between_the_hubs_commit_and_its_answer_repeats_its_packet_without_a_second_effect() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    let proxy = Proxy::start(&hub.address, 91);
    let mut node = Device::by_packets("a", home.path(), NOTES, &hub);
    let mut open = node.open(&hub.address);
    (0..60).for_each(|n| open.write(Deed::Insert, &uuid(n)));
    (0..60).step_by(5).for_each(|n| open.write(Deed::Update, &uuid(n)));
    (0..60).step_by(7).for_each(|n| open.write(Deed::Remove, &uuid(n)));
    let (before, pending) = (open.replica(), open.pending());
    drop(open);

    let held = proxy.hold_next_push_with(&uuid(1));
    let process = node.sync_process(&proxy.address);
    held.reached();
    assert!(!process.kill(), "it was waiting for its answer");
    assert!(Log::read(&hub.address).shows("a-1"), "the hub had committed the packet");

    let mut open = node.open(&hub.address);
    assert_eq!((open.replica(), open.pending()), (before, pending), "nothing was answered");
    assert!(open.cycle().success);
    assert_eq!(open.pending(), 0);
    converged(&hub.address, &[("a".into(), open.replica())]);
    drop(open);
    Log::read(&hub.address).judge(node.notes());
    let effects = Log::read(&hub.address).effects();
    assert!(proxy.echo_every_push() > 1);
    assert_eq!(Log::read(&hub.address).effects(), effects, "late repeats change nothing");
}

#[test]
fn nodes_and_their_hub_are_killed_at_random_moments_and_all_end_equal() {
    for seed in [92, 93] {
        let mut world = World::new(seed);
        world.proxy.weather(Weather { refuse: 0, duplicate: 5, cut_within_bytes: 3_000, ..Weather::STORM });
        for round in 0..ROUNDS {
            world.round(round);
        }
        world.proxy.weather(Weather::CALM);
        let sent = world.settle();
        println!("seed {seed}: {} edits, {} faults, {} blows", sent.len(), world.proxy.faults(), world.blows);
        assert!(world.blows > 0, "nobody was killed at work");
        let log = Log::read(&world.hub.address);
        log.judge(&sent);

        assert!(world.proxy.echo_every_push() > 0);
        world.settle();
        assert_eq!(Log::read(&world.hub.address).effects(), log.effects(), "late repeats change nothing");
    }
}

/// Two nodes, a device of the log, and the hub behind a bad network.
struct World {
    home: TempDir,
    hub: Hub,
    proxy: Proxy,
    devices: [Device; 3],
    rng: Rng,
    /// Who was killed while it worked.
    blows: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let home = tempfile::tempdir().unwrap();
        let hub = Hub::start(&home.path().join("hub"));
        let proxy = Proxy::start(&hub.address, seed);
        let node = |name: &str| Device::by_packets(name, home.path(), NOTES, &hub);
        let mut devices = [node("a"), node("b"), Device::new("c", home.path(), NOTES)];
        let mut founder = devices[0].open(&hub.address);
        (0..SHARED).for_each(|n| founder.write(Deed::Insert, &uuid(n)));
        assert!(founder.cycle().success);
        drop(founder);
        World { home, hub, proxy, devices, rng: Rng::with_seed(seed), blows: 0 }
    }

    /// Everybody edits offline; then all exchange at once, while blows fall on some of them and on the hub.
    fn round(&mut self, round: usize) {
        for (n, device) in self.devices.iter_mut().enumerate() {
            let mut open = device.open(&self.proxy.address);
            edit(&mut open, 1_000 * (n + 1) + 100 * round, &mut self.rng);
        }
        let mut processes: Vec<_> =
            self.devices.iter().map(|device| Some(device.sync_process(&self.proxy.address))).collect();
        let until = self.proxy.pushes() + self.rng.usize(1..6);
        let proxy = &self.proxy;
        let all_over = |processes: &mut [Option<crate::device::SyncProcess>]| {
            processes.iter_mut().flatten().all(crate::device::SyncProcess::has_ended)
        };
        eventually("packets arrive", || (proxy.pushes() >= until || all_over(&mut processes)).then_some(()));
        // Nodes more often than the device, the hub in every other round.
        for victim in [self.rng.usize(..2), self.rng.usize(..3)] {
            self.pause();
            if let Some(process) = processes[victim].take() {
                self.blows += usize::from(!process.kill());
            }
        }
        if self.rng.bool() {
            self.pause();
            self.blows += 1;
            self.hub.kill();
            self.hub = Hub::start(&self.home.path().join("hub"));
            self.proxy.lead_to(&self.hub.address);
        }
        for process in processes.iter_mut().flatten() {
            eventually("a round ends", || process.has_ended().then_some(()));
        }
    }

    fn pause(&mut self) {
        thread::sleep(Duration::from_micros(self.rng.u64(..20_000))); // sleep: the blow may fall at any moment
    }

    /// Without new edits everybody hears the last word in a few rounds; what all of them did.
    fn settle(&mut self) -> Vec<Sent> {
        let address = &self.hub.address;
        let mut open: Vec<Open<'_>> = self.devices.iter_mut().map(|device| device.open(address)).collect();
        for _ in 0..3 {
            for device in &mut open {
                let outcome = device.cycle();
                assert!(outcome.success && device.pending() == 0, "{outcome:?}");
            }
        }
        let replicas: Vec<_> = open.iter().map(|device| (device.name().to_owned(), device.replica())).collect();
        converged(address, &replicas);
        drop(open);
        let sent: Vec<Sent> = self.devices.iter().flat_map(|device| device.notes().to_vec()).collect();
        assert!(sent.iter().all(|op| op.answer != Answer::None), "everything is acknowledged");
        sent
    }
}

/// New documents from a number on, edits and removals of some, and edits of those that all share.
fn edit(open: &mut Open<'_>, from: usize, rng: &mut Rng) {
    for n in from..from + 40 {
        open.write(Deed::Insert, &uuid(n));
        match rng.u32(0..8) {
            0 | 1 => open.write(Deed::Update, &uuid(n)),
            2 => open.write(Deed::Remove, &uuid(n)),
            _ => {}
        }
    }
    for _ in 0..6 {
        let shared = uuid(rng.usize(..SHARED));
        if open.has(&shared) {
            open.write(if rng.u32(0..12) == 0 { Deed::Remove } else { Deed::Update }, &shared);
        }
    }
}

fn uuid(n: usize) -> String {
    format!("22222222-2222-4222-8222-{n:012}")
}
