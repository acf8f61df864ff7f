//! Desks that know nothing but the exchange's design, a wire that loses, repeats and reorders, and a hub:
//! after everything has been said, all hold the same.

#![allow(clippy::unwrap_used)] // a failed step is a failed test

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use syncline_core::hub::{Decision, Moment, Reply, decide, touch};
use syncline_core::model::{
    Body, CollectionName, Dispatch, DocId, Entity, EntityEdit, Intake, Limits, Lsn, Millis, NodeId, Packet, Plan,
    Registration, Settled, SpaceName,
};
use syncline_server::store::{Encoder, Head, MemoryStore, Row, Scan, Scanned, Store, Trim};
use tokio::sync::mpsc;

/// An object: numbers by field.
type Object = BTreeMap<String, u64>;

const SEEDS: u64 = 400;
const FIELDS: [&str; 3] = ["a", "b", "c"];
const PAGE: usize = 3;

#[test]
fn desks_and_hub_end_up_equal_whatever_the_wire_does() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        world.run();
        world.settle();
    }
}

/// One periphery database, as simple as the design has it.
struct Desk {
    node: NodeId,
    objects: BTreeMap<u8, Object>,
    /// Changes that no reply has confirmed: the object's fields that were set, `None` for a removal.
    pending: BTreeMap<u8, (Option<BTreeSet<&'static str>>, u64)>,
    confirmed: u64,
    number: u64,
    ack: u64,
    /// Its clock's error.
    ahead: u64,
}

#[derive(Clone)]
struct Told {
    id: u8,
    object: Option<Object>,
    /// Fields that are not named are gone too.
    anew: bool,
}

struct World {
    random: fastrand::Rng,
    seed: u64,
    now: u64,
    store: MemoryStore,
    desks: Vec<Desk>,
    settled: BTreeMap<NodeId, Settled>,
    /// Copies of packets that arrive once more, some time later.
    delayed: Vec<Packet>,
}

fn space() -> SpaceName {
    SpaceName::new("main").unwrap()
}

impl World {
    fn new(seed: u64) -> World {
        let (random, store) = (fastrand::Rng::with_seed(seed), MemoryStore::new());
        pollster::block_on(store.open_space(&space())).unwrap();
        let (desks, settled, delayed) = (Vec::new(), BTreeMap::new(), Vec::new());
        let mut world = World { random, seed, now: 1_000_000, store, desks, settled, delayed };
        for n in 0..3 {
            world.join(n);
        }
        world
    }

    fn join(&mut self, n: usize) {
        let node = NodeId::new(format!("desk-{n}")).unwrap();
        let (code, name) = (node.to_string(), String::new());
        let registration = Registration { id: node.clone(), code, name, plan: Plan::default() };
        pollster::block_on(self.store.register(&space(), registration, None)).unwrap();
        let (objects, pending, ahead) = (BTreeMap::new(), BTreeMap::new(), self.random.u64(0..30));
        self.desks.push(Desk { node, objects, pending, confirmed: 0, number: 0, ack: 0, ahead });
    }

    fn run(&mut self) {
        for step in 0..120 {
            self.now += self.random.u64(0..20);
            let n = self.random.usize(0..self.desks.len());
            match self.random.u32(0..100) {
                0..45 => self.edit(n),
                45..85 => self.exchange(n, false),
                85..93 => self.arrive_late(),
                93..97 => self.trim(),
                _ if step > 60 && self.desks.len() < 4 => self.join(3),
                _ => {}
            }
        }
    }

