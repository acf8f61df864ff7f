//! What must hold when a healed world has come to rest. Knows the promises, not the code behind them.

use super::device::Device;
use super::hub::Hub;
use super::log::{Documents, changes, documents};
use std::collections::{BTreeMap, BTreeSet};
use syncline_core::model::{Lsn, Mark};

/// What happened in a world, so that a test can tell that something did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Changes in the hub's log.
    pub changes: usize,
    /// Local edits.
    pub edits: usize,
}

/// Counts what happened.
pub fn report(hub: &Hub, devices: &[Device]) -> Report {
    Report { changes: changes(&hub.log()).count(), edits: devices.iter().map(|d| d.written().len()).sum() }
}

/// Every broken promise, in words.
pub fn all(hub: &Hub, devices: &mut [Device]) -> Vec<String> {
    let mut problems = order(hub);
    problems.extend(exactly_one_effect(hub));
    problems.extend(convergence(hub, devices));
    problems.extend(nothing_lost(hub, "device", devices.iter().map(Device::written)));
    problems
}

/// LSNs are 1, 2, 3 … in commit order.
fn order(hub: &Hub) -> Vec<String> {
    let expected = (1..).map(Lsn);
    let log = hub.log();
    let wrong = log.iter().zip(expected).find(|(entry, lsn)| entry.lsn() != *lsn);
    wrong.map(|(entry, lsn)| format!("order: LSN {} stands where {lsn} should", entry.lsn())).into_iter().collect()
}

/// No two changes carry the same edit of the same field by the same author.
fn exactly_one_effect(hub: &Hub) -> Vec<String> {
    let mut seen: BTreeMap<(u32, u64, String), Lsn> = BTreeMap::new();
    let mut problems = Vec::new();
    for change in changes(&hub.log()) {
        let meta = &change.version.meta;
        let fields = meta.fields.iter().map(|(name, mark)| (name.as_str(), mark));
        let marks = fields.chain([("", &meta.whole)]).chain(meta.removed.iter().map(|mark| ("", mark)));
        let made_here: BTreeSet<(&str, &Mark)> = marks.filter(|(_, mark)| mark.lsn == change.version.lsn).collect();
        for (field, mark) in made_here {
            let edit = (mark.author.0, mark.stamp.0, format!("{}/{}.{field}", change.collection, change.id));
            if let Some(first) = seen.insert(edit, change.version.lsn) {
                problems.push(format!(
                    "exactly one effect: {} of {} took effect again at {}",
                    change.id, first, change.version.lsn
                ));
            }
        }
    }
    problems
}

/// Every device shows the hub's documents and owes it nothing.
fn convergence(hub: &Hub, devices: &mut [Device]) -> Vec<String> {
    let truth = documents(hub);
    let mut problems = Vec::new();
    for (n, device) in devices.iter_mut().enumerate() {
        let shown = device.documents();
        let part = device.part();
        let due: Documents = truth.clone().into_iter().filter(|((kind, _), it)| part.holds(kind, it)).collect();
        if shown != due {
            problems.push(format!("convergence: device {n} shows\n  {shown:?}\nand the hub has for it\n  {due:?}"));
        }
        let pending = device.backlog().pending;
        if pending > 0 {
            problems.push(format!("convergence: device {n} still has {pending} ops that the hub has not receipted"));
        }
        // By the log, an update of what was removed and forgotten is refused. Packets bring the document again.
        let aside = device.set_aside();
        if device.line.is_some() && !aside.is_empty() {
            problems.push(format!("nothing refused: device {n} set aside {aside:?}"));
        }
    }
    problems
}

/// Every value that was ever written is in the log, in the ledger or in a quarantine.
pub(super) fn nothing_lost<'a>(hub: &Hub, who: &str, written: impl Iterator<Item = Vec<&'a String>>) -> Vec<String> {
    let logged: String = changes(&hub.log()).map(|change| change.version.body.text()).collect();
    let aside = hub.set_aside();
    let lost = |value: &String| !logged.contains(value.as_str()) && !aside.contains(value.as_str());
    let mut problems = Vec::new();
    for (n, values) in written.enumerate() {
        let missing: Vec<&String> = values.into_iter().filter(|value| lost(value)).collect();
        if !missing.is_empty() {
            problems.push(format!("nothing lost: {missing:?} of {who} {n} are nowhere"));
        }
    }
    problems
}
