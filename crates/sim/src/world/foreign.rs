//! Worlds of WiseJSON clients: each a model of the real one with its habits, through the hub's real router. Requests get
//! lost, answers get lost, bodies arrive long after they were given up, both sides restart, the hub forgets what is old.

use super::bug::Bug;
use super::device::IDS;
use super::door::Door;
use super::network::Faults;
use super::wise::{SKEW_MS, Wise};
use super::{Happening, TROUBLE_MS, World, check, log};
use fastrand::Rng;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use syncline_core::hub::Change;
use syncline_core::model::{Limits, Lsn, Millis};

/// Longest time between two steps of a client.
const STEP_EVERY_MS: u64 = 2_000;
/// The same when nobody writes any more.
const STEP_AT_REST_MS: u64 = 20_000;

/// Something that will happen to a client.
pub(super) enum Event {
    /// It goes on: its user does something, or it takes the next step of its cycle.
    Step(usize),
    /// A push that was given up reaches the hub after all.
    Late(usize, Value),
    /// The hub forgets what is old.
    Trim,
}

impl World {
    /// A world of two or three clients, behind keys of their own or one key for all.
    pub(super) fn of_foreign(seed: u64, bug: Option<Bug>) -> World {
        let mut dice = Rng::with_seed(seed);
        let faults = Faults::roll(&mut dice);
        let shared = dice.u32(0..3) == 0;
        let count = dice.usize(2..=3);
        let mut clients = Vec::new();
        for n in 0..count {
            let token = format!("secret-of-client-{}", if shared { 0 } else { n });
            clients.push(Wise::new(n, token, &mut dice));
        }
        let mut world = World::with(bug, dice, faults, Vec::new());
        let (store, space, limits) = world.hub.parts();
        let door = Door::new((store, space, Limits { clock_drift_ms: SKEW_MS, ..limits }));
        let tokens = if shared { 1 } else { count };
        (0..tokens).for_each(|n| door.admit(&format!("client-{n}"), format!("secret-of-client-{n}")));
        world.door = Some(door);
        world.clients = clients;
        world.plan_clients();
        world
    }

    /// What will happen to the clients and their hub.
    pub(super) fn plan_clients(&mut self) {
        for n in 0..self.clients.len() {
            let from = if self.dice.u32(0..3) == 0 { self.dice.u64(0..TROUBLE_MS / 2) } else { 0 };
            self.schedule(from, Happening::Foreign(Event::Step(n)));
        }
        for _ in 0..self.dice.u32(0..4) {
            let at = self.dice.u64(0..TROUBLE_MS);
            self.schedule(at, Happening::Foreign(Event::Trim));
        }
        if self.dice.bool() {
            let at = self.dice.u64(0..TROUBLE_MS);
            self.schedule(at, Happening::RestartHub);
        }
    }

    pub(super) fn happen_to_clients(&mut self, event: Event) {
        self.door().pass(self.now);
        match event {
            Event::Step(client) => {
                let wait = if self.healed { STEP_AT_REST_MS } else { self.dice.u64(1..STEP_EVERY_MS) };
                self.schedule(wait, Happening::Foreign(Event::Step(client)));
                self.step(client);
            }
            Event::Late(client, push) => {
                self.note(format!("client {client}: a push that it gave up arrives: {push}"));
                self.post_push(client, &push);
            }
            Event::Trim => {
                self.door().trim();
                let horizon = self.hub.head().horizon;
                self.note(format!("the hub forgets what is old, up to {horizon}"));
            }
        }
    }

    fn step(&mut self, client: usize) {
        if !self.clients[client].held.is_empty() {
            return self.push(client);
        }
        match if self.healed { 9 } else { self.dice.u32(0..10) } {
            0..=5 => {
                let (dice, now) = (&mut self.dice, Millis(self.now));
                let done = self.clients[client].act(&IDS, dice, now);
                self.note(format!("client {client} {done}"));
            }
            6 if self.dice.u32(0..4) == 0 => {
                self.clients[client].restart();
                self.note(format!("client {client} restarts"));
            }
            _ => self.begin_cycle(client),
        }
        if self.healed {
            self.push(client);
        }
    }

    /// One push; at rest all of them.
    fn push(&mut self, client: usize) {
        self.push_next(client);
        while self.healed && !self.clients[client].held.is_empty() {
            self.push_next(client);
        }
    }

    /// Reads, and has its pushes ready. A lost answer ends the cycle.
    fn begin_cycle(&mut self, client: usize) {
        loop {
            let fate = self.faults.fate(&mut self.dice);
            if fate.lost {
                return self.note(format!("client {client} is not heard"));
            }
            let path = self.clients[client].asks();
            let (status, text) = self.door().get(&self.clients[client].token, &path);
            self.note(format!("client {client} asks {path}: {status} {text}"));
            if fate.cut || status != 200 {
                return self.note(format!("client {client} does not hear the answer"));
            }
            let answer: Value = serde_json::from_str(&text).unwrap_or_default();
            if self.clients[client].reads(&answer) {
                break;
            }
        }
        self.clients[client].begin_pushes();
    }

