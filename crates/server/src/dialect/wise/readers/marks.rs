//! The devices behind one key, as far as their requests tell them apart.
//!
//! A foreign push does not say what its sender has read, and devices may share a key. So every pull
//! leaves a mark, and a push is taken to come from the device that was served least. All that follows
//! serves one rule: **no mark may claim more than the device that stands there has.** Claiming less costs
//! a repetition; claiming more would lose a change.
//!
//! - A pull leaves a new mark, and takes away the one that the same device left before ([`Marks::visit`]).
//!   It is the same device only where a number says so that the hub gave to one device alone: what a mark
//!   was served comes back as the next cursor; a mark's own cursor comes again when its reply was lost.
//! - A cursor that is nobody's in particular makes the mark open: other devices may come with it as well,
//!   so their pulls leave it alone.
//! - The number of a push reply (a ticket) says that its holder pulled before that push, and no more. It
//!   may stand for any mark from before then: a lone one is taken, of several only those that are not open.
//! - Where several marks could be meant, the one that was served most goes: the rest stays a lower bound.
//!   Nobody knows then whose the noted own pushes are, and all of theirs are forgotten.
//! - Own pushes are noted only while there is one mark.
//! - A mark ends when its cycle is over for certain; a device that pushes later is taken to have nothing.

use std::time::Duration;
use syncline_core::model::Lsn;
use tokio::time::Instant;

/// Between a pull and a push of the same cycle.
pub(super) const CYCLE: Duration = Duration::from_secs(600);
/// The same after a pull that brought nothing, from a cursor that several devices may have.
const IDLE_CYCLE: Duration = Duration::from_secs(120);
/// What the slowest known client takes to apply one pulled op.
const APPLY: Duration = Duration::from_millis(5);
/// Marks kept for one key.
pub(super) const MARKS_MAX: usize = 64;

/// A pull that is about to be answered.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Visit {
    /// The cursor that it came with.
    pub cursor: Lsn,
    /// Whether the cursor is the number of a push reply, which one device alone got.
    pub ticket: bool,
    /// What it will have when the reply has arrived.
    pub served: Lsn,
    /// The head of the log.
    pub head: Lsn,
}

/// What is known of the sender of a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Sender {
    /// It has been served at least up to here.
    pub served: Lsn,
    /// LSN ranges that it certainly wrote itself since then.
    pub own: Vec<(Lsn, Lsn)>,
    /// Whether the key seems to have one device only.
    pub sole: bool,
    /// Whether a push since the last pull may have cleared the collection.
    pub cleared: bool,
}

/// One device in the midst of a cycle.
#[derive(Debug)]
struct Mark {
    number: u64,
    cursor: Lsn,
    served: Lsn,
    head: Lsn,
    /// The cursor was nobody's in particular: other devices may come with it.
    open: bool,
    own: Vec<(Lsn, Lsn)>,
    cleared: bool,
    until: Instant,
}

/// The marks of one key.
#[derive(Debug, Default)]
pub(super) struct Marks(Vec<Mark>);

impl Marks {
    /// A pull: its device stands at what it is served now.
    pub fn visit(&mut self, number: u64, visit: Visit, now: Instant) {
        self.forget_ended(now);
        let known = match self.left_by(&visit) {
            Some(mark) => {
                self.0.remove(mark);
                true
            }
            None => false,
        };
        let Visit { cursor, ticket, served, head } = visit;
        self.add(Mark { number, open: !known && !ticket, ..Mark::new(cursor, served, head, now) });
    }

    /// A snapshot: its device comes back with the number `served`, which it shares with nobody known.
    pub fn arrive(&mut self, served: Lsn, head: Lsn, now: Instant) {
        self.forget_ended(now);
        self.add(Mark::new(served, served, head, now));
    }

    /// The reply of a visit held so many ops.
    pub fn replied(&mut self, number: u64, ops: u64, now: Instant) {
        if let Some(mark) = self.0.iter_mut().find(|mark| mark.number == number) {
            let cycle = if ops == 0 && mark.open { IDLE_CYCLE } else { CYCLE };
            mark.until = now + cycle + APPLY * u32::try_from(ops).unwrap_or(u32::MAX);
        }
    }

    /// Who may be sending a push: the one that was served least of those in a cycle.
    pub fn sender(&self, arrived: Instant) -> Sender {
        let alive: Vec<&Mark> = self.0.iter().filter(|mark| mark.until > arrived).collect();
        let served = alive.iter().map(|mark| mark.served).min().unwrap_or_default();
        let cleared = alive.iter().any(|mark| mark.cleared);
        match alive.as_slice() {
            [one] => Sender { served, own: one.own.clone(), sole: true, cleared },
            _ => Sender { served, own: Vec::new(), sole: false, cleared },
        }
    }

    /// A push wrote this range.
    pub fn pushed(&mut self, wrote: (Lsn, Lsn)) {
        if let [one] = self.0.as_mut_slice() {
            one.own.push(wrote);
        }
    }

    /// A push cleared the collection; whose it was, nobody knows.
    pub fn cleared(&mut self) {
        self.0.iter_mut().for_each(|mark| mark.cleared = true);
    }

    /// Whether any device is in a cycle.
    pub fn is_alive(&self, now: Instant) -> bool {
        self.0.iter().any(|mark| mark.until > now)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn forget_ended(&mut self, now: Instant) {
        self.0.retain(|mark| mark.until > now);
    }

    fn add(&mut self, mark: Mark) {
        self.0.push(mark);
        if self.0.len() > MARKS_MAX {
            self.join_two();
        }
    }

    /// The mark that the visiting device left last, if it certainly left one.
    fn left_by(&mut self, visit: &Visit) -> Option<usize> {
        let mut candidates = self.came_with(visit.cursor);
        if candidates.is_empty() && visit.ticket {
            candidates = self.before_ticket(visit.cursor);
        }
        if candidates.len() > 1 {
            candidates.iter().for_each(|n| self.0[*n].own.clear());
        }
        candidates.into_iter().max_by_key(|n| self.0[*n].served)
    }

    /// Marks whose device may come with this cursor, and nobody else.
    fn came_with(&self, cursor: Lsn) -> Vec<usize> {
        let fits = |mark: &Mark| (mark.cursor == cursor || mark.served == cursor) && !mark.open;
        (0..self.0.len()).filter(|n| cursor > Lsn::ZERO && fits(&self.0[*n])).collect()
    }

    /// Marks of pulls before the push that was answered with `ticket`.
    fn before_ticket(&self, ticket: Lsn) -> Vec<usize> {
        let before: Vec<usize> = (0..self.0.len()).filter(|n| self.0[*n].head < ticket).collect();
        let lone = before.len() == 1;
        before.into_iter().filter(|n| lone || !self.0[*n].open).collect()
    }

    /// The two that were served most become one that was served as little as either.
    fn join_two(&mut self) {
        self.0.sort_by_key(|mark| mark.served);
        if let (Some(most), Some(next)) = (self.0.pop(), self.0.last_mut()) {
            next.until = next.until.max(most.until);
            next.open = true;
            next.own.clear();
        }
    }
}

impl Mark {
    /// Of a device that alone comes back with what it was served.
    fn new(cursor: Lsn, served: Lsn, head: Lsn, now: Instant) -> Mark {
        Mark { number: 0, cursor, served, head, open: false, own: Vec::new(), cleared: false, until: now + CYCLE }
    }
}
