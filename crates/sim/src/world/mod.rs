//! A seeded world: one hub and a few devices with the real session, the real database and the real hub
//! decisions, on a network that drops, repeats, delays and cuts, with restarts of both sides. Time is a
//! number; nothing waits. The same seed gives the same history. [`Kind`] lists the kinds of worlds, [`Bug`] what can be
//! planted in them.

mod bug;
mod check;
mod database;
mod device;
mod door;
mod exchange;
mod foreign;
mod hub;
mod line;
mod link;
mod live;
mod log;
mod meddling;
mod nebula;
mod network;
mod node;
mod part;
mod promises;
mod recorder;
mod rows;
mod run;
mod story;
mod trouble;
mod twice;
mod watch;
mod wise;

pub use bug::Bug;
pub use check::Report;
pub use hub::Hub;
pub use network::{Fate, Faults};
pub use run::{Kind, Run};

use device::{Device, IDS};
use door::Door;
use exchange::UUIDS;
use fastrand::Rng;
use node::Node;
use promises::{Moment, Promises};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use story::BROKEN;
use syncline_core::model::{CollectionName, Lsn, Millis};
use syncline_core::session::{Answer, Effect, Event, Failure, Request, RequestId};
use trouble::Troubles;
use watch::Watch;
use wise::Wise;

/// When a request without an answer fails, as the client's time-out.
const TIME_OUT_MS: u64 = 15_000;
/// How long devices write and faults happen.
const TROUBLE_MS: u64 = 60_000;
/// How long a healed world may take to come to rest.
const REST_MS: u64 = 600_000;
/// Where every world begins: 2026-01-01.
const BEGINNING: u64 = 1_767_225_600_000;

/// Something that will happen.
enum Happening {
    /// A device's user does something.
    Act(usize),
    /// A session asked to be woken.
    Wake(usize, u32),
    /// A request reaches the hub.
    Arrive { device: usize, life: u32, id: RequestId, request: Request, fate: Fate },
    /// Something reaches a device.
    Report { device: usize, life: u32, event: Event },
    /// A long poll has waited long enough.
    PollOver(u64),
    /// A device loses its memory and starts again.
    Restart(usize),
    /// The hub loses its memory and starts again.
    RestartHub,
    /// Something happens to a node.
    Packets(exchange::Event),
    /// Something happens that only worlds of troubles know.
    Trouble(trouble::Event),
    /// Something happens to a foreign client.
    Foreign(foreign::Event),
    /// Something happens to a client of event sync.
    Live(live::Event),
    /// Something happens to rules or tokens.
    Rows(rows::Event),
}

/// A pull that waits at the hub.
struct Poll {
    device: usize,
    life: u32,
    id: RequestId,
    request: Request,
    scope: BTreeSet<CollectionName>,
    since: Lsn,
    back_ms: u64,
}

/// The world at one moment.
pub struct World {
    now: u64,
    order: u64,
    agenda: BTreeMap<(u64, u64), Happening>,
    dice: Rng,
    faults: Faults,
    hub: Hub,
    devices: Vec<Device>,
    polls: BTreeMap<u64, Poll>,
    healed: bool,
    door: Option<Door>,
    nodes: Vec<Node>,
    watches: Vec<Watch>,
    clients: Vec<Wise>,
    seats: Vec<live::Seat>,
    tickets: Vec<rows::Ticket>,
    problems: Vec<String>,
    history: Vec<String>,
    bug: Option<Bug>,
    promises: Promises,
    troubles: Option<Troubles>,
}

impl World {
    /// A world of two or three devices.
    fn of_devices(seed: u64, bug: Option<Bug>) -> World {
        let mut dice = Rng::with_seed(seed);
        let faults = Faults::roll(&mut dice);
        let devices = (0..dice.usize(2..=3)).map(|n| Device::new(n, &IDS, dice.u64(..))).collect();
        let mut world = World::with(bug, dice, faults, devices);
        world.plan();
        world
    }

