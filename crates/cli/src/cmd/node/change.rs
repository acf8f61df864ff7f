//! `syncline node set`, `remove` and `rotate-token`: changes of a registered node; `expire`: letting a reader go.

use super::show::find;
use super::{Named, secret};
use crate::error::CliError;
use crate::hub::{Admin, PlanWish};
use crate::output::Output;
use serde_json::json;
use syncline_core::model::{NodeId, SpaceName};
use syncline_server::nodes::{NodeChange, RegisteredNode};

/// Arguments of `syncline node set`.
#[derive(Debug, clap::Args)]
pub struct SetArgs {
    #[command(flatten)]
    node: Named,
    /// Another name for people
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    plan: PlanWish,
}

/// Changes what is asked for and leaves the rest.
///
/// # Errors
/// No such node; the plan cannot work; the hub refuses, or cannot be reached.
pub async fn set(args: &SetArgs, output: Output) -> Result<(), CliError> {
    if args.name.is_none() && args.plan.is_empty() {
        return Err(CliError::Usage(
            "nothing to change; give --name, --types, --rows, --write-rows or --attribute".into(),
        ));
    }
    let change = async |admin: &Admin, space: &SpaceName, old: RegisteredNode| {
        let plan = args.plan.apply(&old.plan)?;
        let replanned = plan != old.plan;
        let change = NodeChange { name: args.name.clone(), plan: replanned.then_some(plan) };
        Ok((admin.change_node(space, &old.id, change).await?, replanned))
    };
    let (new, replanned) = args.node.with(change).await?;
    output.result(&new, || {
        let news = if replanned { "; its next packets bring everything that it is to have" } else { "" };
        format!("Node {} ({}) is changed{news}.", new.code, new.id)
    })
}

/// Takes a node and its token away.
///
/// # Errors
/// No such node; the hub refuses, or cannot be reached.
pub async fn remove(args: &Named, output: Output) -> Result<(), CliError> {
    let remove = async |admin: &Admin, space: &SpaceName, node: RegisteredNode| {
        admin.unregister(space, &node.id).await?;
        Ok((node.id, node.code))
    };
    let (id, code) = args.with(remove).await?;
    output.result(&json!({ "removed": id, "code": code }), || {
        format!("Node {code} ({id}) is removed, and its token with it. What it sent stays.")
    })
}

/// Keeps nothing of the log for a reader any more.
///
/// # Errors
/// No such node, or a registered one; the hub refuses, or cannot be reached.
pub async fn expire(args: &Named, output: Output) -> Result<(), CliError> {
    let expire = async |admin: &Admin, space: &SpaceName| {
        let id = NodeId::new(&find(&admin.space(space).await?, &args.node)?.node.node)?;
        admin.expire_node(space, &id).await?;
        Ok(id)
    };
    let id = args.place.with(expire).await?;
    output.result(&json!({ "expired": id }), || {
        format!("Nothing of the log is kept for {id} any more. If it comes back behind the horizon, it starts from a snapshot, with its outbox kept.")
    })
}

/// Gives a node a new token and shows it once.
///
/// # Errors
/// No such node; the hub refuses, or cannot be reached.
pub async fn rotate_token(args: &Named, output: Output) -> Result<(), CliError> {
    let rotate =
        async |admin: &Admin, space: &SpaceName, node: RegisteredNode| admin.rotate_node_token(space, &node.id).await;
    let made = args.with(rotate).await?;
    output.result(&made, || secret(&made, output))
}
