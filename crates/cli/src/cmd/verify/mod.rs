//! `syncline verify`: holds a database file against its hub, and with `--repair` puts right what differs. Edits that wait
//! for the hub are left alone by both. [`reading`] asks the hub, [`compare`] decides what differs, [`found`] holds it.

mod compare;
mod found;
mod reading;

use crate::cmd::db::{LinkArgs, must_exist, progress, send};
use crate::error::CliError;
use crate::output::{Output, Style, Table};
use compare::Comparison;
use found::Compared;
use std::path::{Path, PathBuf};
use syncline::Database;
use syncline_core::model::counted;

/// Differences that are shown; `--json` has more.
const SHOWN_MAX: usize = 50;

/// Arguments of `syncline verify`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Compares what the database has from the hub with what the hub shows to the token, at one LSN: what
the database has read so far. Both count digests of ranges of documents; only documents of ranges
that differ are sent. Changes that the database has not read yet, and edits that wait in it, are no
differences. --repair pulls the documents that differ and compares again; edits that wait are kept
and sent.

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
    must_exist(&args.file)?;
    let database = Database::open(&args.file)?;
    let (hub, collections) = args.link.reading(&database)?;
    let bar = progress::counter(output, "documents");
    let comparison = |repair| Comparison { database: &database, hub: &hub, repair, bar: &bar };
    let mut found = comparison(args.repair).run(&collections).await?;
    if found.repaired > 0 {
        let before = found;
        found = comparison(false).run(&collections).await?;
        (found.repaired, found.sent) = (before.repaired, before.sent);
        found.set_aside = send(&args.link.connect(&database, false, None)?, output).await?;
    }
    bar.finish_and_clear();
    output.result(&found, || describe(&found, &args.file, output))?;
    match found.differing {
        0 => Ok(()),
        n => {
            let documents = counted(n, "document differs", "documents differ");
            Err(CliError::Diverged(format!("{documents} from the hub's; `--repair` pulls what differs")))
        }
    }
}

fn describe(found: &Compared, file: &Path, output: Output) -> String {
    let mut lines = Vec::new();
    if found.repaired > 0 {
        lines.push(format!(
            "{}, and put right",
            counted(found.repaired, "document was different", "documents were different")
        ));
    }
    if found.set_aside > 0 {
        let ops = counted(found.set_aside, "edit that waited was", "edits that waited were");
        let text = format!("{ops} sent and not taken, and set aside: syncline db quarantine {}", file.display());
        lines.push(output.paint(Style::Attention, &text));
    }
    if found.unread > 0 {
        let documents = counted(found.unread, "document has", "documents have");
        let text = format!(
            "{documents} changed at the hub since the database has read, and could not be compared: syncline db sync {}",
            file.display()
        );
        lines.push(output.paint(Style::Attention, &text));
    }
    if found.differences.is_empty() {
        let documents = counted(found.documents, "document is", "documents are");
        let text = format!("{documents} the hub's, as of LSN {}", found.lsn);
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
