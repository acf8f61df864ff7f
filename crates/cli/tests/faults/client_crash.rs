//! A client that is killed in the middle of a push: its file opens again, nothing is lost, and what it
//! sends again takes no second effect.

use crate::device::Device;
use crate::eventually::eventually;
use crate::history::{Deed, Log, converged};
use crate::hub::Hub;
use crate::proxy::Proxy;
use fastrand::Rng;

const NOTES: &str = "notes";

#[test]
fn a_client_killed_between_the_hubs_commit_and_its_answer_sends_again_without_a_second_effect() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    let proxy = Proxy::start(&hub.address, 61);
    let mut device = Device::new("d", home.path(), NOTES);
    let mut open = device.open(&hub.address);
    (0..150).for_each(|number| open.write(Deed::Insert, &number.to_string()));
    (0..150).step_by(5).for_each(|number| open.write(Deed::Update, &number.to_string()));
    (0..150).step_by(7).for_each(|number| open.write(Deed::Remove, &number.to_string()));
    let (before, pending) = (open.replica(), open.pending());
    drop(open);

    let held = proxy.hold_next_push();
    let process = device.sync_process(&proxy.address);
    held.reached();
    assert!(!process.kill(), "it was waiting for its answer");
    assert!(Log::read(&hub.address).len() > 0, "the hub had committed the push");

    let mut open = device.open(&hub.address);
    assert_eq!(open.replica(), before, "the file has every edit");
    assert_eq!(open.pending(), pending, "nothing was answered, so everything still waits");
    assert!(open.cycle().success);
    assert_eq!(open.pending(), 0);
    converged(&hub.address, &[("d".into(), open.replica())]);
    drop(open);
    Log::read(&hub.address).judge(device.notes());
}

#[test]
fn a_client_killed_at_random_moments_loses_nothing_and_repeats_nothing() {
    let seed = 62;
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    let mut device = Device::new("d", home.path(), NOTES);
    let mut rng = Rng::with_seed(seed);
    for round in 0..5 {
        let mut open = device.open(&hub.address);
        (0..400).for_each(|number| open.write(Deed::Insert, &format!("{round}-{number}")));
        (0..40).for_each(|number| open.write(Deed::Update, &format!("{round}-{number}")));
        drop(open);

        let enough = Log::read(&hub.address).len() + rng.usize(1..400);
        let process = device.sync_process(&hub.address);
        eventually("the hub gets some of it", || (Log::read(&hub.address).len() >= enough).then_some(()));
        process.kill();
    }

    let mut open = device.open(&hub.address);
    assert_eq!(open.replica().len(), 5 * 400, "the file has every document");
    assert!(open.cycle().success);
    assert_eq!(open.pending(), 0);
    converged(&hub.address, &[("d".into(), open.replica())]);
    drop(open);
    Log::read(&hub.address).judge(device.notes());
    device.sync_process(&hub.address).succeeds();
}