    /// A world of two or three nodes and up to two devices.
    fn of_packets(seed: u64, bug: Option<Bug>) -> World {
        let mut dice = Rng::with_seed(seed);
        let faults = Faults::roll(&mut dice);
        let devices = (0..dice.usize(0..=2)).map(|n| Device::new(n, &UUIDS, dice.u64(..))).collect();
        let nodes: Vec<Node> = (0..dice.usize(2..=3)).map(|n| Node::new(n, &UUIDS, &mut dice)).collect();
        let mut world = World::with(bug, dice, faults, devices);
        world.door = Some(Door::new(world.hub.parts()));
        world.watches = nodes.iter().map(|_| Watch::default()).collect();
        world.nodes = nodes;
        world.plan();
        world.plan_nodes();
        world
    }

    /// A world of one or two databases that exchange packets, beside devices of the log and up to one other node.
    fn of_databases(seed: u64, bug: Option<Bug>) -> World {
        let mut dice = Rng::with_seed(seed);
        let faults = Faults::roll(&mut dice);
        let (log, packets) = (dice.usize(0..=2), dice.usize(1..=2));
        let devices = (0..log + packets).map(|n| {
            let device = Device::new(n, &UUIDS, dice.u64(..));
            if n < log { device } else { device.by_packets(database::roll(n, &mut dice)) }
        });
        let devices = devices.collect();
        let nodes: Vec<Node> = (0..dice.usize(0..=1)).map(|n| Node::new(n, &UUIDS, &mut dice)).collect();
        let mut world = World::with(bug, dice, faults, devices);
        world.door = Some(Door::new(world.hub.parts()));
        world.watches = nodes.iter().map(|_| Watch::default()).collect();
        world.nodes = nodes;
        world.plan();
        world.plan_nodes();
        world.plan_databases();
        world
    }

    fn with(bug: Option<Bug>, dice: Rng, faults: Faults, mut devices: Vec<Device>) -> World {
        devices.iter_mut().for_each(|device| device.plant(bug));
        World {
            now: BEGINNING,
            order: 0,
            agenda: BTreeMap::new(),
            dice,
            faults,
            hub: Hub::with(bug),
            devices,
            polls: BTreeMap::new(),
            healed: false,
            door: None,
            nodes: Vec::new(),
            watches: Vec::new(),
            clients: Vec::new(),
            seats: Vec::new(),
            tickets: Vec::new(),
            problems: Vec::new(),
            history: Vec::new(),
            bug,
            promises: Promises::default(),
            troubles: None,
        }
    }

    /// What will happen to the devices and the hub.
    fn plan(&mut self) {
        for device in 0..self.devices.len() {
            self.start(device);
            for _ in 0..self.dice.u32(3..15) {
                let at = self.dice.u64(0..TROUBLE_MS);
                self.schedule(at, Happening::Act(device));
            }
            if self.dice.bool() {
                let at = self.dice.u64(0..TROUBLE_MS);
                self.schedule(at, Happening::Restart(device));
            }
        }
        if self.dice.bool() {
            let at = self.dice.u64(0..TROUBLE_MS);
            self.schedule(at, Happening::RestartHub);
        }
    }

    fn schedule(&mut self, after_ms: u64, happening: Happening) {
        self.order += 1;
        self.agenda.insert((self.now + after_ms, self.order), happening);
    }