    fn push_next(&mut self, client: usize) {
        let Some(push) = self.clients[client].held.front().cloned() else { return };
        let fate = self.faults.fate(&mut self.dice);
        if fate.lost || fate.late {
            // The cycle is over; the next one sends everything again under new names.
            self.clients[client].held.clear();
            self.note(format!("client {client} pushes {push} and gives it up"));
            if fate.late {
                self.schedule(fate.there_ms * 4, Happening::Foreign(Event::Late(client, push)));
            }
            return;
        }
        let (status, text) = self.post_push(client, &push);
        self.note(format!("client {client} pushes {push}: {status} {text}"));
        if fate.cut || status != 200 {
            self.clients[client].held.clear();
            return self.note(format!("client {client} does not hear the answer"));
        }
        self.clients[client].pushed(&serde_json::from_str(&text).unwrap_or_default());
    }

    fn post_push(&mut self, client: usize, push: &Value) -> (u16, String) {
        self.door().post_to("/notes/sync/push", &self.clients[client].token, &push.to_string())
    }

    /// Every promise to foreign clients that is broken in a world at rest. What was removed so long ago that nobody knows
    /// it goes from them only when they start again.
    pub(super) fn clients_at_rest(&mut self) -> Vec<String> {
        let mut problems = self.differ_from_hub(true);
        for client in &mut self.clients {
            client.restart();
        }
        self.note("every client restarts once more".to_owned());
        self.live(self.now + 3 * STEP_AT_REST_MS);
        problems.extend(self.differ_from_hub(false));
        let written = self.clients.iter().map(|client| client.written().collect());
        problems.extend(check::nothing_lost(&self.hub, "client", written));
        problems
    }

    /// Whether a document went, and its removal stands behind the horizon.
    pub(super) fn is_forgotten(&self, id: &str) -> bool {
        let mut gone_at: Option<Lsn> = None;
        for change in log::changes(&self.hub.log()).filter(|change| change.id.as_str() == id) {
            let lsn = change.version.lsn;
            gone_at = if change.version.meta.is_live() { None } else { gone_at.or(Some(lsn)) };
        }
        gone_at.is_some_and(|lsn| lsn <= self.hub.head().horizon)
    }

    /// Whether a document went at some time, and that removal stands behind the horizon.
    fn was_forgotten(&self, id: &str) -> bool {
        let horizon = self.hub.head().horizon;
        let gone = |change: &Change| change.id.as_str() == id && !change.version.meta.is_live();
        log::changes(&self.hub.log()).any(|change| gone(change) && change.version.lsn <= horizon)
    }

    /// `running`: clients keep what was removed and forgotten until they start again, also under a document that was made
    /// in its place since.
    fn differ_from_hub(&self, running: bool) -> Vec<String> {
        let documents = log::documents(&self.hub).into_iter().filter(|((kind, _), _)| kind == "notes");
        let due: BTreeMap<String, Value> = documents.map(|((_, id), it)| (id, without_times(it))).collect();
        let mut problems = Vec::new();
        for (n, client) in self.clients.iter().enumerate() {
            let shown = client.shown();
            let ids: BTreeSet<&String> = due.keys().chain(shown.keys()).collect();
            for id in ids.into_iter().filter(|id| due.get(*id) != shown.get(*id)) {
                let left = match (due.get(id), shown.get(id)) {
                    (Some(due), Some(shown)) => self.was_forgotten(id) && has_all_of(shown, due),
                    (due, _) => due.is_none() && self.is_forgotten(id),
                };
                if running && left {
                    continue;
                }
                problems.push(differs(n, id, due.get(id), shown.get(id)));
            }
        }
        problems
    }
}

/// Whether a document has each field of another one, beside others.
fn has_all_of(document: &Value, other: &Value) -> bool {
    other.as_object().is_some_and(|fields| fields.iter().all(|(name, value)| document.get(name) == Some(value)))
}

/// A client has another document than the hub has for it.
pub(super) fn differs(client: usize, id: &str, due: Option<&Value>, shown: Option<&Value>) -> String {
    format!(
        "convergent: client {client} must show what the hub has of notes/{id}\n       has: {due:?}\n     shows: {shown:?}"
    )
}

/// A document without what each foreign device fills in by itself.
fn without_times(document: Value) -> Value {
    let Value::Object(mut fields) = document else { return document };
    fields.retain(|name, _| name != "createdAt" && name != "updatedAt");
    Value::Object(fields)
}
