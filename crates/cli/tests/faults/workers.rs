//! Rounds with three workers behind nginx, on one PostgreSQL and one Redis, each of which is killed, halted, emptied or
//! cut off at random moments under load, with a slow network, a full disk, and clocks that differ. Everybody goes to
//! another worker with each request. On some sites the log is trimmed all the time, and those who sleep for long begin anew. Few rounds in the test run; many by `cargo xtask faults --workers`.

mod blow;
mod bystander;
mod site;
mod sleepers;

use crate::device::{Device, Open, SyncProcess};
use crate::eventually::{DEADLINE, eventually};
use crate::foreign::Foreign;
use crate::history::{Answer, Deed, Log, Replica, Sent, alike, converged_in_collections};
use crate::live_way::Transport;
use crate::load::{Load, NOTES, Pace, Patience, SHARED};
use crate::nebula::Nebula;
use crate::node::Node;
use crate::rounds::{CARDS, asked, edit};
use crate::together::work_as_foreign;
use blow::Blow;
use bystander::Bystander;
use fastrand::Rng;
use site::Site;
use sleepers::Sleepers;
use std::collections::BTreeMap;
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const FEW_ROUNDS: u64 = 1;
const FEW_FROM: u64 = 5;
/// Edits of each live client.
const LIVE_ROUNDS: usize = 20;
/// So long a sync may take where the log is trimmed.
const LONG_SYNC: Duration = Duration::from_secs(5);
/// Between two looks of those who read along.
const PAUSE: Duration = Duration::from_millis(50);

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
    sleepers: Sleepers,
    foreign: Foreign,
    live: [Nebula; 3],
    bystander: Bystander,
    /// Reads along from the beginning to the end.
    reader: Log,
    founded: Vec<Sent>,
}

impl Round {
    fn new(seed: u64) -> Round {
        let mut site = Site::new(seed);
        let address = site.address();
        let mut founder = Node::new("founder", &address);
        founder.write(Deed::Insert, NOTES, "founded");
        founder.push().unwrap();
        let reader = reader_of(Log::default(), &address);
        let (home, hub) = (site.home(), &site.workers[0].hub);
        let devices = vec![
            Device::new("d", home, NOTES),
            Device::new("e", home, NOTES),
            Device::by_packets("p", home, CARDS, hub),
            Device::by_packets("q", home, CARDS, hub),
        ];
        let live = [("l", Transport::Polling), ("m", Transport::WebSocket), ("n", Transport::WebSocket)];
        let live = live.map(|(name, transport)| {
            let mut client = Nebula::new(name, &address, NOTES, transport);
            eventually("a live client is there", || (client.cycle().is_ok() && client.has("founded")).then_some(()));
            client
        });
        Round {
            seed,
            devices,
            sleepers: Sleepers::of(&mut site),
            foreign: Foreign::new("f", &address, NOTES, seed),
            live,
            bystander: Bystander::new(&address),
            reader,
            founded: founder.notes().to_vec(),
            site,
            address,
        }
    }

    fn play(mut self) -> BTreeMap<&'static str, usize> {
        let pace = Pace { ballast: 0, pause: Duration::from_millis(15) };
        let load = Load::paced(&self.address, 2, self.seed, Patience::Endless, pace);
        let Round { seed, site, address, devices, sleepers, foreign, live, bystander, reader, .. } = &mut self;
        let (seed, has_foreign) = (*seed, has_foreign(site));
        let (ended, working) = (AtomicBool::new(false), AtomicUsize::new(live.len()));
        site.weather(site.storm());
        let (written, replicas) = thread::scope(|scope| {
            let _ended = Ended(&ended);
            let works = has_foreign.then_some(foreign).map(|foreign| {
                scope.spawn(move || {
                    work_as_foreign(foreign, Rng::with_seed(seed));
                    foreign
                })
            });
            for (n, client) in live.iter_mut().enumerate() {
                let (rng, ended, working) = (Rng::with_seed(seed.wrapping_add(n as u64)), &ended, &working);
                scope.spawn(move || {
                    work_live(client, rng, ended);
                    working.fetch_sub(1, Ordering::SeqCst);
                    stay(client, ended);
                });
            }
            scope.spawn(|| bystander.work());
            scope.spawn(|| read_along(reader, address, &ended));
            let rounds = site.rng.usize(3..6);
            for _ in 0..rounds {
                round_of_devices(site, devices, &load);
            }
            while sleepers.are_waited_for(site) {
                round_of_devices(site, devices, &load);
            }
            site.heal();
            let foreign = works.map(|works| works.join().unwrap());
            eventually("live clients have done their work", || (working.load(Ordering::SeqCst) == 0).then_some(()));
            let written = load.finish();
            let mut open: Vec<Open<'_>> = devices.iter_mut().map(|device| device.open(address)).collect();
            open.extend(sleepers.wake(address));
            (written, last_cycles(&mut open, foreign, address))
        });
        let by_node = |name: &str| written.iter().filter(|op| op.mark.starts_with(name)).cloned().collect();
        self.settle(["w0-", "w1-"].map(by_node).to_vec(), replicas)
    }

    /// Everybody has heard the last word; now the history is judged, as each worker tells it.
    fn settle(
        mut self,
        loaded: Vec<Vec<Sent>>,
        mut replicas: Vec<(String, &'static str, Replica)>,
    ) -> BTreeMap<&'static str, usize> {
        let address = &self.address;
        for client in &mut self.live {
            hear_all(client, &mut self.reader, address);
            replicas.push((client.name().to_owned(), NOTES, client.replica()));
        }
        // A WiseJSON client sends what it did in transactions after all else.
        let mut in_order = loaded;
        in_order.extend(self.devices.iter().chain(self.sleepers.devices()).map(|device| device.notes().to_vec()));
        in_order.extend(self.live.iter().map(|client| client.notes().to_vec()));
        in_order.push(self.founded);
        let mut sent = in_order.concat();
        sent.extend(self.foreign.notes().to_vec());
        assert!(sent.iter().all(|op| op.answer != Answer::None), "everything is acknowledged");

        let trims = self.site.trims();
        self.reader.forgets = trims;
        self.reader.read_aside(address);
        self.reader.judge(&sent);
        in_order.iter().for_each(|notes| self.reader.in_order(notes));
        for hub in self.site.hubs() {
            if !trims {
                self.reader.same_as(&Log::read(&hub.address));
            }
            converged_in_collections(&hub.address, &self.reader, &replicas);
            eventually("a worker is ready", || (hub.get("/health/ready").status == 200).then_some(()));
        }
        self.bystander.judge(trims);
        let mut tally = self.site.tally();
        tally.extend([("ops", sent.len()), ("changes", self.reader.len())]);
        tally.extend([("sites that trim their log", usize::from(trims))]);
        tally
    }
}