    /// Lets time pass. Ends early when nothing is left to happen.
    fn live(&mut self, until: u64) {
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > until {
                break;
            }
            let ((at, _), happening) = entry.remove_entry();
            self.now = at;
            self.happen(happening);
        }
        self.now = until;
    }

    fn heal(&mut self) {
        self.faults = Faults::NONE;
        self.healed = true;
        self.end_troubles();
        self.note("the network heals, nobody writes any more".to_owned());
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Act(device) => self.act(device),
            Happening::Wake(device, life) => self.tell(device, life, Event::Tick),
            Happening::Arrive { device, life, id, request, fate } => self.arrive(device, life, id, request, fate),
            Happening::Report { device, life, event } => self.report(device, life, event),
            Happening::PollOver(poll) => self.answer_poll(poll),
            Happening::Restart(device) => {
                self.note(format!("device {device} restarts"));
                self.start(device);
            }
            Happening::RestartHub => self.restart_hub(),
            Happening::Packets(event) => self.happen_to_nodes(event),
            Happening::Trouble(event) => self.trouble(event),
            Happening::Foreign(event) => self.happen_to_clients(event),
            Happening::Live(event) => self.happen_to_seats(event),
            Happening::Rows(event) => self.happen_to_rows(event),
        }
    }

    fn start(&mut self, device: usize) {
        let (event, life) = self.devices[device].start(Millis(self.now));
        self.tell(device, life, event);
    }

    fn restart_hub(&mut self) {
        self.note("the hub restarts: waiting polls are lost".to_owned());
        if self.troubles.is_some() {
            self.hub.store().restart(self.hub.space());
        }
        if let Some(door) = &mut self.door {
            door.restart();
        }
        for poll in std::mem::take(&mut self.polls).into_values() {
            let event = Event::Failed(poll.id, Failure::Network("connection reset".to_owned()));
            self.schedule(1, Happening::Report { device: poll.device, life: poll.life, event });
        }
    }

    fn act(&mut self, device: usize) {
        let done = self.devices[device].act(&mut self.dice, Millis(self.now));
        self.note(format!("device {device}: {done}"));
        let (backlog, life) = (self.devices[device].backlog(), self.devices[device].life);
        self.tell(device, life, Event::Wrote(backlog));
    }

    /// Something reaches a device, unless it is asleep: then only its own clock goes on.
    fn report(&mut self, device: usize, life: u32, event: Event) {
        let (from_hub, now) = (matches!(event, Event::Answered(..)), self.now);
        if from_hub && self.devices[device].asleep_until > now {
            return;
        }
        let at = Moment { now, device, life };
        match event {
            Event::Failed(id, ref failure) if self.devices[device].life == life => {
                let problem = self.promises.failed(at, id, failure);
                self.blame(problem);
            }
            Event::Answered(id, ref answer) if self.devices[device].life == life => {
                self.promises.heard(at, id, answer);
            }
            _ => {}
        }
        self.tell(device, life, event);
    }

    /// Hands an event to a device's session and carries out what follows. What comes from an earlier
    /// life of the device finds nobody.
    fn tell(&mut self, device: usize, life: u32, event: Event) {
        if self.devices[device].life != life {
            return;
        }
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let effects = self.devices[device].handle(Millis(self.now), event);
            for effect in effects {
                if self.devices[device].life == life {
                    self.carry_out(device, life, effect, &mut events);
                }
            }
        }
        if self.troubles.is_some() {
            let (now, pending) = (self.now, self.devices[device].backlog().pending);
            self.promises.waits(Moment { now, device, life: self.devices[device].life }, pending);
        }
    }

    /// A promise was broken just now.
    fn blame(&mut self, problems: impl IntoIterator<Item = String>) {
        for problem in problems {
            self.note(format!("{BROKEN} {problem}"));
            self.problems.push(problem);
        }
    }

    fn carry_out(&mut self, device: usize, life: u32, effect: Effect, events: &mut VecDeque<Event>) {
        match effect {
            Effect::Send(id, request) if self.devices[device].line.is_some() => {
                events.extend(self.send_parcel(device, life, id, request));
            }
            Effect::Send(id, request) => self.send(device, life, id, request),
            Effect::Store(id, write) => events.extend(self.store(device, id, write)),
            Effect::WakeAt(at) => {
                let after = at.0.saturating_sub(self.now);
                self.schedule(after, Happening::Wake(device, life));
            }
            Effect::Emit(event) => self.note(format!("device {device} hears {event:?}")),
            Effect::Cancel(_) | Effect::Settle(..) => {}
        }
    }

    fn send(&mut self, device: usize, life: u32, id: RequestId, request: Request) {
        let mut fate = self.faults.fate(&mut self.dice);
        fate.lost |= self.devices[device].asleep_until > self.now;
        // Where tokens change, snapshots are what it is about.
        if !self.tickets.is_empty() && !self.healed && matches!(request, Request::Snapshot { .. }) {
            fate.cut |= self.dice.bool();
        }
        let problem = self.promises.sent(Moment { now: self.now, device, life }, id);
        self.blame(problem);
        self.note(format!("device {device} sends {id:?} {request:?} {fate:?}"));
        let wait_ms = if let Request::Pull { wait_s, .. } = &request { wait_s * 1_000 } else { 0 };
        let gives_up = Event::Failed(id, Failure::Network("timed out".to_owned()));
        self.schedule(TIME_OUT_MS + wait_ms, Happening::Report { device, life, event: gives_up });
        if fate.lost {
            return;
        }
        self.meddle(device, life, id, (&request, fate));
        if fate.repeated {
            let ghost = Fate { lost: true, repeated: false, ..fate };
            let again = Happening::Arrive { device, life, id, request: request.clone(), fate: ghost };
            self.schedule(fate.there_ms + fate.again_ms, again);
        }
        self.schedule(fate.there_ms, Happening::Arrive { device, life, id, request, fate });
    }

    fn arrive(&mut self, device: usize, life: u32, id: RequestId, request: Request, fate: Fate) {
        if let Request::Pull { scope, since, wait_s, .. } = &request
            && *wait_s > 0
            && since.lsn <= self.hub.head().lsn
            && !self.hub.has_news(scope, since.lsn)
        {
            self.order += 1;
            let (number, wait_ms) = (self.order, wait_s * 1_000);
            let (scope, since, back_ms) = (scope.clone(), since.lsn, fate.back_ms);
            self.polls.insert(number, Poll { device, life, id, request, scope, since, back_ms });
            self.schedule(wait_ms, Happening::PollOver(number));
            return;
        }
        let before = self.hub.head().lsn;
        let answers = self.ask(device, &request);
        if !fate.lost {
            self.deliver(device, life, id, answers, fate);
        }
        if self.hub.head().lsn > before && !self.hint_is_lost() {
            self.wake_polls();
        }
    }

    /// The hub answers, and the answer is looked at.
    fn ask(&mut self, device: usize, request: &Request) -> Result<Vec<Answer>, Failure> {
        if !self.tickets.is_empty() {
            return self.ask_router(device, request);
        }
        // What was on its way when the device took another name bears the old one.
        let node = hub::pushed_by(request).unwrap_or_else(|| self.devices[device].node().clone());
        self.promises.asked(&node, request);
        let answers = self.hub.answer(request, Millis(self.now));
        let problems = self.promises.answered(&self.hub, (device, &node), request, &answers);
        self.blame(problems);
        answers
    }

    fn deliver(&mut self, device: usize, life: u32, id: RequestId, answers: Result<Vec<Answer>, Failure>, fate: Fate) {
        let late_ms = if fate.late { TIME_OUT_MS + 5_000 } else { 0 };
        let mut events: Vec<Event> = match answers {
            Ok(answers) => answers.into_iter().map(|answer| Event::Answered(id, answer)).collect(),
            Err(failure) => vec![Event::Failed(id, failure)],
        };
        if fate.cut {
            events.truncate(self.dice.usize(0..events.len()));
            events.push(Event::Failed(id, Failure::Network("connection cut".to_owned())));
        }
        for (n, event) in (0u64..).zip(events) {
            self.schedule(fate.back_ms + late_ms + n, Happening::Report { device, life, event });
        }
    }

    fn wake_polls(&mut self) {
        let news = |poll: &Poll| self.hub.has_news(&poll.scope, poll.since);
        let woken: Vec<u64> = self.polls.iter().filter(|(_, poll)| news(poll)).map(|(n, _)| *n).collect();
        for poll in woken {
            self.answer_poll(poll);
        }
    }

    fn answer_poll(&mut self, number: u64) {
        let Some(poll) = self.polls.remove(&number) else { return };
        let answers = self.ask(poll.device, &poll.request);
        let fate = Fate { back_ms: poll.back_ms, ..self.faults.fate(&mut self.dice) };
        if !fate.lost {
            self.deliver(poll.device, poll.life, poll.id, answers, fate);
        }
    }

    fn note(&mut self, what: String) {
        let ms = self.now - BEGINNING;
        self.history.push(format!("{ms:>7} ms  {what}"));
    }
}
