//! `attach init`: a first mapping, proposed from the schema.

use super::{Place, is_known_kind};
use crate::error::CliError;
use crate::output::Output;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

/// Arguments of `attach init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    place: Place,
    /// Show the mapping instead of writing it
    #[arg(long)]
    dry_run: bool,
}

/// Proposes a mapping. A file that is there is never written over.
///
/// # Errors
/// There is no database, or the file exists.
pub fn run(args: &Args, output: Output) -> Result<(), CliError> {
    is_known_kind(&args.place.database)?;
    let text = syncline_attach::propose(&args.place.database)?;
    if args.dry_run {
        return output.result(&json!({ "mapping": text }), || text.clone());
    }
    let file = args.place.mapping_file();
    let made = OpenOptions::new().write(true).create_new(true).open(&file);
    let mut made = made.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => {
            let shown = file.display();
            CliError::Usage(format!("{shown} is there already; add --dry-run to see the proposal, or remove the file"))
        }
        _ => CliError::file("write", &file, source),
    })?;
    made.write_all(text.as_bytes()).map_err(|source| CliError::file("write", &file, source))?;
    output.result(&json!({ "mapping_file": file, "mapping": text }), || {
        format!(
            "wrote {}; look it over, then: syncline attach once {} --dry-run",
            file.display(),
            syncline_attach::attachment::shown(args.place.database.as_os_str())
        )
    })
}
