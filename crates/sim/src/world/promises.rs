//! What must hold for every answer to a device, at the moment when it is given, and for what a device says of itself.
//! Knows the promises, and the hub's log as it was recorded; not the code that answers.

use super::hub::Hub;
use super::log::changes;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use syncline_core::hub::{Change, Entry};
use syncline_core::model::{CollectionName, Cursor, Lsn, NodeId, Page, Receipt, Rejection, Seq, SnapshotHead, Verdict};

use syncline_core::session::{Answer, Failure, Request, RequestId, Status};

/// Failed requests of one device within [`WINDOW_MS`]: retries back off.
const FAILED_MAX: usize = 14;
const WINDOW_MS: u64 = 30_000;
/// How often something else may happen to a device at the moment of a failure.
const AT_ONCE_MAX: usize = 2;
/// How long an answer makes a hub reachable.
const RECENT_MS: u64 = 120_000;
/// After this long without progress, work that pends is stuck.
const STUCK_MS: u64 = 60_000;
/// How much later than it happened something is seen.
const BLUR_MS: u64 = 10_000;

/// What was seen of the devices of a world.
#[derive(Default)]
pub struct Promises {
    /// Receipts that were given, with the documents of their ops.
    given: BTreeMap<(NodeId, Seq), (Receipt, String)>,
    /// The numbers of the ops that were pushed for each document; a `clear` stands under its collection.
    pushed: BTreeMap<(NodeId, String), BTreeSet<u64>>,
    seen: BTreeMap<usize, Seen>,
}

/// What was seen of one device.
#[derive(Default)]
struct Seen {
    life: u32,
    /// Requests that have no answer yet.
    open: BTreeSet<RequestId>,
    failed: VecDeque<u64>,
    /// When a request last failed in a way that only time can mend, and how often the next one left at that moment.
    failed_at: Option<u64>,
    at_once: usize,
    heard_at: Option<u64>,
    /// When an op last left, and when none waited.
    moved_at: u64,
    free_at: u64,
    pending: u64,
}

/// A device and a moment.
#[derive(Clone, Copy)]
pub struct Moment {
    pub now: u64,
    pub device: usize,
    pub life: u32,
}

impl Promises {
    /// The hub's history is another one: what it said in the old one is void.
    pub fn void(&mut self) {
        self.given.clear();
    }

    /// Notes what a push holds, whatever comes of it.
    pub fn asked(&mut self, node: &NodeId, request: &Request) {
        let Request::Push(batch) = request else { return };
        for (seq, place) in places(&batch.body) {
            self.pushed.entry((node.clone(), place)).or_default().insert(seq);
        }
    }

    /// Nobody has changed a document more often than it pushed ops for it.
    pub fn effects(&self, hub: &Hub) -> Vec<String> {
        let mut made: BTreeMap<(String, String), usize> = BTreeMap::new();
        for change in changes(&hub.log()) {
            *made.entry((hub.name_of(change.version.author), place(change))).or_default() += 1;
        }
        let ops =
            |node: &NodeId, place: &str| self.pushed.get(&(node.clone(), place.to_owned())).map_or(0, BTreeSet::len);
        let mut problems = Vec::new();
        for ((name, place), made) in made {
            let Ok(node) = NodeId::new(&name) else { continue };
            let all = place.split_once('/').map_or(0, |(collection, _)| ops(&node, collection));
            let ops = ops(&node, &place) + all;
            if self.pushed.keys().any(|(known, _)| *known == node) && made > ops {
                problems.push(format!(
                    "exactly one effect: {name} pushed {ops} ops that may change {place}; there must be no more changes of \
                     it, and there are {made}"
                ));
            }
        }
        problems
    }

    /// Says what is wrong with an answer of the hub.
    pub fn answered(
        &mut self,
        hub: &Hub,
        (device, node): (usize, &NodeId),
        request: &Request,
        answers: &Result<Vec<Answer>, Failure>,
    ) -> Vec<String> {
        let Ok(answers) = answers else { return Vec::new() };
        match (request, answers.first()) {
            (Request::Pull { scope, since, .. }, Some(Answer::Page(answer))) => {
                page(hub, device, (scope, since), answer)
            }
            (Request::Snapshot { scope, after }, Some(Answer::SnapshotHead(head))) => {
                snapshot(hub, device, (scope, after.unwrap_or_default()), head, answers)
            }
            (Request::Push(batch), Some(Answer::Pushed(reply))) => {
                let places = places(&batch.body);
                let mut problems = Vec::new();
                for receipt in &reply.receipts {
                    let place = places.get(&receipt.seq.0).cloned().unwrap_or_default();
                    problems.extend(self.receipted((device, node), receipt, place));
                }
                problems
            }
            _ => Vec::new(),
        }
    }

