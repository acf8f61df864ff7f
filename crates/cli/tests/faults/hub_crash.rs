//! A hub that is killed in the middle of pushes has everything that it had receipted, once.

use crate::eventually::eventually;
use crate::history::{Log, converged};
use crate::hub::Hub;
use crate::load::{Load, Patience};
use crate::proxy::Proxy;
use fastrand::Rng;
use std::thread;
use std::time::Duration;

const ROUNDS: usize = 4;

#[test]
fn what_was_receipted_survives_kill_dash_nine_and_nothing_happens_twice() {
    for seed in [1, 2] {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("hub");
        let mut hub = Hub::start(&data);
        let proxy = Proxy::start(&hub.address, seed);
        let load = Load::start(&proxy.address, 3, seed, Patience::Endless);

        let mut rng = Rng::with_seed(seed);
        for round in 0..ROUNDS {
            let enough = load.receipts() + rng.usize(30..200);
            eventually("nodes get receipts", || (load.receipts() >= enough).then_some(()));
            thread::sleep(Duration::from_micros(rng.u64(..5_000))); // sleep: the blow may fall at any moment of a commit
            hub.kill();
            hub = Hub::start(&data);
            proxy.lead_to(&hub.address);
            println!("seed {seed}, round {round}: {} receipts", load.receipts());
        }

        let sent = load.finish();
        Log::read(&hub.address).judge(&sent);
        converged(&hub.address, &[]);
    }
}

#[test]
fn a_killed_hub_under_a_storm_of_lost_replies_still_applies_each_op_once() {
    let seed = 3;
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("hub");
    let mut hub = Hub::start(&data);
    let proxy = Proxy::start(&hub.address, seed);
    proxy.weather(crate::proxy::Weather::STORM);
    let load = Load::start(&proxy.address, 3, seed, Patience::Endless);
    eventually("nodes get receipts", || (load.receipts() > 100).then_some(()));

    hub.kill();
    let hub = Hub::start(&data);
    proxy.lead_to(&hub.address);
    let enough = load.receipts() + 100;
    eventually("nodes get receipts again", || (load.receipts() > enough).then_some(()));

    let sent = load.finish();
    assert!(proxy.faults() > 0);
    Log::read(&hub.address).judge(&sent);
    converged(&hub.address, &[]);
}
