//! `attach once` and `attach run`: rounds of packets with a hub.

use super::Place;
use crate::cmd::db::progress;
use crate::error::CliError;
use crate::groups::{ConfigArgs, HubArgs, way};
use crate::output::{Output, Style};
use crate::stop::Stop;
use serde_json::json;
use std::time::Duration;
use syncline_attach::link::Link;
use syncline_attach::round::{Pace, Round};
use syncline_attach::{AttachError, Attachment};
use syncline_core::model::counted;
use tokio::time::Instant;

/// A hub that says nothing for so long is not waited for.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How often `run` looks whether the application has written.
const LOOK: Duration = Duration::from_millis(250);

/// Which database, which hub.
#[derive(Debug, clap::Args)]
struct Between {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    hub: HubArgs,
    /// The database's id as a node, as `syncline node add` shows it; needed the first time
    #[arg(long, value_name = "UUID")]
    node: Option<String>,
    /// Make triggers again that somebody has dropped, and compare every row with what was exchanged
    #[arg(long)]
    mend: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Arguments of `attach once`.
#[derive(Debug, clap::Args)]
pub struct OnceArgs {
    #[command(flatten)]
    between: Between,
    /// Show what would be exchanged; nothing is written or sent
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `attach run`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    between: Between,
    /// Ask the hub at least so often while something happens, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    interval: u64,
    /// And so often while nothing happens
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    max_interval: u64,
}

impl Between {
    fn link(&self) -> Result<Link, CliError> {
        let config = self.config.load_with(self.hub.flags())?;
        let (url, token) = way(&config)?;
        Ok(Link::new(url, token, READ_TIMEOUT)?)
    }

    fn open(&self) -> Result<Attachment, CliError> {
        self.place.open(self.node.clone(), self.mend)
    }
}

/// One round.
///
/// # Errors
/// As those of the library.
pub async fn once(args: &OnceArgs, output: Output) -> Result<(), CliError> {
    let mut attached = args.between.open()?;
    if args.dry_run {
        return dry_run(&attached, output);
    }
    let link = args.between.link()?;
    let bar = progress::counter(output, "objects");
    let round =
        attached.round(&link, |round| bar.set_position(round.sent + round.taken.stored + round.taken.removed)).await;
    bar.finish_and_clear();
    for remark in attached.remarks() {
        output.remark(&remark);
    }
    let round = round?;
    output.result(&round, || describe(&round, output))
}

fn dry_run(attached: &Attachment, output: Output) -> Result<(), CliError> {
    let preview = attached.preview()?;
    output.result(&preview, || {
        let mut lines = vec![match preview.attached {
            true => {
                "the database is attached already; a round would send what has changed since the last one".to_owned()
            }
            false => "a first round would make tables sync_* and triggers sync_*, and exchange:".to_owned(),
        }];
        lines.extend(
            preview
                .types
                .iter()
                .map(|of| (counted(of.rows, "row", "rows"), of))
                .map(|(rows, of)| format!("  {rows} of `{}` as {} ({})", of.table, of.kind, of.fields.join(", "))),
        );
        lines.join("\n")
    })
}

fn describe(round: &Round, output: Output) -> String {
    let taken = &round.taken;
    let mut text = format!("in step: sent {}, stored {}, removed {}", round.sent, taken.stored, taken.removed);
    let mut remark = |count: u64, (one, many): (&str, &str), words: &str| {
        if count > 0 {
            let line = format!("\n{} {words}", counted(count, one, many));
            text.push_str(&output.paint(Style::Attention, &line));
        }
    };
    remark(taken.conflicts, ("edit", "edits"), "lost against others; syncline attach status shows both sides");
    let aside = taken.aside + round.kept_back;
    remark(aside, ("object was", "objects were"), "set aside; syncline attach status says why");
    for (kind, count) in &taken.unmapped {
        let words = format!("of type {kind} left at the hub, for want of a table in the mapping");
        remark(*count, ("object", "objects"), &words);
    }
    text
}

/// Rounds until a signal.
///
/// # Errors
/// The mapping does not fit at the start. What goes wrong later is told, and tried again.
pub async fn run(args: &RunArgs, output: Output) -> Result<(), CliError> {
    let mut stop = Stop::new()?;
    let link = args.between.link()?;
    let mut attached = args.between.open()?;
    attached.prepare()?;
    let mut pace = Pace::new(args.interval.saturating_mul(1_000), args.max_interval.saturating_mul(1_000));
    let mut version = 0;
    loop {
        let outcome = tokio::select! {
            outcome = attached.round(&link, |_| {}) => outcome,
            _ = stop.wait() => return Ok(()),
        };
        for remark in attached.remarks() {
            tell(&json!({ "event": "remark", "message": remark }), &remark, output)?;
        }
        let (delay, failed) = match &outcome {
            Ok(round) => (pace.after(round), false),
            Err(error) => (pace.after_failure(error), true),
        };
        tell_outcome(&outcome, output)?;
        if wait(&attached, &mut stop, (delay, failed), &mut version).await {
            return Ok(());
        }
    }
}

/// Waits for the next round, or for the application to write; whether it is time to stop.
async fn wait(attached: &Attachment, stop: &mut Stop, (delay, failed): (Duration, bool), version: &mut i64) -> bool {
    let due = Instant::now() + delay;
    loop {
        let look = if failed { due } else { due.min(Instant::now() + LOOK) };
        tokio::select! {
            () = tokio::time::sleep_until(look) => {}
            _ = stop.wait() => return true,
        }
        // A database that cannot be looked at is the next round's trouble.
        if Instant::now() >= due || attached.has_written(version).unwrap_or(true) {
            return false;
        }
    }
}

fn tell_outcome(outcome: &Result<Round, AttachError>, output: Output) -> Result<(), CliError> {
    match outcome {
        Ok(round)
            if round.sent + round.taken.stored + round.taken.removed + round.kept_back + round.taken.aside == 0 =>
        {
            Ok(())
        }
        Ok(round) => tell(&json!({ "event": "round", "payload": round }), &describe(round, output), output),
        Err(error) => {
            let text = output.paint(Style::Bad, &error.to_string());
            tell(&json!({ "event": "error", "message": error.to_string() }), &text, output)
        }
    }
}

fn tell(event: &serde_json::Value, text: &str, output: Output) -> Result<(), CliError> {
    output.line(&if output.json { event.to_string() } else { text.to_owned() })
}
