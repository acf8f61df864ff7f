//! Worlds in which collections have rules and tokens open some rows only: devices of the log, through the hub's real
//! router. Whatever the hub commits is held against the rules, and whatever it hands out against the rows of the token,
//! by a judge that knows neither the hub's rules nor its filters.

use super::bug::Bug;
use super::device::{Device, IDS};
use super::door::{Answered, Door};
use super::log::{self, Documents};
use super::network::Faults;
use super::part::{MARKS, TYPES};
use super::{Happening, TROUBLE_MS, World, check, hub};
use fastrand::Rng;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use syncline::sync::request as paths;
use syncline_core::hub::Change;
use syncline_core::model::{CollectionName, PageEdit, PageOp, SpaceName};
use syncline_core::session::{Answer, Failure, Request};
use syncline_server::DeclaredRule;

/// Documents of a snapshot that a device stores together: few, so that they are cut in the middle.
const SNAPSHOT_PART: usize = 2;
/// The field whose values no two documents of the first collection share.
const UNIQUE: &str = "y";
/// The field whose values must not end so.
const SHAPED: (&str, &str) = ("z", "3.");

/// The token of a device.
pub(super) struct Ticket {
    secret: String,
    /// It opens the documents of the first collection whose `x` is not below this; `None`: all.
    from: Option<&'static str>,
}

impl Ticket {
    fn means(&self, kind: &str, document: &Value) -> bool {
        let x = document.get("x").and_then(Value::as_str);
        kind != TYPES[0] || self.from.is_none_or(|from| x.is_some_and(|x| x >= from))
    }
}

/// Something that will happen.
pub(super) enum Event {
    /// The operator changes which rows a token opens.
    Regrant(usize),
    /// The hub forgets what is old.
    Trim,
}

impl World {
    /// A world of two or three devices, most of which see and write some rows only.
    pub(super) fn of_rows(seed: u64, bug: Option<Bug>) -> World {
        let mut dice = Rng::with_seed(seed);
        let faults = Faults::roll(&mut dice);
        let devices: Vec<Device> =
            (0..dice.usize(2..=3)).map(|n| Device::new(n, &IDS, dice.u64(..)).shared(UNIQUE)).collect();
        let mut world = World::with(bug, dice, faults, devices);
        let door = Door::with_rules(world.hub.parts(), |space| vec![rules(space)]);
        for n in 0..world.devices.len() {
            let (dice, secret) = (&mut world.dice, format!("secret-of-device-{n}"));
            let from = (dice.u32(0..4) > 0).then(|| MARKS[dice.usize(..2)]);
            let writes = if dice.bool() { "rows" } else { "read_rows" };
            let rows = from
                .map(|from| json!({ "claims": { "from": from }, writes: { "notes": { "x": { "$gte": "$from" } } } }));
            let rows = rows.filter(|_| bug != Some(Bug::RowsIgnored)).unwrap_or(json!({}));
            door.admit_with(&format!("device-{n}"), secret.clone(), &TYPES, rows);
            world.note(format!("device {n} has the {writes} of notes from {from:?}"));
            world.tickets.push(Ticket { secret, from });
        }
        world.door = Some(door);
        world.plan();
        for n in 0..world.tickets.len() {
            if world.tickets[n].from.is_some() && world.dice.bool() {
                let at = world.dice.u64(0..TROUBLE_MS);
                world.schedule(at, Happening::Rows(Event::Regrant(n)));
            }
        }
        for _ in 0..world.dice.u32(0..4) {
            let at = world.dice.u64(0..TROUBLE_MS);
            world.schedule(at, Happening::Rows(Event::Trim));
        }
        world
    }

    pub(super) fn happen_to_rows(&mut self, event: Event) {
        self.door().pass(self.now);
        match event {
            Event::Regrant(n) => {
                let from = MARKS[self.dice.usize(..2)];
                self.tickets[n].from = Some(from);
                self.door().regrant(&format!("device-{n}"), json!({ "claims": { "from": from } }));
                self.note(format!("(fault) the token of device {n} opens the notes from {from} now"));
            }
            Event::Trim => {
                self.door().trim();
                let horizon = self.hub.head().horizon;
                self.note(format!("(fault) the hub forgets what is old, up to {horizon}"));
            }
        }
    }

    /// The hub answers a device over its router, and the answer is looked at.
    pub(super) fn ask_router(&mut self, device: usize, request: &Request) -> Result<Vec<Answer>, Failure> {
        let node = hub::pushed_by(request).unwrap_or_else(|| self.devices[device].node().clone());
        self.promises.asked(&node, request);
        self.door().pass(self.now);
        let token = self.tickets[device].secret.clone();
        let answers = match request {
            Request::Health => return Ok(vec![Answer::Healthy]),
            Request::Push(batch) => {
                let got = self.door().post_to("/sync/push", &token, &batch.body);
                read(&got).map(|reply| vec![Answer::Pushed(reply)])
            }
            Request::Pull { scope, since, limit, .. } => {
                let got = self.door().get(&token, &paths::pull(&node, scope, since, *limit, 0));
                read(&got).map(|page| vec![Answer::Page(page)])
            }
            Request::Snapshot { scope, after } => {
                snapshot(&self.door().get(&token, &paths::snapshot(&node, scope, *after)))
            }
        };
        let mut problems = self.rules_broken();
        if matches!(request, Request::Push(_)) {
            problems.extend(self.promises.answered(&self.hub, (device, &node), request, &answers));
        }
        problems.extend(answers.iter().flatten().flat_map(|answer| self.strange_rows(device, answer)));
        self.blame(problems);
        answers
    }

