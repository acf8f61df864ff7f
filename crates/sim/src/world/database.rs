//! Devices that exchange packets: databases of the client library as registered nodes. Their sessions are those of
//! the other devices; what a session sends leaves as a packet, through the hub's real router.

use super::door::Answered;
use super::exchange::{Event, PATIENCE_MAX};
use super::line::{Line, Parcel};
use super::network::Fate;
use super::node::Sent;
use super::part::{MARKS, Part};
use super::promises::Moment;
use super::recorder::Committed;
use super::watch::Caller;
use super::{TIME_OUT_MS, TROUBLE_MS, World};
use fastrand::Rng;
use serde_json::Value;
use syncline::sync::{ApiReply, OutPacket, Outgoing};
use syncline_core::session::{self, Failure, Request, RequestId};

/// What a database is given.
pub(super) fn roll(number: usize, dice: &mut Rng) -> Part {
    let (one_type, filtered) = (dice.u32(0..4) == 0, dice.u32(0..3) == 0);
    let from = MARKS[dice.usize(..MARKS.len())];
    Part { one_type, filtered, from, hands_over: number.is_multiple_of(2) }
}

impl World {
    /// What the operator does with the databases of this world.
    pub(super) fn plan_databases(&mut self) {
        for device in 0..self.devices.len() {
            let Some(line) = &self.devices[device].line else { continue };
            let part = line.part;
            self.note(format!("device {device} exchanges packets: {part:?}"));
            let from = if self.dice.bool() { 0 } else { self.dice.u64(0..TROUBLE_MS / 2) };
            self.plan_event(from, Event::RegisterDatabase(device));
            if part.filtered && self.dice.bool() {
                let at = self.dice.u64(from + 1..TROUBLE_MS);
                self.plan_event(at, Event::MoveDatabase(device));
            }
        }
    }

    pub(super) fn register_database(&mut self, device: usize) {
        let line = self.line(device);
        line.known = true;
        let (plan, token) = (line.part.plan(), line.token.clone());
        self.door().register(self.devices[device].node(), &format!("DATABASE-{device}"), plan, token);
        self.note(format!("device {device} is registered"));
        // A session that was refused asks again when somebody enables it anew.
        self.start(device);
    }

    pub(super) fn move_database(&mut self, device: usize) {
        let from = MARKS[self.dice.usize(..MARKS.len())];
        let line = self.line(device);
        line.part.from = from;
        line.watch.refilled = true;
        let plan = line.part.plan();
        self.door().change(self.devices[device].node(), plan);
        self.note(format!("device {device} moves on: from {from}"));
    }

    /// Sends what a session asks for; or tells what follows at once.
    pub(super) fn send_parcel(
        &mut self,
        device: usize,
        life: u32,
        id: RequestId,
        request: Request,
    ) -> Option<session::Event> {
        let packet = match self.line(device).node.outgoing(&request) {
            Ok(Outgoing::Packet(packet)) => packet,
            Ok(Outgoing::Known(answer)) => return Some(session::Event::Answered(id, answer)),
            Ok(Outgoing::Plain { .. }) => unreachable!("packets carry every request"),
            Err(cause) => return Some(session::Event::Failed(id, Failure::Storage(cause))),
        };
        let fate = self.faults.fate(&mut self.dice);
        let problem = self.promises.sent(Moment { now: self.now, device, life }, id);
        self.blame(problem);
        self.note(format!("device {device} sends {id:?} {} {fate:?}", packet.text()));
        let gives_up = session::Event::Failed(id, Failure::Network("timed out".to_owned()));
        self.schedule(TIME_OUT_MS, super::Happening::Report { device, life, event: gives_up });
        if fate.lost {
            return None;
        }
        let parcel = Parcel { device, life, id, request, packet, fate };
        if fate.repeated {
            let ghost = Fate { lost: true, repeated: false, ..fate };
            let again = Event::ArriveFrom(Box::new(Parcel { fate: ghost, ..parcel.clone() }));
            self.plan_event(fate.there_ms + fate.again_ms, again);
        }
        self.plan_event(fate.there_ms, Event::ArriveFrom(Box::new(parcel)));
        None
    }

    pub(super) fn parcel_arrives(&mut self, parcel: &Parcel) {
        let (device, fate, text) = (parcel.device, parcel.fate, parcel.packet.text());
        let (token, before) = (self.line(device).token.clone(), self.hub.committed());
        if fate.cut && self.dice.bool() {
            let patience = self.dice.u32(0..PATIENCE_MAX);
            self.door().post_and_leave(&token, text, patience);
            self.line(device).watch.left();
            self.note(format!("device {device} is gone while the hub works on {text}"));
        } else if fate.repeated && self.dice.bool() {
            let (one, other) = self.door().post_twice(&token, text);
            self.note(format!("a copy comes at the same time: {other:?}"));
            let after = self.hub.committed();
            self.watch_parcel(parcel, &one, before);
            self.watch_parcel(parcel, &other, after);
            self.answer_parcel(parcel, one);
        } else {
            let answered = self.door().post(&token, text);
            self.watch_parcel(parcel, &answered, before);
            self.answer_parcel(parcel, answered);
        }
        if self.hub.committed().log > before.log {
            self.wake_polls();
        }
    }

    fn answer_parcel(&mut self, parcel: &Parcel, (status, text): Answered) {
        let Parcel { device, life, id, fate, .. } = *parcel;
        self.note(format!("hub answers device {device}: {status} {text}"));
        if !fate.lost {
            let reply = ApiReply { status, retry_after: None, body: text.into() };
            let answers = parcel.packet.answer(&parcel.request, Ok(reply)).map(|answer| vec![answer]);
            self.deliver(device, life, id, answers, fate);
        }
    }

    fn watch_parcel(&mut self, parcel: &Parcel, answered: &Answered, before: Committed) {
        let (hub, problems, device) = (&self.hub, &mut self.problems, &mut self.devices[parcel.device]);
        let (id, part) = (device.node().clone(), device.part());
        let line = device.line.as_mut().expect("it sends packets");
        if line.known {
            let caller = Caller { id: &id, part, exact: true };
            line.watch.read(&caller, &sent(&parcel.packet), answered, before, hub, problems);
        }
    }

    fn line(&mut self, device: usize) -> &mut Line {
        self.devices[device].line.as_mut().expect("it exchanges packets")
    }
}

/// A packet as the watch reads it.
fn sent(packet: &OutPacket) -> Sent {
    let whole: Value = serde_json::from_str(packet.text()).expect("databases send JSON");
    let number = |name: &str| whole["header"][name].as_u64().expect("a packet has its numbers");
    let (number, ack) = (number("packet_no"), number("ack_packet_no"));
    Sent { attempt: 0, number, ack, text: packet.text().to_owned() }
}
