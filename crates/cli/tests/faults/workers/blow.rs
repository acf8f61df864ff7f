//! What can happen to a site.

use super::site::{Site, WORKERS};
use crate::device::SyncProcess;
use crate::eventually::eventually;
use crate::proxy::Weather;
use std::process::Command;

const HALT_MS: u64 = 300;
/// One halt in so many lasts so much longer.
const LONG_HALT: u64 = 8;
/// How late requests are in a slow network, at most, and each piece of what passes between workers and PostgreSQL.
const LATE_MS: u64 = 400;
const PIECE_LATE_MS: u64 = 25;
/// By how much a worker's clock is wrong.
const OFF_SECONDS: [i64; 6] = [-3_600, -40, -2, 0, 3, 3_600];

/// A fault that begins and, but for slowness, ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    WorkerKilled,
    AllWorkersKilled,
    WorkerHalted,
    WorkerReplaced,
    BalancerKilled,
    BackendsCut,
    BackendHalted,
    DatabaseCrashed,
    DatabaseRestarted,
    DatabaseSlow,
    DiskFull,
    RedisKilled,
    RedisHalted,
    RedisEmptied,
    ClientsKilled,
    NetworkSlow,
    ClockSet,
}

/// With what the page on reliability counts.
const BLOWS: [(Blow, &str); 17] = [
    (Blow::WorkerKilled, "workers killed"),
    (Blow::AllWorkersKilled, "times all workers were killed"),
    (Blow::WorkerHalted, "workers halted"),
    (Blow::WorkerReplaced, "workers stopped and replaced"),
    (Blow::BalancerKilled, "times nginx was killed"),
    (Blow::BackendsCut, "times all connections to PostgreSQL were cut"),
    (Blow::BackendHalted, "backends of PostgreSQL halted"),
    (Blow::DatabaseCrashed, "crashes of PostgreSQL"),
    (Blow::DatabaseRestarted, "restarts of PostgreSQL"),
    (Blow::DatabaseSlow, "times PostgreSQL was slow"),
    (Blow::DiskFull, "times PostgreSQL's disk was full"),
    (Blow::RedisKilled, "outages of Redis"),
    (Blow::RedisHalted, "times Redis was halted"),
    (Blow::RedisEmptied, "times Redis was emptied"),
    (Blow::ClientsKilled, "rounds of killed clients"),
    (Blow::NetworkSlow, "times the network was slow"),
    (Blow::ClockSet, "clocks of workers set"),
];

impl Blow {
    /// One that this site can suffer, and its name.
    pub fn draw(site: &mut Site) -> (Blow, &'static str) {
        let possible: Vec<_> = BLOWS.into_iter().filter(|(blow, _)| blow.can_befall(site)).collect();
        possible[site.rng.usize(..possible.len())]
    }

    fn can_befall(self, site: &Site) -> bool {
        match self {
            Blow::DiskFull => site.small.is_some(),
            Blow::RedisKilled | Blow::RedisHalted | Blow::RedisEmptied => site.redis.is_some(),
            Blow::ClockSet => site.sets_clocks(),
            _ => true,
        }
    }

    /// Slowness lasts until the caller ends it; everything else is over when this returns.
    pub fn fall(self, site: &mut Site, processes: &mut [SyncProcess]) {
        let one = site.any_worker();
        match self {
            Blow::WorkerKilled => site.kill([one]),
            Blow::AllWorkersKilled => site.kill(0..WORKERS),
            Blow::WorkerHalted => {
                site.workers[one].hub.signal("STOP");
                halt(site);
                if site.rng.bool() { site.kill([one]) } else { site.workers[one].hub.signal("CONT") }
            }
            Blow::WorkerReplaced => site.replace(one),
            Blow::BalancerKilled => {
                site.balancer.kill();
                site.pause(HALT_MS);
                site.balancer.start_again();
            }
            Blow::BackendsCut => drop(site.of_backends("count(pg_terminate_backend(pid))")),
            Blow::BackendHalted => halt_a_backend(site),
            Blow::DatabaseCrashed | Blow::DatabaseRestarted => {
                if self == Blow::DatabaseCrashed {
                    site.database.crash()
                } else {
                    site.database.stop()
                }
                site.pause(HALT_MS);
                site.database.start_again();
            }
            Blow::DatabaseSlow => {
                site.slow_way.late(PIECE_LATE_MS);
                site.pause(HALT_MS);
            }
            Blow::DiskFull => fill_the_disk(site),
            Blow::RedisKilled => {
                site.redis.iter_mut().for_each(|redis| redis.kill());
                site.pause(HALT_MS);
                site.redis.iter_mut().for_each(|redis| redis.start_again());
            }
            Blow::RedisHalted => {
                site.redis.iter().for_each(|redis| redis.signal("STOP"));
                halt(site);
                site.redis.iter().for_each(|redis| redis.signal("CONT"));
            }
            Blow::RedisEmptied => site.redis.iter().for_each(|redis| redis.flush()),
            Blow::ClientsKilled => {
                for process in processes {
                    site.pause(20);
                    process.strike();
                }
            }
            Blow::NetworkSlow => {
                site.weather(Weather { delay: 40, late_within_ms: LATE_MS, ..site.storm() });
                site.pause(HALT_MS);
            }
            Blow::ClockSet => {
                let off = OFF_SECONDS[site.rng.usize(..OFF_SECONDS.len())];
                site.workers[one].clock.set(off);
            }
        }
    }
}

fn halt(site: &mut Site) {
    let times = if site.rng.u64(..LONG_HALT) == 0 { LONG_HALT } else { 1 };
    site.pause(HALT_MS * times);
}

fn halt_a_backend(site: &mut Site) {
    let pids = site.of_backends("string_agg(pid::TEXT, ' ')");
    let pids: Vec<&str> = pids.split(' ').filter(|pid| !pid.is_empty()).collect();
    if let Some(pid) = pids.get(site.rng.usize(..pids.len().max(1))) {
        // Fails where its connection has ended since.
        let _ = Command::new("kill").args(["-STOP", pid]).status();
        halt(site);
        let _ = Command::new("kill").args(["-CONT", pid]).status();
    }
}

/// Until a worker says so, and for a while.
fn fill_the_disk(site: &mut Site) {
    let Some(small) = &site.small else { return };
    small.fill(&site.database, 0);
    eventually("somebody is refused for want of room", || {
        let said = |text: &str| site.hubs().any(|hub| hub.log().contains(text));
        said("a commit failed").then_some(())
    });
    site.pause(HALT_MS);
    site.small.iter().for_each(|small| small.make_room(&site.database));
}
