//! Worlds of event sync: models of NebulaDB's plugin over connections without sockets, beside a WiseJSON client. Some
//! of their tokens open only some rows. Connections end before and behind a list, processes start again with their documents or without, the hub restarts and forgets.
//!
//! What a connection carries takes no time of the world: each step of a client is followed by some rounds in which all of
//! them send and read. Now and then all of it arrives, and time passes at the hub.

use super::bug::Bug;
use super::device::IDS;
use super::door::Door;
use super::foreign;
use super::link::{Heard, Link};
use super::nebula::{COLLECTION, Nebula};
use super::network::Faults;
use super::wise::Wise;
use super::{Happening, TROUBLE_MS, World, check, log};
use fastrand::Rng;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use syncline_core::model::Millis;

/// Longest time between two steps of a client.
const STEP_EVERY_MS: u64 = 2_000;
/// When a world at rest is looked at.
const REST_AFTER_MS: [u64; 3] = [1_000, 100_000, 400_000];
/// A client looks at its connection so often, or the hub would miss the answers to its pings.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Rounds without a message after which nothing is expected any more, with a breath of the hub's time for each.
const QUIET_ROUNDS: usize = 12;
const BREATH: Duration = Duration::from_millis(1);
/// Rounds after which traffic should have come to rest.
const ROUNDS_MAX: usize = 4_000;
/// How often a world that is quiet, and not yet as it should be, is waited for: the hub may wait for a client.
const WAITS_MAX: usize = 600;
const WAIT: Duration = Duration::from_millis(50);

/// Something that will happen to a client.
pub(super) enum Event {
    /// It goes on.
    Step(usize),
    /// Nobody writes any more: all that is on its way arrives.
    Rest,
}

/// A client and its connection.
pub(super) struct Seat {
    client: Nebula,
    link: Option<Link>,
    /// Whether the hub has taken the connection in: before that the client sends nothing.
    welcome: bool,
    /// Its token opens the documents whose `x` is not below this; `None`: all.
    from: Option<&'static str>,
}

impl Seat {
    fn sees(&self, document: &Value) -> bool {
        let x = document.get("x").and_then(Value::as_str);
        self.from.is_none_or(|from| x.is_some_and(|x| x >= from))
    }
}

impl World {
    /// A world of two or three plugins and up to one WiseJSON client.
    pub(super) fn of_live(seed: u64, bug: Option<Bug>) -> World {
        let mut dice = Rng::with_seed(seed);
        let faults = Faults::roll(&mut dice);
        let (count, others) = (dice.usize(2..=3), dice.usize(0..=1));
        let token = |n: usize| format!("secret-of-client-{n}");
        // Apart from the dice, so that everything else is as in the worlds without rows.
        let mut lots = Rng::with_seed(!seed);
        let mut seat = |n| {
            let from = (lots.u32(0..3) == 0).then(|| ["l0", "l1", "l2"][lots.usize(..3)]);
            Seat { client: Nebula::new(n, token(n), &mut dice), link: None, welcome: false, from }
        };
        let seats: Vec<Seat> = (0..count).map(&mut seat).collect();
        let clients: Vec<Wise> = (0..others).map(|n| Wise::new(n, token(count + n), &mut dice)).collect();
        let mut world = World::with(bug, dice, faults, Vec::new());
        let door = Door::new(world.hub.parts());
        for n in 0..count + others {
            let from = seats.get(n).and_then(|seat| seat.from);
            let kind = if lots.bool() { "rows" } else { "read_rows" };
            let limited = from.filter(|_| bug != Some(Bug::RowsIgnored));
            let rows = limited.map_or(json!({}), |from| json!({ kind: { COLLECTION: { "x": { "$gte": from } } } }));
            if from.is_some() {
                world.note(format!("client {n} has the {kind} of notes from {from:?}"));
            }
            door.admit_with(&format!("client-{n}"), token(n), &[COLLECTION], rows);
        }
        (world.door, world.seats, world.clients) = (Some(door), seats, clients);
        for n in 0..count {
            let from = if world.dice.u32(0..3) == 0 { world.dice.u64(0..TROUBLE_MS / 2) } else { 0 };
            world.schedule(from, Happening::Live(Event::Step(n)));
        }
        for at in REST_AFTER_MS {
            world.schedule(TROUBLE_MS + at, Happening::Live(Event::Rest));
        }
        world.plan_clients();
        world
    }

