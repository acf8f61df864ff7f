//! `attach status`: where the exchange of a database stands.

use super::Place;
use crate::error::CliError;
use crate::output::{Output, Style, Table};
use syncline_attach::attachment::Status;

/// Arguments of `attach status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
}

/// Shows where it stands.
///
/// # Errors
/// The database is not attached, or the mapping does not fit.
pub fn run(args: &Args, output: Output) -> Result<(), CliError> {
    let status = args.place.open(None, false)?.status()?;
    output.result(&status, || describe(&status, output))
}

fn describe(status: &Status, output: Output) -> String {
    let never = || "never".to_owned();
    let mut lines = vec![
        format!("node      {}", status.node),
        format!("hub       {}", status.hub),
        format!(
            "received  packet {}, {}",
            status.received_packet_no,
            status.last_sync_in.clone().unwrap_or_else(never)
        ),
        format!("sent      packet {}, {}", status.sent_packet_no, status.last_sync_out.clone().unwrap_or_else(never)),
    ];
    if !(status.filled_in && status.filled_out) {
        let what = if status.filled_in {
            "rows of this database are still being sent"
        } else {
            "objects of the hub are still arriving"
        };
        lines.push(format!("fill      {what}"));
    }
    let waiting: Vec<String> = status.waiting.iter().map(|(kind, count)| format!("{count} of {kind}")).collect();
    lines.push(format!("waiting   {}", if waiting.is_empty() { "nothing".into() } else { waiting.join(", ") }));
    if !status.broken_triggers.is_empty() {
        let text = format!(
            "triggers  missing or changed: {}; repeat `attach once` with --mend",
            status.broken_triggers.join(", ")
        );
        lines.push(output.paint(Style::Bad, &text));
    }
    if !status.aside.is_empty() {
        let mut table = Table::new(["ASIDE", "TYPE", "OBJECT", "WHY"]);
        for aside in &status.aside {
            table.row([aside.direction.clone(), aside.kind.clone(), aside.uuid.clone(), aside.reason.clone()]);
        }
        lines.push(format!("\n{}", table.render(output)));
    }
    if !status.conflicts.is_empty() {
        let mut table = Table::new(["LOST", "TYPE", "OBJECT", "OURS", "THEIRS"]);
        for lost in &status.conflicts {
            let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "removed".into());
            let (ours, theirs) = (side(&lost.ours), side(&lost.theirs));
            table.row([lost.noted_at.clone(), lost.kind.clone(), lost.uuid.clone(), ours, theirs]);
        }
        lines.push(format!("\n{}", table.render(output)));
    }
    lines.join("\n")
}
