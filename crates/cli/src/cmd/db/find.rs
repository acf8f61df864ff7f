//! `db find`, `db get`, `db count`: reading.

use super::{Place, input};
use crate::error::CliError;
use crate::output::Output;
use serde_json::{Value, json};
use syncline::filter::Filter;
use syncline::query::{Projection, Query};

/// Arguments of `db find`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  syncline db find notes.db notes
  syncline db find notes.db notes '{\"done\": false, \"tags\": {\"$in\": [\"home\", \"work\"]}}'
  syncline db find notes.db notes '{\"price\": {\"$gte\": 10}}' --sort -price --limit 5 --project name")]
pub struct FindArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    question: Question,
}

/// Which documents, in which order, how many, which fields.
#[derive(Debug, clap::Args)]
pub struct Question {
    /// Which documents, e.g. '{"age": {"$gte": 18}}' [default: all]
    #[arg(default_value = "{}", hide_default_value = true)]
    filter: String,
    /// Order: fields, with `-` for descending (-age,name), or '{"age": -1, "name": 1}'
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
    sort: Option<String>,
    /// At most so many documents
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Leave out so many of the first documents
    #[arg(long, value_name = "N")]
    skip: Option<usize>,
    /// Only these fields (name,address.city), or '{"name": 1}', or all but these: '{"history": 0}'
    #[arg(long, value_name = "FIELDS")]
    project: Option<String>,
}

impl Question {
    /// The query that the arguments mean.
    ///
    /// # Errors
    /// Broken JSON, unknown operators.
    pub fn query(&self) -> Result<Query, CliError> {
        let mut query = Query::new(Filter::parse(&input::object("the filter", &self.filter)?)?);
        if let Some(sort) = &self.sort {
            query = query.sort_by_json(&fields("--sort", sort)?)?;
        }
        if let Some(project) = &self.project
            && let Some(projection) = Projection::parse(&fields("--project", project)?)?
        {
            query = query.project(projection);
        }
        if let Some(limit) = self.limit {
            query = query.limit(limit);
        }
        Ok(query.skip(self.skip.unwrap_or(0)))
    }
}

/// `-age,name` as `{"age": -1, "name": 1}`; JSON stays what it is.
fn fields(what: &str, text: &str) -> Result<Value, CliError> {
    if text.trim_start().starts_with('{') {
        return input::object(what, text);
    }
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    Ok(Value::Object(
        names
            .map(|name| name.strip_prefix('-').map_or((name.into(), json!(1)), |name| (name.into(), json!(-1))))
            .collect(),
    ))
}

/// Arguments of `db get`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  syncline db get notes.db notes 0192f3c1-6d1e-7c51-9c1f-6a2d9a0b7f10")]
pub struct GetArgs {
    #[command(flatten)]
    place: Place,
    /// The document's id
    id: String,
}

/// Arguments of `db count`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  syncline db count notes.db notes '{\"done\": true}'")]
pub struct CountArgs {
    #[command(flatten)]
    place: Place,
    /// Which documents [default: all]
    #[arg(default_value = "{}", hide_default_value = true)]
    filter: String,
}

/// Shows the documents that match.
///
/// # Errors
/// A wrong filter; the database cannot be opened.
pub fn find(args: &FindArgs, output: Output) -> Result<(), CliError> {
    let query = args.question.query()?;
    let (database, collection) = args.place.open_existing()?;
    let found = collection.find(&query)?;
    if output.json || !found.is_empty() {
        return output.result(&found, || lines(&found));
    }
    let known = database.collections()?;
    if known.contains(collection.name()) {
        output.remark("no document matches");
    } else {
        let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        output.remark(&format!(
            "there is no collection `{}` in {}; it holds {}",
            collection.name(),
            args.place.file.display(),
            if names.is_empty() { "nothing yet".into() } else { names.join(", ") },
        ));
    }
    Ok(())
}

/// One document per line, so that other programs of the shell can take them one by one.
pub fn lines(documents: &[Value]) -> String {
    documents.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
}

/// Shows one document.
///
/// # Errors
/// No such document; the database cannot be opened.
pub fn get(args: &GetArgs, output: Output) -> Result<(), CliError> {
    let (_database, collection) = args.place.open_existing()?;
    let found = collection
        .get(&args.id)?
        .ok_or_else(|| CliError::NoSuchDocument { id: args.id.clone(), collection: args.place.collection.clone() })?;
    output.result(&found, || serde_json::to_string_pretty(&found).unwrap_or_default())
}

/// Counts the documents that match.
///
/// # Errors
/// A wrong filter; the database cannot be opened.
pub fn count(args: &CountArgs, output: Output) -> Result<(), CliError> {
    let filter = Filter::parse(&input::object("the filter", &args.filter)?)?;
    let (_database, collection) = args.place.open_existing()?;
    let count = collection.count(&filter)?;
    output.result(&json!({ "count": count }), || count.to_string())
}