    pub(super) fn happen_to_seats(&mut self, event: Event) {
        // What is on its way takes no two seconds, by which the hub tells what is from before a connection ended.
        if matches!(event, Event::Rest) || self.dice.u32(0..4) == 0 {
            self.until_quiet();
            while self.door().pass_some(self.now, LOOK_EVERY) {
                self.exchange();
            }
        }
        match event {
            Event::Step(_) if self.healed => {}
            Event::Step(n) => {
                let wait = self.dice.u64(1..STEP_EVERY_MS);
                self.schedule(wait, Happening::Live(Event::Step(n)));
                self.step_seat(n);
                for _ in 0..self.dice.usize(0..8) {
                    self.exchange();
                }
            }
            Event::Rest => self.rest(),
        }
    }

    fn step_seat(&mut self, n: usize) {
        let (dice, now) = (&mut self.dice, Millis(self.now));
        match dice.u32(0..12) {
            0..=6 => {
                let done = self.seats[n].client.act(&IDS, dice, now);
                self.note(format!("client {n} {done}"));
            }
            7 => {
                let politely = dice.bool();
                self.cut(n, politely);
            }
            8 if dice.u32(0..4) == 0 => {
                let stored = dice.bool();
                self.cut(n, false);
                self.seats[n].client.restart(stored);
                let client = &self.seats[n].client.client;
                self.note(format!("client {n} starts again as {client} (documents stored: {stored})"));
            }
            _ => {}
        }
        if self.seats[n].link.is_none() && self.dice.bool() {
            self.connect(n);
        }
    }

    fn connect(&mut self, n: usize) {
        let token = self.seats[n].client.token.clone();
        let link = Link::open(self.door(), &token);
        self.note(format!("client {n} connects: {}", if link.is_some() { "heard" } else { "not heard" }));
        (self.seats[n].link, self.seats[n].welcome) = (link, false);
    }

    fn cut(&mut self, n: usize, politely: bool) {
        if let Some(link) = self.seats[n].link.take() {
            link.close(self.door(), politely);
            self.note(format!("the connection of client {n} ends{}", if politely { " by its goodbye" } else { "" }));
        }
    }

    /// Every client sends what it has and reads what has come. `false`: nothing moved.
    fn exchange(&mut self) -> bool {
        let mut moved = false;
        for n in 0..self.seats.len() {
            moved |= self.send_lists(n);
            moved |= self.read_seat(n);
        }
        self.door().breathe();
        moved
    }

    fn send_lists(&mut self, n: usize) -> bool {
        let mut sent = false;
        for list in std::mem::take(&mut self.seats[n].client.sends) {
            let seat = &mut self.seats[n];
            let Some(mut link) = seat.link.take_if(|_| seat.welcome) else { break };
            let fate = self.faults.fate(&mut self.dice);
            sent = true;
            if !fate.lost {
                let taken = link.ask(self.door(), "client:sync", &list);
                self.note(format!("client {n} sends {list}{}", if taken.is_some() { "" } else { " in vain" }));
                taken.into_iter().for_each(|number| self.seats[n].client.asks(number, &list));
            }
            self.seats[n].link = Some(link);
            if fate.lost || fate.cut {
                self.cut(n, false);
            }
        }
        sent
    }

