//! `syncline restore`: a data directory from a backup.

use super::copying;
use crate::error::CliError;
use crate::groups::ConfigArgs;
use crate::output::{Output, Style};
use std::path::PathBuf;
use syncline_server::store;

/// Arguments of `syncline restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The data directory must be new or empty: move the old one away, the hub stopped. Every file is
checked against the backup's manifest first. Each space gets a new epoch: devices start from a
snapshot and keep what they have not sent yet. What the hub accepted after the backup is gone.

Examples:
  syncline restore backups/monday
  syncline restore backups/monday --data /var/lib/syncline")]
pub struct Args {
    /// The backup
    backup: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Brings a backup back.
///
/// # Errors
/// The backup is cut, changed or newer than this program; the data directory is not empty.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    let data = args.config.load()?.data_dir();
    let (backup, target) = (args.backup.clone(), data.clone());
    let manifest = copying::copy(output, move |report| store::restore(&backup, &target, report)).await?;
    output.result(&manifest, || {
        let title = format!("{} holds the backup of {}", data.display(), manifest.made_at);
        let title = output.paint(Style::Good, &title);
        let next = format!("Start the hub on it: syncline serve --data {}", data.display());
        format!("{title}\n{}\n{next}", copying::describe(&manifest, output))
    })
}
