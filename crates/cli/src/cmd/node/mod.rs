//! `syncline node`: who takes part in a space. Devices and apps show up by using it; nodes that exchange
//! packets are registered here, each with a token of its own.
//!
//! In reading order: [`add`], [`list`], [`show`], [`change`] (set, remove, another token).

mod add;
mod change;
mod list;
mod show;

pub use list::{Holder, holders, readers};

use crate::error::CliError;
use crate::groups::SpaceArgs;
use crate::hub::{Admin, NewNodeToken};
use crate::output::{Output, Style};
use syncline_core::model::SpaceName;
use syncline_server::nodes::RegisteredNode;

/// Arguments of `syncline node`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Register a node that exchanges packets, and show its token once
    #[command(
        after_help = "Rows of a type are filtered by conditions as in `db find`; a text \"$node.NAME\" in them stands for an
attribute of the node, so that one filter serves all nodes. What the node sends of other rows, or
would make into one, is set aside.

Examples:
  syncline node add --code NORTH --name \"Branch north\"
  syncline node add --id 11111111-1111-4111-8111-000000000001 --code NORTH --token a-secret-of-my-own
  syncline node add --code NORTH --types orders,stock --rows '{\"orders\": {\"branch\": \"$node.branch\"}}' --attribute branch=north
  syncline node add --code NORTH --hub http://127.0.0.1:7460 --admin-token TOKEN"
    )]
    Add(add::Args),
    /// List the nodes of a space and how far each is behind
    #[command(
        after_help = "HAS READ is what a node has confirmed, which it does with its next request. BEHIND counts from\nwhat it was last handed to the newest change by others: its own changes a node need not read.\n\nExamples:\n  syncline node list\n  syncline node list --space shop --json"
    )]
    List(SpaceArgs),
    /// Show one node
    #[command(
        after_help = "Examples:\n  syncline node show NORTH\n  syncline node show 0192f3c1-6d1e-7c51-9c1f-6a2d9a0b7f10"
    )]
    Show(Named),
    /// Change the name of a registered node, or what it exchanges
    #[command(
        after_help = "What is not named stays. A node with another plan is given everything anew that it is to have.

Examples:
  syncline node set NORTH --types orders,stock,prices
  syncline node set NORTH --types '*' --rows '{}'                 everything
  syncline node set NORTH --attribute branch=north --attribute areas='[1, 2]' --attribute old=null"
    )]
    Set(change::SetArgs),
    /// End the registration of a node, and its token; what it sent stays
    #[command(after_help = "Examples:\n  syncline node remove NORTH")]
    Remove(Named),
    /// Keep nothing of the log for a device that is not coming back; if it does, it starts from a snapshot, with its outbox kept
    #[command(
        after_help = "The log goes with the next trim. Registered nodes are removed instead (`syncline node remove`).

Examples:
  syncline node expire 0192f3c1-6d1e-7c51-9c1f-6a2d9a0b7f10"
    )]
    Expire(Named),
    /// Give a registered node another token and show it once; the old one is refused from now on
    #[command(after_help = "Examples:\n  syncline node rotate-token NORTH")]
    RotateToken(Named),
}

/// Which node.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The node's code or id, or the token name of an app that has no id; the beginning of an id suffices
    node: String,
    #[command(flatten)]
    place: SpaceArgs,
}

impl Named {
    /// Lets `work` administer the registered node.
    ///
    /// # Errors
    /// As [`SpaceArgs::with`]; no such node.
    async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&Admin, &SpaceName, RegisteredNode) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let found = async |admin: &Admin, space: &SpaceName| {
            let node = admin.find_node(space, &self.node).await?;
            work(admin, space, node).await
        };
        self.place.with(found).await
    }
}

/// Shows and administers nodes.
///
/// # Errors
/// The hub refuses, or cannot be reached; no such space or node.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    match &args.action {
        Action::Add(args) => add::run(args, output).await,
        Action::List(args) => list::run(args, output).await,
        Action::Show(args) => show::run(args, output).await,
        Action::Set(args) => change::set(args, output).await,
        Action::Remove(args) => change::remove(args, output).await,
        Action::Expire(args) => change::expire(args, output).await,
        Action::RotateToken(args) => change::rotate_token(args, output).await,
    }
}

/// A token that is shown this once.
fn secret(made: &NewNodeToken, output: Output) -> String {
    let hint = output.paint(Style::Faint, "Keep it now: it is shown only once and cannot be read back.");
    format!("Token of node {}:\n\n  {}\n\n{hint}", made.node.code, output.paint(Style::Bold, &made.token))
}
