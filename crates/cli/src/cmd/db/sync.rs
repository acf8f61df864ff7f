//! `db sync`: one full round with a hub, or, with `--watch`, rounds until it is stopped.

use super::progress;
use crate::config::Config;
use crate::error::CliError;
use crate::groups::{ConfigArgs, HubArgs, way};
use crate::output::{Output, Style};
use crate::stop::Stop;
use futures_util::StreamExt;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use syncline::Database;
use syncline::sync::{
    DatabaseSync, ExchangeOptions, HttpApiClient, LogLevel, LoggingOptions, Protocol, SyncEvent, SyncOptions,
};
use syncline_core::model::{CollectionName, DocId, counted};

/// A hub that says nothing for so long is not waited for.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Arguments of `db sync`.
#[derive(Debug, clap::Args)]
#[command(after_help = "One round pulls everything that the database has not seen and pushes what the hub has not.
A hub that cannot be reached is an error here; nothing is lost by it, the next round goes on.

Examples:
  syncline db sync notes.db --hub http://127.0.0.1:7460 --token TOKEN --collections notes,tasks
  syncline db sync notes.db --hub http://127.0.0.1:7460 --token TOKEN --watch     until Ctrl-C
  syncline db sync notes.db --hub http://127.0.0.1:7460 --token TOKEN --protocol exchange")]
pub struct Args {
    /// The database file; made when it is missing
    file: PathBuf,
    #[command(flatten)]
    link: LinkArgs,
    /// Go on until Ctrl-C or SIGTERM, and show what happens
    #[arg(long)]
    watch: bool,
}

/// With which hub, and what.
#[derive(Debug, clap::Args)]
pub struct LinkArgs {
    #[command(flatten)]
    hub: HubArgs,
    /// The collections [default: those that the database holds]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    collections: Vec<String>,
    /// How edits travel: by the hub's log, or by numbered packets for a hub that knows this database as a node
    /// [default: as the file has synced before; a new one by lsn]
    #[arg(long, value_enum)]
    protocol: Option<Way>,
    #[command(flatten)]
    packets: PacketArgs,
    #[command(flatten)]
    config: ConfigArgs,
}

/// The protocols by name.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Way {
    Lsn,
    Exchange,
}

/// What packets name.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PacketArgs {
    /// With packets: UUID of the hub [default: 00000000-0000-4000-8000-000000000000]
    #[arg(long, value_name = "UUID")]
    hub_id: Option<String>,
    /// With packets: version of the data's schema [default: 1.0.0]
    #[arg(long, value_name = "VERSION")]
    schema_version: Option<String>,
}

impl PacketArgs {
    /// The options that they mean.
    pub fn options(&self) -> ExchangeOptions {
        let default = ExchangeOptions::default();
        ExchangeOptions {
            hub_id: self.hub_id.clone().unwrap_or(default.hub_id),
            schema_version: self.schema_version.clone().unwrap_or(default.schema_version),
        }
    }
}

impl LinkArgs {
    /// Connects the database to the hub; `also` is a collection that must be among those that sync.
    ///
    /// # Errors
    /// No hub, token or collection is named.
    pub fn connect(&self, database: &Database, auto: bool, also: Option<&str>) -> Result<DatabaseSync, CliError> {
        let config = self.config.load_with(self.hub.flags())?;
        let collections = self.collections_of(database, also)?;
        let protocol = match self.protocol {
            Some(Way::Lsn) => Protocol::Lsn,
            Some(Way::Exchange) => Protocol::Exchange,
            None => database.protocol(&collections)?.unwrap_or_default(),
        };
        let options = options(&config, collections, auto)?;
        Ok(database.sync(SyncOptions { protocol, exchange: self.packets.options(), ..options })?)
    }

    /// The hub to ask by hand what it shows to the token, and the collections.
    ///
    /// # Errors
    /// As [`LinkArgs::connect`].
    pub fn reading(&self, database: &Database) -> Result<(HttpApiClient, Vec<String>), CliError> {
        let config = self.config.load_with(self.hub.flags())?;
        let collections = self.collections_of(database, None)?;
        let (url, token) = way(&config)?;
        Ok((HttpApiClient::new(url, token, READ_TIMEOUT)?, collections))
    }

    fn collections_of(&self, database: &Database, also: Option<&str>) -> Result<Vec<String>, CliError> {
        let mut collections = self.collections.clone();
        collections.extend(also.filter(|also| !self.collections.iter().any(|name| name == also)).map(str::to_owned));
        if collections.is_empty() {
            collections = database.collections()?.iter().map(ToString::to_string).collect();
        }
        if collections.is_empty() {
            return Err(CliError::Usage(
                "the database holds no collection yet; say which to sync: --collections a,b".into(),
            ));
        }
        Ok(collections)
    }
}

fn options(config: &Config, collections: Vec<String>, auto: bool) -> Result<SyncOptions, CliError> {
    let (url, token) = way(config)?;
    Ok(SyncOptions {
        collections,
        auto_sync: auto,
        min_sync_interval_ms: config.number("client.interval"),
        max_sync_interval_ms: config.number("client.max_interval"),
        heartbeat_interval_ms: config.number("client.heartbeat"),
        push_batch_size: usize::try_from(config.number("client.batch")).unwrap_or(usize::MAX),
        logging: LoggingOptions { enabled: false, level: LogLevel::Error },
        ..SyncOptions::new(url, token)
    })
}

