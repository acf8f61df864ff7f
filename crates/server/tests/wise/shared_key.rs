//! Three devices behind one key, at random: half cycles, held pushes, lost replies, restarts.

use super::{Device, converged, world};
use serde_json::{Value, json};
use std::collections::VecDeque;

struct Actor {
    device: Device,
    /// Pushes of a cycle that has begun; local writes wait until it is over.
    held: VecDeque<Value>,
}

#[tokio::test(flavor = "multi_thread")]
async fn l10_three_devices_with_one_key_converge_whatever_happens() {
    // By hand: `SYNCLINE_SEEDS=1000..3000`.
    let range = std::env::var("SYNCLINE_SEEDS").unwrap_or_else(|_| "0..60".to_owned());
    let (first, end) = range.split_once("..").unwrap();
    for seed in first.parse().unwrap()..end.parse().unwrap() {
        println!("seed {seed}");
        story(seed).await;
    }
}

async fn story(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (hub, devices) = world(3).await;
    let mut actors: Vec<Actor> = devices.into_iter().map(|device| Actor { device, held: VecDeque::new() }).collect();
    for actor in &mut actors {
        actor.device.batch_size = rng.usize(1..6);
    }
    for step in 0..80 {
        let n = rng.usize(0..3);
        act(&mut actors[n], &mut rng, step).await;
    }
    let mut devices = Vec::new();
    for mut actor in actors {
        while !actor.held.is_empty() {
            push_next(&mut actor).await;
        }
        devices.push(actor.device);
    }
    converged(&hub, &mut devices).await;
}

async fn act(actor: &mut Actor, rng: &mut fastrand::Rng, step: u64) {
    if !actor.held.is_empty() {
        match rng.u8(0..10) {
            0 => {
                // The reply is lost: the cycle is over and everything will be sent again.
                actor.device.push_unheard(&actor.held[0]).await;
                actor.held.clear();
            }
            _ => push_next(actor).await,
        }
        return;
    }
    let id = format!("d{}", rng.u8(0..6));
    let local = &mut actor.device.local;
    match rng.u8(0..22) {
        0..=4 => drop(local.insert(&id, &json!({ "v": step }))),
        5..=8 => drop(local.update(&id, &json!({ format!("f{}", rng.u8(0..3)): step }))),
        9..=10 => drop(local.remove(&id)),
        11 if rng.u8(0..4) == 0 => local.clear(),
        12 => drop(local.insert_many(&[(format!("m{step}"), json!({ "v": 1 })), (id, json!({ "v": step }))])),
        13..=15 => {
            let there = local.docs.contains_key(&id);
            let args = if there { json!([id, { "t": step }]) } else { json!([{ "_id": id, "t": step }]) };
            local.transaction(&[(if there { "update" } else { "insert" }, args)]);
        }
        16 if rng.u8(0..3) == 0 => actor.device.restart(),
        _ => {
            actor.device.pull().await.unwrap();
            actor.held = actor.device.batches().into();
        }
    }
}

async fn push_next(actor: &mut Actor) {
    let body = actor.held.pop_front().unwrap();
    actor.device.push(&body).await.unwrap();
    if actor.held.is_empty() {
        actor.device.pushed_all();
    }
}