    fn read_seat(&mut self, n: usize) -> bool {
        let Some(mut link) = self.seats[n].link.take() else { return false };
        let heard = link.read(self.door());
        self.seats[n].link = Some(link);
        let moved = !heard.is_empty();
        for heard in heard {
            let now = Millis(self.now);
            let died = match heard {
                Heard::Welcome => {
                    self.seats[n].welcome = true;
                    let info = self.seats[n].client.connected();
                    let link = self.seats[n].link.take();
                    self.seats[n].link = link.filter(|link| link.emit(self.door(), "client:info", &info));
                    // What is pending follows at once, and may arrive when the hub has answered the first already.
                    if self.dice.bool() {
                        self.send_lists(n);
                    }
                    Ok(())
                }
                Heard::Answer(number, answer) => {
                    self.note(format!("client {n} is answered {answer}"));
                    self.seats[n].client.answered(number, &answer)
                }
                Heard::Event(name, payload) => {
                    self.note(format!("client {n} hears {name} {payload}"));
                    self.listed_only(n, &payload);
                    self.seats[n].client.hears(&name, &payload, now)
                }
                Heard::End => {
                    self.cut(n, false);
                    Ok(())
                }
            };
            if let Err(why) = died {
                self.blame([format!("never blocked: client {n} dies of {why}")]);
            }
        }
        moved
    }

    fn listed_only(&mut self, n: usize, payload: &Value) {
        let stranger = |event: &&Value| event["collection"].as_str().is_some_and(|name| name != COLLECTION);
        if let Some(event) = payload.as_array().into_iter().flatten().find(stranger) {
            self.blame([format!("isolated: client {n} listens to {COLLECTION} only, and is sent {event}")]);
        }
        let hidden = |event: &&Value| event.get("data").is_some_and(|document| !self.seats[n].sees(document));
        if let Some(event) = payload.as_array().into_iter().flatten().find(hidden) {
            self.blame([format!("isolated: client {n} sees notes from {:?}, and is sent {event}", self.seats[n].from)]);
        }
    }

    /// Everybody is connected, and what is on its way arrives.
    fn rest(&mut self) {
        for _ in 0..WAITS_MAX {
            for n in 0..self.seats.len() {
                if self.seats[n].link.is_none() {
                    self.connect(n);
                }
            }
            if !self.until_quiet() {
                let why = "bounded: traffic between the hub and its live clients must come to rest, and goes on and on";
                return self.blame([why.to_owned()]);
            }
            if self.seats_differ().is_empty() {
                return;
            }
            self.door().wait(WAIT);
        }
    }

    fn until_quiet(&mut self) -> bool {
        let mut quiet = 0;
        for _ in 0..ROUNDS_MAX {
            quiet = if self.exchange() { 0 } else { quiet + 1 };
            if quiet > QUIET_ROUNDS {
                return true;
            }
            if quiet > 1 {
                self.door().wait(BREATH);
            }
        }
        false
    }

    /// Every promise to clients of event sync that is broken in a world at rest.
    pub(super) fn seats_at_rest(&mut self) -> Vec<String> {
        self.rest();
        let mut problems = self.seats_differ();
        let written = self.seats.iter().map(|seat| seat.client.written().collect());
        problems.extend(check::nothing_lost(&self.hub, "client", written));
        problems
    }

    fn seats_differ(&self) -> Vec<String> {
        let documents = log::documents(&self.hub).into_iter().filter(|((kind, _), _)| kind == COLLECTION);
        let due: BTreeMap<String, Value> = documents.map(|((_, id), it)| (id, viewed(it))).collect();
        let mut problems = Vec::new();
        for (n, seat) in self.seats.iter().enumerate() {
            let (shown, twice) = seat.client.shown();
            let due: BTreeMap<&String, &Value> = due.iter().filter(|(_, document)| seat.sees(document)).collect();
            problems
                .extend(twice.iter().map(|id| format!("exactly one effect: client {n} has {COLLECTION}/{id} twice")));
            let ids: BTreeSet<&String> = due.keys().copied().chain(shown.keys()).collect();
            for id in ids.into_iter().filter(|id| due.get(*id).copied() != shown.get(*id)) {
                // What it kept from before a restart nobody can take away, nor what went behind the horizon.
                let left = seat.client.strays.contains(id) || self.is_forgotten(id);
                if due.contains_key(id) || !left {
                    problems.push(foreign::differs(n, id, due.get(id).copied(), shown.get(id)));
                }
            }
        }
        problems
    }
}

/// A document as these clients have it.
fn viewed(document: Value) -> Value {
    let Value::Object(mut fields) = document else { return document };
    let mut shown = Map::new();
    shown.extend(fields.remove("_id").map(|id| ("id".to_owned(), id)));
    shown.extend(fields);
    Value::Object(shown)
}
