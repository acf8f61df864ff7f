//! `syncline exchange`: packets of registered nodes by file, for sites without a network. What a packet
//! does is decided by the hub, as if it had come over the network.

use crate::error::CliError;
use crate::groups::SpaceArgs;
use crate::hub::Admin;
use crate::output::Output;
use crate::packet_file::{self, Written};
use std::path::PathBuf;
use syncline_core::model::SpaceName;
use syncline_server::dialect::exchange::Imported;

/// Arguments of `syncline exchange`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Write the hub's next packet for a node
    #[command(
        after_help = "The packet holds everything that the node has not confirmed, also what earlier packets held; one
that gets lost is no loss. `has_more` in its header: export again once the node has confirmed it.

Examples:
  syncline exchange export --node NORTH > packet.json
  syncline exchange export --node NORTH --output packet.json --data ./centre"
    )]
    Export(ExportArgs),
    /// Take in the packet of a node
    #[command(after_help = "The node is the sender that the packet names. Importing twice or out of order is safe.

Examples:
  syncline exchange import packet.json
  cat packet.json | syncline exchange import - --json")]
    Import(ImportArgs),
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// The node's code or id
    #[arg(long)]
    node: String,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    place: SpaceArgs,
}

#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// The file to read; `-` is standard input
    file: PathBuf,
    #[command(flatten)]
    place: SpaceArgs,
}

/// Moves packets by file.
///
/// # Errors
/// No such node, not a packet, a file that cannot be used; the hub refuses, or cannot be reached.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    match &args.action {
        Action::Export(args) => export(args, output).await,
        Action::Import(args) => import(args, output).await,
    }
}

async fn export(args: &ExportArgs, output: Output) -> Result<(), CliError> {
    let export = async |admin: &Admin, space: &SpaceName| {
        let node = admin.find_node(space, &args.node).await?;
        admin.export(space, &node.id).await
    };
    let packet = args.place.with(export).await?;
    match &args.output {
        None => output.line(&packet),
        Some(file) => {
            let written = packet_file::write(&packet, file)?;
            output.result(&written, || told(&written))
        }
    }
}

fn told(written: &Written) -> String {
    let Written { file, entities, header } = written;
    let more = if header.has_more { "; more is waiting: export again once the node has confirmed it" } else { "" };
    let (number, ack, file) = (header.packet_no, header.ack_packet_no, file.display());
    match entities {
        0 => format!("Nothing waits for the node; {file} only confirms its packets up to {ack}."),
        _ => format!("Packet {number} (entities: {entities}) is in {file}; it confirms packets up to {ack}{more}."),
    }
}

async fn import(args: &ImportArgs, output: Output) -> Result<(), CliError> {
    let packet = packet_file::read(&args.file)?;
    let taken = args.place.with(async |admin, space| admin.import(space, packet).await).await?;
    output.result(&taken, || {
        let mut lines = vec![outcome(&taken)];
        lines.extend(taken.rejected.iter().map(|refused| {
            format!("set aside: {} {}: {} ({})", refused.kind, refused.uuid, refused.why.reason, refused.why.code)
        }));
        lines.push(format!("for the way back: syncline exchange export --node {}", taken.node));
        lines.join("\n")
    })
}

fn outcome(taken: &Imported) -> String {
    let Imported { node, packet_no, ack_packet_no, entities, .. } = taken;
    if taken.repeated {
        return format!("Packet {packet_no} of node {node} was imported before; nothing changed.");
    }
    let done = match packet_no < ack_packet_no {
        true => "came after a later one and is not applied",
        false => "is taken in",
    };
    format!(
        "Packet {packet_no} of node {node} {done} (entities: {entities}); its packets up to {ack_packet_no} are confirmed."
    )
}
