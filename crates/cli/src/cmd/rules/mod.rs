//! `syncline rules`: what collections demand of their documents, and which documents break it.

mod set;

use crate::cmd::db::progress;
use crate::error::CliError;
use crate::groups::SpaceArgs;
use crate::hub::Admin;
use crate::output::{Output, Style, Table};
use set::SetArgs;
use syncline_core::model::{CollectionName, CollectionRule, SpaceName, UniqueKey, counted};
use syncline_server::rules::{CheckLine, RuleView, SetSummary};

/// Arguments of `syncline rules`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "The hub refuses an edit whose result would break a rule of its collection: its device gets
the reason, the op waits in quarantine, and nothing behind it waits. Documents that were there
before a rule stay as they are; `set` and `check` name those that break it.

Examples:
  syncline rules
  syncline rules set users --unique email --unique address.country,number
  syncline rules set users --schema user.json --max-bytes '64 KiB'
  syncline rules set readings --retention 30d
  syncline rules set users --drop schema
  syncline rules show users
  syncline rules check users
  syncline rules check users --export > violations.jsonl"
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    space: SpaceArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// The collections that have rules (the same without `list`)
    List(SpaceArgs),
    /// The rules of one collection
    Show(OneCollection),
    /// Change rules of a collection; those that are not named stay
    Set(SetArgs),
    /// Name the documents that break the rules of a collection
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
struct OneCollection {
    /// The collection
    collection: String,
    #[command(flatten)]
    space: SpaceArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 no document breaks a rule, 1 one does.")]
struct CheckArgs {
    #[command(flatten)]
    one: OneCollection,
    /// Every violation as one line of JSON
    #[arg(long)]
    export: bool,
}

/// Lists, shows, changes or checks rules.
///
/// # Errors
/// The hub refuses, or cannot be reached; no such space; a rule that cannot be used; documents that break one.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    match &args.command {
        None => list(&args.space, output).await,
        Some(Command::List(space)) => list(space, output).await,
        Some(Command::Show(one)) => {
            let name = CollectionName::new(&one.collection)?;
            let view = one.space.with(async |admin, space| rules_of(admin, space, &name).await).await?;
            output.result(&view, || describe(&view, output))
        }
        Some(Command::Set(args)) => set::run(args, output).await,
        Some(Command::Check(args)) => check(args, output).await,
    }
}

async fn list(space: &SpaceArgs, output: Output) -> Result<(), CliError> {
    let views = space.with(async |admin, space| admin.rules(space).await).await?;
    output.result(&views, || match views.len() {
        0 => "no collection has rules".to_owned(),
        _ => {
            let mut table = Table::new(["COLLECTION", "RULES", "FROM"]);
            for view in &views {
                let rules: Vec<String> =
                    words(&view.rule).into_iter().map(|(name, value)| format!("{name} {value}")).collect();
                table.row([view.collection.to_string(), rules.join("; "), origin(view).to_owned()]);
            }
            table.render(output)
        }
    })
}

/// The rules of one collection, where it has some.
async fn rules_of(admin: &Admin, space: &SpaceName, name: &CollectionName) -> Result<RuleView, CliError> {
    let all = admin.rules(space).await?;
    let none = RuleView { collection: name.clone(), rule: CollectionRule::default(), declared: false };
    Ok(all.into_iter().find(|view| view.collection == *name).unwrap_or(none))
}

fn origin(view: &RuleView) -> &'static str {
    if view.declared { "configuration" } else { "store" }
}

fn describe(view: &RuleView, output: Output) -> String {
    let title = output.paint(Style::Bold, &format!("{}  ({})", view.collection, origin(view)));
    let words = words(&view.rule);
    if words.is_empty() {
        return format!("`{}` has no rules", view.collection);
    }
    let lines = words.into_iter().map(|(name, value)| format!("  {name:<10} {value}"));
    let schema = view.rule.schema.as_ref().map(|schema| format!("{schema:#}"));
    [title].into_iter().chain(lines).chain(schema).collect::<Vec<_>>().join("\n")
}

/// The rules that are set, in words.
fn words(rule: &CollectionRule) -> Vec<(&'static str, String)> {
    let unique: Vec<String> = rule.unique.iter().map(names).collect();
    let all = [
        ("strategy", rule.strategy.map(|strategy| strategy.to_string())),
        ("unique", (!unique.is_empty()).then(|| unique.join(" "))),
        ("schema", rule.schema.as_ref().map(|schema| format!("{} bytes", schema.to_string().len()))),
        ("max-bytes", rule.max_bytes.map(|bytes| bytes.to_string())),
        ("retention", rule.retention_ms.map(crate::config::show_millis)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A key as flags name it.
fn names(key: &UniqueKey) -> String {
    key.names().collect::<Vec<_>>().join(",")
}

async fn check(args: &CheckArgs, output: Output) -> Result<(), CliError> {
    let name = CollectionName::new(&args.one.collection)?;
    let summary = args
        .one
        .space
        .with(async |admin, space| {
            let view = rules_of(admin, space, &name).await?;
            looked(admin, space, view, output, args.export).await
        })
        .await?;
    if !args.export {
        output.result(&summary, || told(&summary))?;
    }
    match summary.checked.violating {
        0 => Ok(()),
        n => Err(CliError::RulesBroken { collection: name.to_string(), documents: n }),
    }
}

/// Runs a check with its progress; `export`: every violation is written as a line.
async fn looked(
    admin: &Admin,
    space: &SpaceName,
    view: RuleView,
    output: Output,
    export: bool,
) -> Result<SetSummary, CliError> {
    let (name, bar) = (view.collection.clone(), progress::counter(output, "documents"));
    let mut summary = SetSummary::of(view);
    let take = |line: CheckLine| {
        if let CheckLine::Checked(checked) = &line {
            bar.set_position(checked.documents);
        }
        if let (true, CheckLine::Violation(violation)) = (export, &line) {
            output.line(&serde_json::to_string(violation).expect("violations serialize"))?;
        }
        summary.take(line);
        Ok(())
    };
    let done = admin.check_rules(space, &name, take).await;
    bar.finish_and_clear();
    done.map(|()| summary.ended())
}

fn told(summary: &SetSummary) -> String {
    let checked = &summary.checked;
    let name = &summary.view.collection;
    let mut lines: Vec<String> = match (checked.documents, checked.violating) {
        (0, _) => vec![format!("`{name}` holds no document")],
        (1, 0) => vec!["1 document, and it keeps the rules".to_owned()],
        (all, 0) => vec![format!("{all} documents, and all keep the rules")],
        (1, _) => vec!["the only document breaks the rules; it stays as it is:".to_owned()],
        (all, 1) => vec![format!("1 of {all} documents breaks the rules; it stays as it is:")],
        (all, some) => vec![format!("{some} of {all} documents break the rules; they stay as they are:")],
    };
    lines.extend(summary.violations.iter().map(|violation| format!("  {}", violation.reason)));
    if checked.violating > summary.violations.len() as u64 {
        lines.push(format!("  … all of them: syncline rules check {name} --export"));
    }
    if checked.overdue > 0 {
        let keep = summary.view.rule.retention_ms.map(crate::config::show_millis).unwrap_or_default();
        let documents = counted(checked.overdue, "document was", "documents were");
        let them = if checked.overdue == 1 { "it" } else { "them" };
        lines.push(format!(
            "warning: {documents} changed last longer ago than `retention` ({keep}): the hub's next round \
             (`retention.trim_every`) removes {them} for every reader; `syncline rules set {name} --drop retention` keeps {them}"
        ));
    }
    lines.extend(summary.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}
