//! Short rounds: clients of every kind work on one hub while blows fall on it, on them, on the network, on the disk and
//! on the clock. Then there is peace, and the history must be faultless. `cargo xtask faults` plays many of them.
//!
//! A seed makes the plan of a round. When exactly a blow falls within a commit is up to the machine.

use crate::blows::Blow;
use crate::clock::Clock;
use crate::device::{Device, Open, SyncProcess};
use crate::disk::Disk;
use crate::eventually::eventually;
use crate::foreign::Foreign;
use crate::history::{Answer, Deed, Log, Sent, converged_in_collections};
use crate::hub::{Hub, SYNCLINE};
use crate::load::{Load, NOTES, Pace, Patience};
use crate::node::Node;
use crate::proxy::{Proxy, Weather};
use crate::together::work_as_foreign;
use crate::writer;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::panic;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What nodes by packets exchange: their documents have UUIDs.
pub const CARDS: &str = "cards";
/// Rounds where nobody asks for more.
const FEW_ROUNDS: u64 = 2;
const FEW_FROM: u64 = 14;
const EDITS: usize = 8;
const PAUSE: Duration = Duration::from_millis(15);
const LONG_SYNC: Duration = Duration::from_secs(20);

/// How many rounds were asked for by `cargo xtask faults`, and from which seed on.
pub fn asked(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

#[test]
fn rounds_of_random_blows_end_in_a_faultless_history() {
    let (rounds, first) = (asked("SYNCLINE_FAULT_ROUNDS", FEW_ROUNDS), asked("SYNCLINE_FAULT_SEED", FEW_FROM));
    let mut tally = Tally::default();
    for seed in first..first + rounds {
        match panic::catch_unwind(|| play(seed)) {
            Ok(of_round) => {
                println!("round {seed}: {of_round}");
                tally.add(&of_round);
            }
            Err(cause) => {
                eprintln!("round {seed} failed; to play it again: cargo xtask faults --rounds 1 --seed {seed}");
                panic::resume_unwind(cause);
            }
        }
    }
    println!("{rounds} rounds from seed {first}: {tally}");
}

/// What happened in rounds, and how long the longest sync of a device took.
#[derive(Default)]
struct Tally(BTreeMap<&'static str, usize>, Duration);

impl Tally {
    fn note(&mut self, what: &'static str, times: usize) {
        *self.0.entry(what).or_default() += times;
    }

    fn add(&mut self, other: &Tally) {
        other.0.iter().for_each(|(what, times)| self.note(what, *times));
        self.took(other.1);
    }

    fn took(&mut self, sync: Duration) {
        self.1 = self.1.max(sync);
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told: Vec<String> = self.0.iter().map(|(what, times)| format!("{times} {what}")).collect();
        write!(f, "{}, the longest sync took {:?}", told.join(", "), self.1)
    }
}

/// What a round is made of.
struct Plan {
    /// The log is forgotten as fast as its readers let it be.
    trims: bool,
    /// The wall clock of the hub is set.
    steps_clock: bool,
    /// The data lie on a disk of their own, which gets full.
    small_disk: bool,
    /// Bytes that make documents larger, so that the write-ahead log is copied again and again.
    ballast: usize,
    blows: usize,
}

impl Plan {
    fn draw(rng: &mut Rng) -> Plan {
        let small_disk = rng.u32(0..4) == 0;
        Plan {
            trims: rng.bool(),
            steps_clock: rng.bool(),
            small_disk,
            ballast: if !small_disk && rng.u32(0..8) == 0 { 40_000 } else { 0 },
            blows: rng.usize(3..7),
        }
    }

    /// A WiseJSON client dates documents by its own clock and ignores what is dated before them; and it holds no part
    /// of the log back, because nobody can tell it from others.
    fn has_foreign(&self) -> bool {
        !self.steps_clock && !self.trims
    }
}

fn play(seed: u64) -> Tally {
    let mut rng = Rng::with_seed(seed);
    let plan = Plan::draw(&mut rng);
    let mut world = World::new(seed, plan);
    let pace = Pace { ballast: world.plan.ballast, pause: PAUSE };
    let load = Load::paced(&world.proxy.address, 2, seed, Patience::Endless, pace);
    let mut foreign = Foreign::new("f", &world.proxy.address, NOTES, seed);
    thread::scope(|scope| {
        let works = world.plan.has_foreign().then(|| {
            let rng = Rng::with_seed(seed);
            scope.spawn(|| work_as_foreign(&mut foreign, rng))
        });
        for _ in 0..world.plan.blows {
            world.round_of_devices(&load);
        }
        world.heal();
        if let Some(works) = works {
            works.join().unwrap();
        }
    });
    let mut sent = load.finish();
    sent.extend(foreign.notes().to_vec());
    world.settle(&mut foreign, sent)
}

/// One hub, its surroundings, and who works on it by processes.
pub struct World {
    pub home: TempDir,
    pub hub: Hub,
    pub proxy: Proxy,
    pub clock: Clock,
    pub disk: Option<Disk>,
    pub rng: Rng,
    plan: Plan,
    data: PathBuf,
    devices: Vec<Device>,
    /// Reads along from the beginning to the end.
    reader: Log,
    founded: Vec<Sent>,
    tally: Tally,
    /// Of its own, so that a seed goes on meaning the same plan.
    writers: Rng,
    /// How large the space's file was when somebody last looked.
    copied: u64,
}

impl World {
    fn new(seed: u64, plan: Plan) -> World {
        let home = tempfile::tempdir().unwrap();
        let clock = Clock::new(home.path());
        let disk = plan.small_disk.then(|| Disk::new(home.path()));
        let data = disk.as_ref().map_or_else(|| home.path().join("hub"), |disk| disk.path().join("hub"));
        let hub = Hub::spawn(clock.command(SYNCLINE), &data);
        let proxy = Proxy::start(&hub.address, seed);
        let devices = vec![
            Device::new("d", home.path(), NOTES),
            Device::new("e", home.path(), NOTES),
            Device::by_packets("p", home.path(), CARDS, &hub),
        ];
        let mut founder = Node::new("founder", &hub.address);
        founder.write(Deed::Insert, NOTES, "founded");
        founder.push().unwrap();
        let mut reader = Log::default();
        // What it has, it says when it asks for more. That is written down when a hub stops: from now on nothing goes
        // that this reader has not read.
        (0..2).for_each(|_| reader.read_on(&hub.address).unwrap());
        hub.signal("TERM");
        drop(hub.ended());
        let hub = start(&clock, &data, &plan);
        proxy.lead_to(&hub.address);
        proxy.weather(Weather { cut_within_bytes: 3_000, ..Weather::STORM });
        let (rng, founded) = (Rng::with_seed(!seed), founder.notes().to_vec());
        let (writers, mut tally) = (Rng::with_seed(seed.rotate_left(32)), Tally::default());
        tally.note("rounds of large documents", usize::from(plan.ballast > 0));
        let mut world = World {
            home,
            hub,
            proxy,
            clock,
            disk,
            rng,
            plan,
            data,
            devices,
            reader,
            founded,
            tally,
            writers,
            copied: 0,
        };
        world.look_at_the_log();
        world
    }

    /// The space's file grows only when the hub brings its write-ahead log home. One that is killed does not, nor does one
    /// that starts.
    fn look_at_the_log(&mut self) {
        let bytes = self.data.join("spaces/main.db").metadata().unwrap().len();
        let before = std::mem::replace(&mut self.copied, bytes);
        self.tally.note("looks after the log was copied", usize::from((1..bytes).contains(&before)));
    }

    /// Devices edit offline and sync all at once; meanwhile a blow falls.
    fn round_of_devices(&mut self, load: &Load) {
        let address = self.proxy.address.clone();
        for device in &mut self.devices {
            edit(&mut device.open(&address), &mut self.rng);
        }
        if let Some(device) = self.devices.get_mut(self.writers.usize(..6)) {
            self.tally.note("apps killed while they wrote", 1);
            self.tally.note("writes of theirs", writer::strike(device, &mut self.writers));
        }
        let mut processes: Vec<SyncProcess> = self.devices.iter().map(|device| device.sync_process(&address)).collect();
        let (enough, so_many) = (load.receipts() + self.rng.usize(1..40), self.proxy.pushes() + self.rng.usize(1..6));
        eventually("somebody gets on", || (load.receipts() >= enough || self.proxy.pushes() >= so_many).then_some(()));
        let blow = Blow::draw(&mut self.rng, self.disk.is_some(), self.plan.steps_clock);
        self.tally.note(blow.name(), 1);
        blow.fall(self, &mut processes);
        // Whoever syncs ends by itself, with success or without. On a machine that is busy with other things a storm can
        // take long: then the device is struck as well, and goes on in the next round.
        let (began, until) = (Instant::now(), Instant::now() + LONG_SYNC);
        while Instant::now() < until && processes.iter_mut().any(|process| !process.has_ended()) {
            thread::sleep(Duration::from_millis(2)); // sleep: the pause between two looks at the processes
        }
        self.tally.took(began.elapsed());
        for process in processes.iter_mut().filter_map(SyncProcess::at_work) {
            process.strike();
            self.tally.note("syncs given up", 1);
        }
        self.look_at_the_log();
        // A hub that is busy or away is asked again in the next round.
        let _ = self.reader.read_on(&self.hub.address);
    }

    /// Kills the hub and starts it again.
    pub fn replace_hub(&mut self) {
        self.hub.kill();
        self.start_hub();
    }

    /// Starts a hub where one was killed.
    pub fn start_hub(&mut self) {
        self.hub = start(&self.clock, &self.data, &self.plan);
        self.proxy.lead_to(&self.hub.address);
    }

    /// The hub's directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    fn heal(&mut self) {
        self.tally.note("requests spoiled", self.proxy.faults());
        self.proxy.weather(Weather::CALM);
        self.clock.set(0);
    }

    /// Everybody hears the last word; then the history is judged.
    fn settle(mut self, foreign: &mut Foreign, mut sent: Vec<Sent>) -> Tally {
        let address = self.hub.address.clone();
        let mut replicas = Vec::new();
        let mut open: Vec<Open<'_>> = self.devices.iter_mut().map(|device| device.open(&address)).collect();
        for _ in 0..3 {
            if self.plan.has_foreign() {
                foreign.cycle_at(&address).unwrap();
            }
            for device in &mut open {
                // The hub may close a connection that has rested while the others had their turn; everybody asks again then.
                let first = device.cycle();
                let outcome = if first.success { first } else { device.cycle() };
                assert!(outcome.success && device.pending() == 0, "{}: {outcome:?}", device.name());
            }
        }
        for device in &open {
            let collection = if device.name() == "p" { CARDS } else { NOTES };
            replicas.push((device.name().to_owned(), collection, device.replica()));
        }
        drop(open);
        if self.plan.has_foreign() {
            replicas.push((foreign.name().to_owned(), NOTES, foreign.replica()));
        }
        sent.append(&mut self.founded);
        sent.extend(self.devices.iter().flat_map(|device| device.notes().to_vec()));
        assert!(sent.iter().all(|op| op.answer != Answer::None), "everything is acknowledged");

        self.reader.read_on(&address).unwrap();
        self.reader.read_aside(&address);
        self.reader.judge(&sent);
        if !self.plan.trims {
            self.reader.same_as(&Log::read(&address));
        }
        converged_in_collections(&address, &self.reader, &replicas);
        assert_eq!(self.hub.get("/health/ready").status, 200);
        self.tally.note("ops", sent.len());
        self.tally.note("changes", self.reader.len());
        self.tally
    }
}

fn start(clock: &Clock, data: &Path, plan: &Plan) -> Hub {
    let mut command = clock.command(SYNCLINE);
    if plan.trims {
        command.envs([("SYNCLINE_RETENTION_TRIM_EVERY", "20ms"), ("SYNCLINE_RETENTION_LOG", "1ms")]);
    }
    Hub::spawn(command, data)
}

/// New documents, edits and removals.
pub fn edit(open: &mut Open<'_>, rng: &mut Rng) {
    for _ in 0..EDITS {
        let own = uuid(rng);
        open.write(Deed::Insert, &own);
        match rng.u32(0..6) {
            0 | 1 => open.write(Deed::Update, &own),
            2 => open.write(Deed::Remove, &own),
            _ => {}
        }
        let shared = format!("shared-{}", rng.usize(..crate::load::SHARED));
        if open.has(&shared) {
            open.write(Deed::Update, &shared);
        }
    }
}

fn uuid(rng: &mut Rng) -> String {
    format!("33333333-3333-4333-8333-{:012x}", rng.u64(..) & 0xffff_ffff_ffff)
}
