//! `syncline conflicts`: edits that lost against concurrent ones, field by field, and how they come back.

use super::{OneRow, RowArgs, in_short, told};
use crate::error::CliError;
use crate::output::{Output, Style, Table};
use std::fmt::Write as _;
use syncline_server::kept::{ConflictView, FieldDifference};
use syncline_server::store::{ConflictRow, Json};

/// Arguments of `syncline conflicts`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "When two devices edit the same document before they hear of each other, the collection's strategy
decides. What lost is kept here until `retention.ledger` is over, and can be restored: the losing
values then become a new change on top of what stands, and every device hears of it.

Examples:
  syncline conflicts                                     the newest of the default space
  syncline conflicts --collection notes --id n1 --json   of one document
  syncline conflicts show 7                              what lost, what won, what stands
  syncline conflicts restore 7"
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    rows: RowArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The newest conflicts (the same without `list`)
    List(RowArgs),
    /// One conflict, field by field
    Show(OneRow),
    /// Bring the losing values back, as a new change
    Restore(OneRow),
}

/// Lists, shows or restores.
///
/// # Errors
/// The hub refuses, or cannot be reached; no such space or row.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    match &args.command {
        None => list(&args.rows, output).await,
        Some(Command::List(rows)) => list(rows, output).await,
        Some(Command::Show(row)) => {
            let shown = row.space.with(async |admin, space| admin.conflict(space, row.n).await).await?;
            output.result(&shown, || show(&shown, output))
        }
        Some(Command::Restore(row)) => {
            let done = row.space.with(async |admin, space| admin.restore(space, row.n).await).await?;
            output.result(&done, || told("conflict", &done))
        }
    }
}

async fn list(args: &RowArgs, output: Output) -> Result<(), CliError> {
    let query = args.query()?;
    let rows = args.space.with(async |admin, space| admin.conflicts(space, query).await).await?;
    output.result(&rows, || match rows.last() {
        None => "no edit has lost".into(),
        last => {
            let shown: Vec<String> = rows.iter().map(|row| conflict(row, output)).collect();
            shown.join("\n") + &args.more(last.map(|row| row.n), rows.len())
        }
    })
}

fn conflict(row: &ConflictRow, output: Output) -> String {
    let (lost, won) = (side(&row.losing, &row.loser), side(&row.winning, &row.winner));
    let mut text = title(row, output);
    // Writing to a text cannot fail.
    let _ = write!(text, "\n  lost  {lost}\n  won   {won}");
    if let Some(lsn) = row.restored {
        let _ = write!(text, "\n  restored as change {lsn}");
    }
    text
}

fn title(row: &ConflictRow, output: Output) -> String {
    let title = format!("{}  `{}` in `{}`  {}  decided by {}", row.n, row.id, row.collection, row.at.iso(), row.rule);
    output.paint(Style::Bold, &title)
}

fn side(values: &Json, node: &str) -> String {
    let what = if values.is_null() { "the removal".into() } else { in_short(&values.to_string()) };
    if node.is_empty() { what } else { format!("{what}  from {node}") }
}

fn show(view: &ConflictView, output: Output) -> String {
    let row = &view.conflict;
    let name = |node: &str| if node.is_empty() { "somebody".to_owned() } else { node.to_owned() };
    let mut text = title(row, output);
    let _ = write!(text, "\nlost by {}, won by {}", name(&row.loser), name(&row.winner));
    for (values, what) in [(&row.losing, "\nwhat lost is the removal"), (&row.winning, "\nwhat won is the removal")] {
        text.push_str(if values.is_null() { what } else { "" });
    }
    if !view.fields.is_empty() {
        let _ = write!(text, "\n\n{}\n", fields(&view.fields, output));
    }
    if view.now.is_none() {
        text.push_str("\nThe document is gone now.");
    }
    let _ = match row.restored {
        Some(lsn) => write!(text, "\nRestored as change {lsn}."),
        None => write!(text, "\nBring it back: syncline conflicts restore {}", row.n),
    };
    text
}

fn fields(differences: &[FieldDifference], output: Output) -> String {
    let mut table = Table::new(["FIELD", "LOST", "WON", "NOW"]);
    let cell = |value: &Option<Json>| value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    for field in differences {
        table.row([field.field.clone(), cell(&field.lost), cell(&field.won), cell(&field.now)]);
    }
    table.render(output)
}
