//! Rules of collections by either way in, and from the words of flags and of the configuration.

use super::Admin;
use crate::config::{Entry, Value};
use crate::error::CliError;
use reqwest::Method;
use serde::Deserialize;
use std::io::Read;
use std::path::Path;
use syncline_core::model::{CollectionName, CollectionRule, SpaceName, Strategy, UniqueKey};
use syncline_server::rules::{self, CheckLine, RuleView};

#[derive(Deserialize)]
struct RulesAnswer {
    collections: Vec<RuleView>,
}

impl Admin {
    /// The rules of the collections of a space that have some.
    ///
    /// # Errors
    /// No such space; the hub refuses, or cannot be reached.
    pub async fn rules(&self, space: &SpaceName) -> Result<Vec<RuleView>, CliError> {
        match self {
            Admin::Local(hub) => {
                let app = hub.app().await?;
                Ok(rules::list(app.hub.store().as_ref(), &app.options.collections, space).await?)
            }
            Admin::Remote(hub) => {
                let path = ["spaces", space.as_str(), "collections"];
                let answer: RulesAnswer = hub.call(Method::GET, &path, &[], None::<&()>).await?;
                Ok(answer.collections)
            }
        }
    }

    /// Sets the rules of a collection in the place of those that it had.
    ///
    /// # Errors
    /// They cannot be used, or are given by the configuration; the hub refuses, or cannot be reached.
    pub async fn set_rules(&self, space: &SpaceName, view: &RuleView) -> Result<(), CliError> {
        match self {
            Admin::Local(hub) => Ok(rules::set(hub.app().await?, space, view).await?),
            Admin::Remote(hub) => {
                let path = ["spaces", space.as_str(), "collections", view.collection.as_str()];
                hub.patient(Method::PUT, &path, &[("check", "no".to_owned())], &view.rule).await
            }
        }
    }

    /// Holds the documents of a collection against its rules; `take` hears every line.
    ///
    /// # Errors
    /// No such space; the hub refuses, or cannot be reached; the check was cut; those of `take`.
    pub async fn check_rules(
        &self,
        space: &SpaceName,
        collection: &CollectionName,
        mut take: impl FnMut(CheckLine) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        match self {
            Admin::Local(hub) => {
                let mut lines = rules::check(&hub.app().await?.hub, space, collection).await?;
                while let Some(line) = lines.recv().await {
                    take(line?)?;
                }
                Ok(())
            }
            Admin::Remote(hub) => {
                let path = ["spaces", space.as_str(), "collections", collection.as_str(), "violations"];
                let mut ended = false;
                let line = |text: &str| {
                    let line = hub.read::<CheckLine>(text)?;
                    ended |= matches!(&line, CheckLine::Checked(checked) if checked.end);
                    take(line)
                };
                hub.lines(&path, line).await?;
                if ended { Ok(()) } else { Err(hub.cut_off("the check ended early; try again")) }
            }
        }
    }
}

/// A key as flags and the configuration write it: names with commas between.
///
/// # Errors
/// It is none.
pub fn unique_key(text: &str) -> Result<UniqueKey, CliError> {
    let names = text.split(',').map(|name| name.trim().to_owned()).collect();
    UniqueKey::new(names).map_err(|why| CliError::Usage(format!("`{text}`: {why}")))
}

/// Reads a JSON Schema; `-`: from standard input.
///
/// # Errors
/// There is no such file, or no JSON in it.
pub fn schema_file(file: &Path) -> Result<serde_json::Value, CliError> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|source| CliError::file("read", file, source))?;
        text
    } else {
        std::fs::read_to_string(file).map_err(|source| CliError::file("read", file, source))?
    };
    serde_json::from_str(&text)
        .map_err(|error| CliError::Usage(format!("{}: the schema is not JSON: {error}", file.display())))
}

/// The rules of a `[[collections]]` entry.
///
/// # Errors
/// A key or a schema that cannot be used; no rule at all.
pub fn rule_of(entry: &Entry) -> Result<CollectionRule, CliError> {
    let number = |key| match entry.values.get(key) {
        Some(Value::Number(n)) => Some(*n),
        _ => None,
    };
    let wrong = |error: CliError| CliError::Usage(format!("{}: {error}", entry.place));
    let unique = entry.list("unique").unwrap_or_default().iter().map(|text| unique_key(text)).collect::<Result<_, _>>();
    let rule = CollectionRule {
        strategy: entry.text("strategy").and_then(Strategy::parse),
        unique: unique.map_err(wrong)?,
        schema: entry.text("schema").map(|file| schema_file(Path::new(file))).transpose().map_err(wrong)?,
        max_bytes: number("max_bytes"),
        retention_ms: number("retention"),
    };
    if rule.is_empty() {
        let keys = "`strategy`, `unique`, `schema`, `max_bytes` or `retention`";
        return Err(CliError::Usage(format!("{}: the entry gives no rule; add {keys}", entry.place)));
    }
    Ok(rule)
}