    /// The wire heals, and everybody talks until there is nothing left to say.
    fn settle(&mut self) {
        while !self.delayed.is_empty() {
            self.arrive_late();
        }
        for round in 0.. {
            assert!(round < 50, "seed {}: the desks never come to an end", self.seed);
            self.now += 1_000;
            let before: Vec<_> = self.desks.iter().map(|desk| (desk.ack, desk.pending.len())).collect();
            (0..self.desks.len()).for_each(|n| self.exchange(n, true));
            if before.iter().zip(&self.desks).all(|(before, desk)| *before == (desk.ack, 0)) {
                break;
            }
        }
        let hub = self
            .read(Scan::Snapshot {
                collections: None,
                after: Lsn(0),
                expired_by: None,
                max_rows: usize::MAX,
                max_bytes: usize::MAX,
            })
            .0;
        let hub: BTreeMap<_, _> = hub.into_iter().filter_map(|told| Some((told.id, told.object?))).collect();
        for desk in &self.desks {
            assert_eq!(desk.objects, hub, "seed {}: {} differs from the hub", self.seed, desk.node);
        }
    }

    fn edit(&mut self, n: usize) {
        let (id, field) = (self.random.u8(0..4), FIELDS[self.random.usize(0..FIELDS.len())]);
        let (value, removes) = (self.random.u64(..), self.random.u32(0..5) == 0);
        let desk = &mut self.desks[n];
        let time = self.now + desk.ahead;
        if removes && desk.objects.remove(&id).is_some() {
            desk.pending.insert(id, (None, time));
        } else if !removes {
            desk.objects.entry(id).or_default().insert(field.to_owned(), value);
            let change = desk.pending.entry(id).or_insert((Some(BTreeSet::new()), time));
            *change =
                (Some(change.0.take().map_or(BTreeSet::from(FIELDS), |set| &set | &BTreeSet::from([field]))), time);
        }
    }

    /// One round of a desk; on a bad wire the request or the reply may be lost, and copies stay behind.
    fn exchange(&mut self, n: usize, healed: bool) {
        let burns = self.random.u32(0..4) == 0;
        let desk = &mut self.desks[n];
        desk.number = if burns { desk.number.max(desk.confirmed) + 1 } else { desk.number.max(desk.confirmed + 1) };
        let packet = desk.packet();
        let fate = if healed { 9 } else { self.random.u32(0..10) };
        if fate < 3 {
            self.delayed.push(packet.clone());
        }
        if fate == 0 || fate == 4 {
            return;
        }
        let number = packet.number;
        let (reply_number, ack, told) = self.answer(packet);
        if fate == 1 || fate == 5 {
            return;
        }
        let desk = &mut self.desks[n];
        assert!(ack >= number, "seed {}", self.seed);
        (desk.confirmed, desk.ack) = (ack, reply_number);
        desk.number = desk.number.max(ack);
        desk.pending.clear();
        told.into_iter().for_each(|told| desk.apply(told));
    }

    fn arrive_late(&mut self) {
        if !self.delayed.is_empty() {
            let n = self.random.usize(0..self.delayed.len());
            let packet = self.delayed.swap_remove(n);
            self.answer(packet);
        }
    }

    /// What the hub answers: its packet's number, its acknowledgement, what it tells.
    fn answer(&mut self, packet: Packet) -> (u64, u64, Vec<Told>) {
        let node = packet.node.clone();
        let settled = self.settled.remove(&node);
        let Reply::Packet(taken) = self.commit(Intake::Packet(Packet { settled, ..packet })) else { panic!("taken") };
        let fill = taken.reached.fill.map_or(Lsn(0), |fill| fill.start);
        let (after, author) = (taken.reached.cursor, taken.author);
        let (own, collections) = (false, None);
        let scan = Scan::Packet { after, author, fill, own, collections, max_rows: PAGE, max_bytes: 1 << 20 };
        let (told, upto, last) = self.read(scan);
        if told.is_empty() {
            self.settled.insert(node, Settled { from: taken.reached, upto, last });
            return (taken.issued, taken.ack, told);
        }
        let dispatch = Dispatch { node, from: taken.reached, upto, last, held: Vec::new() };
        let Reply::Dispatched { number } = self.commit(Intake::Dispatch(dispatch)) else { panic!("not moved") };
        (number, taken.ack, told)
    }

