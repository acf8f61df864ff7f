//! `syncline status`: where each space of a hub stands: its log, its nodes, its conflicts and its
//! quarantine.

use crate::cmd::node;
use crate::error::CliError;
use crate::groups::AdminArgs;
use crate::hub::{Admin, COUNT_MAX, SpaceStatus};
use crate::output::{Output, Style};
use std::time::Duration;
use syncline_core::model::SpaceName;
use tokio::time::{Instant, sleep};

const WAIT_MAX: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Arguments of `syncline status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  syncline status                                     of the hub on ./syncline-data
  syncline status --hub http://127.0.0.1:7460 --token TOKEN --json")]
pub struct Args {
    /// Only this space [default: all]
    #[arg(long)]
    space: Option<String>,
    /// Wait until the hub answers, at most 30 s; for scripts that have just started one
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Shows where the spaces stand.
///
/// # Errors
/// The hub refuses, or cannot be reached.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    let (admin, known) = if args.wait { wait(args).await? } else { look(args).await? };
    let names = match &args.space {
        Some(name) => vec![SpaceName::new(name)?],
        None => known,
    };
    let mut spaces = Vec::with_capacity(names.len());
    for name in &names {
        spaces.push(admin.space(name).await?);
    }
    admin.close().await?;
    output.result(&spaces, || {
        if spaces.is_empty() {
            return "The hub has no space yet; the first token or the first device makes one.".into();
        }
        spaces.iter().map(|space| describe(space, output)).collect::<Vec<_>>().join("\n\n")
    })
}

async fn look(args: &Args) -> Result<(Admin, Vec<SpaceName>), CliError> {
    let (admin, _) = args.admin.open().await?;
    let spaces = admin.spaces().await?;
    Ok((admin, spaces))
}

/// Looks again while nobody answers. The hub's refusals are answers.
async fn wait(args: &Args) -> Result<(Admin, Vec<SpaceName>), CliError> {
    let give_up = Instant::now() + WAIT_MAX;
    loop {
        match look(args).await {
            Err(CliError::Unreachable { .. }) if Instant::now() < give_up => sleep(LOOK_AGAIN).await,
            answer => return answer,
        }
    }
}

fn describe(space: &SpaceStatus, output: Output) -> String {
    let kept_aside = |count: u64, what: &str, command: &str| match count {
        0 => output.paint(Style::Good, &format!("no {what}")),
        n if n >= COUNT_MAX => output.paint(Style::Attention, &format!("{COUNT_MAX} or more {what}")),
        n => output.paint(Style::Attention, &format!("{n} {what} (syncline {command})")),
    };
    format!(
        "{}  head {}  horizon {}  epoch {}\n{}, {}\n{}",
        output.paint(Style::Bold, &format!("space {}", space.space)),
        space.head,
        space.horizon,
        space.epoch,
        kept_aside(space.conflicts, "conflicts in the ledger", "conflicts"),
        kept_aside(space.quarantined, "ops in quarantine", "quarantine"),
        node::readers(space, output),
    )
}
