//! The hub by its own account, and who reads it: what they hold back, who does not get on, what waits for a person.

use super::finding::Finding;
use crate::config::Config;
use crate::error::CliError;
use crate::hub::{Admin, SpaceStatus, ago, now};
use syncline_core::model::Lsn;
use syncline_server::hub::NodeView;
use syncline_server::nodes::RegisteredNode;

/// A reader that is seen all the time and is so far behind does not get on.
const STALLED_CHANGES: u64 = 10_000;
/// Who was seen within this is there now.
const PRESENT_MS: u64 = 5 * 60 * 1_000;

/// Looks at the hub and at every space.
pub async fn look(admin: &Admin, config: &Config) -> Vec<Finding> {
    let mut findings = match admin.ready().await {
        Ok(trouble) if trouble.is_empty() => vec![Finding::fine("hub", whereabouts(admin).into())],
        Ok(trouble) => trouble.into_iter().map(unready).collect(),
        Err(error) => return vec![Finding::failed("hub", &error)],
    };
    match look_at_spaces(admin, config).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding::failed("hub", &error)),
    }
    findings
}

fn whereabouts(admin: &Admin) -> &'static str {
    match admin {
        Admin::Local(_) => "no hub runs on this data; it opens",
        Admin::Remote(_) => "it runs, and every space takes commits",
    }
}

fn unready(reason: String) -> Finding {
    Finding::wrong("hub", reason, "do what it says; the hub's log has the first failure".into())
}

async fn look_at_spaces(admin: &Admin, config: &Config) -> Result<Vec<Finding>, CliError> {
    let mut findings = Vec::new();
    let (mut horizon, mut stalls) = (Vec::new(), Vec::new());
    for name in admin.spaces().await? {
        let space = match admin.space(&name).await {
            Ok(space) => space,
            Err(error) => {
                findings.push(Finding::failed("hub", &error));
                continue;
            }
        };
        horizon.extend(space.nodes.iter().filter_map(|node| holding_back(&space, node, config)));
        horizon.extend(admin.registered(&name).await?.iter().filter_map(|node| silent(&space, node)));
        stalls.extend(space.nodes.iter().filter_map(|node| stalled(&space, node)));
        findings.extend(clock(&space, config.number("limits.clock_drift_ms")));
        findings.extend(quarantined(&space));
    }
    if horizon.is_empty() {
        horizon.push(Finding::fine("horizon", "no silent node holds it back".into()));
    }
    if stalls.is_empty() {
        stalls.push(Finding::fine("stalls", "everybody who is there gets on".into()));
    }
    Ok([findings, horizon, stalls].concat())
}

/// A reader for which more of the log is kept than `retention.log` asks for.
fn holding_back(space: &SpaceStatus, NodeView { node, behind }: &NodeView, config: &Config) -> Option<Finding> {
    let silent_ms = now().0.saturating_sub(node.seen_at.0);
    let kept_for = silent_ms > config.number("retention.log") && silent_ms < config.number("retention.nodes");
    if node.cursor == Lsn::ZERO || *behind == 0 || !kept_for {
        return None;
    }
    let (name, cursor, seen) = (&node.node, node.cursor, ago(node.seen_at));
    let says =
        format!("space `{}`: `{name}` was last seen {seen}, and the log is kept for it from {cursor} on", space.space);
    let next = "let it sync, or lower `retention.nodes`: it then starts from a snapshot, with its outbox kept".into();
    Some(Finding::look("horizon", says, next))
}

fn silent(space: &SpaceStatus, node: &RegisteredNode) -> Option<Finding> {
    let since = node.silent_since.as_ref()?;
    let says =
        format!("space `{}`: node `{}` is silent since {since}; removals are kept for it", space.space, node.code);
    let next =
        format!("let it call, or end its registration: syncline node remove {} --space {}", node.code, space.space);
    Some(Finding::look("horizon", says, next))
}

fn stalled(space: &SpaceStatus, NodeView { node, behind }: &NodeView) -> Option<Finding> {
    let present = now().0.saturating_sub(node.seen_at.0) < PRESENT_MS;
    if node.cursor == Lsn::ZERO || !present || *behind < STALLED_CHANGES {
        return None;
    }
    let says = format!("space `{}`: `{}` is there and {behind} changes behind", space.space, node.node);
    let next =
        "look at the device: its log, its disk, its connection; `syncline status` shows whether it gets on".into();
    Some(Finding::look("stalls", says, next))
}

/// The hub has seen somebody at a time that is yet to come here.
fn clock(space: &SpaceStatus, drift_ms: u64) -> Option<Finding> {
    let seen = space.nodes.iter().map(|node| node.node.seen_at).max_by_key(|at| at.0)?;
    if seen.0 <= now().0.saturating_add(drift_ms) {
        return None;
    }
    let says = format!("space `{}`: a node was seen at {} and it is {} here", space.space, seen.iso(), now().iso());
    Some(Finding::wrong(
        "clock",
        says,
        "set the clocks of this machine and of the hub's, and keep them right (NTP)".into(),
    ))
}

fn quarantined(space: &SpaceStatus) -> Option<Finding> {
    let says = format!("space `{}`: {} ops in quarantine could not be applied", space.space, space.quarantined);
    let next = format!("syncline quarantine list --space {}, then retry or discard each", space.space);
    (space.quarantined > 0).then(|| Finding::look("kept", says, next))
}
