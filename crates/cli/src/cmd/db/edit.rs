//! `db insert`, `db update`, `db replace`, `db upsert`, `db remove`: writing.

use super::{Place, input};
use crate::error::CliError;
use crate::output::Output;
use serde_json::{Value, json};
use syncline::filter::Filter;

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

/// Arguments of `db upsert`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  syncline db upsert notes.db notes '{\"_id\": \"n2\", \"title\": \"bread and butter\"}'
  syncline db upsert notes.db notes < notes.ndjson")]
pub struct UpsertArgs {
    #[command(flatten)]
    place: Place,
    /// JSON objects; without any, standard input gives one per line, or one list. A missing _id is made
    documents: Vec<String>,
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
    let updated = match target(&args.target)? {
        Target::Id(id) => collection.update(id, &patch).map(|_| 1)?,
        Target::All(filter) => collection.update_many(&filter, &patch)?,
    };
    output.result(&json!({ "updated": updated }), || format!("{updated} updated"))
}

/// Puts a new document in the place of one.
///
/// # Errors
/// Broken JSON, no such document; the database cannot be opened.
pub fn replace(args: &ReplaceArgs, output: Output) -> Result<(), CliError> {
    let document = input::object("the document", &args.document)?;
    let (_database, collection) = args.place.open_existing()?;
    collection.replace(&args.id, document)?;
    output.result(&json!({ "replaced": 1 }), || "1 replaced".into())
}

/// Puts documents in the place of those with the same ids and adds the others, all or none.
///
/// # Errors
/// Broken JSON; the database cannot be opened.
pub fn upsert(args: &UpsertArgs, output: Output) -> Result<(), CliError> {
    let documents = input::documents(&args.documents)?;
    let (_database, collection) = args.place.open()?;
    let stored = collection.upsert_many(documents)?;
    let ids: Vec<String> = stored.iter().map(id_of).collect();
    output.result(&json!({ "upserted": ids.len(), "ids": ids }), || ids.join("\n"))
}

/// Takes documents away.
///
/// # Errors
/// No such document; the database cannot be opened.
pub fn remove(args: &RemoveArgs, output: Output) -> Result<(), CliError> {
    let (_database, collection) = args.place.open_existing()?;
    let removed = match target(&args.target)? {
        Target::Id(id) if collection.remove(id)? => 1,
        Target::Id(id) => {
            return Err(CliError::NoSuchDocument { id: id.to_owned(), collection: args.place.collection.clone() });
        }
        Target::All(filter) => collection.remove_many(&filter)?,
    };
    output.result(&json!({ "removed": removed }), || format!("{removed} removed"))
}

/// Which documents are meant.
enum Target<'a> {
    /// One.
    Id(&'a str),
    /// All that match.
    All(Filter),
}

fn target(text: &str) -> Result<Target<'_>, CliError> {
    if text.trim_start().starts_with('{') {
        Ok(Target::All(Filter::parse(&input::object("the filter", text)?)?))
    } else {
        Ok(Target::Id(text))
    }
}

fn id_of(document: &Value) -> String {
    document.get("_id").and_then(Value::as_str).unwrap_or_default().to_owned()
}
