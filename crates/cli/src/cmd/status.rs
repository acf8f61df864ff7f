//! `syncline status`: where each space of a hub stands: its log, its nodes, its conflicts and its
//! quarantine.

use crate::cmd::node;
use crate::config::Config;
use crate::error::CliError;
use crate::groups::AdminArgs;
use crate::hub::{Admin, SpaceStatus};
use crate::output::{Output, Style};
use serde::Serialize;
use std::time::Duration;
use syncline_core::model::{SpaceName, counted};
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
/// The hub refuses, or cannot be reached; a space cannot be read, after the others were shown.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    let (admin, known) = if args.wait { wait(args).await? } else { look(args).await? };
    let names = match &args.space {
        Some(name) => vec![SpaceName::new(name)?],
        None => known,
    };
    let mut spaces = Vec::with_capacity(names.len());
    for name in names {
        spaces.push(look_at(&admin, name, args.space.is_none()).await?);
    }
    let damage = admin.damage().await?;
    admin.close().await?;
    let config = args.admin.load()?;
    output.result(&spaces, || {
        if spaces.is_empty() {
            return "The hub has no space yet; the first token or the first device makes one.".into();
        }
        spaces.iter().map(|space| space.describe(&config, output)).collect::<Vec<_>>().join("\n\n")
    })?;
    if let Some(damage) = damage {
        output.remark(&output.paint(Style::Bad, &format!("damaged: {damage}")));
    }
    let failed: Vec<_> = spaces.iter().filter_map(Seen::failed).map(ToString::to_string).collect();
    if failed.is_empty() { Ok(()) } else { Err(CliError::Unreadable { spaces: failed.join("`, `") }) }
}

/// A space, as far as it can be read.
#[derive(Serialize)]
#[serde(untagged)]
enum Seen {
    Read(SpaceStatus),
    Failed { space: SpaceName, failure: String },
}

impl Seen {
    fn failed(&self) -> Option<&SpaceName> {
        match self {
            Seen::Failed { space, .. } => Some(space),
            Seen::Read(_) => None,
        }
    }

    fn describe(&self, config: &Config, output: Output) -> String {
        match self {
            Seen::Read(space) => describe(space, config, output),
            Seen::Failed { space, failure } => format!(
                "{}\n{}",
                output.paint(Style::Bold, &format!("space {space}")),
                output.paint(Style::Attention, &format!("failed: {failure}"))
            ),
        }
    }
}

/// Looks at one space. Among several, one that cannot be read hides nothing of the others.
async fn look_at(admin: &Admin, space: SpaceName, among_others: bool) -> Result<Seen, CliError> {
    match admin.space(&space).await {
        Err(error @ (CliError::Store(_) | CliError::Refused { status: 500.., .. })) if among_others => {
            Ok(Seen::Failed { space, failure: error.to_string() })
        }
        read => read.map(Seen::Read),
    }
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

fn describe(space: &SpaceStatus, config: &Config, output: Output) -> String {
    let held = node::holders(space, config).into_iter().map(|holder| {
        let text =
            format!("\nthe log is kept from {} on for `{}`, last seen {}", holder.from, holder.node, holder.seen);
        output.paint(Style::Attention, &text)
    });
    let kept_aside = |count: u64, (one, more): (&str, &str), command: &str| match count {
        0 => output.paint(Style::Good, &format!("no {more}")),
        n => output.paint(Style::Attention, &format!("{} (syncline {command})", counted(n, one, more))),
    };
    let data = match (&space.damage, &space.looked_at) {
        (Some(damage), _) => output.paint(Style::Bad, &format!("\ndamaged: {damage}")),
        (None, Some(at)) => format!("\nall that is stored was sound at {at}"),
        (None, None) => String::new(),
    };
    format!(
        "{}  head {}  horizon {}  epoch {}\n{}, {}{data}\n{}{}",
        output.paint(Style::Bold, &format!("space {}", space.space)),
        space.head,
        space.horizon,
        space.epoch,
        kept_aside(space.conflicts, ("conflict in the ledger", "conflicts in the ledger"), "conflicts"),
        kept_aside(space.quarantined, ("op in quarantine", "ops in quarantine"), "quarantine"),
        node::readers(space, output),
        held.collect::<String>(),
    )
}