/// It dates documents by its own clock and ignores what is dated before them; and it holds no part of the log back,
/// because nobody can tell it from others.
fn has_foreign(site: &Site) -> bool {
    !site.sets_clocks() && !site.trims()
}

/// Of what it has read, it tells when it asks for more: nothing goes that it has not read.
fn reader_of(mut log: Log, address: &str) -> Log {
    (0..2).for_each(|_| log.read_on(address).unwrap());
    log
}

/// Tells those who go on until the end that it has come, also where the round has failed.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A worker that is behind waits or asks: whoever reads along is never sent back, whichever answers.
fn read_along(reader: &mut Log, address: &str, ended: &AtomicBool) {
    while !ended.load(Ordering::SeqCst) {
        // What is cut off now is read later.
        let _ = reader.read_on(address);
        thread::sleep(PAUSE); // sleep: the others get on meanwhile
    }
}

/// Devices and the WiseJSON client, as long as they hear news; what they have then.
fn last_cycles(
    open: &mut [Open<'_>],
    mut foreign: Option<&mut Foreign>,
    address: &str,
) -> Vec<(String, &'static str, Replica)> {
    for _ in 0..3 {
        if let Some(foreign) = &mut foreign {
            foreign.cycle_at(address).unwrap();
        }
        for device in &mut *open {
            // The hub may close a connection that has rested while the others had their turn.
            let first = device.cycle();
            let outcome = if first.success { first } else { device.cycle() };
            assert!(outcome.success && device.pending() == 0, "{}: {outcome:?}", device.name());
        }
    }
    let collection = |device: &Open<'_>| if device.collection() == CARDS { CARDS } else { NOTES };
    let replica = |device: &Open<'_>| (device.name().to_owned(), collection(device), device.replica());
    let mut replicas: Vec<_> = open.iter().map(replica).collect();
    replicas.extend(foreign.map(|foreign| (foreign.name().to_owned(), NOTES, foreign.replica())));
    replicas
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
    site.weather(site.storm());
    // Whoever never gets to its end holds the log back.
    let until = Instant::now() + if site.trims() { LONG_SYNC } else { Duration::ZERO };
    while Instant::now() < until && processes.iter_mut().any(|process| !process.has_ended()) {
        thread::sleep(PAUSE); // sleep: the pause between two looks at the processes
    }
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
fn work_live(client: &mut Nebula, mut rng: Rng, ended: &AtomicBool) {
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
    let said = |client: &mut Nebula| client.cycle().is_ok() && client.is_settled();
    while !said(client) && !ended.load(Ordering::SeqCst) {
        thread::sleep(PAUSE); // sleep: the pause between two looks at the list
    }
}

/// What has come is told before the answer to a list: it is looked for again and again.
fn hear_all(client: &mut Nebula, reader: &mut Log, address: &str) {
    let until = Instant::now() + DEADLINE;
    loop {
        let heard = client.cycle().is_ok() && client.is_settled();
        reader.read_on(address).unwrap();
        let stands = reader.replica_of(NOTES);
        if heard && client.replica() == stands {
            return;
        }
        if Instant::now() > until {
            alike(client.name(), &client.replica(), &stands);
            panic!("{} is not heard", client.name());
        }
    }
}

/// Whoever is not heard of for long is forgotten.
fn stay(client: &mut Nebula, ended: &AtomicBool) {
    while !ended.load(Ordering::SeqCst) {
        // As before.
        let _ = client.cycle();
        thread::sleep(PAUSE); // sleep: the others get on meanwhile
    }
}
