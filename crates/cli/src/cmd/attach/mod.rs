//! `syncline attach`: an existing SQL database as a node. Everything is done by the library `syncline-attach`; this reads
//! arguments and prints results.

mod init;
mod rounds;
mod status;

use crate::error::CliError;
use crate::output::Output;
use std::fs;
use std::path::{Path, PathBuf};
use syncline_attach::attachment::{is_address, remove, shown};
use syncline_attach::{AttachError, Attachment, Mapping, Options};

/// Arguments of `syncline attach`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The application goes on as before: triggers register what it changes, and packets carry it.
A mapping file says which tables are exchanged; `init` writes a first one.

Examples:
  syncline attach init shop.db                          writes shop.db.toml, to be looked over
  syncline node add --code SHOP-1                       at the hub: shows the node's id and token
  syncline attach once shop.db --node ID --token TOKEN --hub http://127.0.0.1:7460
  syncline attach run shop.db --token TOKEN --hub http://127.0.0.1:7460    until Ctrl-C
  syncline attach status shop.db
  syncline attach remove shop.db                        takes tables and triggers of Syncline away
  syncline attach init postgres://ann@db.example/shop   a PostgreSQL database; writes ./shop.toml
A password comes from the address or from PGPASSWORD. Tables are those of the first schema of the search path.")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Propose a mapping by reading the schema; the database stays as it is
    Init(init::Args),
    /// Exchange packets with a hub until both have everything; attaches the database the first time
    Once(rounds::OnceArgs),
    /// Go on exchanging packets until Ctrl-C or SIGTERM
    Run(rounds::RunArgs),
    /// Show where the exchange stands, what was set aside, and edits that lost
    Status(status::Args),
    /// Take everything of Syncline out of the database; rows stay as they are
    Remove(RemoveArgs),
}

/// A database and its mapping.
#[derive(Debug, clap::Args)]
struct Place {
    /// The SQLite file of the application, or postgres://USER@HOST/DATABASE
    database: PathBuf,
    /// The mapping file [default: FILE.toml beside the file, or ./DATABASE.toml]
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// Wait so long for a lock of the application, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    busy_timeout: u64,
}

#[derive(Debug, clap::Args)]
struct RemoveArgs {
    /// The SQLite file of the application, or postgres://USER@HOST/DATABASE
    database: PathBuf,
    /// Even if changes have not reached the hub
    #[arg(long)]
    force: bool,
    /// Wait so long for a lock of the application, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    busy_timeout: u64,
}

impl Place {
    fn mapping_file(&self) -> PathBuf {
        self.mapping.clone().unwrap_or_else(|| {
            let mut name = self.database.as_os_str().to_owned();
            if let Some(address) = self.database.to_str().filter(|_| is_address(&name)) {
                let place = address.split('?').next().unwrap_or_default();
                name = place.rsplit('/').next().unwrap_or_default().into();
            }
            name.push(".toml");
            PathBuf::from(name)
        })
    }

    fn open(&self, node: Option<String>, mend: bool) -> Result<Attachment, CliError> {
        is_known_kind(&self.database)?;
        let file = self.mapping_file();
        if !file.exists() {
            return Err(CliError::NoMapping { file });
        }
        let text = fs::read_to_string(&file).map_err(|source| CliError::file("read", &file, source))?;
        let mapping = Mapping::parse(&text).map_err(|error| in_file(&file, error))?;
        let options = Options { node, mend, busy_timeout_ms: self.busy_timeout, ..Options::default() };
        Attachment::open(&self.database, mapping, options).map_err(|error| in_file(&file, error))
    }
}

/// What is wrong with a mapping names the file.
fn in_file(file: &Path, error: AttachError) -> CliError {
    match error {
        AttachError::Syntax(_) | AttachError::Mapping { .. } => {
            CliError::Mapping { file: file.to_owned(), source: error }
        }
        error => error.into(),
    }
}

fn is_known_kind(database: &Path) -> Result<(), CliError> {
    let name = database.to_string_lossy();
    if name.contains("://") && !is_address(database.as_os_str()) {
        let kind = name.split("://").next().unwrap_or_default();
        let reason = format!("`{kind}://…` cannot be attached; name a SQLite file or postgres://USER@HOST/DATABASE");
        return Err(CliError::Usage(reason));
    }
    Ok(())
}

/// Uses an attached database.
///
/// # Errors
/// The mapping does not fit; the database is locked or refuses; the hub refuses or cannot be reached.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    match &args.action {
        Action::Init(args) => init::run(args, output),
        Action::Once(args) => rounds::once(args, output).await,
        Action::Run(args) => rounds::run(args, output).await,
        Action::Status(args) => status::run(args, output),
        Action::Remove(args) => {
            is_known_kind(&args.database)?;
            remove(&args.database, args.busy_timeout, args.force)?;
            let file = shown(args.database.as_os_str());
            output.result(&serde_json::json!({ "removed": file }), || {
                format!("{file} is an ordinary database again; its rows are as they were")
            })
        }
    }
}
