//! `syncline node set`, `remove` and `rotate-token`: changes of a registered node.

use super::{Named, secret};
use crate::error::CliError;
use crate::hub::{Admin, PlanWish};
use crate::output::Output;
use serde_json::json;
use syncline_core::model::SpaceName;
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
        return Err(CliError::Usage("nothing to change; give --name, --types, --rows or --attribute".into()));
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
