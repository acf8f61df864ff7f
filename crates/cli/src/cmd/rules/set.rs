//! `syncline rules set`: changes rules, and tells what of the documents that are there breaks them.

use super::{describe, looked, rules_of, told};
use crate::config::{read_bytes, read_millis};
use crate::error::CliError;
use crate::groups::SpaceArgs;
use crate::hub::{schema_file, unique_key};
use crate::output::Output;
use std::collections::BTreeSet;
use std::path::PathBuf;
use syncline_core::model::{CollectionName, CollectionRule, Strategy};

/// Arguments of `syncline rules set`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  syncline rules set users --unique email --unique country,number
  syncline rules set users --schema user.json --max-bytes '64 KiB'
  syncline rules set notes --strategy merge
  syncline rules set readings --retention 30d
  syncline rules set users --drop unique --drop schema")]
pub struct SetArgs {
    /// The collection; it need not hold anything yet
    collection: String,
    /// How concurrent edits are decided: last-write-wins, server-wins, client-wins or merge
    #[arg(long, value_name = "STRATEGY")]
    strategy: Option<String>,
    /// A field whose values no two documents share (address.city for one inside another), or several with commas between;
    /// all keys at once (repeatable)
    #[arg(long, value_name = "FIELDS")]
    unique: Vec<String>,
    /// A file with the JSON Schema of the documents; `-`: from standard input
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Bytes that a document may have as JSON text, e.g. 65536 or '64 KiB'
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<String>,
    /// Documents that nobody has changed for so long are removed, e.g. 90d
    #[arg(long, value_name = "DURATION")]
    retention: Option<String>,
    /// A rule that goes (repeatable)
    #[arg(long, value_name = "RULE", value_parser = ["strategy", "unique", "schema", "max-bytes", "retention"])]
    drop: Vec<String>,
    #[command(flatten)]
    space: SpaceArgs,
}

/// Changes the rules and tells what they led to.
///
/// # Errors
/// Nothing to change; a rule that cannot be used; the hub refuses, or cannot be reached.
pub async fn run(args: &SetArgs, output: Output) -> Result<(), CliError> {
    let name = CollectionName::new(&args.collection)?;
    let changes = args.changes()?;
    let summary = args
        .space
        .with(async |admin, space| {
            let mut view = rules_of(admin, space, &name).await?;
            for change in &changes {
                change(&mut view.rule);
            }
            admin.set_rules(space, &view).await.map_err(|error| in_doubt(&name, error))?;
            looked(admin, space, view, output, false).await
        })
        .await?;
    output.result(&summary, || format!("{}\n{}", describe(&summary.view, output), told(&summary)))
}

/// Where the hub went away in the middle, nobody knows here whether the rules stand.
fn in_doubt(name: &CollectionName, error: CliError) -> CliError {
    match error {
        CliError::Unreachable { url, reason } => CliError::RulesInDoubt { collection: name.to_string(), url, reason },
        other => other,
    }
}

type Change = Box<dyn Fn(&mut CollectionRule)>;

impl SetArgs {
    fn changes(&self) -> Result<Vec<Change>, CliError> {
        let mut changes: Vec<Change> = Vec::new();
        for rule in &self.drop {
            let also_set = match rule.as_str() {
                "strategy" => self.strategy.is_some(),
                "unique" => !self.unique.is_empty(),
                "schema" => self.schema.is_some(),
                "max-bytes" => self.max_bytes.is_some(),
                _ => self.retention.is_some(),
            };
            if also_set {
                return Err(CliError::Usage(format!(
                    "--{rule} sets what --drop {rule} takes away; leave out one of them"
                )));
            }
            changes.push(dropping(rule));
        }
        if let Some(word) = &self.strategy {
            let strategy = Strategy::parse(word).ok_or_else(|| {
                let words = "last-write-wins, server-wins, client-wins or merge";
                CliError::Usage(format!("`{word}` is no strategy; it is one of {words}"))
            })?;
            changes.push(Box::new(move |rule| rule.strategy = Some(strategy)));
        }
        if !self.unique.is_empty() {
            let keys = self.unique.iter().map(|text| unique_key(text)).collect::<Result<BTreeSet<_>, _>>()?;
            changes.push(Box::new(move |rule| rule.unique.clone_from(&keys)));
        }
        if let Some(file) = &self.schema {
            let schema = schema_file(file)?;
            changes.push(Box::new(move |rule| rule.schema = Some(schema.clone())));
        }
        if let Some(text) = &self.max_bytes {
            let wrong =
                || CliError::Usage(format!("--max-bytes takes a number of bytes such as '64 KiB', not `{text}`"));
            let bytes = read_bytes(text).ok_or_else(wrong)?;
            changes.push(Box::new(move |rule| rule.max_bytes = Some(bytes)));
        }
        if let Some(text) = &self.retention {
            let wrong =
                || CliError::Usage(format!("--retention takes a duration with its unit such as 90d, not `{text}`"));
            let keep_ms = read_millis(text).ok_or_else(wrong)?;
            changes.push(Box::new(move |rule| rule.retention_ms = Some(keep_ms)));
        }
        if changes.is_empty() {
            let flags = "--strategy, --unique, --schema, --max-bytes, --retention or --drop";
            return Err(CliError::Usage(format!("nothing to change is named; use {flags}")));
        }
        Ok(changes)
    }
}

fn dropping(rule: &str) -> Change {
    match rule {
        "strategy" => Box::new(|rule| rule.strategy = None),
        "unique" => Box::new(|rule| rule.unique.clear()),
        "schema" => Box::new(|rule| rule.schema = None),
        "max-bytes" => Box::new(|rule| rule.max_bytes = None),
        _ => Box::new(|rule| rule.retention_ms = None),
    }
}
