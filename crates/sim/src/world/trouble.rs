//! What befalls a world of troubles beyond a bad network: full disks, sleep, a hub that forgets what is old or is restored
//! from an older backup, a clock far ahead, crashes while something is stored, and people who look after what was kept.

use super::bug::Bug;
use super::device::{Device, IDS};
use super::hub::Hub;
use super::network::Faults;
use super::promises::Moment;
use super::{Happening, World};
use fastrand::Rng;
use syncline_core::hub::{Mended, Reply};
use syncline_core::model::{CollectionName, DocId, Intake, Lsn, Mend, MendAct, Millis};
use syncline_core::session::{Event as Told, RequestId, Write};
use syncline_core::wire::aside;
use tempfile::TempDir;

/// How long all that goes on.
pub(super) const TROUBLE_MS: u64 = 180_000;
/// How often somebody looks at what devices say of themselves.
const LOOK_EVERY_MS: u64 = 5_000;
/// A clock that was never set.
const FAR_AHEAD_MS: i64 = 3_600_000;
/// Of so many writes of a session one is cut by a crash.
const STORES_PER_CRASH: u32 = 40;
/// Draws other numbers than the rest of the world.
const OTHER_DICE: u64 = 0x5eed_0f7b_0b1e;

/// Something that will happen.
pub(super) enum Event {
    /// Somebody looks at what devices say of themselves.
    Look,
    /// The hub forgets what is old.
    Trim,
    /// The hub is restored from an older backup.
    Restore,
    /// The hub's disk is full, or has room again.
    HubDisk(bool),
    /// The same of a device.
    Disk(usize, bool),
    /// A device hears and says nothing for so long.
    Sleep(usize, u64),
    /// The operator looks after the ledger or the quarantine.
    Operator,
    /// The database of the first device is copied to a new one.
    Copy,
    /// A user looks after what was set aside, or was lost, or waits.
    User(usize),
}

/// The dice of all that.
pub(super) struct Troubles {
    pub dice: Rng,
    /// Where databases are that can be copied.
    files: Option<TempDir>,
}

impl World {
    /// A world of two or three devices, and all of it.
    pub(super) fn of_troubles(seed: u64, bug: Option<Bug>) -> World {
        let (mut dice, mut other) = (Rng::with_seed(seed), Rng::with_seed(seed ^ OTHER_DICE));
        let faults = Faults::roll(&mut dice);
        let mut devices: Vec<Device> = (0..dice.usize(2..=3)).map(|n| Device::new(n, &IDS, dice.u64(..))).collect();
        for device in &mut devices {
            if other.u32(0..3) == 0 {
                device.asleep_until = super::BEGINNING + other.u64(0..60_000);
            }
            device.one_type = other.u32(0..5) == 0;
        }
        if other.u32(0..4) == 0 {
            devices[0].ahead(FAR_AHEAD_MS);
        }
        let mut world = World::with(bug, dice, faults, devices);
        world.troubles = Some(Troubles { dice: other, files: None });
        world.plan();
        world.plan_troubles();
        world
    }

    /// A world of troubles in which the database of a device is copied to a second one, once or twice.
    pub(super) fn of_copies(seed: u64, bug: Option<Bug>) -> World {
        let (mut dice, mut other) = (Rng::with_seed(seed), Rng::with_seed(seed ^ OTHER_DICE));
        let faults = Faults::roll(&mut dice);
        let files = TempDir::new().expect("a directory for the world");
        let first = Device::on_file(&files.path().join("0.db"), 0, dice.u64(..));
        let devices = vec![first, Device::new(1, &IDS, dice.u64(..))];
        let mut world = World::with(bug, dice, faults, devices);
        let copies: Vec<u64> = (0..other.u32(1..=2)).map(|_| other.u64(5_000..TROUBLE_MS / 2)).collect();
        world.troubles = Some(Troubles { dice: other, files: Some(files) });
        world.plan();
        world.plan_troubles();
        for at in copies {
            world.schedule(at, Happening::Trouble(Event::Copy));
        }
        world
    }

    /// Both go on from here as the same node.
    fn copy(&mut self) {
        let Some(Troubles { dice, files: Some(files) }) = &mut self.troubles else { return };
        let number = self.devices.len();
        let (path, jitter) = (files.path().join(format!("{number}.db")), dice.u64(..));
        let edits: Vec<u64> = (0..dice.u32(2..8)).map(|_| dice.u64(0..TROUBLE_MS / 2)).collect();
        self.devices[0].copy_file(&path);
        let mut copy = Device::on_file(&path, number, jitter);
        copy.plant(self.bug);
        self.devices.push(copy);
        self.note(format!("(fault) the database of device 0 is copied to device {number}"));
        self.start(0);
        self.start(number);
        for at in edits {
            self.schedule(at, Happening::Act(number));
        }
    }

