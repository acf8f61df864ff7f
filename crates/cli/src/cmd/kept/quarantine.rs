//! `syncline quarantine`: ops that a hub could not apply, and what is to become of them.

use super::{OneRow, RowArgs, in_short, told, told_of};
use crate::cmd::db::input;
use crate::error::CliError;
use crate::groups::SpaceArgs;
use crate::output::{Output, Style};
use serde_json::Value;
use syncline_core::model::{CollectionName, DocId};
use syncline_server::store::{ListQuery, QuarantineRow};

/// Enough to know a type by.
const TYPE_CHARS_SHOWN: usize = 40;
/// Rows that an export asks for at once.
const ROWS_AT_ONCE: usize = 1_000;

/// Arguments of `syncline quarantine`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "An op that cannot be applied holds up nothing behind it: it waits here with the reason. Once its
cause is gone it can be retried, as it is or mended; then it is a change like any other. Of our own
clients, the device that sent it has it in its own quarantine too (`syncline db quarantine FILE`).

Examples:
  syncline quarantine
  syncline quarantine --collection notes --json
  syncline quarantine retry 3
  syncline quarantine retry 3 --op '{\"op\":\"replace\",\"doc\":{\"_id\":\"n1\",\"title\":\"mended\"}}'
  syncline quarantine discard 4
  syncline quarantine export > aside.jsonl"
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    rows: RowArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The newest ops in quarantine (the same without `list`)
    List(RowArgs),
    /// One op with its reason
    Show(OneRow),
    /// Try an op again on what stands now
    Retry(RetryArgs),
    /// Drop an op that nobody wants any more
    Discard(OneRow),
    /// Every op as one line of JSON, newest first
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
struct RetryArgs {
    #[command(flatten)]
    row: OneRow,
    /// A mended op to try instead, as JSON; `-`: from standard input. Collection and id may be left out
    #[arg(long, value_name = "JSON")]
    op: Option<String>,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// Only of this collection
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// Only of the document with this id
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    space: SpaceArgs,
}

/// Lists, shows, retries, drops or exports.
///
/// # Errors
/// The hub refuses, or cannot be reached; no such space or row; an op that still cannot be applied.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    match &args.command {
        None => list(&args.rows, output).await,
        Some(Command::List(rows)) => list(rows, output).await,
        Some(Command::Show(row)) => {
            let shown = row.space.with(async |admin, space| admin.quarantined(space, row.n).await).await?;
            output.result(&shown, || aside(&shown, &shown.op, output))
        }
        Some(Command::Retry(RetryArgs { row, op })) => {
            let given = op.is_some();
            let op = op.as_deref().map(|text| input::object_text("the op", text)).transpose()?;
            let done = row.space.with(async |admin, space| admin.retry(space, row.n, op).await).await?;
            output.result(&done, || told_of(given, &done))
        }
        Some(Command::Discard(row)) => {
            let done = row.space.with(async |admin, space| admin.discard(space, row.n).await).await?;
            output.result(&done, || told("op", &done))
        }
        Some(Command::Export(args)) => export(args, output).await,
    }
}

async fn list(args: &RowArgs, output: Output) -> Result<(), CliError> {
    let query = args.query()?;
    let rows = args.space.with(async |admin, space| admin.quarantine(space, query).await).await?;
    output.result(&rows, || match rows.last() {
        None => "nothing was set aside".into(),
        last => {
            let shown: Vec<String> = rows.iter().map(|row| aside(row, &in_short(&row.op), output)).collect();
            shown.join("\n") + &args.more(last.map(|row| row.n), rows.len())
        }
    })
}

async fn export(args: &ExportArgs, output: Output) -> Result<(), CliError> {
    let mut query = ListQuery {
        collection: args.collection.as_ref().map(CollectionName::new).transpose()?,
        id: args.id.as_ref().map(DocId::new).transpose()?,
        before: None,
        limit: ROWS_AT_ONCE,
    };
    args.space
        .with(async |admin, space| {
            loop {
                let rows = admin.quarantine(space, query.clone()).await?;
                for row in &rows {
                    output.line(&serde_json::to_string(row).expect("rows serialize"))?;
                }
                match rows.last() {
                    Some(last) if rows.len() == ROWS_AT_ONCE => query.before = Some(last.n),
                    _ => return Ok(()),
                }
            }
        })
        .await
}

/// `op`: as much of the op as is to be seen.
fn aside(row: &QuarantineRow, op: &str, output: Output) -> String {
    let id = row.id.as_deref().unwrap_or("*");
    let collection = row.collection.clone().unwrap_or_else(|| named_type(&row.op));
    let title = format!("{}  `{id}` in `{collection}`  {}  {}", row.n, row.at.iso(), row.code);
    format!("{}\n  why   {}\n  op    {}\n  from  {}", output.paint(Style::Bold, &title), row.reason, op, row.node)
}

/// Of an op whose collection can be none: its name as it came. An entity says it by its type, an event does not.
fn named_type(op: &str) -> String {
    let op: Value = serde_json::from_str(op).unwrap_or_default();
    let text = |key: &str| op.get(key).and_then(Value::as_str);
    let is_event = matches!(text("type"), Some("insert" | "update" | "delete")) && op.get("uuid").is_none();
    let name = text("collection").or_else(|| text("type").filter(|_| !is_event)).unwrap_or("?");
    let mut shown: String = name.chars().take(TYPE_CHARS_SHOWN).flat_map(char::escape_debug).collect();
    if name.chars().nth(TYPE_CHARS_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_is_no_name_is_shown_as_it_came_in_short() {
        assert_eq!(named_type(r#"{"type":"Daily report"}"#), "Daily report");
        assert_eq!(named_type(r#"{"type":"a\nb"}"#), r"a\nb");
        let long = format!(r#"{{"type":"{}"}}"#, "ž".repeat(500));
        assert_eq!(named_type(&long), "ž".repeat(40) + "…");
        assert_eq!(named_type(r#"{"op":"insert"}"#), "?");
        assert_eq!(named_type(r#"{"id":"e1","type":"insert","collection":"bad name"}"#), "bad name");
        assert_eq!(named_type(r#"{"id":"e1","type":"delete","documentId":"x"}"#), "?");
    }
}
