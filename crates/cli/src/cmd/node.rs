//! `syncline node`: the devices and apps that a space knows, and how far each has read.

use crate::error::CliError;
use crate::groups::AdminArgs;
use crate::hub::{SpaceStatus, ago};
use crate::output::{Output, Table};
use serde_json::json;
use syncline_server::hub::NodeView;

/// Arguments of `syncline node`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the nodes of a space and how far each is behind
    #[command(
        after_help = "HAS READ is what a node has confirmed, which it does with its next request. BEHIND counts from\nwhat it was last handed to the newest change by others: its own changes a node need not read.\n\nExamples:\n  syncline node list\n  syncline node list --space shop --json"
    )]
    List(ListArgs),
    /// Show one node
    #[command(after_help = "Examples:\n  syncline node show 0192f3c1-6d1e-7c51-9c1f-6a2d9a0b7f10")]
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// The space [default: the hub's default space]
    #[arg(long)]
    space: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The node's id, or the token name of an app that has no id; its beginning suffices
    node: String,
    /// The space [default: the hub's default space]
    #[arg(long)]
    space: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Shows nodes.
///
/// # Errors
/// The hub refuses, or cannot be reached; no such space or node.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    match &args.action {
        Action::List(args) => {
            let status = status(&args.admin, args.space.as_deref()).await?;
            output.result(&status.nodes, || list(&status, output))
        }
        Action::Show(args) => {
            let status = status(&args.admin, args.space.as_deref()).await?;
            let NodeView { node, behind } = find(&status, &args.node)?;
            let value = json!({
                "node": node.node, "author": node.author, "last_seq": node.last_seq,
                "cursor": node.cursor, "behind": behind, "seen_at": node.seen_at, "owner": node.owner,
            });
            output.result(&value, || {
                let seq = if node.last_seq == 0 { "none".into() } else { format!("up to number {}", node.last_seq) };
                let owner = node.owner.as_ref().map_or("no token".into(), |token| format!("token {token}"));
                format!(
                    "node        {}\nspace       {}\nlast seen   {}\nhas read    LSN {} of {} ({behind} behind)\nops decided {seq}\nbelongs to  {owner}",
                    node.node,
                    status.space,
                    ago(node.seen_at),
                    node.cursor,
                    status.head,
                )
            })
        }
    }
}

async fn status(args: &AdminArgs, space: Option<&str>) -> Result<SpaceStatus, CliError> {
    args.with_space(space, async |admin, space| admin.space(space).await).await
}

fn find<'s>(status: &'s SpaceStatus, name: &str) -> Result<&'s NodeView, CliError> {
    let exact = status.nodes.iter().find(|view| view.node.node == name);
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

/// The table of a space's nodes.
pub fn list(status: &SpaceStatus, output: Output) -> String {
    if status.nodes.is_empty() {
        return "No node has used this space yet.".into();
    }
    let mut table = Table::new(["NODE", "HAS READ", "BEHIND", "OPS", "LAST SEEN"]);
    for NodeView { node, behind } in &status.nodes {
        let cells = [node.node.clone(), node.cursor.to_string(), behind.to_string()];
        let [name, cursor, lag] = cells;
        table.row([name, cursor, lag, node.last_seq.to_string(), ago(node.seen_at)]);
    }
    table.render(output)
}
