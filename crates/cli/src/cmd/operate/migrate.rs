//! `syncline migrate`: a hub from one kind of store to another.

use crate::error::CliError;
use crate::hub::password;
use crate::output::{Output, Style, Table};
use std::path::PathBuf;
use syncline_server::store::{self, MovePlace, Moved, PostgresUrl, StoreError};

/// Arguments of `syncline migrate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Moves everything: documents, logs with their positions, tokens, nodes, receipts, conflicts. Devices
notice nothing but the time it takes. Stop the hubs first: neither side may be in use. The source
stays as it is; the target must be new or empty, and has all of it or nothing.

Examples:
  syncline migrate --from sqlite:/var/lib/syncline --to postgres://hub@db.example/hub --password-file db-password
  syncline migrate --from postgres://hub@db.example/hub --to sqlite:/var/lib/syncline"
)]
pub struct Args {
    /// Where the hub is: sqlite:DIRECTORY or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "STORE")]
    from: String,
    /// Where it goes
    #[arg(long, value_name = "STORE")]
    to: String,
    /// A file that holds the database's password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Moves a hub.
///
/// # Errors
/// Either side is in use or cannot be used, or there is something at the target.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    let (from, to) = (place("--from", &args.from, args)?, place("--to", &args.to, args)?);
    let moved = store::migrate(&from, &to).await?;
    output.result(&moved, || {
        let title = output.paint(Style::Good, &format!("moved to {}", shown(&to)));
        let flag = match &to {
            MovePlace::Directory(dir) => format!("--data {}", dir.display()),
            MovePlace::Database(url) => format!("--store {url}"),
        };
        format!("{title}\n{}\nStart hubs on it: syncline serve {flag}", describe(&moved, output))
    })
}

fn place(flag: &str, text: &str, args: &Args) -> Result<MovePlace, CliError> {
    if let Some(dir) = text.strip_prefix("sqlite:") {
        return Ok(MovePlace::Directory(dir.into()));
    }
    if !text.starts_with("postgres") {
        let usage = "a directory is written sqlite:DIRECTORY and a database postgres://USER@HOST/DATABASE";
        return Err(CliError::Usage(format!("{flag}: {usage}")));
    }
    let url = PostgresUrl::parse(text).map_err(StoreError::from)?;
    Ok(MovePlace::Database(match &args.password_file {
        Some(file) => url.with_password(&password(file)?).map_err(StoreError::from)?,
        None => url,
    }))
}

fn shown(place: &MovePlace) -> String {
    match place {
        MovePlace::Directory(dir) => dir.display().to_string(),
        MovePlace::Database(url) => url.to_string(),
    }
}

fn describe(moved: &[Moved], output: Output) -> String {
    let mut table = Table::new(["SPACE", "HEAD", "ROWS", "EPOCH"]);
    for space in moved {
        table.row([space.space.to_string(), space.lsn.to_string(), space.rows.to_string(), space.epoch.to_string()]);
    }
    table.render(output)
}
