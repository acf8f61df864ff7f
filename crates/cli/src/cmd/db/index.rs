//! `db index`: what makes queries of a collection fast, and values unique.

use super::Place;
use crate::error::CliError;
use crate::output::{Output, Table};
use serde_json::{Value, json};
use syncline::index::IndexDef;

/// Arguments of `db index`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "An index makes equality, $in and ranges on its path fast; answers stay the same. Indexes are of
this file only: they do not travel to the hub.

Examples:
  syncline db index add notes.db notes price
  syncline db index add notes.db people email --unique --name one-mail
  syncline db index list notes.db notes
  syncline db index remove notes.db people one-mail"
)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make an index; the same one again is harmless
    Add(AddArgs),
    /// Show the indexes of a collection
    List(ListArgs),
    /// Take an index away
    Remove(RemoveArgs),
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    #[command(flatten)]
    place: Place,
    /// The field, or with dots a field inside a field
    path: String,
    /// Its name [default: the path]
    #[arg(long)]
    name: Option<String>,
    /// No two documents may share a value
    #[arg(long)]
    unique: bool,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct RemoveArgs {
    #[command(flatten)]
    place: Place,
    /// Its name, as `list` shows it
    name: String,
}

/// Makes, shows or takes away indexes.
///
/// # Errors
/// The database cannot be opened; a path or name that breaks a rule; two documents share a value of a
/// unique one; no such index.
pub fn run(args: &Args, output: Output) -> Result<(), CliError> {
    match &args.action {
        Action::Add(args) => add(args, output),
        Action::List(args) => list(args, output),
        Action::Remove(args) => remove(args, output),
    }
}

fn add(args: &AddArgs, output: Output) -> Result<(), CliError> {
    let (_database, collection) = args.place.open()?;
    let made = collection.create_index(args.name.as_deref(), &args.path, args.unique)?;
    output.result(&as_json(&made), || format!("index {} is made", made.name))
}

fn list(args: &ListArgs, output: Output) -> Result<(), CliError> {
    let (_database, collection) = args.place.open_existing()?;
    let all = collection.indexes()?;
    output.result(&all.iter().map(as_json).collect::<Vec<_>>(), || {
        if all.is_empty() {
            return format!("`{}` has no index", args.place.collection);
        }
        let mut table = Table::new(["NAME", "PATH", "UNIQUE"]);
        for index in &all {
            let unique = if index.unique { "yes" } else { "no" };
            table.row([index.name.clone(), index.path.to_string(), unique.to_owned()]);
        }
        table.render(output)
    })
}

fn remove(args: &RemoveArgs, output: Output) -> Result<(), CliError> {
    let (_database, collection) = args.place.open_existing()?;
    if !collection.drop_index(&args.name)? {
        return Err(CliError::NoSuchIndex { name: args.name.clone(), collection: args.place.collection.clone() });
    }
    output.result(&json!({ "removed": 1 }), || "1 removed".into())
}

fn as_json(index: &IndexDef) -> Value {
    json!({ "name": index.name, "path": index.path.to_string(), "unique": index.unique })
}
