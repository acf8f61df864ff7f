//! Clients that behave on the wire as WiseJSON clients were observed to: what they send when, and
//! what they make of what they get. None of them can be told what the hub would like.

mod device;
mod durability;
mod forgotten;
mod generations;
mod legacy;
mod local;
mod requests;
mod rows;
mod shared_key;
mod stories;
mod wire;

pub use device::Device;
pub use legacy::{FirstGeneration, SecondGeneration};
pub use local::shown;
pub use wire::Wire;

use crate::support::{ADMIN, Hub};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A hub and devices that share its one key and one stream.
pub async fn world(devices: usize) -> (Arc<Hub>, Vec<Device>) {
    let hub = Arc::new(Hub::start().await);
    let devices = (0..devices).map(|_| device(&hub)).collect();
    (hub, devices)
}

pub fn device(hub: &Arc<Hub>) -> Device {
    Device::new(Wire::new(hub, ADMIN, "/c/articles"))
}

/// Cycles of all devices until nothing is left to say, then the comparison of all of them, of a
/// newcomer with a snapshot and of one that pulls from 0.
pub async fn converged(hub: &Arc<Hub>, devices: &mut [Device]) -> BTreeMap<String, Value> {
    for _ in 0..4 {
        for device in devices.iter_mut() {
            device.cycle().await.unwrap();
        }
    }
    let mut newcomer = device(hub);
    newcomer.cycle().await.unwrap();
    let expected = shown(newcomer.docs());
    let mut from_zero = device(hub);
    from_zero.local.insert("probe", &serde_json::json!({}));
    from_zero.pull().await.unwrap();
    from_zero.local.docs.remove("probe");
    assert_eq!(shown(from_zero.docs()), expected, "a pull from 0 and a snapshot tell the same");
    for (n, device) in devices.iter().enumerate() {
        let of = |id: &String| (id.clone(), device.docs().get(id).cloned(), newcomer.docs().get(id).cloned());
        let mine = shown(device.docs());
        let ids = mine.keys().chain(expected.keys()).filter(|id| mine.get(*id) != expected.get(*id));
        let apart: Vec<_> = ids.map(of).collect();
        assert!(apart.is_empty(), "device {n} and a newcomer: {apart:#?}");
    }
    expected
}

/// Trims until the horizon is behind a position: what was committed in this very millisecond is not old yet.
pub async fn trimmed_past(hub: &Hub, lsn: u64) {
    for _ in 0..1_000 {
        let trimmed = hub.post("/admin/spaces/main/trim", &Value::Null).await.json();
        if trimmed["horizon"].as_u64().unwrap() > lsn {
            return;
        }
    }
    panic!("the horizon did not pass {lsn}");
}