    fn plan_troubles(&mut self) {
        let Some(Troubles { mut dice, files }) = self.troubles.take() else { return };
        let mut plan = |at: u64, event: Event| self.schedule(at, Happening::Trouble(event));
        plan(0, Event::Look);
        for _ in 0..dice.u32(0..6) {
            plan(dice.u64(0..TROUBLE_MS), Event::Trim);
        }
        if dice.u32(0..3) == 0 {
            plan(dice.u64(10_000..TROUBLE_MS), Event::Restore);
        }
        if dice.bool() {
            let at = dice.u64(0..TROUBLE_MS);
            plan(at, Event::HubDisk(true));
            plan(at + dice.u64(2_000..30_000), Event::HubDisk(false));
        }
        for _ in 0..dice.u32(0..6) {
            plan(dice.u64(0..TROUBLE_MS), Event::Operator);
        }
        for device in 0..self.devices.len() {
            self.plan_troubles_of(device, &mut dice);
        }
        self.troubles = Some(Troubles { dice, files });
    }

    fn plan_troubles_of(&mut self, device: usize, dice: &mut Rng) {
        for _ in 0..dice.u32(3..12) {
            self.schedule(dice.u64(0..TROUBLE_MS), Happening::Act(device));
        }
        let mut plan = |at: u64, event: Event| self.schedule(at, Happening::Trouble(event));
        if dice.bool() {
            plan(dice.u64(0..TROUBLE_MS), Event::Sleep(device, dice.u64(20_000..120_000)));
        }
        if dice.u32(0..4) == 0 {
            let at = dice.u64(0..TROUBLE_MS);
            plan(at, Event::Disk(device, true));
            plan(at + dice.u64(2_000..30_000), Event::Disk(device, false));
        }
        for _ in 0..dice.u32(0..4) {
            plan(dice.u64(0..TROUBLE_MS), Event::User(device));
        }
    }

    pub(super) fn trouble(&mut self, event: Event) {
        match event {
            Event::Look => self.look(),
            Event::Trim => self.trim(),
            Event::Restore => self.restore(),
            Event::HubDisk(full) => {
                self.hub.store().fill(full && !self.healed);
                self.note(format!("(fault) the hub's disk is {}", if full { "full" } else { "fine again" }));
            }
            Event::Disk(device, full) => {
                self.devices[device].full = full && !self.healed;
                self.note(format!(
                    "(fault) the disk of device {device} is {}",
                    if full { "full" } else { "fine again" }
                ));
            }
            Event::Sleep(device, ms) => {
                self.devices[device].asleep_until = if self.healed { self.now } else { self.now + ms };
                self.note(format!("(fault) device {device} hears and says nothing for {ms} ms"));
            }
            Event::Operator => self.operator(),
            Event::Copy => self.copy(),
            Event::User(device) => self.user(device),
        }
    }

    /// The world heals: what was wrong beside the network is well again.
    pub(super) fn end_troubles(&mut self) {
        self.hub.store().fill(false);
        for device in &mut self.devices {
            (device.full, device.asleep_until) = (false, self.now);
        }
    }

    fn look(&mut self) {
        for n in 0..self.devices.len() {
            let device = &self.devices[n];
            if device.is_down {
                continue;
            }
            let (status, pending) = (device.status(Millis(self.now)), device.backlog().pending);
            let at = Moment { now: self.now, device: n, life: device.life };
            let problems = self.promises.says(at, &status, pending);
            self.blame(problems);
        }
        self.schedule(LOOK_EVERY_MS, Happening::Trouble(Event::Look));
    }

    fn trim(&mut self) {
        let Some(Troubles { dice, files }) = &mut self.troubles else { return };
        // Copies are told apart for as long as receipts are kept.
        let (back, age_ms) = (dice.u64(0..6), dice.u64(10_000..90_000));
        let age_ms = if files.is_some() { self.now } else { age_ms };
        let horizon = Lsn(self.hub.head().last_change.0.saturating_sub(back));
        self.hub.trim(horizon, Millis(self.now - age_ms));
        self.note(format!(
            "(fault) the hub forgets what is superseded up to {horizon}, and receipts after {age_ms} ms"
        ));
    }

