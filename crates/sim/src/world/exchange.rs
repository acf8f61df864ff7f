//! Nodes in a world: when they call, what the wire does to their packets, and what befalls their hub.

use super::door::{Answered, Door};
use super::line::Parcel;
use super::network::Fate;
use super::node::{Habits, Sent};
use super::recorder::Committed;
use super::watch::Caller;
use super::{BEGINNING, TIME_OUT_MS, TROUBLE_MS, World, watch};
use syncline_core::model::Millis;

/// Longest time between two calls of a node.
const CALL_EVERY_MS: u64 = 8_000;
/// The same when nobody writes any more.
const CALL_AT_REST_MS: u64 = 30_000;
/// Polls of a request's work after which its sender is surely answered.
pub(super) const PATIENCE_MAX: u32 = 12;
/// Documents where nodes and devices meet: their ids are UUIDs.
pub(super) const UUIDS: [&str; 4] = [
    "22222222-2222-4222-8222-00000000000a",
    "22222222-2222-4222-8222-00000000000b",
    "22222222-2222-4222-8222-00000000000c",
    "22222222-2222-4222-8222-00000000000d",
];

/// Something that will happen to a node, or to its hub.
pub(super) enum Event {
    /// The operator makes it known.
    Register(usize),
    /// Its user does something.
    Act(usize),
    /// It is time for a packet.
    Call(usize),
    /// A packet reaches the hub.
    Arrive { node: usize, sent: Sent, fate: Fate },
    /// An answer reaches the node.
    Answer { node: usize, sent: Sent, answered: Answered },
    /// It has waited long enough for the answer to an attempt.
    GiveUp(usize, u64),
    /// It loses its memory and starts again.
    Restart(usize),
    /// Its row filter is filled in otherwise.
    Move(usize),
    /// The operator makes a device known.
    RegisterDatabase(usize),
    /// A packet of a device reaches the hub.
    ArriveFrom(Box<Parcel>),
    /// A device's row filter is filled in otherwise.
    MoveDatabase(usize),
    /// The hub forgets what is old.
    Trim,
}

impl World {
    pub(super) fn door(&self) -> &Door {
        self.door.as_ref().expect("a world of packets has a door for them")
    }

    /// What will happen to the nodes of this world.
    pub(super) fn plan_nodes(&mut self) {
        for node in 0..self.nodes.len() {
            let habits = self.nodes[node].habits;
            self.note(format!("node {node} has {habits:?}"));
            let from = if self.dice.bool() { 0 } else { self.dice.u64(0..TROUBLE_MS / 2) };
            self.plan_event(from, Event::Register(node));
            let first = from + self.dice.u64(1..CALL_EVERY_MS);
            self.plan_event(first, Event::Call(node));
            for _ in 0..self.dice.u32(3..15) {
                let at = self.dice.u64(from..TROUBLE_MS);
                self.plan_event(at, Event::Act(node));
            }
            if self.dice.bool() {
                let at = self.dice.u64(from..TROUBLE_MS);
                self.plan_event(at, Event::Restart(node));
            }
            if habits.filtered && self.dice.bool() {
                let at = self.dice.u64(from + 1..TROUBLE_MS);
                self.plan_event(at, Event::Move(node));
            }
        }
        for _ in 0..self.dice.u32(0..4) {
            let at = self.dice.u64(0..TROUBLE_MS);
            self.plan_event(at, Event::Trim);
        }
    }

    pub(super) fn plan_event(&mut self, after_ms: u64, event: Event) {
        self.schedule(after_ms, super::Happening::Packets(event));
    }

