//! `db insert`, `db update`, `db replace`, `db remove`: writing.

use super::{Place, input};
use crate::error::CliError;
use crate::output::Output;
use serde_json::{Value, json};
use syncline::Collection;
use syncline::filter::Filter;
use syncline::query::Query;

/// Arguments of `db insert`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  syncline db insert notes.db notes '{\"title\": \"milk\"}' '{\"_id\": \"n2\", \"title\": \"bread\"}'
  echo '{\"title\": \"eggs\"}' | syncline db insert notes.db notes")]
pub struct InsertArgs {
    #[command(flatten)]
    place: Place,
    /// JSON objects; without any, standard input gives one per line, or one list. A missing _id is made
    documents: Vec<String>,
}

/// Arguments of `db update`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  syncline db update notes.db notes n2 '{\"done\": true, \"draft\": null}'
  syncline db update notes.db notes '{\"done\": true}' '{\"archived\": true}'")]
pub struct UpdateArgs {
    #[command(flatten)]
    place: Place,
    /// An id, or a filter (it begins with `{`) for every document that matches
    target: String,
    /// Fields to set; null takes a field away
    patch: String,
}

/// Arguments of `db replace`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  syncline db replace notes.db notes n2 '{\"title\": \"bread and butter\"}'")]
pub struct ReplaceArgs {
    #[command(flatten)]
    place: Place,
    /// The document's id
    id: String,
    /// The document afterwards
    document: String,
}

/// Arguments of `db remove`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  syncline db remove notes.db notes n2
  syncline db remove notes.db notes '{\"archived\": true}'")]
pub struct RemoveArgs {
    #[command(flatten)]
    place: Place,
    /// An id, or a filter (it begins with `{`) for every document that matches
    target: String,
}

/// Adds documents, all or none.
///
/// # Errors
/// Broken JSON, an id that is taken; the database cannot be opened.
pub fn insert(args: &InsertArgs, output: Output) -> Result<(), CliError> {
    let documents = input::documents(&args.documents)?;
    let (_database, collection) = args.place.open()?;
    let inserted = collection.insert_many(documents)?;
    let ids: Vec<String> = inserted.iter().map(id_of).collect();
    output.result(&json!({ "inserted": ids.len(), "ids": ids }), || ids.join("\n"))
}

/// Changes fields of one or several documents.
///
/// # Errors
/// Broken JSON, no such document; the database cannot be opened.
pub fn update(args: &UpdateArgs, output: Output) -> Result<(), CliError> {
    let patch = input::object("the patch", &args.patch)?;
    let (_database, collection) = args.place.open_existing()?;
    let ids = targets(&collection, &args.target)?;
    for id in &ids {
        collection.update(id, &patch)?;
    }
    output.result(&json!({ "updated": ids.len(), "ids": ids }), || format!("{} updated", ids.len()))
}

/// Puts a new document in the place of one.
///
/// # Errors
/// Broken JSON, no such document; the database cannot be opened.
pub fn replace(args: &ReplaceArgs, output: Output) -> Result<(), CliError> {
    let document = input::object("the document", &args.document)?;
    let (_database, collection) = args.place.open_existing()?;
    collection.replace(&args.id, document)?;
    output.result(&json!({ "replaced": 1, "ids": [args.id] }), || "1 replaced".into())
}

/// Takes documents away.
///
/// # Errors
/// No such document; the database cannot be opened.
pub fn remove(args: &RemoveArgs, output: Output) -> Result<(), CliError> {
    let (_database, collection) = args.place.open_existing()?;
    let ids = targets(&collection, &args.target)?;
    for id in &ids {
        collection.remove(id)?;
    }
    output.result(&json!({ "removed": ids.len(), "ids": ids }), || format!("{} removed", ids.len()))
}

/// The id that is named, or the ids of all documents that match.
fn targets(collection: &Collection, target: &str) -> Result<Vec<String>, CliError> {
    if !target.trim_start().starts_with('{') {
        return Ok(vec![target.to_owned()]);
    }
    let filter = Filter::parse(&input::object("the filter", target)?)?;
    Ok(collection.find(&Query::new(filter))?.iter().map(id_of).collect())
}

fn id_of(document: &Value) -> String {
    document.get("_id").and_then(Value::as_str).unwrap_or_default().to_owned()
}
