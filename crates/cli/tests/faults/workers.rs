//! Rounds with three workers behind nginx, on one PostgreSQL and one Redis, each of which is killed, halted, emptied or
//! cut off at random moments under load, with a slow network, a full disk, and clocks that differ. Everybody goes to
//! another worker with each request. Few rounds in the test run; many by `cargo xtask faults --workers`.

mod blow;
mod bystander;
mod site;

use crate::device::{Device, Open, SyncProcess};
use crate::eventually::eventually;
use crate::foreign::Foreign;
use crate::history::{Answer, Deed, Log, Replica, Sent, converged_in_collections};
use crate::load::{Load, NOTES, Pace, Patience, SHARED};
use crate::nebula::Nebula;
use crate::node::Node;
use crate::rounds::{CARDS, asked, edit};
use crate::together::work_as_foreign;
use blow::Blow;
use bystander::Bystander;
use fastrand::Rng;
use site::{STORM, Site};
use std::collections::BTreeMap;
use std::panic;
use std::thread;
use std::time::{Duration, Instant};

const FEW_ROUNDS: u64 = 1;
const FEW_FROM: u64 = 5;
/// Edits of each live client.
const LIVE_ROUNDS: usize = 20;

#[test]
fn rounds_of_blows_on_workers_and_what_they_stand_on_end_in_a_faultless_history() {
    let (rounds, first) = (asked("SYNCLINE_FAULT_ROUNDS", FEW_ROUNDS), asked("SYNCLINE_FAULT_SEED", FEW_FROM));
    let mut tally = BTreeMap::<&'static str, usize>::new();
    for seed in first..first + rounds {
        let began = Instant::now();
        match panic::catch_unwind(|| Round::new(seed).play()) {
            Ok(of_round) => {
                println!("round {seed}, {:?}: {of_round:?}", began.elapsed());
                of_round.into_iter().for_each(|(what, times)| *tally.entry(what).or_default() += times);
            }
            Err(cause) => {
                eprintln!(
                    "round {seed} failed; to play it again: cargo xtask faults --workers --rounds 1 --seed {seed}"
                );
                panic::resume_unwind(cause);
            }
        }
    }
    println!("{rounds} rounds from seed {first}: {tally:?}");
}

/// Who works on a site, whatever befalls it.
struct Round {
    seed: u64,
    site: Site,
    address: String,
    devices: Vec<Device>,
    foreign: Foreign,
    live: [Nebula; 2],
    bystander: Bystander,
    /// Reads along from the beginning to the end.
    reader: Log,
    founded: Vec<Sent>,
}

impl Round {
    fn new(seed: u64) -> Round {
        let site = Site::new(seed);
        let address = site.address();
        let mut founder = Node::new("founder", &address);
        founder.write(Deed::Insert, NOTES, "founded");
        founder.push().unwrap();
        let (home, hub) = (site.home(), &site.workers[0].hub);
        let devices = vec![
            Device::new("d", home, NOTES),
            Device::new("e", home, NOTES),
            Device::by_packets("p", home, CARDS, hub),
            Device::by_packets("q", home, CARDS, hub),
        ];
        Round {
            seed,
            devices,
            foreign: Foreign::new("f", &address, NOTES, seed),
            live: ["l", "m"].map(|name| Nebula::new(name, &address, NOTES)),
            bystander: Bystander::new(&address),
            reader: Log::default(),
            founded: founder.notes().to_vec(),
            site,
            address,
        }
    }

