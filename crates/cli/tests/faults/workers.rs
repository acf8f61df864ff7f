//! Rounds with three workers behind nginx, on one PostgreSQL and one Redis, each of which is killed, halted, emptied or
//! cut off at random moments under load. Everybody goes to another worker with each request. Few rounds in the test
//! run; many by `cargo xtask faults --workers`.

use crate::balancer::Balancer;
use crate::database::Postgres;
use crate::device::{Device, Open, SyncProcess};
use crate::eventually::eventually;
use crate::foreign::Foreign;
use crate::history::{Answer, Deed, Log, Sent, converged_in_collections};
use crate::hub::{Hub, SYNCLINE};
use crate::load::{Load, NOTES, Pace, Patience};
use crate::node::Node;
use crate::proxy::{Proxy, Weather};
use crate::redis::Redis;
use crate::rounds::{CARDS, asked, edit};
use crate::together::work_as_foreign;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::panic;
use std::process::Command;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const WORKERS: usize = 3;
const FEW_ROUNDS: u64 = 1;
const FEW_FROM: u64 = 5;
const HALT_MS: u64 = 300;

#[test]
fn rounds_of_blows_on_workers_and_what_they_stand_on_end_in_a_faultless_history() {
    let (rounds, first) = (asked("SYNCLINE_FAULT_ROUNDS", FEW_ROUNDS), asked("SYNCLINE_FAULT_SEED", FEW_FROM));
    let mut tally = BTreeMap::<&'static str, usize>::new();
    for seed in first..first + rounds {
        match panic::catch_unwind(|| play(seed)) {
            Ok(of_round) => {
                println!("round {seed}: {of_round:?}");
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

/// What can happen.
#[derive(Clone, Copy, Debug)]
enum Blow {
    WorkerKilled,
    AllWorkersKilled,
    WorkerHalted,
    WorkerReplaced,
    BackendsCut,
    BackendHalted,
    DatabaseCrashed,
    RedisKilled,
    RedisEmptied,
    ClientsKilled,
}

const BLOWS: [Blow; 10] = [
    Blow::WorkerKilled,
    Blow::AllWorkersKilled,
    Blow::WorkerHalted,
    Blow::WorkerReplaced,
    Blow::BackendsCut,
    Blow::BackendHalted,
    Blow::DatabaseCrashed,
    Blow::RedisKilled,
    Blow::RedisEmptied,
    Blow::ClientsKilled,
];

impl Blow {
    fn name(self) -> &'static str {
        match self {
            Blow::WorkerKilled => "workers killed",
            Blow::AllWorkersKilled => "all workers killed",
            Blow::WorkerHalted => "workers halted",
            Blow::WorkerReplaced => "workers stopped and replaced",
            Blow::BackendsCut => "times all connections to PostgreSQL cut",
            Blow::BackendHalted => "backends of PostgreSQL halted",
            Blow::DatabaseCrashed => "crashes of PostgreSQL",
            Blow::RedisKilled => "outages of Redis",
            Blow::RedisEmptied => "times Redis emptied",
            Blow::ClientsKilled => "rounds of killed clients",
        }
    }
}

/// A worker, and the way to it, which stays when the worker is replaced.
struct Worker {
    hub: Hub,
    way: Proxy,
}

struct Site {
    home: TempDir,
    database: Postgres,
    name: String,
    redis: Option<Redis>,
    workers: Vec<Worker>,
    _balancer: Balancer,
    /// Before all of it.
    front: Proxy,
    rng: Rng,
    tally: BTreeMap<&'static str, usize>,
}

fn play(seed: u64) -> BTreeMap<&'static str, usize> {
    let mut site = Site::new(seed);
    let address = site.front.address.clone();
    let mut founder = Node::new("founder", &address);
    founder.write(Deed::Insert, NOTES, "founded");
    founder.push().unwrap();
    let mut devices = vec![
        Device::new("d", site.home.path(), NOTES),
        Device::new("e", site.home.path(), NOTES),
        Device::by_packets("p", site.home.path(), CARDS, &site.workers[0].hub),
    ];
    let mut reader = Log::default();
    let load = Load::paced(&address, 2, seed, Patience::Endless, Pace { ballast: 0, pause: Duration::from_millis(15) });
    let mut foreign = Foreign::new("f", &address, NOTES, seed);
    site.weather(Weather { cut_within_bytes: 3_000, ..Weather::STORM });
    thread::scope(|scope| {
        let works = scope.spawn(|| work_as_foreign(&mut foreign, Rng::with_seed(seed)));
        for _ in 0..site.rng.usize(3..6) {
            site.round_of_devices(&mut devices, &load);
            // A worker that is behind waits or asks: whoever reads along is never sent back, whichever answers.
            let _ = reader.read_on(&address);
        }
        site.weather(Weather::CALM);
        works.join().unwrap();
    });
    let mut sent = load.finish();
    sent.extend(foreign.notes().iter().chain(founder.notes()).cloned());
    site.settle((&mut devices, &mut foreign), reader, sent)
}

impl Site {
    fn new(seed: u64) -> Site {
        let home = tempfile::tempdir().unwrap();
        let mut rng = Rng::with_seed(!seed);
        let database = Postgres::start(&[]);
        let name = database.database();
        // Half of the rounds go by NOTIFY alone.
        let redis = rng.bool().then(|| Redis::start(home.path()));
        let start = |_| {
            let hub = spawn(&home, &database.url(&name), redis.as_ref());
            Worker { way: Proxy::start(&hub.address, seed), hub }
        };
        let workers: Vec<Worker> = (0..WORKERS).map(start).collect();
        let ways: Vec<String> = workers.iter().map(|worker| worker.way.address.clone()).collect();
        let balancer = Balancer::before(&ways, home.path());
        let front = Proxy::start(&balancer.address, seed);
        Site { home, database, name, redis, workers, _balancer: balancer, front, rng, tally: BTreeMap::new() }
    }

    /// Half of it between clients and nginx, half between nginx and workers.
    fn weather(&mut self, weather: Weather) {
        let halved = Weather {
            delay: weather.delay / 2,
            refuse: weather.refuse / 2,
            cut_request: weather.cut_request / 2,
            cut_reply: weather.cut_reply / 2,
            duplicate: weather.duplicate / 2,
            ..weather
        };
        self.front.weather(halved);
        self.workers.iter().for_each(|worker| worker.way.weather(halved));
    }

    /// Devices edit offline and sync all at once; meanwhile a blow falls.
    fn round_of_devices(&mut self, devices: &mut [Device], load: &Load) {
        let address = self.front.address.clone();
        for device in devices.iter_mut() {
            edit(&mut device.open(&address), &mut self.rng);
        }
        let mut processes: Vec<SyncProcess> = devices.iter().map(|device| device.sync_process(&address)).collect();
        let enough = load.receipts() + self.rng.usize(1..40);
        eventually("somebody gets on", || (load.receipts() >= enough).then_some(()));
        let blow = BLOWS[self.rng.usize(..BLOWS.len())];
        *self.tally.entry(blow.name()).or_default() += 1;
        self.strike(blow, &mut processes);
        let after = load.receipts();
        eventually("work goes on", || (load.receipts() > after).then_some(()));
        for process in processes.iter_mut().filter_map(SyncProcess::at_work) {
            process.strike();
        }
    }

    fn strike(&mut self, blow: Blow, processes: &mut [SyncProcess]) {
        let one = self.rng.usize(..WORKERS);
        match blow {
            Blow::WorkerKilled => self.replace(one),
            Blow::AllWorkersKilled => {
                self.workers.iter_mut().for_each(|worker| worker.hub.kill());
                (0..WORKERS).for_each(|n| self.start(n));
            }
            Blow::WorkerHalted => {
                self.workers[one].hub.signal("STOP");
                self.pause(HALT_MS);
                if self.rng.bool() { self.replace(one) } else { self.workers[one].hub.signal("CONT") }
            }
            Blow::WorkerReplaced => {
                // As a rolling restart does it: the new one is there before the old one goes.
                let fresh = spawn(&self.home, &self.database.url(&self.name), self.redis.as_ref());
                self.workers[one].way.lead_to(&fresh.address);
                let old = std::mem::replace(&mut self.workers[one].hub, fresh);
                old.signal("TERM");
                let (status, log) = old.ended();
                assert!(status.success(), "{log}");
            }
            Blow::BackendsCut => drop(self.of_backends("count(pg_terminate_backend(pid))")),
            Blow::BackendHalted => {
                let pids = self.of_backends("string_agg(pid::TEXT, ' ')");
                let pids: Vec<&str> = pids.split(' ').filter(|pid| !pid.is_empty()).collect();
                if let Some(pid) = pids.get(self.rng.usize(..pids.len().max(1))) {
                    // Fails where its connection has ended since.
                    let _ = Command::new("kill").args(["-STOP", pid]).status();
                    self.pause(HALT_MS);
                    let _ = Command::new("kill").args(["-CONT", pid]).status();
                }
            }
            Blow::DatabaseCrashed => {
                self.database.crash();
                self.pause(HALT_MS);
                self.database.start_again();
            }
            Blow::RedisKilled => {
                if let Some(redis) = &mut self.redis {
                    redis.kill();
                    thread::sleep(Duration::from_millis(self.rng.u64(..HALT_MS))); // sleep: an outage lasts a while
                    redis.start_again();
                }
            }
            Blow::RedisEmptied => self.redis.iter().for_each(Redis::flush),
            Blow::ClientsKilled => {
                for process in processes {
                    self.pause(20);
                    process.strike();
                }
            }
        }
    }

    /// What PostgreSQL says of the connections of workers.
    fn of_backends(&self, what: &str) -> String {
        let sql = format!("SELECT {what} FROM pg_stat_activity WHERE application_name = 'syncline'");
        self.database.run(&self.name, &sql)
    }

    fn replace(&mut self, n: usize) {
        self.workers[n].hub.kill();
        self.start(n);
    }

    fn start(&mut self, n: usize) {
        let hub = spawn(&self.home, &self.database.url(&self.name), self.redis.as_ref());
        self.workers[n].way.lead_to(&hub.address);
        self.workers[n].hub = hub;
    }

    /// Any time up to so many milliseconds.
    fn pause(&mut self, most_ms: u64) {
        thread::sleep(Duration::from_micros(self.rng.u64(..most_ms * 1_000))); // sleep: a blow may fall at any moment
    }

    /// Everybody hears the last word; then the history is judged, as each worker tells it.
    fn settle(
        mut self,
        (devices, foreign): (&mut [Device], &mut Foreign),
        mut reader: Log,
        mut sent: Vec<Sent>,
    ) -> BTreeMap<&'static str, usize> {
        let address = self.front.address.clone();
        let mut open: Vec<Open<'_>> = devices.iter_mut().map(|device| device.open(&address)).collect();
        for _ in 0..3 {
            foreign.cycle_at(&address).unwrap();
            for device in &mut open {
                let outcome = device.cycle();
                assert!(outcome.success && device.pending() == 0, "{}: {outcome:?}", device.name());
            }
        }
        let mut replicas = vec![(foreign.name().to_owned(), NOTES, foreign.replica())];
        for device in &open {
            let collection = if device.name() == "p" { CARDS } else { NOTES };
            replicas.push((device.name().to_owned(), collection, device.replica()));
        }
        drop(open);
        sent.extend(devices.iter().flat_map(|device| device.notes().to_vec()));
        assert!(sent.iter().all(|op| op.answer != Answer::None), "everything is acknowledged");

        reader.read_on(&address).unwrap();
        reader.read_aside(&address);
        reader.judge(&sent);
        for worker in &self.workers {
            reader.same_as(&Log::read(&worker.hub.address));
            assert_eq!(worker.hub.get("/health/ready").status, 200);
        }
        converged_in_collections(&address, &reader, &replicas);
        let faults = self.front.faults() + self.workers.iter().map(|worker| worker.way.faults()).sum::<usize>();
        self.tally.extend([("requests spoiled", faults), ("ops", sent.len()), ("changes", reader.len())]);
        self.tally
    }
}

fn spawn(home: &TempDir, store: &str, redis: Option<&Redis>) -> Hub {
    let mut command = Command::new(SYNCLINE);
    command.env("SYNCLINE_STORE", store);
    if let Some(redis) = redis {
        command.env("SYNCLINE_REDIS_URL", redis.url());
    }
    Hub::spawn(command, &home.path().join("unused"))
}
