//! `db status` and `db quarantine`: what a database holds, what waits, and what was set aside.

use super::{input, must_exist};
use crate::error::CliError;
use crate::output::{Output, Style, Table};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use syncline::filter::Filter;
use syncline::{Database, Quarantined};
use syncline_core::model::{CollectionName, counted};

/// Arguments of `db status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  syncline db status notes.db")]
pub struct StatusArgs {
    /// The database file
    file: PathBuf,
}

/// Arguments of `db quarantine`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  syncline db quarantine notes.db                   list what was set aside, and why
  syncline db quarantine notes.db --retry 3         put number 3 back, after the cause is gone
  syncline db quarantine notes.db --retry 3 '{\"_id\": \"n1\", \"title\": \"shorter\"}'   with another content
  syncline db quarantine notes.db --export          each op as one line of JSON
  syncline db quarantine notes.db --discard 3       give number 3 up")]
pub struct QuarantineArgs {
    /// The database file
    file: PathBuf,
    /// Only of this collection
    #[arg(long)]
    collection: Option<String>,
    /// Apply the op with this number again
    #[arg(long, value_name = "NUMBER", conflicts_with = "discard")]
    retry: Option<i64>,
    /// Another content for --retry: of an insert or a replacement the document, of an update `set` and `unset`
    #[arg(value_name = "JSON", requires = "retry")]
    content: Option<String>,
    /// Print each op as one line of JSON
    #[arg(long, conflicts_with_all = ["retry", "discard"])]
    export: bool,
    /// Give the op with this number up for good
    #[arg(long, value_name = "NUMBER")]
    discard: Option<i64>,
}

/// Shows collections, documents and what waits for the hub.
///
/// # Errors
/// The database cannot be opened.
pub fn status(args: &StatusArgs, output: Output) -> Result<(), CliError> {
    must_exist(&args.file)?;
    let database = Database::open(&args.file)?;
    let mut collections = Vec::new();
    let replica = database.replica();
    for name in database.collections()? {
        let documents = database.collection(name.as_str())?.count(&Filter::all())?;
        let recorded = replica.takes_part(&name)?;
        let pending = match recorded {
            true => replica.backlog(&BTreeSet::from([name.clone()]))?.pending,
            false => documents as u64,
        };
        collections.push((name.to_string(), documents, pending, recorded));
    }
    let node = replica.node()?;
    let (quarantined, lost) = (replica.quarantined(None)?.len(), replica.conflicts(None)?.len());
    let value = json!({
        "file": args.file,
        "node": node,
        "pending": collections.iter().map(|(_, _, pending, _)| pending).sum::<u64>(),
        "quarantined": quarantined,
        "conflicts": lost,
        "collections": collections.iter().map(|(name, documents, pending, _)| {
            json!({ "name": name, "documents": documents, "pending": pending })
        }).collect::<Vec<_>>(),
    });
    output.result(&value, || {
        let mut table = Table::new(["COLLECTION", "DOCUMENTS", "WAITING FOR THE HUB"]);
        for (name, documents, pending, recorded) in &collections {
            let waiting = if *recorded { pending.to_string() } else { format!("{pending}, with its first sync") };
            table.row([name.clone(), documents.to_string(), waiting]);
        }
        let mut text = format!("node {node}\n{}", table.render(output));
        if quarantined > 0 {
            let ops = counted(quarantined as u64, "op was", "ops were");
            let remark = format!("\n{ops} set aside: syncline db quarantine {}", args.file.display());
            text.push_str(&output.paint(Style::Attention, &remark));
        }
        if lost > 0 {
            let edits = counted(lost as u64, "edit", "edits");
            let remark = format!("\n{edits} lost against others: syncline db conflicts {}", args.file.display());
            text.push_str(&output.paint(Style::Attention, &remark));
        }
        text
    })
}

/// Lists, retries or discards what was set aside.
///
/// # Errors
/// The database cannot be opened; no such number; the cause still stands.
pub fn quarantine(args: &QuarantineArgs, output: Output) -> Result<(), CliError> {
    must_exist(&args.file)?;
    let replica = Database::open(&args.file)?.replica();
    if let Some(number) = args.retry {
        let content = args.content.as_deref().map(|text| input::object("the content", text)).transpose()?;
        replica.retry_quarantined(number, content.as_ref())?;
        return output.result(&json!({ "retried": number }), || format!("number {number} is applied again"));
    }
    if let Some(number) = args.discard {
        replica.discard_quarantined(number)?;
        return output.result(&json!({ "discarded": number }), || format!("number {number} is given up"));
    }
    let collection = args.collection.as_ref().map(CollectionName::new).transpose()?;
    let all = replica.quarantined(collection.as_ref())?;
    if args.export {
        return all.iter().try_for_each(|aside| output.line(&as_json(aside).to_string()));
    }
    output.result(&all.iter().map(as_json).collect::<Vec<_>>(), || {
        if all.is_empty() {
            return "nothing was set aside".into();
        }
        let mut table = Table::new(["NUMBER", "COLLECTION", "DOCUMENT", "WHEN", "WHY"]);
        for aside in &all {
            let id = aside.id.as_ref().map_or("*".into(), ToString::to_string);
            let when = aside.quarantined_at.iso();
            table.row([aside.number.to_string(), aside.collection.to_string(), id, when, aside.message.clone()]);
        }
        table.render(output)
    })
}

fn as_json(aside: &Quarantined) -> Value {
    json!({
        "number": aside.number,
        "collection": aside.collection,
        "id": aside.id,
        "operation": aside.operation,
        "code": aside.code,
        "message": aside.message,
        "quarantined_at": aside.quarantined_at,
    })
}