    /// A repeat gets the first receipt again, or, when that is past its retention, hears that it is a repeat.
    fn receipted(&mut self, (device, node): (usize, &NodeId), receipt: &Receipt, place: String) -> Option<String> {
        // Another op has the number; this one has none yet.
        if receipt.rejection.as_ref().is_some_and(Rejection::is_for_its_number) {
            return None;
        }
        let key = (node.clone(), receipt.seq);
        let Some((first, _)) = self.given.get(&key) else {
            self.given.insert(key, (receipt.clone(), place));
            return None;
        };
        let again = receipt.result == Verdict::Duplicate || (receipt.result, receipt.lsn) == (first.result, first.lsn);
        (!again).then(|| {
            let (seq, was, is) = (receipt.seq.0, told(first), told(receipt));
            format!(
                "exactly one effect: op {seq} of device {device} on {place} was receipted as {was}; a repeat must get the \
                 same, and got {is}"
            )
        })
    }

    /// Every receipt that was given stands in the log.
    pub fn durable(&self, hub: &Hub) -> Vec<String> {
        let log = hub.log();
        let stands = |receipt: &Receipt, place: &str| {
            let entry = usize::try_from(receipt.lsn.0).ok().and_then(|lsn| log.get(lsn.checked_sub(1)?));
            // A `clear` is receipted with the head of its moment, whatever stands there.
            match entry {
                Some(Entry::Change(change)) => !place.contains('/') || self::place(change) == place,
                Some(_) => !place.contains('/'),
                None => false,
            }
        };
        let applied =
            |receipt: &Receipt| matches!(receipt.result, Verdict::Applied | Verdict::Merged) && receipt.lsn > Lsn::ZERO;
        let gone = self.given.iter().filter(|(_, (receipt, place))| applied(receipt) && !stands(receipt, place));
        let tell = |((node, seq), (receipt, place)): (&(NodeId, Seq), &(Receipt, String))| {
            let lsn = receipt.lsn;
            format!(
                "durable: op {} of {node} on {place} was receipted with change {lsn}, which must outlive the hub; the log \
                 holds no such change",
                seq.0
            )
        };
        gone.map(tell).collect()
    }

    /// Notes a request; says so where a device does not wait before it repeats what has failed.
    pub fn sent(&mut self, at: Moment, id: RequestId) -> Option<String> {
        let seen = self.of(at);
        seen.open.insert(id);
        seen.at_once += usize::from(seen.failed_at.take() == Some(at.now));
        (seen.at_once > AT_ONCE_MAX).then(|| {
            seen.at_once = 0;
            let device = at.device;
            format!(
                "bounded: device {device} must wait after a failure, and sent the next request at once, again and again"
            )
        })
    }

    /// Notes that a request has failed; says so where a device does not back off.
    pub fn failed(&mut self, at: Moment, id: RequestId, failure: &Failure) -> Option<String> {
        let seen = self.of(at);
        if !seen.open.remove(&id) {
            return None;
        }
        if matches!(failure, Failure::Network(_) | Failure::Server(_) | Failure::Overloaded { .. }) {
            seen.failed_at = Some(at.now);
        }
        let failed = &mut seen.failed;
        failed.push_back(at.now);
        failed.retain(|time| time + WINDOW_MS > at.now);
        (failed.len() > FAILED_MAX).then(|| {
            failed.clear();
            let device = at.device;
            format!("bounded: device {device} must back off, and had {FAILED_MAX} requests fail within {WINDOW_MS} ms")
        })
    }

    /// Notes that the hub has answered.
    pub fn heard(&mut self, at: Moment, id: RequestId, answer: &Answer) {
        let seen = self.of(at);
        seen.heard_at = Some(at.now);
        let awaited = seen.open.remove(&id);
        if awaited && matches!(answer, Answer::Pushed(_)) {
            seen.moved_at = at.now;
        }
    }

    /// Notes how many ops of a device wait now.
    pub fn waits(&mut self, at: Moment, pending: u64) {
        let seen = self.of(at);
        if pending == 0 || pending < seen.pending || seen.pending == 0 {
            seen.moved_at = at.now;
        }
        if pending == 0 || seen.pending == 0 {
            seen.free_at = at.now;
        }
        seen.pending = pending;
    }

    /// Compares what a device says of itself with what was seen of it.
    pub fn says(&mut self, at: Moment, status: &Status, pending: u64) -> Vec<String> {
        self.waits(at, pending);
        let device = at.device;
        let seen = self.of(at);
        let busy_ms = at.now - seen.free_at;
        let still_ms = at.now - seen.moved_at;
        let mut problems = Vec::new();
        if status.pending != pending {
            let says = status.pending;
            problems.push(format!("truthful status: device {device} has {pending} ops pending and says {says}"));
        }
        if status.connected && seen.heard_at.is_none_or(|heard| heard + RECENT_MS + BLUR_MS < at.now) {
            problems.push(format!(
                "truthful status: device {device} says that it is connected, and has heard nothing for long"
            ));
        }
        if pending > 0 && !status.stalled && still_ms >= STUCK_MS + BLUR_MS {
            problems.push(format!(
                "truthful status: {pending} ops of device {device} pend without progress for {still_ms} ms; it must call that \
                 a stall, and does not"
            ));
        }
        if status.stalled && busy_ms + BLUR_MS < STUCK_MS {
            problems.push(format!("truthful status: device {device} calls it a stall after {busy_ms} ms"));
        }
        problems
    }