/// What a round did.
#[derive(Clone, Debug, Default, Serialize)]
struct Round {
    loaded: u64,
    pulled: u64,
    pushed: u64,
    conflicts: usize,
    quarantined: u64,
    pending: u64,
    lsn: u64,
    /// The documents in conflict. One conflict may be told twice: when the other edit is pulled, and when ours is receipted.
    #[serde(skip)]
    contested: BTreeSet<(CollectionName, DocId)>,
}

/// Syncs.
///
/// # Errors
/// The database is in use; the hub refuses or cannot be reached.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    let database = Database::open(&args.file)?;
    if args.watch {
        return watch(args, &database, output).await;
    }
    let sync = args.link.connect(&database, false, None)?;
    let round = once(&sync, output).await?;
    output.result(&round, || describe(&round, &args.file, output))
}

/// One full round. Returns how many ops were set aside in it.
///
/// # Errors
/// The hub refuses or cannot be reached.
pub async fn send(sync: &DatabaseSync, output: Output) -> Result<u64, CliError> {
    Ok(once(sync, output).await?.quarantined)
}

/// One full round.
async fn once(sync: &DatabaseSync, output: Output) -> Result<Round, CliError> {
    let bar = progress::counter(output, "documents");
    let counted = Arc::new(Mutex::new(Round::default()));
    let (count, shown) = (Arc::clone(&counted), bar.clone());
    sync.on("*", move |event| note(event, &mut count.lock().unwrap_or_else(PoisonError::into_inner), &shown))?;
    let outcome = sync.sync_now().await;
    bar.finish_and_clear();
    if !outcome.success {
        let reason = outcome.error.unwrap_or_else(|| "the round was not complete".into());
        let status = sync.status()?;
        let refused = status.state == "unauthorized"
            || !status.refused.is_empty()
            || status.push_refused.is_some()
            || status.pull_refused.is_some();
        return Err(if refused { CliError::SyncRefused(reason) } else { CliError::Sync(reason) });
    }
    let status = sync.status()?;
    let mut round = counted.lock().unwrap_or_else(PoisonError::into_inner).clone();
    (round.pending, round.lsn) = (status.pending, status.cursor.lsn.0);
    Ok(round)
}

fn note(event: &SyncEvent, round: &mut Round, bar: &ProgressBar) {
    match event {
        SyncEvent::InitialProgress { documents_loaded } => bar.set_position(*documents_loaded),
        SyncEvent::InitialComplete { documents_loaded, .. } => round.loaded += documents_loaded,
        SyncEvent::PullSuccess { pulled, .. } => round.pulled += pulled,
        SyncEvent::PushSuccess { pushed, .. } => {
            round.pushed += pushed;
            bar.inc(*pushed);
        }
        SyncEvent::Conflict(conflict) => {
            round.contested.insert((conflict.collection.clone(), conflict.id.clone()));
            round.conflicts = round.contested.len();
        }
        SyncEvent::Quarantine(_) => round.quarantined += 1,
        _ => {}
    }
}

fn describe(round: &Round, file: &Path, output: Output) -> String {
    // What the hub did not take is not the same here and there.
    let how = if round.quarantined == 0 { "in step" } else { "synced" };
    let mut text = format!("{how}: pulled {}, pushed {}", round.loaded + round.pulled, round.pushed);
    if round.conflicts > 0 {
        let remark = format!(
            "\n{} edited elsewhere at the same time; what of ours lost is kept: syncline db conflicts {}",
            counted(round.conflicts as u64, "document was", "documents were"),
            file.display()
        );
        text.push_str(&output.paint(Style::Attention, &remark));
    }
    if round.quarantined > 0 {
        let ops = counted(round.quarantined, "op was", "ops were");
        let remark = format!("\nnot taken: {ops} set aside: syncline db quarantine {}", file.display());
        text.push_str(&output.paint(Style::Attention, &remark));
    }
    text
}

/// Rounds until a signal; one line per event, with `--json` one JSON object per line.
async fn watch(args: &Args, database: &Database, output: Output) -> Result<(), CliError> {
    let mut stop = Stop::new()?;
    // Listens before the first round begins, so that no event of it is missed.
    let mut events = args.link.connect(database, false, None)?.events();
    let sync = args.link.connect(database, true, None)?;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = stop.wait() => None,
        };
        let Some(event) = event else { break };
        if let Some(line) = line_of(&event, output) {
            output.line(&line)?;
        }
    }
    sync.disable();
    Ok(())
}

fn line_of(event: &SyncEvent, output: Output) -> Option<String> {
    if output.json {
        return Some(json!({ "event": event.name(), "payload": event.payload() }).to_string());
    }
    Some(match event {
        SyncEvent::InitialComplete { documents_loaded, lsn } => {
            format!("loaded {}, at LSN {lsn}", counted(*documents_loaded, "document", "documents"))
        }
        SyncEvent::PullSuccess { pulled, lsn } => format!("pulled {pulled}, at LSN {lsn}"),
        SyncEvent::PushSuccess { pushed, .. } => format!("pushed {pushed}"),
        SyncEvent::Error { message, .. } => output.paint(Style::Bad, message),
        SyncEvent::Conflict(conflict) => output.paint(
            Style::Attention,
            &format!(
                "concurrent edit of `{}` in `{}`: ours was {:?}",
                conflict.id, conflict.collection, conflict.result
            ),
        ),
        SyncEvent::Quarantine(aside) => output.paint(Style::Attention, &format!("set aside: {}", aside.message)),
        _ => return None,
    })
}
