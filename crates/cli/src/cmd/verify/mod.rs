//! `syncline verify`: holds a database file against its hub, and with `--repair` puts right what differs. Edits that wait
//! for the hub are left alone by both. [`reading`] asks the hub, [`compare`] decides what differs, [`found`] holds it.

mod compare;
mod found;
mod reading;

use crate::cmd::db::{LinkArgs, progress};
use crate::error::CliError;
use crate::output::{Output, Style, Table};
use compare::Comparison;
use found::Compared;
use std::path::PathBuf;
use syncline::Database;

/// Differences that are shown; `--json` has more.
const SHOWN_MAX: usize = 50;

/// Arguments of `syncline verify`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Compares what the database has from the hub with what the hub shows to the token, at one LSN: what the database
has read so far. Both count digests of ranges of documents; only documents of ranges that differ are sent. Changes that the
database has not read yet, and edits that wait in it, are no differences.
--repair pulls the documents that differ and compares again; edits that wait are kept and sent.

Exit codes: 0 nothing differs (any more), 1 something does.

Examples:
  syncline verify notes.db --hub http://127.0.0.1:7460 --token TOKEN
  syncline verify notes.db --hub http://127.0.0.1:7460 --token TOKEN --collections notes --repair"
)]
pub struct Args {
    /// The database file
    file: PathBuf,
    /// Pull what differs
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    link: LinkArgs,
}

/// Compares, and repairs where that is wanted.
///
/// # Errors
/// Something differs; the database is in use or has not read the hub; the hub refuses or cannot be reached.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    if !args.file.exists() {
        return Err(CliError::NoDatabase { file: args.file.clone() });
    }
    let database = Database::open(&args.file)?;
    let (hub, collections) = args.link.reading(&database)?;
    let bar = progress::counter(output, "documents");
    let comparison = |repair| Comparison { database: &database, hub: &hub, repair, bar: &bar };
    let mut found = comparison(args.repair).run(&collections).await?;
    if found.repaired > 0 {
        let before = found;
        found = comparison(false).run(&collections).await?;
        (found.repaired, found.sent) = (before.repaired, before.sent);
        let outcome = args.link.connect(&database, false, None)?.sync_now().await;
        if !outcome.success {
            return Err(CliError::Sync(outcome.error.unwrap_or_else(|| "the round was not complete".into())));
        }
    }
    bar.finish_and_clear();
    output.result(&found, || describe(&found, output))?;
    match found.differing {
        0 => Ok(()),
        n => Err(CliError::Diverged(format!("{n} documents differ from the hub's; `--repair` pulls them"))),
    }
}

fn describe(found: &Compared, output: Output) -> String {
    let mut lines = Vec::new();
    if found.repaired > 0 {
        lines.push(format!("{} documents differed, and were put right", found.repaired));
    }
    if found.differences.is_empty() {
        let text = format!("{} documents are the hub's, as of LSN {}", found.documents, found.lsn);
        lines.push(output.paint(Style::Good, &text));
        return lines.join("\n");
    }
    let mut table = Table::new(["COLLECTION", "ID", "DIFFERENCE", "HERE", "HUB"]);
    let lsn = |lsn: Option<syncline_core::model::Lsn>| lsn.map_or_else(|| "-".to_owned(), |lsn| lsn.to_string());
    for one in found.differences.iter().take(SHOWN_MAX) {
        let (collection, id) = (one.collection.to_string(), one.id.to_string());
        table.row([collection, id, one.kind.word().into(), lsn(one.here), lsn(one.hub)]);
    }
    lines.push(table.render(output));
    if let Some(more) = found.differing.checked_sub(SHOWN_MAX as u64).filter(|more| *more > 0) {
        lines.push(format!("and {more} more (--json names up to 10,000)"));
    }
    lines.join("\n")
}
