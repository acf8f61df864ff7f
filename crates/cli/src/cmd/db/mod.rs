//! `syncline db`: an embedded database from a shell. Everything is done by the client library; this
//! reads arguments and prints results.

mod edit;
mod exchange;
mod fates;
mod find;
mod index;
pub mod input;
pub mod progress;
mod state;
mod sync;
mod transfer;
mod watch;

pub use sync::{LinkArgs, send};

use crate::error::CliError;
use crate::output::Output;
use std::path::{Path, PathBuf};
use syncline::{Collection, Database};

/// Arguments of `syncline db`.
#[derive(Debug, clap::Args)]
#[command(after_help = "A database is one file; the first command makes it. One process opens it at a time.
Documents and filters are JSON in quotes; a `-` in their place reads them from standard input.

Examples:
  syncline db insert notes.db notes '{\"title\": \"milk\", \"done\": false}'
  syncline db find notes.db notes '{\"done\": false}' --sort title --limit 10
  syncline db update notes.db notes ID '{\"done\": true}'
  syncline db sync notes.db --hub http://127.0.0.1:7460 --token TOKEN --collections notes
  syncline db export notes.db notes notes.csv")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Add documents
    Insert(edit::InsertArgs),
    /// Show the documents that match a filter
    Find(find::FindArgs),
    /// Show one document by its id
    Get(find::GetArgs),
    /// Count the documents that match a filter
    Count(find::CountArgs),
    /// Change fields of documents (JSON merge patch: null takes a field away)
    Update(edit::UpdateArgs),
    /// Put a whole new document in the place of one
    Replace(edit::ReplaceArgs),
    /// Put whole documents in the place of those with the same ids, and add the others
    Upsert(edit::UpsertArgs),
    /// Take documents away
    Remove(edit::RemoveArgs),
    /// Make, show or take away indexes
    Index(index::Args),
    /// Show the documents that match a filter, again after every change, while syncing with a hub
    Watch(watch::Args),
    /// Bring the database and a hub to the same state
    Sync(sync::Args),
    /// Exchange packets with a hub by file, without a network
    Exchange(exchange::Args),
    /// Read documents from a JSON, NDJSON or CSV file
    Import(transfer::ImportArgs),
    /// Write documents to a JSON, NDJSON or CSV file
    Export(transfer::ExportArgs),
    /// Show the collections and what waits to be synced
    Status(state::StatusArgs),
    /// Show, retry or drop ops that could not be applied
    Quarantine(state::QuarantineArgs),
    /// Show own edits that lost against concurrent ones; make them again
    Conflicts(fates::ConflictsArgs),
    /// Show, change or give up edits that the hub has not receipted
    Unsynced(fates::UnsyncedArgs),
}

/// A database file and a collection in it.
#[derive(Debug, clap::Args)]
struct Place {
    /// The database file; writing makes it when it is missing
    file: PathBuf,
    /// The collection
    collection: String,
}

impl Place {
    fn open(&self) -> Result<(Database, Collection), CliError> {
        let database = Database::open(&self.file)?;
        let collection = database.collection(&self.collection)?;
        Ok((database, collection))
    }

    /// For commands that only read: a file that is not there is a mistake, not an empty database.
    fn open_existing(&self) -> Result<(Database, Collection), CliError> {
        must_exist(&self.file)?;
        self.open()
    }
}

/// For commands that make no database: an empty file is none either, and opening it would make one of it.
///
/// # Errors
/// [`CliError::NoDatabase`].
pub fn must_exist(file: &Path) -> Result<(), CliError> {
    let holds_something = std::fs::metadata(file).is_ok_and(|found| found.len() > 0);
    if holds_something { Ok(()) } else { Err(CliError::NoDatabase { file: file.to_owned() }) }
}

/// Uses an embedded database.
///
/// # Errors
/// The database is in use or refuses; an argument is not what it should be; a hub cannot be reached.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    match &args.action {
        Action::Insert(args) => edit::insert(args, output),
        Action::Find(args) => find::find(args, output),
        Action::Get(args) => find::get(args, output),
        Action::Count(args) => find::count(args, output),
        Action::Update(args) => edit::update(args, output),
        Action::Replace(args) => edit::replace(args, output),
        Action::Upsert(args) => edit::upsert(args, output),
        Action::Remove(args) => edit::remove(args, output),
        Action::Index(args) => index::run(args, output),
        Action::Watch(args) => watch::run(args, output).await,
        Action::Sync(args) => sync::run(args, output).await,
        Action::Exchange(args) => exchange::run(args, output),
        Action::Import(args) => transfer::import(args, output),
        Action::Export(args) => transfer::export(args, output),
        Action::Status(args) => state::status(args, output),
        Action::Quarantine(args) => state::quarantine(args, output),
        Action::Conflicts(args) => fates::conflicts(args, output),
        Action::Unsynced(args) => fates::unsynced(args, output),
    }
}
