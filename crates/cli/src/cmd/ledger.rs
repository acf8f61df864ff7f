//! `syncline conflicts` and `syncline quarantine`: what a hub kept of edits that lost, and of ops that
//! it could not apply. Reads only; nothing here decides or changes anything.

use crate::error::CliError;
use crate::groups::AdminArgs;
use crate::output::{Output, Style};
use serde_json::Value;
use std::fmt::Write as _;
use syncline_core::model::{CollectionName, DocId};
use syncline_server::store::{ConflictRow, ListQuery, QuarantineRow};

/// Enough to know a type by.
const TYPE_CHARS_SHOWN: usize = 40;

/// Arguments of `syncline conflicts`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "When two devices edit the same document before they hear of each other, the collection's strategy
decides. What lost is kept here, until it is typed in again or nobody wants it any more.

Examples:
  syncline conflicts                                     the newest of the default space
  syncline conflicts --collection notes --id n1 --json   of one document"
)]
pub struct ConflictsArgs {
    #[command(flatten)]
    rows: RowArgs,
}

/// Arguments of `syncline quarantine`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The device that sent an op has it in its own quarantine too (`syncline db quarantine FILE`),
where it can be tried again or dropped.

Examples:
  syncline quarantine
  syncline quarantine --collection notes --json")]
pub struct QuarantineArgs {
    #[command(flatten)]
    rows: RowArgs,
}

/// Which rows.
#[derive(Debug, clap::Args)]
struct RowArgs {
    /// Only of this collection
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// Only of the document with this id
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// At most so many, at most 1000
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only those with a number below this, to go on after a full list
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
    /// The space [default: the hub's default space]
    #[arg(long)]
    space: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

impl RowArgs {
    fn query(&self) -> Result<ListQuery, CliError> {
        Ok(ListQuery {
            collection: self.collection.as_ref().map(CollectionName::new).transpose()?,
            id: self.id.as_ref().map(DocId::new).transpose()?,
            before: self.before,
            limit: self.limit.into(),
        })
    }

    /// A remark after a full list: how to go on.
    fn more(&self, last: Option<u64>, shown: usize) -> String {
        match last {
            Some(number) if shown == usize::from(self.limit) => format!("\nOlder ones: add --before {number}"),
            _ => String::new(),
        }
    }
}

/// Shows what lost.
///
/// # Errors
/// The hub refuses, or cannot be reached; no such space.
pub async fn conflicts(args: &ConflictsArgs, output: Output) -> Result<(), CliError> {
    let query = args.rows.query()?;
    let space = args.rows.space.as_deref();
    let rows = args.rows.admin.with_space(space, async |admin, space| admin.conflicts(space, query).await).await?;
    output.result(&rows, || match rows.last() {
        None => "no edit has lost".into(),
        last => {
            let shown: Vec<String> = rows.iter().map(|row| conflict(row, output)).collect();
            shown.join("\n") + &args.rows.more(last.map(|row| row.n), rows.len())
        }
    })
}

/// Shows what could not be applied.
///
/// # Errors
/// The hub refuses, or cannot be reached; no such space.
pub async fn quarantine(args: &QuarantineArgs, output: Output) -> Result<(), CliError> {
    let query = args.rows.query()?;
    let space = args.rows.space.as_deref();
    let rows = args.rows.admin.with_space(space, async |admin, space| admin.quarantine(space, query).await).await?;
    output.result(&rows, || match rows.last() {
        None => "nothing was set aside".into(),
        last => {
            let shown: Vec<String> = rows.iter().map(|row| aside(row, output)).collect();
            shown.join("\n") + &args.rows.more(last.map(|row| row.n), rows.len())
        }
    })
}

fn conflict(row: &ConflictRow, output: Output) -> String {
    let title = format!("{}  `{}` in `{}`  {}  decided by {}", row.n, row.id, row.collection, row.at.iso(), row.rule);
    let mut text = output.paint(Style::Bold, &title);
    let (lost, won) = (side(&row.losing, &row.loser), side(&row.winning, &row.winner));
    // Writing to a text cannot fail.
    let _ = write!(text, "\n  lost  {lost}\n  won   {won}");
    text
}

fn side(values: &Value, node: &str) -> String {
    let what = if values.is_null() { "the removal".into() } else { values.to_string() };
    if node.is_empty() { what } else { format!("{what}  from {node}") }
}

fn aside(row: &QuarantineRow, output: Output) -> String {
    let id = row.id.as_deref().unwrap_or("*");
    let collection = row.collection.clone().unwrap_or_else(|| named_type(&row.op));
    let title = format!("{}  `{id}` in `{collection}`  {}  {}", row.n, row.at.iso(), row.code);
    format!("{}\n  why   {}\n  op    {}\n  from  {}", output.paint(Style::Bold, &title), row.reason, row.op, row.node)
}

/// Of an entity whose type cannot be the name of a collection: the type, as it came.
fn named_type(op: &str) -> String {
    let op: Value = serde_json::from_str(op).unwrap_or_default();
    let name = op.get("type").and_then(Value::as_str).unwrap_or("?");
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
    }
}
