//! `db exchange export|import`: packets of a database by file, for sites without a network. What a packet
//! holds and does is the client library's business.

use super::must_exist;
use super::sync::PacketArgs;
use crate::error::CliError;
use crate::output::{Output, Style};
use crate::packet_file::{self, Written};
use std::path::{Path, PathBuf};
use syncline::Database;
use syncline::sync::{Imported, SyncOptions};
use syncline_core::model::counted;

/// Arguments of `db exchange`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Write everything that the hub has not confirmed as one packet
    #[command(
        after_help = "The packet also confirms what was imported. One that gets lost is no loss: the next one holds its
edits too.

Examples:
  syncline db exchange export notes.db --output to-hub.json
  syncline db exchange export notes.db --collections notes,tasks > to-hub.json"
    )]
    Export(ExportArgs),
    /// Take in a packet of the hub
    #[command(after_help = "Importing a packet twice, or packets out of order, is safe.

Examples:
  syncline db exchange import notes.db from-hub.json
  cat from-hub.json | syncline db exchange import notes.db -")]
    Import(ImportArgs),
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// The database file
    file: PathBuf,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The collections [default: those that the database holds]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    collections: Vec<String>,
    #[command(flatten)]
    packets: PacketArgs,
}

#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// The database file; made when it is missing
    file: PathBuf,
    /// The packet's file; `-` is standard input
    packet: PathBuf,
    #[command(flatten)]
    packets: PacketArgs,
}

/// Moves packets by file.
///
/// # Errors
/// The database is in use or syncs in another way; not a packet of the hub for it; a file that cannot be used.
pub fn run(args: &Args, output: Output) -> Result<(), CliError> {
    match &args.action {
        Action::Export(args) => export(args, output),
        Action::Import(args) => import(args, output),
    }
}

fn export(args: &ExportArgs, output: Output) -> Result<(), CliError> {
    must_exist(&args.file)?;
    let database = Database::open(&args.file)?;
    let packet = database.export_packet(&options(&database, &args.collections, &args.packets)?)?;
    let Some(file) = &args.output else { return output.line(&packet) };
    let written = packet_file::write(&packet, file)?;
    output.result(&written, || {
        let Written { file, entities, header } = &written;
        let (number, ack, file) = (header.packet_no, header.ack_packet_no, file.display());
        format!("packet {number} (entities: {entities}) is in {file}; it confirms the hub's packets up to {ack}")
    })
}

fn import(args: &ImportArgs, output: Output) -> Result<(), CliError> {
    let text = packet_file::read(&args.packet)?;
    let database = Database::open(&args.file)?;
    let imported = database.import_packet(&options(&database, &[], &args.packets)?, &text)?;
    output.result(&imported, || describe(&imported, &args.file, output))
}

fn options(database: &Database, collections: &[String], packets: &PacketArgs) -> Result<SyncOptions, CliError> {
    let mut collections = collections.to_vec();
    if collections.is_empty() {
        collections = database.collections()?.iter().map(ToString::to_string).collect();
    }
    Ok(SyncOptions { collections, exchange: packets.options(), ..SyncOptions::default() })
}

fn describe(imported: &Imported, file: &Path, output: Output) -> String {
    let mut text = if imported.repeated {
        "the packet brings no news: it, or a later one, was imported before".to_owned()
    } else {
        format!("documents changed: {}; own edits that the hub now has: {}", imported.applied, imported.settled)
    };
    if imported.quarantined > 0 {
        let ops = counted(imported.quarantined, "op was", "ops were");
        let remark = format!("\n{ops} set aside: syncline db quarantine {}", file.display());
        text.push_str(&output.paint(Style::Attention, &remark));
    }
    if imported.has_more {
        text.push_str("\nmore is waiting at the hub: bring it this database's next packet, which confirms this one");
    }
    text
}
