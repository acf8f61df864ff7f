//! `syncline node show`: one node, registered or not.

use super::Named;
use super::list::when;
use crate::error::CliError;
use crate::hub::{Admin, SpaceStatus, ago};
use crate::output::Output;
use serde_json::Value;
use std::collections::BTreeMap;
use syncline_core::model::{NodeId, Plan, SpaceName, counted};
use syncline_server::dialect::exchange::{QUEUE_MAX, Standing};
use syncline_server::hub;

/// Shows a node.
///
/// # Errors
/// The hub refuses, or cannot be reached; no such space or node.
pub async fn run(args: &Named, output: Output) -> Result<(), CliError> {
    let look = async |admin: &Admin, space: &SpaceName| match admin.find_node(space, &args.node).await {
        Ok(node) => admin.show_node(space, &node.id).await.map(|standing| Found::Registered(Box::new(standing))),
        Err(CliError::NoSuchNode { .. }) => admin.space(space).await.map(Found::Readers),
        Err(error) => Err(error),
    };
    match args.place.with(look).await? {
        Found::Registered(standing) => output.result(&*standing, || registered(&standing)),
        Found::Readers(status) => {
            let found = find(&status, &args.node)?;
            output.result(found, || reader(found, &status))
        }
    }
}

/// Where a node was looked for last.
enum Found {
    Registered(Box<Standing>),
    Readers(SpaceStatus),
}

/// The columns of the registry by their names, and what the node gets.
fn registered(standing: &Standing) -> String {
    let node = &standing.node;
    let time = |time: &Option<String>| match time {
        Some(iso) => format!("{iso} ({})", when(Some(iso))),
        None => "never".into(),
    };
    let silent = if node.silent_since.is_some() { ", silent: with its next packet it is given everything" } else { "" };
    let filling = if node.filling { ", while it is given everything" } else { "" };
    let mut lines = vec![
        format!("id                  {}", node.id),
        format!("code                {}", node.code),
        format!("name                {}", node.name),
        format!("last_sync_in        {}{silent}", time(&node.last_sync_in)),
        format!("last_sync_out       {}", time(&node.last_sync_out)),
        format!("received_packet_no  {}", node.received_packet_no),
        format!("sent_packet_no      {} confirmed of {} sent", node.sent_packet_no, node.issued_packet_no),
        format!("confirmed           LSN {} of {}{filling}", node.cursor, standing.head),
        format!("holds back          {} of the log", counted(standing.holds_back, "row", "rows")),
        format!("queue               {}", queue(standing)),
    ];
    lines.extend(plan(&node.plan));
    lines.join("\n")
}

fn queue(standing: &Standing) -> String {
    let Standing { queue, unsendable, .. } = standing;
    let mut text = match *queue >= QUEUE_MAX {
        true => format!("{queue} or more changes to confirm"),
        false => format!("{} to confirm", counted(*queue, "change", "changes")),
    };
    if *unsendable > 0 {
        text += &format!("; documents that cannot travel, as their _id is no UUID: {unsendable}");
    }
    text
}

fn plan(plan: &Plan) -> Vec<String> {
    let types = match &plan.types {
        None => "all".to_owned(),
        Some(types) => types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let mut lines = vec![format!("types               {types}")];
    lines.extend(plan.rows.iter().map(|(name, filter)| format!("rows of {:<11} {filter}", name.as_str())));
    lines.extend(plan.write_rows.iter().map(|(name, filter)| format!("writes {:<12} {filter}", name.as_str())));
    lines.extend(attributes(&plan.attributes));
    lines
}

fn attributes(attributes: &BTreeMap<String, Value>) -> impl Iterator<Item = String> {
    attributes.iter().map(|(name, value)| format!("$node.{name:<13} {value}"))
}

fn reader(view: &hub::NodeView, status: &SpaceStatus) -> String {
    let hub::NodeView { node, behind, stall } = view;
    let stall = stall.map(|stall| format!("\nstalls      it {}", stall.says(*behind))).unwrap_or_default();
    let seq = if node.last_seq == 0 { "none".into() } else { format!("up to number {}", node.last_seq) };
    let owner = node.owner.as_ref().map_or("no token".into(), |token| format!("token {token}"));
    format!(
        "node        {}\nspace       {}\nlast seen   {}\nhas read    LSN {} of {} ({behind} behind)\nops decided {seq}\nbelongs to  {owner}{stall}",
        node.node,
        status.space,
        ago(node.seen_at),
        node.cursor,
        status.head,
    )
}

/// The one node that is meant.
///
/// # Errors
/// None has this name, or several ids begin so.
pub fn find<'s>(status: &'s SpaceStatus, name: &str) -> Result<&'s hub::NodeView, CliError> {
    let named = |id: &str| status.nodes.iter().find(|view| view.node.node == id);
    let token = NodeId::new(name).ok().map(|token| NodeId::of_token(&token));
    let exact = named(name).or_else(|| named(token?.as_str()));
    let mut alike = status.nodes.iter().filter(|view| view.node.node.starts_with(name));
    match (exact, alike.next(), alike.next()) {
        (Some(node), _, _) | (None, Some(node), None) => Ok(node),
        (None, Some(_), Some(_)) => Err(CliError::Usage(format!(
            "several nodes of space `{}` begin with `{name}`; give more of the id (`syncline node list`)",
            status.space
        ))),
        (None, None, _) => Err(CliError::NoSuchNode { node: name.to_owned(), space: status.space.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn apps_without_an_id_are_found_by_their_token_and_never_instead_of_a_node() {
        let status = |names: &[&str]| -> SpaceStatus {
            let node = |name: &&str| json!({ "author": 1, "node": name, "last_seq": 0, "cursor": 0, "seen_at": 0, "behind": 0 });
            let nodes: Vec<_> = names.iter().map(node).collect();
            let (head, none) = (json!(0), json!(0));
            serde_json::from_value(json!({
                "space": "main", "epoch": "e", "head": head, "last_change": head, "horizon": head,
                "conflicts": none, "quarantined": none, "nodes": nodes,
            }))
            .unwrap()
        };
        let found = |names: &[&str]| find(&status(names), "shop").unwrap().node.node.clone();
        assert_eq!(found(&["(token:shop)", "shopping"]), "(token:shop)");
        assert_eq!(found(&["(token:shop)", "shop"]), "shop");
        assert_eq!(found(&["(token:other)", "shopping"]), "shopping");
    }
}