    fn restore(&mut self) {
        let Some(Troubles { dice, .. }) = &mut self.troubles else { return };
        let commits = dice.usize(1..6);
        let head = self.hub.store().restore(self.hub.space(), commits);
        self.promises.void();
        self.note(format!("(fault) the hub is restored from a backup that ends with change {head}"));
        self.restart_hub();
    }

    /// One row of the ledger is restored, or one of the quarantine is tried again or dropped; sometimes somebody does
    /// the same once more.
    fn operator(&mut self) {
        let Some(Troubles { dice, .. }) = &mut self.troubles else { return };
        let (conflicts, aside) = (self.hub.conflicts(), self.hub.quarantine());
        let (first, twice, discard) = (dice.bool(), dice.bool(), dice.u32(0..4) == 0);
        let mend = if let (Some(row), true) = (conflicts.get(dice.usize(..conflicts.len().max(1))), first) {
            let place = (CollectionName::new(&row.collection), DocId::new(&row.id));
            let (Ok(collection), Ok(id)) = place else { return };
            Mend { n: row.n, act: MendAct::Restore { collection, id } }
        } else if let Some(row) = aside.get(dice.usize(..aside.len().max(1))) {
            let names = (row.collection.as_deref().map(CollectionName::new), row.id.as_deref().map(DocId::new));
            let (Some(Ok(collection)), Some(Ok(id))) = names else { return };
            let read = aside::read(&row.op, (Some(&collection), Some(&id)), &self.hub.limits());
            match read {
                Ok(op) if !discard => {
                    Mend { n: row.n, act: MendAct::Retry { collection: op.collection, id: op.id, edit: op.edit } }
                }
                _ => {
                    self.hub.store().excuse(&row.op);
                    Mend { n: row.n, act: MendAct::Discard }
                }
            }
        } else {
            return;
        };
        self.mend(&mend, twice);
    }

    fn mend(&mut self, mend: &Mend, twice: bool) {
        let once = mended(&self.hub, mend, self.now);
        self.note(format!("the operator decides on row {}: {:?} {once:?}", mend.n, mend.act));
        if !twice {
            return self.wake_polls();
        }
        let again = mended(&self.hub, mend, self.now);
        if let (Some(Mended::Done { lsn: first, .. }), Some(Mended::Done { lsn, repeated: false })) = (&once, &again) {
            let place = mend.act.place().map(|(collection, id)| format!("{collection}/{id}")).unwrap_or_default();
            let problem = format!(
                "exactly one effect: the operator brought row {} of {place} back as change {first}; doing so again must \
                 change nothing, and made change {lsn}",
                mend.n
            );
            self.blame([problem]);
        }
        self.wake_polls();
    }

    fn user(&mut self, device: usize) {
        let Some(Troubles { dice, .. }) = &mut self.troubles else { return };
        if self.devices[device].full {
            return;
        }
        let (done, excused) = self.devices[device].look_after(dice, Millis(self.now));
        self.hub.store().excuse(&excused);
        self.note(format!("device {device}: {done}"));
        let (backlog, life) = (self.devices[device].backlog(), self.devices[device].life);
        self.tell(device, life, Told::Wrote(backlog));
    }

    /// Carries out a write of a session, unless the device crashes before, behind or (with a bug) within it.
    pub(super) fn store(&mut self, device: usize, id: RequestId, write: Write) -> Option<Told> {
        let (now, healed) = (Millis(self.now), self.healed);
        let crash = self.troubles.as_mut().is_some_and(|it| !healed && it.dice.u32(0..STORES_PER_CRASH) == 0);
        if !crash {
            return Some(self.devices[device].store(id, write, now));
        }
        let before = self.troubles.as_mut().is_some_and(|it| it.dice.bool());
        let what = if self.devices[device].store_half(&write, now) {
            "between the cursor of a page and its documents"
        } else if before {
            "before it stores something"
        } else {
            self.devices[device].store(id, write, now);
            "behind storing something"
        };
        self.note(format!("(fault) device {device} crashes {what}"));
        self.devices[device].crash();
        self.schedule(0, Happening::Restart(device));
        None
    }

    /// Whether the wake-up after a commit gets lost.
    pub(super) fn hint_is_lost(&mut self) -> bool {
        let healed = self.healed;
        self.troubles.as_mut().is_some_and(|it| !healed && it.dice.u32(0..4) == 0)
    }
}

/// What comes of a person's decision; `None`: the hub cannot carry it out now.
fn mended(hub: &Hub, mend: &Mend, now: u64) -> Option<Mended> {
    match hub.commit(Intake::Mend(mend.clone()), Millis(now)) {
        Ok((_, Reply::Mended(mended))) => Some(mended),
        _ => None,
    }
}