    pub(super) fn happen_to_nodes(&mut self, event: Event) {
        self.door().pass(self.now);
        match event {
            Event::Register(node) => {
                let (id, token) = (self.nodes[node].id.clone(), self.nodes[node].token.clone());
                self.door().register(&id, &format!("NODE-{node}"), self.nodes[node].part().plan(), token);
                self.note(format!("node {node} is registered"));
            }
            Event::Act(node) => {
                let done = self.nodes[node].act(&mut self.dice, Millis(self.now));
                self.note(format!("node {node}: {done}"));
            }
            Event::Call(node) => self.call(node),
            Event::Arrive { node, sent, fate } => self.packet_arrives(node, &sent, fate),
            Event::Answer { node, sent, answered } => self.answer_arrives(node, &sent, &answered),
            Event::GiveUp(node, attempt) => {
                if self.nodes[node].waits_for == Some(attempt) {
                    self.nodes[node].waits_for = None;
                }
            }
            Event::Restart(node) => {
                self.note(format!("node {node} restarts"));
                self.nodes[node].waits_for = None;
            }
            Event::Move(node) => {
                self.nodes[node].move_on(&mut self.dice);
                self.watches[node].refilled = true;
                let (id, plan) = (self.nodes[node].id.clone(), self.nodes[node].part().plan());
                self.note(format!("node {node} moves on: {:?}", plan.attributes));
                self.door().change(&id, plan);
            }
            Event::RegisterDatabase(device) => self.register_database(device),
            Event::ArriveFrom(parcel) => self.parcel_arrives(&parcel),
            Event::MoveDatabase(device) => self.move_database(device),
            Event::Trim => {
                self.door().trim();
                let horizon = self.hub.head().horizon;
                self.note(format!("the hub forgets what is old, up to {horizon}"));
            }
        }
    }

    fn call(&mut self, node: usize) {
        let wait = if self.healed { CALL_AT_REST_MS } else { self.dice.u64(1_000..CALL_EVERY_MS) };
        self.plan_event(wait, Event::Call(node));
        if self.nodes[node].waits_for.is_none() {
            self.send_packet(node);
        }
    }

    fn send_packet(&mut self, node: usize) {
        let sent = self.nodes[node].compose(&mut self.dice);
        let fate = self.faults.fate(&mut self.dice);
        self.note(format!("node {node} sends {} {fate:?}", sent.text));
        self.plan_event(TIME_OUT_MS, Event::GiveUp(node, sent.attempt));
        if fate.lost {
            return;
        }
        if fate.repeated {
            let ghost = Fate { lost: true, repeated: false, ..fate };
            self.plan_event(fate.there_ms + fate.again_ms, Event::Arrive { node, sent: sent.clone(), fate: ghost });
        }
        self.plan_event(fate.there_ms, Event::Arrive { node, sent, fate });
    }

    fn packet_arrives(&mut self, node: usize, sent: &Sent, fate: Fate) {
        let (token, before) = (self.nodes[node].token.clone(), self.hub.committed());
        if fate.cut && self.dice.bool() {
            let patience = self.dice.u32(0..PATIENCE_MAX);
            self.door().post_and_leave(&token, &sent.text, patience);
            self.watches[node].left();
            self.note(format!("node {node} is gone while the hub works on packet {}", sent.number));
        } else if fate.repeated && self.dice.bool() {
            let (one, other) = self.door().post_twice(&token, &sent.text);
            self.note(format!("a copy comes at the same time: {other:?}"));
            let after = self.hub.committed();
            self.take_note(node, sent, &one, before);
            self.take_note(node, sent, &other, after);
            self.reply(node, sent, fate, one);
        } else {
            let answered = self.door().post(&token, &sent.text);
            self.take_note(node, sent, &answered, before);
            self.reply(node, sent, fate, answered);
        }
        if self.hub.committed().log > before.log {
            self.wake_polls();
        }
    }

    fn reply(&mut self, node: usize, sent: &Sent, fate: Fate, answered: Answered) {
        self.note(format!("hub answers node {node}: {answered:?}"));
        if !fate.lost && !fate.cut {
            let late_ms = if fate.late { TIME_OUT_MS + 5_000 } else { 0 };
            self.plan_event(fate.back_ms + late_ms, Event::Answer { node, sent: sent.clone(), answered });
        }
    }

    fn take_note(&mut self, node: usize, sent: &Sent, answered: &Answered, before: Committed) {
        let Habits { whole_rows, draws, .. } = self.nodes[node].habits;
        let caller = Caller { id: &self.nodes[node].id, part: self.nodes[node].part(), exact: whole_rows && draws };
        self.watches[node].read(&caller, sent, answered, before, &self.hub, &mut self.problems);
    }

    fn answer_arrives(&mut self, node: usize, sent: &Sent, answered: &Answered) {
        if self.nodes[node].waits_for != Some(sent.attempt) {
            return;
        }
        let Some(reply) = watch::envelope(&self.nodes[node].id, answered) else { return };
        let (more, ms) = (!reply.entities.is_empty(), self.now - BEGINNING);
        self.nodes[node].store(sent, reply.ack, reply.packet, &reply.entities);
        self.history.push(format!("{ms:>7} ms  node {node} stores packet {}", reply.packet));
        if more {
            self.send_packet(node);
        }
    }
}
