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
DIR.part and cleared away by the next. Every page is looked at: a space that is damaged is left out,
and the command says so and fails after it has saved the others.

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
/// There is no hub's data, or the directory is taken or cannot be written; a space is not in it, after it was shown.
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
        let dir = args.dir.display();
        let title = match manifest.left_out.is_empty() {
            true => output.paint(Style::Good, &format!("the backup {dir} is complete")),
            false => output.paint(Style::Bad, &format!("the backup {dir} does not have every space")),
        };
        let next = format!("Bring it back: syncline restore {dir} --data NEW_DIRECTORY");
        format!("{title}\n{}\n{next}", copying::describe(&manifest, output))
    })?;
    if manifest.left_out.is_empty() {
        Ok(())
    } else {
        Err(CliError::Incomplete { spaces: copying::left_out(&manifest) })
    }
}

/// Lets a running hub make the backup, and puts it together here.
async fn from_afar(hub: &RemoteHub, dir: &Path, output: Output) -> Result<Manifest, CliError> {
    let progress = copying::Progress::new(output);
    let mut arriving = Arriving::begin(dir)?;
    hub.backup(|piece| Ok(arriving.take(piece, &mut |copied| progress.show(copied))?)).await?;
    progress.end();
    Ok(arriving.finish()?)
}