    /// Every rule that a document of the hub breaks.
    fn rules_broken(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut holders: BTreeMap<String, String> = BTreeMap::new();
        for ((kind, id), document) in log::documents(&self.hub).iter().filter(|((kind, _), _)| kind == TYPES[0]) {
            if document[SHAPED.0].as_str().is_some_and(|text| text.ends_with(SHAPED.1)) {
                problems.push(format!("rules: {kind}/{id} must not stand with {document}, which breaks the schema"));
            }
            if let Some(value) = document.get(UNIQUE)
                && let Some(other) = holders.insert(value.to_string(), id.clone())
            {
                problems.push(format!("rules: {kind}/{id} and {kind}/{other} must not share {UNIQUE} = {value}"));
            }
        }
        problems
    }

    /// Documents of an answer that its reader's token does not open, and removals of documents that it never opened.
    fn strange_rows(&self, device: usize, answer: &Answer) -> Vec<String> {
        let ops: &[PageOp] = match answer {
            Answer::Page(page) => &page.ops,
            Answer::SnapshotPart(ops) => ops,
            _ => &[],
        };
        let ticket = &self.tickets[device];
        let log = self.hub.log();
        let was_open = |op: &PageOp| {
            let is_it = |change: &&Change| change.collection == op.collection && change.id == op.id;
            let opens = |change: &Change| {
                let document = serde_json::from_str(change.version.body.text()).unwrap_or_default();
                change.version.meta.is_live()
                    && MARKS[..2].iter().any(|from| {
                        Ticket { secret: String::new(), from: ticket.from.map(|_| *from) }
                            .means(op.collection.as_str(), &document)
                    })
            };
            log::changes(&log).filter(is_it).any(opens)
        };
        let strange = |op: &&PageOp| match (op.op, &op.doc) {
            (PageEdit::Put, Some(text)) => {
                let document = serde_json::from_str(text.get()).unwrap_or_default();
                !ticket.means(op.collection.as_str(), &document)
            }
            _ => ticket.from.is_some() && op.collection.as_str() == TYPES[0] && !was_open(op),
        };
        let tell = |op: &PageOp| {
            let (collection, id, what) = (&op.collection, &op.id, op.doc.as_ref().map(|doc| doc.get()));
            format!(
                "isolated: device {device} opens notes from {:?} and must not hear of {collection}/{id}: {what:?}",
                ticket.from
            )
        };
        ops.iter().filter(strange).map(tell).collect()
    }

    /// Every device shows what its token opens, and owes the hub nothing.
    pub(super) fn rows_at_rest(&mut self) -> Vec<String> {
        let truth = log::documents(&self.hub);
        let mut problems = self.rules_broken();
        for (n, device) in self.devices.iter_mut().enumerate() {
            let shown = device.documents();
            let ticket = &self.tickets[n];
            let due: Documents = truth.clone().into_iter().filter(|((kind, _), it)| ticket.means(kind, it)).collect();
            if shown != due {
                let (shown, due) = check::difference(&shown, &due);
                problems.push(format!(
                    "convergent: device {n} must show what its token opens\n       has: {due:?}\n     shows: {shown:?}"
                ));
            }
            let pending = device.backlog().pending;
            if pending > 0 {
                problems.push(format!(
                    "never blocked: the hub must have receipted every op of device {n} by now, and {pending} still wait"
                ));
            }
        }
        problems
    }
}

fn rules(space: &SpaceName) -> DeclaredRule {
    let pattern = format!("^.*[^{}][.]$", SHAPED.1.trim_end_matches('.'));
    let rule = json!({
        "unique": [UNIQUE],
        "schema": { "properties": { SHAPED.0: { "type": "string", "pattern": pattern } } },
    });
    let collection = CollectionName::new(TYPES[0]).expect("a valid name");
    DeclaredRule { space: space.clone(), collection, rule: serde_json::from_value(rule).expect("a valid rule") }
}

/// What an answer means for the session.
fn read<T: DeserializeOwned>((status, text): &Answered) -> Result<T, Failure> {
    match status {
        200 => serde_json::from_str(text).map_err(|e| Failure::Server(e.to_string())),
        401 => Err(Failure::Unauthorized(text.clone())),
        409 => Err(Failure::BatchReused(text.clone())),
        410 => Err(Failure::Resync(text.clone())),
        _ => Err(Failure::Server(format!("{status} {text}"))),
    }
}

fn snapshot((status, text): &Answered) -> Result<Vec<Answer>, Failure> {
    if *status != 200 {
        return read::<Value>(&(*status, text.clone())).map(|_| Vec::new());
    }
    let lines: Vec<&str> = text.lines().collect();
    let [first, rows @ .., last] = lines.as_slice() else { return Err(Failure::Server(text.clone())) };
    let whole = |line: &str| (200, line.to_owned());
    let mut answers = vec![Answer::SnapshotHead(read(&whole(first))?)];
    let ops: Vec<PageOp> = rows.iter().map(|line| read(&whole(line))).collect::<Result<_, _>>()?;
    answers.extend(ops.chunks(SNAPSHOT_PART).map(|part| Answer::SnapshotPart(part.to_vec())));
    answers.push(Answer::SnapshotEnd(read(&whole(last))?));
    Ok(answers)
}
