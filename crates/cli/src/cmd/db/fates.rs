//! `db conflicts` and `db unsynced`: own edits that did not stand at the hub, and those that it has not receipted.

use super::{input, must_exist};
use crate::error::CliError;
use crate::output::{Output, Table};
use serde_json::{Value, json};
use std::path::PathBuf;
use syncline::{CollectionName, Database, LostEdit, Unsynced};

/// Arguments of `db conflicts`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Own edits that met a concurrent one and did not stand whole. What the other side wrote, the hub
knows (`syncline conflicts`).

Examples:
  syncline db conflicts notes.db                    list them
  syncline db conflicts notes.db --restore 3        make the edit again, on top of what stands now
  syncline db conflicts notes.db --discard 3        leave it as it is"
)]
pub struct ConflictsArgs {
    /// The database file
    file: PathBuf,
    /// Only of this collection
    #[arg(long)]
    collection: Option<String>,
    /// Make the edit with this number again
    #[arg(long, value_name = "NUMBER", conflicts_with = "discard")]
    restore: Option<i64>,
    /// Take the edit with this number off the list
    #[arg(long, value_name = "NUMBER")]
    discard: Option<i64>,
}

/// Arguments of `db unsynced`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  syncline db unsynced notes.db                     what the hub has not receipted
  syncline db unsynced notes.db --export            the same, each op as one line of JSON
  syncline db unsynced notes.db --discard 3         give op 3 up; its document becomes what it is without
  syncline db unsynced notes.db --edit 3 '{\"_id\": \"n1\", \"title\": \"milk\"}'     of an insert or a replacement
  syncline db unsynced notes.db --edit 3 '{\"set\": {\"title\": \"milk\"}}'           of an update")]
pub struct UnsyncedArgs {
    /// The database file
    file: PathBuf,
    /// Only of this collection
    #[arg(long)]
    collection: Option<String>,
    /// Print each op as one line of JSON
    #[arg(long, conflicts_with_all = ["discard", "edit"])]
    export: bool,
    /// Give the op with this number up
    #[arg(long, value_name = "NUMBER", conflicts_with = "edit")]
    discard: Option<i64>,
    /// Put another content into the op with this number, which no hub may have seen
    #[arg(long, value_name = "NUMBER", requires = "content")]
    edit: Option<i64>,
    /// The content for --edit; `-`: from standard input
    #[arg(value_name = "JSON", requires = "edit")]
    content: Option<String>,
}

/// Lists, restores or discards own edits that did not stand.
///
/// # Errors
/// The database cannot be opened; no such number; the edit cannot be made.
pub fn conflicts(args: &ConflictsArgs, output: Output) -> Result<(), CliError> {
    must_exist(&args.file)?;
    let database = Database::open(&args.file)?;
    if let Some(number) = args.restore {
        database.restore_conflict(number)?;
        return output
            .result(&json!({ "restored": number }), || format!("the edit of conflict {number} is made again"));
    }
    if let Some(number) = args.discard {
        database.discard_conflict(number)?;
        return output.result(&json!({ "discarded": number }), || format!("conflict {number} is discarded"));
    }
    let only = args.collection.as_ref().map(CollectionName::new).transpose()?;
    let all = database.replica().conflicts(only.as_ref())?;
    output.result(&all.iter().map(lost).collect::<Vec<_>>(), || {
        if all.is_empty() {
            return "no own edit has lost".into();
        }
        let mut table = Table::new(["NUMBER", "COLLECTION", "DOCUMENT", "WHEN", "STANDS", "OUR EDIT"]);
        for edit in &all {
            let (place, stands) = (edit.collection.to_string(), if edit.merged { "in part" } else { "no" });
            let (number, when) = (edit.number.to_string(), edit.decided_at.iso());
            table.row([number, place, edit.id.to_string(), when, stands.into(), content(&edit.operation)]);
        }
        table.render(output)
    })
}

/// Lists, exports, changes or gives up ops that the hub has not receipted.
///
/// # Errors
/// The database cannot be opened; no such number; a hub may have seen it; the content is none for it.
pub fn unsynced(args: &UnsyncedArgs, output: Output) -> Result<(), CliError> {
    must_exist(&args.file)?;
    let database = Database::open(&args.file)?;
    if let Some(number) = args.discard {
        let gone = database.discard_unsynced(number)?;
        let value = json!({ "discarded": gone.iter().map(waits).collect::<Vec<_>>() });
        return output.result(&value, || {
            let numbers: Vec<String> = gone.iter().map(|op| op.number.to_string()).collect();
            format!("given up: {}", numbers.join(", "))
        });
    }
    if let (Some(number), Some(content)) = (args.edit, &args.content) {
        database.edit_unsynced(number, &input::object("the content", content)?)?;
        return output.result(&json!({ "edited": number }), || format!("op {number} has its new content"));
    }
    let only = args.collection.as_ref().map(CollectionName::new).transpose()?;
    let all = database.replica().unsynced(only.as_ref())?;
    if args.export {
        return all.iter().try_for_each(|op| output.line(&waits(op).to_string()));
    }
    let unrecorded = unrecorded(&database, only.as_ref())?;
    output.result(&all.iter().map(waits).collect::<Vec<_>>(), || {
        if all.is_empty() {
            return unrecorded.unwrap_or_else(|| "nothing waits for the hub".into());
        }
        let mut table = Table::new(["NUMBER", "COLLECTION", "DOCUMENT", "MADE", "SENT", "OP"]);
        for op in &all {
            let id = op.id.as_ref().map_or("*".into(), ToString::to_string);
            let sent = if op.offered { "perhaps" } else { "no" };
            let (number, place, made) = (op.number.to_string(), op.collection.to_string(), op.made_at.iso());
            table.row([number, place, id, made, sent.into(), content(&op.operation)]);
        }
        table.render(output)
    })
}

/// Collections whose edits nobody records yet, in a sentence.
fn unrecorded(database: &Database, only: Option<&CollectionName>) -> Result<Option<String>, CliError> {
    let mut names = Vec::new();
    for name in database.collections()? {
        if only.is_none_or(|only| *only == name) && !database.replica().takes_part(&name)? {
            names.push(format!("`{name}`"));
        }
    }
    let sentence = || format!("not synced yet: {}; all documents go to the hub with the first sync", names.join(", "));
    Ok((!names.is_empty()).then(sentence))
}

/// What an op does, in one line.
fn content(operation: &Value) -> String {
    let kind = operation["op"].as_str().unwrap_or("?");
    let parts = ["doc", "set", "unset"].into_iter().filter_map(|name| operation.get(name));
    parts.fold(kind.to_owned(), |line, part| format!("{line} {part}"))
}

fn lost(edit: &LostEdit) -> Value {
    json!({
        "number": edit.number,
        "collection": edit.collection,
        "id": edit.id,
        "result": if edit.merged { "merged" } else { "superseded" },
        "lsn": edit.lsn,
        "operation": edit.operation,
        "decided_at": edit.decided_at,
    })
}

fn waits(op: &Unsynced) -> Value {
    json!({
        "number": op.number,
        "collection": op.collection,
        "id": op.id,
        "operation": op.operation,
        "made_at": op.made_at,
        "offered": op.offered,
        "transaction": op.transaction,
    })
}
