//! `syncline backup`: a copy of a hub's data, while the hub runs or not, from its directory or from afar.

use super::copying;
use crate::error::CliError;
use crate::groups::AdminArgs;
use crate::hub::RemoteHub;
use crate::output::{Output, Style};
use std::path::{Path, PathBuf};
use syncline_server::store::{self, Arriving, Manifest, SqliteStore};

/// Arguments of `syncline backup`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Runs on the hub's machine, as a user who may write to its data directory, or with --hub anywhere,
with an admin token; the hub's disk then needs room for a copy of its largest space. Disturbs
nobody: the hub may run and take writes. Each space is copied as it is at one moment. The backup
gets its name only once it is complete and on disk; what an interrupted one leaves behind is called
DIR.part and cleared away by the next.

Examples:
  syncline backup backups/monday
  syncline backup backups/$(date +%F) --data /var/lib/syncline --json
  syncline backup monday --hub https://hub.example.com --token TOKEN"
)]
pub struct Args {
    /// The backup: a new directory
    dir: PathBuf,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Makes a backup.
///
/// # Errors
/// There is no hub's data, or the directory is taken or cannot be written.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    let config = args.admin.load()?;
    let manifest = match config.hub() {
        Some(url) => from_afar(&RemoteHub::new(url, config.text("token"))?, &args.dir, output).await?,
        None if config.text("store").is_some() => {
            let reason = "`store` names a database, and a backup copies files; use PostgreSQL's own tools (`pg_dump`)";
            return Err(CliError::Usage(reason.into()));
        }
        None => {
            let data = config.data_dir();
            if !SqliteStore::is_in(&data) {
                return Err(CliError::NoHubData { data });
            }
            let dir = args.dir.clone();
            copying::copy(output, move |report| store::backup(&data, &dir, report)).await?
        }
    };
    output.result(&manifest, || {
        let title = output.paint(Style::Good, &format!("the backup {} is complete", args.dir.display()));
        let next = format!("Bring it back: syncline restore {} --data NEW_DIRECTORY", args.dir.display());
        format!("{title}\n{}\n{next}", copying::describe(&manifest, output))
    })
}

/// Lets a running hub make the backup, and puts it together here.
async fn from_afar(hub: &RemoteHub, dir: &Path, output: Output) -> Result<Manifest, CliError> {
    let progress = copying::Progress::new(output);
    let mut arriving = Arriving::begin(dir)?;
    hub.backup(|piece| Ok(arriving.take(piece, &mut |copied| progress.show(copied))?)).await?;
    progress.end();
    Ok(arriving.finish()?)
}
