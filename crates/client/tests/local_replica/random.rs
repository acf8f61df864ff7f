//! Random edits, losses and restarts, by seed.

use super::world::{Device, Hub, scope};
use serde_json::{Value, json};
use syncline::filter::Filter;
use syncline_core::session::Write;

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// One random step of one device: an edit, a pull, a push (also when nothing could be read), a push whose reply is
/// lost, a new start.
fn step(device: &Device, hub: &mut Hub, dice: &mut Dice) {
    let id = format!("d{}", dice.roll(4));
    let field = ["x", "y", "z"][usize::try_from(dice.roll(3)).unwrap()];
    let value = json!(dice.roll(1_000));
    match dice.roll(16) {
        0..4 => drop(device.notes.insert(json!({"_id": id, (field): value}))),
        4..8 => drop(device.notes.update(&id, &json!({(field): value}))),
        8 => drop(device.notes.replace(&id, json!({(field): value}))),
        9 => drop(device.notes.remove(&id).unwrap()),
        10 if dice.roll(4) == 0 => drop(device.notes.clear().unwrap()),
        11 => drop(device.db.transaction(|tx| {
            tx.collection("notes")?.upsert(json!({"_id": id, (field): value}))?;
            tx.collection("notes")?.upsert(json!({"_id": "d0", (field): value}))
        })),
        12 | 13 => drop(device.pull(hub)),
        14 => {
            if let Some(batch) = device.replica.next_batch(&scope(), 3, false).unwrap() {
                let reply = hub.push(&batch.body);
                if dice.roll(3) > 0 {
                    let unread = dice.roll(2) == 0;
                    device.do_it(Write::Receipts { batch: batch.batch_id, reply, unread });
                }
            }
        }
        _ if dice.roll(6) == 0 => {
            device.do_it(Write::Resync(scope()));
            device.load(hub);
        }
        _ => {}
    }
}

#[test]
fn random_worlds_converge() {
    let mut documents_left = 0;
    for seed in 0..150 {
        let (mut hub, mut dice) = (Hub::new(), Dice(seed));
        let devices = [Device::new(), Device::new(), Device::new()];
        devices[1].notes.create_index(None, "x", false).unwrap();
        devices.iter().for_each(|device| drop(device.load(&hub)));
        for _ in 0..120 {
            let device = &devices[usize::try_from(dice.roll(3)).unwrap()];
            step(device, &mut hub, &mut dice);
        }
        for _ in 0..2 {
            devices.iter().for_each(|device| device.sync(&mut hub));
        }
        let expected: Vec<Value> = (0..4).filter_map(|n| hub.text(&format!("d{n}"))).collect();
        documents_left += expected.len();
        for (n, device) in devices.iter().enumerate() {
            assert_eq!(device.all(), expected, "device {n} of seed {seed}");
            assert_eq!(device.pending(), 0, "device {n} of seed {seed}");
            for value in [1, 500].into_iter().chain(expected.iter().filter_map(|d| d["x"].as_i64())) {
                let found = device.notes.count(&Filter::parse(&json!({"x": value})).unwrap()).unwrap();
                assert_eq!(found, expected.iter().filter(|d| d["x"] == value).count(), "index, seed {seed}");
            }
        }
    }
    assert!(documents_left > 150, "the worlds are not empty");
}
