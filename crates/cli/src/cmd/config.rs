//! `syncline config`: the effective configuration and where each value came from. Secrets stay
//! hidden; nothing is started or written.

use crate::config::{Config, Entry, KEYS, Kind, Value};
use crate::error::CliError;
use crate::groups::ConfigArgs;
use crate::hub::options;
use crate::output::{Output, Style, Table};
use serde_json::{Map, json};

/// Arguments of `syncline config`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  syncline config                          what a hub started here would use
  syncline config --config /etc/syncline.toml
  SYNCLINE_LISTEN=0.0.0.0:80 syncline config --set limits.depth=32 --json")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Shows the configuration.
///
/// # Errors
/// The configuration is wrong, also in what only a hub looks at: it is shown before that.
pub fn run(args: &Args, output: Output) -> Result<(), CliError> {
    let config = args.config.load()?;
    output.result(&as_json(&config), || as_text(&config, output))?;
    // What the table of keys alone cannot check: a hub would stop at it.
    options(&config).map(drop)
}

fn as_json(config: &Config) -> serde_json::Value {
    let values: Map<String, serde_json::Value> = KEYS
        .iter()
        .map(|key| {
            let (value, origin) = config.entry(key.name);
            let entry = json!({
                "value": value.json(key.kind),
                "origin": origin.to_string(),
                "variable": key.variable(),
                "about": key.about,
            });
            (key.name.to_owned(), entry)
        })
        .collect();
    json!({
        "file": config.file,
        "values": values,
        "tokens": config.tokens.iter().map(entry_json).collect::<Vec<_>>(),
        "collections": config.collections.iter().map(entry_json).collect::<Vec<_>>(),
        "rooms": config.rooms.iter().map(entry_json).collect::<Vec<_>>(),
        "strange_variables": config.strange_variables,
    })
}

fn entry_json(entry: &Entry) -> serde_json::Value {
    let fields = entry.values.iter().map(|(name, value)| ((*name).to_owned(), value.json(kind_of(name))));
    let mut fields: Map<String, serde_json::Value> = fields.collect();
    fields.insert("origin".into(), json!(entry.place));
    serde_json::Value::Object(fields)
}

fn kind_of(name: &str) -> Kind {
    if name == "secret" { Kind::Secret } else { Kind::Text }
}

fn as_text(config: &Config, output: Output) -> String {
    let mut table = Table::new(["KEY", "VALUE", "FROM"]);
    for key in KEYS {
        let (value, origin) = config.entry(key.name);
        table.row([key.name.to_owned(), value.show(key.kind), origin.to_string()]);
    }
    let mut text = table.render(output);
    for (what, entries) in [("token", &config.tokens), ("collection", &config.collections), ("room", &config.rooms)] {
        for entry in entries {
            text.push_str(&format!("\n{what} {}  {}", entry.text("name").unwrap_or("?"), entry.place));
            let shown = entry.values.iter().filter(|(name, value)| **name != "name" && **value != Value::Unset);
            for (name, value) in shown {
                text.push_str(&format!("\n  {name} = {}", value.show(kind_of(name))));
            }
        }
    }
    for name in &config.strange_variables {
        let remark = format!("\nvariable {name} begins with SYNCLINE_ and sets no key");
        text.push_str(&output.paint(Style::Attention, &remark));
    }
    text
}