    /// Forgets as much as it may, sometimes behind the back of a desk.
    fn trim(&self) {
        let registered = pollster::block_on(self.store.registered(&space(), None)).unwrap();
        let needed = registered.iter().map(|(_, traffic)| traffic.needs()).min().unwrap();
        let horizon = Lsn(needed.0 + self.now % 3 * 4);
        pollster::block_on(self.store.trim(&space(), Trim { horizon, ..Trim::default() })).unwrap();
    }

    fn commit(&self, intake: Intake) -> Reply {
        let (group, moment) = ([intake], Moment { now: Millis(self.now), limits: Limits::default() });
        let (touch, reply) = (touch(&group), Arc::new(Mutex::new(None)));
        let seen = Arc::clone(&reply);
        let decide = move |loaded| {
            let Decision { writes, replies } = decide(loaded, &group, moment);
            *seen.lock().unwrap() = replies.into_iter().next();
            writes
        };
        pollster::block_on(self.store.commit(&space(), touch, Box::new(decide))).unwrap();
        reply.lock().unwrap().take().unwrap()
    }

    fn read(&self, scan: Scan) -> (Vec<Told>, Lsn, bool) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let scanned = pollster::block_on(async {
            let (out, _rest) = mpsc::channel(4);
            self.store.scan(&space(), scan, Box::new(Ear(Arc::clone(&heard))), out).await.unwrap()
        });
        (std::mem::take(&mut *heard.lock().unwrap()), scanned.upto, !scanned.more)
    }
}

impl Desk {
    fn packet(&self) -> Packet {
        let entities: Vec<_> = self.pending.iter().map(|(id, change)| self.entity(*id, change)).collect();
        let key = digest(&(self.node.as_str(), self.number, entities.iter().map(|e| e.digest).collect::<Vec<_>>()));
        Packet {
            node: self.node.clone(),
            number: self.number,
            ack: self.ack,
            key: u128::from(key).to_be_bytes(),
            settled: None,
            readable: Arc::default(),
            writable: Arc::default(),
            whole_objects: false,
            entities,
        }
    }

    /// Updates name the fields that were set, removals carry no time.
    fn entity(&self, id: u8, (set, time): &(Option<BTreeSet<&'static str>>, u64)) -> Entity {
        let collection = CollectionName::new("Report").unwrap();
        let edit = match (set, self.objects.get(&id)) {
            (Some(set), Some(object)) => {
                let named: Object =
                    object.iter().filter(|(f, _)| set.contains(f.as_str())).map(|(f, v)| (f.clone(), *v)).collect();
                let fields = Body::trusted(serde_json::to_string(&named).unwrap()).fields();
                let sent = Body::of_fields(&id.to_string(), fields.iter());
                EntityEdit::Put { collection, insert: false, sent, unset: BTreeSet::new() }
            }
            _ => EntityEdit::Remove { collection },
        };
        let time = set.is_some().then_some(Millis(*time));
        let raw = format!("{id} {edit:?} {time:?}");
        Entity {
            kind: "Report".into(),
            uuid: DocId::new(id.to_string()).unwrap(),
            edit,
            time,
            digest: digest(&raw),
            raw,
        }
    }

    /// Sets the given fields by name, as the design's sample does.
    fn apply(&mut self, told: Told) {
        match told.object {
            Some(object) if told.anew => drop(self.objects.insert(told.id, object)),
            Some(object) => self.objects.entry(told.id).or_default().extend(object),
            None => drop(self.objects.remove(&told.id)),
        }
    }
}

struct Ear(Arc<Mutex<Vec<Told>>>);

impl Encoder for Ear {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        let object = row.live.then(|| {
            let mut fields = Body::trusted(row.body).fields();
            fields.remove("_id");
            serde_json::from_str(fields.to_body().text()).unwrap()
        });
        // The dialect sends a removal before it, where fields may be gone without being named.
        let anew = row.meta.contains(r#""g":true"#);
        self.0.lock().unwrap().push(Told { id: row.id.parse().unwrap(), object, anew });
        true
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}

fn digest(content: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}
