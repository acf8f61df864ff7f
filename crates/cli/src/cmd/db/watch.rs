//! `db watch`: a live query in a terminal. One process opens a database at a time, so changes reach
//! it by syncing with a hub, which this does meanwhile.

use super::Place;
use super::find::{Question, lines};
use super::sync::LinkArgs;
use crate::error::CliError;
use crate::output::{Output, Style};
use crate::stop::Stop;
use futures_util::StreamExt;
use serde_json::Value;
use syncline::sync::{DatabaseSync, SyncEvent};
use syncline_core::model::counted;

/// Arguments of `db watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "With --json each result is one line: a list of documents.

Examples:
  syncline db watch notes.db notes '{\"done\": false}' --sort title --hub http://127.0.0.1:7460 --token TOKEN
  syncline db watch notes.db notes --updates 1 --hub http://127.0.0.1:7460 --token TOKEN")]
pub struct Args {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    question: Question,
    #[command(flatten)]
    link: LinkArgs,
    /// End after the first result and so many further ones [default: until Ctrl-C]
    #[arg(long, value_name = "N")]
    updates: Option<u64>,
}

/// Shows the answer to a query, again after every change.
///
/// # Errors
/// A wrong filter; the database is in use or cannot be read; no hub is named, or it refuses the token.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    let mut stop = Stop::new()?;
    let (database, collection) = args.place.open()?;
    let mut live = collection.watch(args.question.query()?)?;
    // Listens before the first round begins, so that a refusal is not missed.
    let mut events = args.link.connect(&database, false, Some(&args.place.collection))?.events();
    let sync = args.link.connect(&database, true, Some(&args.place.collection))?;
    let mut left = args.updates.map(|updates| updates + 1);
    while left != Some(0) {
        let found = tokio::select! {
            found = live.next() => found,
            Some(event) = events.next() => {
                trouble(&event, &sync, output)?;
                continue;
            }
            _ = stop.wait() => break,
        };
        let Some(found) = found else { break };
        show(&found?, output)?;
        left = left.map(|left| left - 1);
    }
    sync.disable();
    Ok(())
}

/// Says that the hub cannot be reached; a token that it refuses is no better tomorrow.
fn trouble(event: &SyncEvent, sync: &DatabaseSync, output: Output) -> Result<(), CliError> {
    let SyncEvent::Error { message, .. } = event else { return Ok(()) };
    if sync.status()?.state == "unauthorized" {
        return Err(CliError::SyncRefused(message.clone()));
    }
    output.remark(&output.paint(Style::Bad, message));
    Ok(())
}

fn show(found: &[Value], output: Output) -> Result<(), CliError> {
    if output.json {
        return output.line(&Value::from(found.to_vec()).to_string());
    }
    let title = output.paint(Style::Faint, &format!("— {} —", counted(found.len() as u64, "document", "documents")));
    output.line(format!("{title}\n{}", lines(found)).trim_end())
}
