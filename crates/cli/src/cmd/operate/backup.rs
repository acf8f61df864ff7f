//! `syncline backup`: a copy of a hub's data, while the hub runs or not.

use super::copying;
use crate::error::CliError;
use crate::groups::ConfigArgs;
use crate::output::{Output, Style};
use std::path::PathBuf;
use syncline_server::store;

/// Arguments of `syncline backup`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Runs on the hub's machine, as a user who may write to its data directory, and disturbs nobody: the hub may
run and take writes. Each space is copied as it is at one moment. The backup gets its name only once it is complete
and on disk; what an interrupted one leaves behind is called DIR.part and cleared away by the next.

Examples:
  syncline backup backups/monday
  syncline backup backups/$(date +%F) --data /var/lib/syncline --json"
)]
pub struct Args {
    /// The backup: a new directory
    dir: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Makes a backup.
///
/// # Errors
/// There is no hub's data, or the directory is taken or cannot be written.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    let data = args.config.load()?.data_dir();
    if !data.join("hub.db").exists() {
        return Err(CliError::NoHubData { data });
    }
    let dir = args.dir.clone();
    let manifest = copying::copy(output, move |report| store::backup(&data, &dir, report)).await?;
    output.result(&manifest, || {
        let title = output.paint(Style::Good, &format!("the backup {} is complete", args.dir.display()));
        let next = format!("Bring it back: syncline restore {} --data NEW_DIRECTORY", args.dir.display());
        format!("{title}\n{}\n{next}", copying::describe(&manifest, output))
    })
}
