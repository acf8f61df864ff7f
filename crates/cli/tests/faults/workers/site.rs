//! Workers and what they stand on.

use crate::balancer::Balancer;
use crate::clock::Clock;
use crate::database::Postgres;
use crate::hub::{Hub, SYNCLINE};
use crate::proxy::{Proxy, Weather};
use crate::redis::Redis;
use crate::slow_way::SlowWay;
use crate::small::Small;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// How many there are.
pub const WORKERS: usize = 3;
/// One site in so many has its database on a small disk.
const SMALL_DISKS: u32 = 4;

/// Where the log is trimmed under load. Whoever is there says so every few seconds.
const SHORT_RETENTION: [(&str, &str); 3] =
    [("SYNCLINE_RETENTION_TRIM_EVERY", "100ms"), ("SYNCLINE_RETENTION_LOG", "1s"), ("SYNCLINE_RETENTION_NODES", "20s")];

/// What the network is like while everybody works.
const STORM: Weather = Weather { cut_within_bytes: 3_000, ..Weather::STORM };

/// The same where the log is trimmed: who never gets to its end would hold it back for ever.
const SQUALL: Weather = Weather { refuse: 3, cut_request: 3, cut_reply: 5, ..STORM };

/// A worker, and the way to it and its clock, which stay when the worker is replaced.
pub struct Worker {
    pub hub: Hub,
    way: Proxy,
    pub clock: Clock,
}

/// Three workers behind a balancer. What it is made of follows from a seed.
pub struct Site {
    home: TempDir,
    pub database: Postgres,
    pub small: Option<Small>,
    /// Between the workers and the database.
    pub slow_way: SlowWay,
    name: String,
    /// Half of the sites go by NOTIFY alone.
    pub redis: Option<Redis>,
    pub workers: Vec<Worker>,
    pub balancer: Balancer,
    /// Before all of it.
    front: Proxy,
    sets_clocks: bool,
    /// The log is forgotten as fast as its readers let it be, and for a reader that sleeps it is not kept for long.
    trims: bool,
    pub rng: Rng,
    tally: BTreeMap<&'static str, usize>,
}

impl Site {
    pub fn new(seed: u64) -> Site {
        let home = tempfile::tempdir().unwrap();
        let mut rng = Rng::with_seed(!seed);
        let database = Postgres::start(&[]);
        let small = (rng.u32(..SMALL_DISKS) == 0).then(|| Small::new(&database));
        let name = small.as_ref().map_or_else(|| database.database(), |small| small.database.clone());
        let redis = rng.bool().then(|| Redis::start(home.path()));
        let slow_way = SlowWay::open(home.path(), database.socket_dir());
        // A clock that is wrong would put everybody to sleep. Of its own, so that a seed goes on meaning the same site.
        let sets_clocks = rng.bool();
        let trims = !sets_clocks && Rng::with_seed(seed.rotate_left(32)).bool();
        let start = |n: usize| {
            let place = home.path().join(format!("worker-{n}"));
            std::fs::create_dir(&place).unwrap();
            let clock = Clock::new(&place);
            let hub = spawn(&home, &name, redis.as_ref(), &clock, trims);
            Worker { way: Proxy::start(&hub.address, seed), hub, clock }
        };
        let workers: Vec<Worker> = (0..WORKERS).map(start).collect();
        let ways: Vec<String> = workers.iter().map(|worker| worker.way.address.clone()).collect();
        let balancer = Balancer::before(&ways, home.path());
        let front = Proxy::start(&balancer.address, seed);
        Site {
            home,
            database,
            small,
            slow_way,
            name,
            redis,
            workers,
            balancer,
            front,
            sets_clocks,
            trims,
            rng,
            tally: BTreeMap::new(),
        }
    }

    /// Where everybody comes in.
    pub fn address(&self) -> String {
        self.front.address.clone()
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn hubs(&self) -> impl Iterator<Item = &Hub> {
        self.workers.iter().map(|worker| &worker.hub)
    }

    /// Whether clocks of workers may be wrong.
    pub fn sets_clocks(&self) -> bool {
        self.sets_clocks
    }

    /// Whether a reader that sleeps is to begin anew.
    pub fn trims(&self) -> bool {
        self.trims
    }

    pub fn any_worker(&mut self) -> usize {
        self.rng.usize(..WORKERS)
    }

    pub fn note(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// What befell it.
    pub fn tally(mut self) -> BTreeMap<&'static str, usize> {
        let faults = self.front.faults() + self.workers.iter().map(|worker| worker.way.faults()).sum::<usize>();
        self.tally.insert("requests spoiled", faults);
        self.tally
    }

    /// What the network is like until it is healed.
    pub fn storm(&self) -> Weather {
        if self.trims { SQUALL } else { STORM }
    }

    /// Half of it between clients and nginx, half between nginx and workers.
    pub fn weather(&mut self, weather: Weather) {
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

    /// Ends what lasts: nothing is slow, and clocks are right.
    pub fn heal(&mut self) {
        self.slow_way.late(0);
        self.weather(Weather::CALM);
        self.workers.iter().for_each(|worker| worker.clock.set(0));
    }

    /// What a worker says of the log, `head` or `horizon`; 0 while it cannot say.
    pub fn log(&self, what: &str) -> u64 {
        let told = self.workers[0].hub.get("/admin/spaces/main/nodes").json();
        told[what].as_u64().unwrap_or(0)
    }

    /// What PostgreSQL says of the connections of workers.
    pub fn of_backends(&self, what: &str) -> String {
        let sql = format!("SELECT {what} FROM pg_stat_activity WHERE application_name = 'syncline'");
        self.database.run(&self.name, &sql)
    }

    /// Kills workers, all before the first one comes back.
    pub fn kill(&mut self, workers: impl IntoIterator<Item = usize> + Clone) {
        workers.clone().into_iter().for_each(|n| self.workers[n].hub.kill());
        for n in workers {
            let hub = self.spawn(n);
            self.workers[n].way.lead_to(&hub.address);
            self.workers[n].hub = hub;
        }
    }

    /// As a rolling restart does it: the new one is there before the old one goes.
    pub fn replace(&mut self, n: usize) {
        let fresh = self.spawn(n);
        self.workers[n].way.lead_to(&fresh.address);
        let old = std::mem::replace(&mut self.workers[n].hub, fresh);
        old.signal("TERM");
        let (status, log) = old.ended();
        assert!(status.success(), "{log}");
    }

    /// Any time up to so many milliseconds.
    pub fn pause(&mut self, most_ms: u64) {
        thread::sleep(Duration::from_micros(self.rng.u64(..most_ms * 1_000))); // sleep: a blow may fall at any moment
    }

    fn spawn(&self, n: usize) -> Hub {
        spawn(&self.home, &self.name, self.redis.as_ref(), &self.workers[n].clock, self.trims)
    }
}

fn spawn(home: &TempDir, database: &str, redis: Option<&Redis>, clock: &Clock, trims: bool) -> Hub {
    let mut command = clock.command(SYNCLINE);
    if trims {
        command.envs(SHORT_RETENTION);
    }
    command.env("SYNCLINE_STORE", format!("postgres://syncline@/{database}?host={}", home.path().display()));
    if let Some(redis) = redis {
        command.env("SYNCLINE_REDIS_URL", redis.url());
    }
    Hub::spawn(command, &home.path().join("unused"))
}
