//! `syncline doctor`: looks at the configuration, the files or the database, the disk, the clock, Redis, the hub and its
//! readers, and says of each what is wrong and what to do. Mends nothing itself. [`finding`] is what a look finds; [`files`],
//! [`database`], [`link`] and [`readers`] look.

mod database;
mod files;
mod finding;
mod link;
mod readers;

use crate::config::{Config, Origin};
use crate::error::CliError;
use crate::groups::AdminArgs;
use crate::hub::{Admin, declared_tokens, options};
use crate::output::{Output, Style};
use finding::{Finding, Level};
use serde_json::json;
use std::path::Path;
use syncline_server::Options;
use syncline_server::store::Manifest;

/// Arguments of `syncline doctor`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Looks at the files of the data directory, or at the database, unless --hub names a hub elsewhere, and at the
running hub where it has a token for it. Reads every page of the files: a minute for some gigabytes.

Exit codes: 0 nothing is wrong (there may be something to look at), 1 something is wrong.

Examples:
  syncline doctor
  syncline doctor --data /var/lib/syncline --json
  syncline doctor --hub http://127.0.0.1:7460 --token TOKEN"
)]
pub struct Args {
    #[command(flatten)]
    admin: AdminArgs,
}

/// Looks at everything, and fails when something is wrong.
///
/// # Errors
/// Something is wrong, after all of it was shown.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    let findings = match args.admin.load() {
        Ok(config) => look(&config).await,
        Err(error) => vec![Finding::failed("configuration", &error)],
    };
    let faults = findings.iter().filter(|finding| finding.level == Level::Wrong).count();
    let answer = json!({ "well": faults == 0, "findings": findings });
    output
        .result(&answer, || findings.iter().map(|finding| describe(finding, output)).collect::<Vec<_>>().join("\n"))?;
    if faults == 0 { Ok(()) } else { Err(CliError::Unwell { faults }) }
}

async fn look(config: &Config) -> Vec<Finding> {
    let mut findings = configuration(config);
    if let Some(redis) = options(config).ok().and_then(|options| options.redis) {
        findings.push(link::look(&redis).await);
    }
    let here = config.hub().is_none();
    let database = match here.then(|| database::url(config)).transpose() {
        Ok(url) => url.flatten(),
        Err(error) => return [findings, vec![Finding::failed("store", &error)]].concat(),
    };
    if let Some(url) = &database {
        let (found, opens) = database::look(url, config).await;
        findings.extend(found);
        if !opens {
            return findings;
        }
    }
    let files = here && database.is_none();
    if files {
        let (data, drift_ms) = (config.data_dir(), config.number("limits.clock_drift_ms"));
        match tokio::task::spawn_blocking(move || files::look(&data, drift_ms)).await {
            Ok(found) => findings.extend(found),
            Err(error) => findings.push(Finding::failed("store", &CliError::Runtime(error.into()))),
        }
    }
    if let Some(backup) = files.then(|| Manifest::read(&config.data_dir()).ok()).flatten() {
        findings.push(a_backup(&config.data_dir(), &backup));
        return findings;
    }
    match Admin::open(config).await {
        Ok(admin) => {
            findings.extend(readers::look(&admin, config).await);
            if let Err(error) = admin.close().await {
                findings.push(Finding::failed("store", &error));
            }
        }
        // The files have said so.
        Err(CliError::NoHubData { .. } | CliError::Store(_)) if files => {}
        Err(CliError::HubRuns { .. } | CliError::NoToken { .. }) => findings.push(Finding::look(
            "hub",
            "a hub runs there, and nobody asked it how it is".into(),
            "add --token ADMIN_TOKEN, so that it can be asked".into(),
        )),
        Err(error) => findings.push(Finding::failed("hub", &error)),
    }
    findings
}

/// Its files were looked at; nobody opens it as a hub's data, which would leave something in it.
fn a_backup(dir: &Path, manifest: &Manifest) -> Finding {
    let says = format!("{} is a backup of {}, and no hub runs on a backup", dir.display(), manifest.made_at);
    let next = format!("make a data directory of it: syncline restore {} --data NEW_DIRECTORY", dir.display());
    Finding::look("hub", says, next)
}

fn configuration(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "configuration";
    let mut findings = Vec::new();
    match options(config).and_then(|options| Ok(Options { tokens: declared_tokens(config)?, ..options })) {
        Ok(options) => findings.extend(options.open_beside_rows().into_iter().map(|(what, beside)| {
            let next = "name its `collections` to leave them out".into();
            Finding::look(CHECK, format!("{what}: {beside}"), next)
        })),
        Err(error) => findings.push(Finding::failed(CHECK, &error)),
    }
    for name in &config.strange_variables {
        let next = "check its spelling: `syncline config --json` lists the variables that set something".into();
        findings.push(Finding::look(CHECK, format!("the variable {name} sets nothing"), next));
    }
    let listen = config.text("listen").unwrap_or_default();
    let near = ["127.", "localhost:", "[::1]:", "unix:"].iter().any(|start| listen.starts_with(start));
    if !near && config.text("tls.cert").is_none() {
        findings.push(Finding::look(
            CHECK,
            format!("the hub listens on {listen} without TLS: tokens can be read on the way"),
            "set tls.cert and tls.key, or let only a proxy with TLS reach that address".into(),
        ));
    }
    if findings.is_empty() {
        let from = config.file.as_ref().map_or_else(|| Origin::Default.to_string(), |file| file.display().to_string());
        findings.push(Finding::fine(CHECK, format!("it is read ({from})")));
    }
    findings
}

fn describe(finding: &Finding, output: Output) -> String {
    let (style, word) = match finding.level {
        Level::Fine => (Style::Good, "fine "),
        Level::Look => (Style::Attention, "look "),
        Level::Wrong => (Style::Bad, "WRONG"),
    };
    let next = finding.next.as_ref().map(|next| format!("\n       next: {next}")).unwrap_or_default();
    format!("{}  {}: {}{next}", output.paint(style, word), finding.check, finding.says)
}