    /// What was seen of a device in this life of it.
    fn of(&mut self, at: Moment) -> &mut Seen {
        let seen = self.seen.entry(at.device).or_default();
        if seen.life != at.life {
            let failed = std::mem::take(&mut seen.failed);
            *seen = Seen { life: at.life, failed, moved_at: at.now, free_at: at.now, ..Seen::default() };
        }
        seen
    }
}

/// A page holds every change behind the cursor up to the position that it names, in order, and nothing else.
fn page(hub: &Hub, device: usize, (scope, since): (&BTreeSet<CollectionName>, &Cursor), page: &Page) -> Vec<String> {
    let mut problems = Vec::new();
    let most = hub.limits().page_changes;
    if page.ops.len() > most {
        problems
            .push(format!("bounded: device {device} gets a page of {} changes; the limit is {most}", page.ops.len()));
    }
    if let Some(op) = page.ops.iter().find(|op| !scope.contains(&op.collection)) {
        problems.push(format!("isolated: device {device} asked for {scope:?} and gets {}/{}", op.collection, op.id));
    }
    let log = hub.log();
    let due = |upto: Lsn| {
        let within = move |change: &&Change| change.version.lsn > since.lsn && change.version.lsn <= upto;
        changes(&log).filter(within).filter(|change| scope.contains(&change.collection))
    };
    let got: Vec<Lsn> = page.ops.iter().map(|op| op.lsn).collect();
    let upto = page.server_lsn;
    if let Some(missing) = due(upto).find(|change| !got.contains(&change.version.lsn)) {
        let (lsn, place, by) = (missing.version.lsn, place(missing), hub.name_of(missing.version.author));
        problems.push(format!(
            "ordered and gap-free: device {device} asked for what came after {} and is told that it has everything up to \
             {upto}; change {lsn} of {place} by {by} must be among it, and is not",
            since.lsn
        ));
    }
    if !got.is_sorted_by(|a, b| a < b) || got.iter().any(|lsn| *lsn <= since.lsn || *lsn > upto) {
        problems.push(format!(
            "ordered and gap-free: device {device} gets {got:?} for what came after {} up to {upto}",
            since.lsn
        ));
    }
    if !page.has_more && due(Lsn(u64::MAX)).any(|change| change.version.lsn > upto) {
        problems.push(format!(
            "ordered and gap-free: device {device} is told that nothing comes after {upto}, and there is more"
        ));
    }
    problems
}

/// A snapshot holds the documents as they stand at the position that it names.
fn snapshot(
    hub: &Hub,
    device: usize,
    (scope, after): (&BTreeSet<CollectionName>, Lsn),
    head: &SnapshotHead,
    answers: &[Answer],
) -> Vec<String> {
    let got: BTreeSet<(String, Lsn)> = answers
        .iter()
        .flat_map(|answer| if let Answer::SnapshotPart(ops) = answer { ops.as_slice() } else { &[] })
        .map(|op| (format!("{}/{}", op.collection, op.id), op.lsn))
        .collect();
    let mut due: BTreeMap<String, &Change> = BTreeMap::new();
    let log = hub.log();
    for change in
        changes(&log).filter(|change| scope.contains(&change.collection) && change.version.lsn <= head.server_lsn)
    {
        due.insert(place(change), change);
    }
    let due = due.into_iter().filter(|(_, change)| change.version.meta.is_live() && change.version.lsn > after);
    let due: BTreeSet<(String, Lsn)> = due.map(|(place, change)| (place, change.version.lsn)).collect();
    let differ: Vec<_> = due.symmetric_difference(&got).collect();
    if differ.is_empty() {
        return Vec::new();
    }
    let upto = head.server_lsn;
    vec![format!(
        "ordered and gap-free: device {device} gets a snapshot that must be the state at {upto}, and differs from it in \
         {differ:?}"
    )]
}

/// Documents of the ops of a push, by the numbers of the ops.
fn places(body: &str) -> BTreeMap<u64, String> {
    let push: Value = serde_json::from_str(body).unwrap_or_default();
    let place = |op: &Value| {
        let (seq, collection) = (op["seq"].as_u64()?, op["collection"].as_str()?);
        Some((seq, op["id"].as_str().map_or_else(|| collection.to_owned(), |id| format!("{collection}/{id}"))))
    };
    push["ops"].as_array().into_iter().flatten().filter_map(place).collect()
}

fn place(change: &Change) -> String {
    format!("{}/{}", change.collection, change.id)
}

fn told(receipt: &Receipt) -> String {
    format!("{:?} with change {}", receipt.result, receipt.lsn)
}
