//! `syncline restore`: a data directory from a backup, or one space of it.

use super::copying;
use crate::error::CliError;
use crate::groups::ConfigArgs;
use crate::output::{Output, Style};
use std::path::PathBuf;
use syncline_core::model::SpaceName;
use syncline_server::store;

/// Arguments of `syncline restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The data directory must be new or empty: move the old one away, the hub stopped. Every file is
checked against the backup's manifest first. Each space gets a new epoch: devices start from a
snapshot and keep what they have not sent yet. What the hub accepted after the backup is gone.

With --space, the data directory is that of a hub that is stopped: the space takes the place of the
one that is there, which is moved aside. Tokens, rules and the other spaces stay as they are.

Examples:
  syncline restore backups/monday
  syncline restore backups/monday --data /var/lib/syncline
  syncline restore backups/monday --data /var/lib/syncline --space shop")]
pub struct Args {
    /// The backup
    backup: PathBuf,
    /// Only this space, into the data that is there
    #[arg(long)]
    space: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Brings a backup back.
///
/// # Errors
/// The backup is cut, changed or newer than this program; the data directory is not empty; with one space: the backup
/// lacks it, or a hub runs on the data.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    let data = args.config.load()?.data_dir();
    let (backup, target) = (args.backup.clone(), data.clone());
    if let Some(space) = &args.space {
        let space = SpaceName::new(space)?;
        let replaced =
            copying::copy(output, move |report| store::restore_space(&backup, &target, &space, report)).await?;
        return output.result(&replaced, || {
            let title = format!("space `{}` stands as in the backup of {}", replaced.space.space, replaced.made_at);
            let title = output.paint(Style::Good, &title);
            let aside = replaced.aside.as_ref().map(|file| format!("\nWhat was there before: {}", file.display()));
            format!("{title}{}\nStart the hub: syncline serve --data {}", aside.unwrap_or_default(), data.display())
        });
    }
    let manifest = copying::copy(output, move |report| store::restore(&backup, &target, report)).await?;
    output.result(&manifest, || {
        let title = format!("{} holds the backup of {}", data.display(), manifest.made_at);
        let title = output.paint(Style::Good, &title);
        let lacks = match manifest.left_out.is_empty() {
            true => String::new(),
            false => output.paint(
                Style::Bad,
                &format!(
                    "\nIt lacks {}. Bring each back from an earlier backup: syncline restore EARLIER_BACKUP --data {} --space NAME",
                    copying::left_out(&manifest),
                    data.display()
                ),
            ),
        };
        let next = format!("Start the hub on it: syncline serve --data {}", data.display());
        format!("{title}\n{}{lacks}\n{next}", copying::describe(&manifest, output))
    })
}