    fn play(mut self) -> BTreeMap<&'static str, usize> {
        let pace = Pace { ballast: 0, pause: Duration::from_millis(15) };
        let load = Load::paced(&self.address, 2, self.seed, Patience::Endless, pace);
        let Round { seed, site, address, devices, foreign, live, bystander, reader, .. } = &mut self;
        let (seed, has_foreign) = (*seed, !site.sets_clocks());
        site.weather(STORM);
        thread::scope(|scope| {
            // It dates documents by its own clock and ignores what is dated before them.
            let works = has_foreign.then(|| scope.spawn(|| work_as_foreign(foreign, Rng::with_seed(seed))));
            for (n, client) in live.iter_mut().enumerate() {
                scope.spawn(move || work_live(client, Rng::with_seed(seed.wrapping_add(n as u64))));
            }
            scope.spawn(|| bystander.work());
            for _ in 0..site.rng.usize(3..6) {
                round_of_devices(site, devices, &load);
                // A worker that is behind waits or asks: whoever reads along is never sent back, whichever answers.
                let _ = reader.read_on(address);
            }
            site.heal();
            if let Some(works) = works {
                works.join().unwrap();
            }
        });
        let written = load.finish();
        let by_node = |name: &str| written.iter().filter(|op| op.mark.starts_with(name)).cloned().collect();
        self.settle(["w0-", "w1-"].map(by_node).to_vec())
    }

    /// Everybody hears the last word; then the history is judged, as each worker tells it.
    fn settle(mut self, loaded: Vec<Vec<Sent>>) -> BTreeMap<&'static str, usize> {
        let mut replicas = self.last_cycles();
        let address = &self.address;
        for client in &mut self.live {
            // Polling ends with an answer to a list: what has come is looked for again and again.
            eventually("a live client has what a newcomer gets", || {
                let heard = client.cycle().is_ok() && client.is_settled();
                let log = Log::read(address);
                (heard && client.replica() == log.replica_of(NOTES)).then_some(())
            });
            replicas.push((client.name().to_owned(), NOTES, client.replica()));
        }
        // A WiseJSON client sends what it did in transactions after all else.
        let mut in_order = loaded;
        in_order.extend(self.devices.iter().map(|device| device.notes().to_vec()));
        in_order.extend(self.live.iter().map(|client| client.notes().to_vec()));
        in_order.push(self.founded);
        let mut sent = in_order.concat();
        sent.extend(self.foreign.notes().to_vec());
        assert!(sent.iter().all(|op| op.answer != Answer::None), "everything is acknowledged");

        self.reader.read_on(address).unwrap();
        self.reader.read_aside(address);
        self.reader.judge(&sent);
        in_order.iter().for_each(|notes| self.reader.in_order(notes));
        for hub in self.site.hubs() {
            self.reader.same_as(&Log::read(&hub.address));
            eventually("a worker is ready", || (hub.get("/health/ready").status == 200).then_some(()));
        }
        converged_in_collections(address, &self.reader, &replicas);
        self.bystander.judge();
        let mut tally = self.site.tally();
        tally.extend([("ops", sent.len()), ("changes", self.reader.len())]);
        tally
    }

    /// Devices and the WiseJSON client, as long as they hear news; what they have then.
    fn last_cycles(&mut self) -> Vec<(String, &'static str, Replica)> {
        let address = &self.address;
        let mut open: Vec<Open<'_>> = self.devices.iter_mut().map(|device| device.open(address)).collect();
        let mut replicas = Vec::new();
        for _ in 0..3 {
            if !self.site.sets_clocks() {
                self.foreign.cycle_at(address).unwrap();
            }
            for device in &mut open {
                // The hub may close a connection that has rested while the others had their turn.
                let first = device.cycle();
                let outcome = if first.success { first } else { device.cycle() };
                assert!(outcome.success && device.pending() == 0, "{}: {outcome:?}", device.name());
            }
        }
        for device in &open {
            let collection = if device.collection() == CARDS { CARDS } else { NOTES };
            replicas.push((device.name().to_owned(), collection, device.replica()));
        }
        if !self.site.sets_clocks() {
            replicas.push((self.foreign.name().to_owned(), NOTES, self.foreign.replica()));
        }
        replicas
    }
}

/// Devices edit offline and sync all at once; meanwhile a blow falls.
fn round_of_devices(site: &mut Site, devices: &mut [Device], load: &Load) {
    let address = site.address();
    for device in devices.iter_mut() {
        let mut open = device.open(&address);
        edit(&mut open, &mut site.rng);
        edit_of_others(&mut open, &mut site.rng);
    }
    let mut processes: Vec<SyncProcess> = devices.iter().map(|device| device.sync_process(&address)).collect();
    let enough = load.receipts() + site.rng.usize(1..40);
    eventually("somebody gets on", || (load.receipts() >= enough).then_some(()));
    let (blow, name) = Blow::draw(site);
    site.note(name);
    blow.fall(site, &mut processes);
    let after = load.receipts();
    eventually("work goes on", || (load.receipts() > after).then_some(()));
    site.slow_way.late(0);
    site.weather(STORM);
    for process in processes.iter_mut().filter_map(SyncProcess::at_work) {
        process.strike();
    }
}

/// Updates of what it has, whoever made it.
fn edit_of_others(open: &mut Open<'_>, rng: &mut Rng) {
    let ids: Vec<String> = open.replica().into_keys().map(|(_, id)| id).collect();
    for _ in 0..ids.len().min(3) {
        open.write(Deed::Update, &ids[rng.usize(..ids.len())]);
    }
}

/// Edits of its own documents, and of those that all share, as long as it sees them.
fn work_live(client: &mut Nebula, mut rng: Rng) {
    for round in 0..LIVE_ROUNDS {
        let id = |n: usize| format!("{}-{n}", client.name());
        let (new, older) = (id(round), id(rng.usize(..=round)));
        client.write(Deed::Insert, &new);
        match rng.u32(0..4) {
            0 if client.is_settled() => client.write(Deed::Remove, &older),
            1 => client.write(Deed::Update, &older),
            _ => client.write(Deed::Update, &format!("shared-{}", rng.usize(..SHARED))),
        }
        for _ in 0..rng.usize(1..4) {
            // A connection that is lost is made anew by the next one.
            let _ = client.cycle();
        }
    }
    eventually("the list is answered", || (client.cycle().is_ok() && client.is_settled()).then_some(()));
}
