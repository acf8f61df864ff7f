//! What can happen to a hub and to those who work on it, at a random moment.

use crate::device::SyncProcess;
use crate::http::{self, Request};
use crate::hub::{SYNCLINE, TOKEN};
use crate::rounds::World;
use fastrand::Rng;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Somebody who is halted is away for so long at most.
const HALT_MS: u64 = 200;
const HOUR: i64 = 3_600;

/// One blow.
#[derive(Clone, Copy, Debug)]
pub enum Blow {
    HubKilled,
    HubKilledTwice,
    HubHalted,
    ClientsKilled,
    ClientsHalted,
    BackupKilled,
    NewcomerLeaves,
    DiskFull,
    DiskFullAndHubKilled,
    ClockSet,
}

const ALWAYS: [Blow; 7] = [
    Blow::HubKilled,
    Blow::HubKilledTwice,
    Blow::HubHalted,
    Blow::ClientsKilled,
    Blow::ClientsHalted,
    Blow::BackupKilled,
    Blow::NewcomerLeaves,
];

impl Blow {
    /// One of those that the surroundings allow.
    pub fn draw(rng: &mut Rng, small_disk: bool, steps_clock: bool) -> Blow {
        let mut choice = ALWAYS.to_vec();
        if small_disk {
            choice.extend([Blow::DiskFull, Blow::DiskFull, Blow::DiskFullAndHubKilled]);
        }
        if steps_clock {
            choice.extend([Blow::ClockSet, Blow::ClockSet]);
        }
        choice[rng.usize(..choice.len())]
    }

    /// For the tally.
    pub fn name(self) -> &'static str {
        match self {
            Blow::HubKilled | Blow::HubKilledTwice => "hubs killed",
            Blow::HubHalted => "hubs halted",
            Blow::ClientsKilled => "rounds of killed clients",
            Blow::ClientsHalted => "rounds of halted clients",
            Blow::BackupKilled => "backups killed",
            Blow::NewcomerLeaves => "newcomers that left",
            Blow::DiskFull => "full disks",
            Blow::DiskFullAndHubKilled => "hubs killed on a full disk",
            Blow::ClockSet => "clocks set",
        }
    }

    /// Lets it fall. Afterwards there is a hub, and whoever was halted goes on.
    pub fn fall(self, world: &mut World, processes: &mut [SyncProcess]) {
        pause(&mut world.rng, 20);
        match self {
            Blow::HubKilled => world.replace_hub(),
            Blow::HubKilledTwice => {
                world.replace_hub();
                pause(&mut world.rng, 60);
                world.replace_hub();
            }
            Blow::HubHalted => {
                world.hub.signal("STOP");
                pause(&mut world.rng, HALT_MS);
                // A process that is halted can be killed as well.
                if world.rng.bool() { world.replace_hub() } else { world.hub.signal("CONT") }
            }
            Blow::ClientsKilled => {
                for process in processes {
                    pause(&mut world.rng, 20);
                    process.strike();
                }
            }
            Blow::ClientsHalted => halt_clients(&mut world.rng, processes),
            Blow::BackupKilled => kill_a_backup(world),
            Blow::NewcomerLeaves => {
                // Through the proxy a snapshot is cut now and then.
                let path = "/sync/snapshot?node=passer-by";
                let request = Request { method: "GET", path, token: TOKEN, body: None };
                let _ = http::send(&world.proxy.address, &request);
            }
            Blow::DiskFull | Blow::DiskFullAndHubKilled => self.fill_the_disk(world),
            Blow::ClockSet => world.clock.set(world.rng.i64(-48..48) * HOUR),
        }
    }

    fn fill_the_disk(self, world: &mut World) {
        let disk = world.disk.as_ref().expect("this blow is drawn where there is a small disk");
        disk.leave(world.rng.u64(..64 << 10));
        pause(&mut world.rng, HALT_MS);
        if matches!(self, Blow::DiskFullAndHubKilled) {
            world.hub.kill();
        }
        disk.make_room();
        if matches!(self, Blow::DiskFullAndHubKilled) {
            world.start_hub();
        }
    }
}

fn halt_clients(rng: &mut Rng, processes: &mut [SyncProcess]) {
    let at_work: Vec<&mut SyncProcess> = processes.iter_mut().filter_map(|process| process.at_work()).collect();
    at_work.iter().for_each(|process| process.signal("STOP"));
    pause(rng, HALT_MS);
    at_work.iter().for_each(|process| process.signal("CONT"));
}

fn kill_a_backup(world: &mut World) {
    let mut command = Command::new(SYNCLINE);
    command.arg("backup").arg(world.home.path().join("saved")).arg("--data").arg(world.data());
    command.current_dir(world.home.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut backup = command.spawn().unwrap();
    pause(&mut world.rng, 80);
    backup.kill().unwrap();
    backup.wait().unwrap();
}

/// Any time up to so many milliseconds.
fn pause(rng: &mut Rng, most_ms: u64) {
    thread::sleep(Duration::from_micros(rng.u64(..most_ms * 1_000))); // sleep: a blow may fall at any moment
}
