//! Devices that are away for so long that the log is forgotten behind them: what they hold back goes after a while, and
//! when they wake they begin anew from a snapshot, with what they have written meanwhile in the outbox.

use super::site::Site;
use super::{CARDS, NOTES, edit_of_others};
use crate::device::{Device, Open};
use crate::history::Deed;
use crate::rounds::edit;
use std::time::{Duration, Instant};

/// Within this time the log is forgotten, whatever befalls the hub.
const LONG_NIGHT: Duration = Duration::from_secs(120);

/// One that reads the log and one that exchanges packets.
pub struct Sleepers {
    devices: Vec<Device>,
    /// The log's end when they fell asleep.
    since: u64,
    fell_asleep: Instant,
}

impl Sleepers {
    /// On a site that keeps its log, nobody sleeps.
    pub fn of(site: &mut Site) -> Sleepers {
        let mut devices = Vec::new();
        if site.trims() {
            let hub = &site.workers[0].hub;
            devices = vec![Device::new("s", site.home(), NOTES), Device::by_packets("t", site.home(), CARDS, hub)];
        }
        let address = site.address();
        for device in &mut devices {
            let mut open = device.open(&address);
            edit(&mut open, &mut site.rng);
            assert!(open.cycle().success);
            let (_, known) = open.replica().into_keys().next().expect("it has just written some");
            edit(&mut open, &mut site.rng);
            edit_of_others(&mut open, &mut site.rng);
            open.write(Deed::Remove, &known);
        }
        Sleepers { devices, since: site.log("head"), fell_asleep: Instant::now() }
    }

    /// Whether the log that they have not read is still there.
    ///
    /// # Panics
    /// It is kept for too long.
    pub fn are_waited_for(&self, site: &Site) -> bool {
        let waits = !self.devices.is_empty() && site.log("horizon") <= self.since;
        assert!(
            !waits || self.fell_asleep.elapsed() < LONG_NIGHT,
            "the log is kept from {} on, for one of {}",
            self.since,
            site.workers[0].hub.get("/admin/spaces/main/nodes").json()
        );
        waits
    }

    pub fn wake<'a>(&'a mut self, address: &str) -> Vec<Open<'a>> {
        self.devices.iter_mut().map(|device| device.open(address)).collect()
    }

    pub fn devices(&self) -> &[Device] {
        &self.devices
    }
}
