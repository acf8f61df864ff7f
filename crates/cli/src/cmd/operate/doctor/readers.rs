//! The hub by its own account, and who reads it: what they hold back, who does not get on, what waits for a person.

use super::finding::Finding;
use crate::cmd::node::{Holder, holders};
use crate::config::Config;
use crate::error::CliError;
use crate::hub::{Admin, SpaceStatus, now};
use syncline_core::model::counted;
use syncline_server::hub::NodeView;
use syncline_server::nodes::RegisteredNode;

/// Looks at the hub and at every space.
pub async fn look(admin: &Admin, config: &Config) -> Vec<Finding> {
    let mut findings: Vec<Finding> = match admin.ready().await {
        Ok(trouble) => trouble.into_iter().map(unready).collect(),
        Err(error) => return vec![Finding::failed("hub", &error)],
    };
    match look_at_spaces(admin, config).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding::failed("hub", &error)),
    }
    // Nothing is fine and something else at once.
    if !findings.iter().any(|finding| finding.check == "hub") {
        findings.insert(0, Finding::fine("hub", whereabouts(admin, config).into()));
    }
    findings
}

fn whereabouts(admin: &Admin, config: &Config) -> &'static str {
    match admin {
        Admin::Local(_) if config.text("store").is_some() => "every space can be read in the database",
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
        horizon.extend(holders(&space, config).iter().map(|holder| holding_back(&space, holder)));
        horizon.extend(admin.registered(&name).await?.iter().filter_map(|node| silent(&space, node)));
        stalls.extend(space.nodes.iter().filter_map(|node| stalled(&space, node)));
        findings.extend(clock(&space, config.number("limits.clock_drift_ms")));
        findings.extend(quarantined(&space));
    }
    if !findings.iter().any(|finding: &Finding| finding.check == "hub") {
        all_is_fine(&mut horizon, &mut stalls);
    }
    Ok([findings, horizon, stalls].concat())
}

/// Of spaces that were all looked at.
fn all_is_fine(horizon: &mut Vec<Finding>, stalls: &mut Vec<Finding>) {
    if horizon.is_empty() {
        horizon.push(Finding::fine("horizon", "no silent node holds it back".into()));
    }
    if stalls.is_empty() {
        stalls.push(Finding::fine("stalls", "everybody who is there gets on".into()));
    }
}

fn holding_back(space: &SpaceStatus, holder: &Holder<'_>) -> Finding {
    let Holder { node, from, seen } = holder;
    let says =
        format!("space `{}`: `{node}` was last seen {seen}, and the log is kept for it from {from} on", space.space);
    let next = format!(
        "let it sync, or let it go: syncline node expire '{node}' --space {}; it then starts from a snapshot, with its outbox kept",
        space.space
    );
    Finding::look("horizon", says, next)
}

fn silent(space: &SpaceStatus, node: &RegisteredNode) -> Option<Finding> {
    let since = node.silent_since.as_ref()?;
    let says =
        format!("space `{}`: node `{}` is silent since {since}; removals are kept for it", space.space, node.code);
    let next =
        format!("let it call, or end its registration: syncline node remove {} --space {}", node.code, space.space);
    Some(Finding::look("horizon", says, next))
}

fn stalled(space: &SpaceStatus, view: &NodeView) -> Option<Finding> {
    let says = format!("space `{}`: `{}` {}", space.space, view.node.node, view.stall?.says(view.behind));
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
    let ops = counted(space.quarantined, "op", "ops");
    let says = format!("space `{}`: {ops} in quarantine could not be applied", space.space);
    let next = format!("syncline quarantine --space {}, then retry or discard each", space.space);
    (space.quarantined > 0).then(|| Finding::look("kept", says, next))
}
