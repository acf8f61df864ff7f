//! What must hold when a healed world has come to rest. Knows the promises, not the code behind them.

use super::device::Device;
use super::hub::Hub;
use super::log::{Documents, changes, documents};
use super::part::TYPES;
use super::wise::OWN_FIELDS;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use syncline_core::model::{Author, Lsn, Mark};

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

/// Every broken promise but those of [`convergence`], in words.
pub fn all(hub: &Hub, devices: &[Device]) -> Vec<String> {
    let mut problems = order(hub);
    problems.extend(exactly_one_effect(hub, devices));
    problems.extend(hub.store().ahead(hub.limits().clock_drift_ms));
    problems.extend(together(hub, devices));
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
fn exactly_one_effect(hub: &Hub, devices: &[Device]) -> Vec<String> {
    let mut seen: BTreeMap<(u32, u64, String), Lsn> = BTreeMap::new();
    let mut problems = Vec::new();
    for change in changes(&hub.log()) {
        let meta = &change.version.meta;
        let fields = meta.fields.iter().map(|(name, mark)| (name.as_str(), mark));
        let marks = fields.chain([("", &meta.whole)]).chain(meta.removed.iter().map(|mark| ("", mark)));
        // Removals of foreign clients have no time and take the newest that they find; their updates may wait out of sight
        // for an insert, and take effect with it.
        let is_of_token = |mark: &Mark| hub.name_of(mark.author).starts_with("(token:");
        let seen_by_nobody = |mark: &Mark| !meta.is_live() && is_of_token(mark);
        let is_made_here = |mark: &Mark| mark.lsn == change.version.lsn && !seen_by_nobody(mark);
        let made_here: BTreeSet<(&str, &Mark)> = marks.filter(|(_, mark)| is_made_here(mark)).collect();
        for (field, mark) in made_here {
            let place = format!("{}/{}", change.collection, change.id);
            let fields = change.version.body.fields();
            let value = fields.get(field).map(|value| value.get().to_owned());
            // Foreign edits may share a time, and a second effect may get another one: what they wrote tells them apart.
            let (stamp, value) = match value {
                Some(value) if is_of_token(mark) && !OWN_FIELDS.contains(&field) => (0, value),
                None if is_of_token(mark) => (mark.stamp.0, change.version.body.text().to_owned()),
                value => (mark.stamp.0, value.unwrap_or_default()),
            };
            let edit = (mark.author.0, stamp, format!("{place}.{field} {value}"));
            if let Some(first) = seen.insert(edit, change.version.lsn) {
                let (by, again) = (called(hub, devices, mark.author), change.version.lsn);
                let what = if field.is_empty() { String::new() } else { format!(" (field {field})") };
                problems.push(format!(
                    "exactly one effect: an edit of {place}{what} by {by} took effect in change {first}; it must not again, and \
                     did in change {again}"
                ));
            }
        }
    }
    problems
}

/// What a person calls the author of a change.
fn called(hub: &Hub, devices: &[Device], author: Author) -> String {
    let name = hub.name_of(author);
    let device = devices.iter().position(|device| device.node().as_str() == name);
    device.map_or(name, |n| format!("device {n}"))
}

/// The ops of one transaction are in one commit. Of one that a restoration has taken away, its device may have read a part,
/// which it does not send again; a copy of the device may still send all of it.
fn together(hub: &Hub, devices: &[Device]) -> Vec<String> {
    let (commits, gone) = (hub.store().texts(), hub.store().gone());
    let first = |place: &str, value: &str| {
        commits.iter().position(|rows| rows.iter().any(|(at, text)| at == place && text.contains(value)))
    };
    let mut problems = Vec::new();
    for (n, device) in devices.iter().enumerate() {
        for (value, id) in device.together.iter().filter(|(value, _)| !gone.contains(value.as_str())) {
            let places = TYPES.map(|kind| format!("{kind}/{id}"));
            let [Some(one), Some(other)] = [first(&places[0], value), first(&places[1], value)] else { continue };
            if one != other {
                problems.push(format!(
                    "exactly one effect: device {n} wrote {value} to {} and {} in one transaction; they must be committed \
                     together, and were in the hub's commits {one} and {other}",
                    places[0], places[1]
                ));
            }
        }
    }
    problems
}

/// Every device shows the hub's documents and owes it nothing.
pub fn convergence(hub: &Hub, devices: &mut [Device]) -> Vec<String> {
    let truth = documents(hub);
    let mut problems = Vec::new();
    for (n, device) in devices.iter_mut().enumerate() {
        let shown = device.documents();
        let part = device.part();
        let due: Documents = truth.clone().into_iter().filter(|((kind, _), it)| part.holds(kind, it)).collect();
        if shown != due {
            let (shown, due) = difference(&shown, &due);
            problems.push(format!(
                "convergent: device {n} must show what the hub has for it\n       has: {due:?}\n     shows: {shown:?}"
            ));
        }
        let pending = device.backlog().pending;
        if pending > 0 {
            problems.push(format!(
                "never blocked: the hub must have receipted every op of device {n} by now, and {pending} still wait"
            ));
        }
        // By the log, an update of what was removed and forgotten is refused. Packets bring the document again; of them
        // is refused what a row filter does not mean.
        let aside = device.set_aside();
        let fair = |code: &str| !part.writes_all() && code == "row_forbidden";
        if device.line.is_some() && aside.iter().any(|row| !fair(&row.code)) {
            problems.push(format!("nothing refused: device {n} set aside {aside:?}"));
        }
    }
    problems
}

/// The documents in which two replicas differ, as each has them.
pub(super) fn difference(one: &Documents, other: &Documents) -> (Vec<String>, Vec<String>) {
    let only = |here: &Documents, there: &Documents| {
        let differs = |(key, it): &(&(String, String), &Value)| there.get(*key) != Some(*it);
        here.iter().filter(differs).map(|((kind, id), it)| format!("{kind}/{id} = {it}")).collect()
    };
    (only(one, other), only(other, one))
}

/// Every value that was ever written is in the log, in the ledger or in a quarantine.
pub(super) fn nothing_lost<'a>(hub: &Hub, who: &str, written: impl Iterator<Item = Vec<&'a String>>) -> Vec<String> {
    let logged: String = changes(&hub.log()).map(|change| change.version.body.text()).collect();
    let kept = logged + &hub.set_aside() + &hub.store().gone();
    let lost = |value: &String| !kept.contains(value.as_str());
    let mut problems = Vec::new();
    for (n, values) in written.enumerate() {
        let missing: Vec<&String> = values.into_iter().filter(|value| lost(value)).collect();
        if !missing.is_empty() {
            problems.push(format!(
                "nothing lost: {missing:?}, written by {who} {n}, must be in the log, the ledger or the quarantine, and are \
                 nowhere"
            ));
        }
    }
    problems
}
