//! What a node exchanges, in words of the command line, and the plan that they mean.

use crate::error::CliError;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use syncline_core::filter::{Filter, FilterError, substitute};
use syncline_core::model::{CollectionName, Malformed, Plan};
use syncline_core::wire::object;

/// The word for every type.
const ALL: &str = "*";

/// What somebody wants a node to exchange; what is not named stays as it is.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PlanWish {
    /// The only entity types (collections) that it exchanges, `*` for all [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    types: Vec<String>,
    /// Which rows it gets and may write: a JSON object with a filter for each type, or @FILE that holds one; {} for all rows
    #[arg(long, value_name = "JSON|@FILE")]
    rows: Option<String>,
    /// Which rows it may write, in the place of --rows for the types named here; {"TYPE": {}}: any row of that type
    #[arg(long, value_name = "JSON|@FILE")]
    write_rows: Option<String>,
    /// What "$node.NAME" stands for in filters: a text or JSON; null takes it away (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    attribute: Vec<String>,
}

impl PlanWish {
    /// Whether nothing is wished.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty() && self.rows.is_none() && self.write_rows.is_none() && self.attribute.is_empty()
    }

    /// The plan with these wishes on top.
    ///
    /// # Errors
    /// A name, a filter or an attribute that cannot be one; a filter for a type that is not exchanged.
    pub fn apply(&self, plan: &Plan) -> Result<Plan, CliError> {
        let mut plan = plan.clone();
        if !self.types.is_empty() {
            let all = self.types.iter().any(|name| name == ALL);
            let names: Result<BTreeSet<_>, _> = self.types.iter().map(CollectionName::new).collect();
            plan.types = if all { None } else { Some(names?) };
        }
        if let Some(rows) = &self.rows {
            plan.rows = filters("--rows", rows)?;
        }
        if let Some(rows) = &self.write_rows {
            plan.write_rows = filters("--write-rows", rows)?;
        }
        for pair in &self.attribute {
            match named_value("--attribute", pair)? {
                (name, Value::Null) => drop(plan.attributes.remove(name)),
                (name, value) => drop(plan.attributes.insert(name.to_owned(), value)),
            }
        }
        check(&plan)?;
        Ok(plan)
    }
}

/// The hub checks the same; here the message knows the flags.
fn check(plan: &Plan) -> Result<(), CliError> {
    let rows = plan.rows.iter().map(|rule| ("--rows", rule));
    for (flag, (name, filter)) in rows.chain(plan.write_rows.iter().map(|rule| ("--write-rows", rule))) {
        if plan.types.as_ref().is_some_and(|types| !types.contains(name)) {
            return Err(CliError::Usage(format!(
                "{flag} has a filter for `{name}`, which the node does not exchange; add it to --types, or take it out"
            )));
        }
        let filter = substitute(filter, &plan.attributes).and_then(|filter| Filter::parse(&filter));
        filter.map_err(|error| match error {
            FilterError::UnknownAttribute { name, .. } => CliError::Usage(format!(
                "{flag} asks for `$node.{name}`, which the node does not have; add --attribute {name}=VALUE"
            )),
            other => CliError::Usage(format!("the filter for `{name}` in {flag}: {other}")),
        })?;
    }
    Ok(())
}

/// A JSON object with a filter for each collection, or `@FILE` that holds one; `what` is how messages call it.
pub(super) fn filters(what: &str, argument: &str) -> Result<BTreeMap<CollectionName, Value>, CliError> {
    let text = match argument.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).map_err(|source| CliError::file("read", file.as_ref(), source))?,
        None => argument.to_owned(),
    };
    let expected = "a JSON object with a filter for each collection, like {\"tasks\": {\"owner\": \"$sub\"}} (for a node: \
                    {\"Order\": {\"branch\": \"$node.branch\"}})";
    object::read(what, text.as_bytes()).map_err(|error| not_json(what, expected, error))
}

/// Why a text is not the JSON object that is expected there.
pub(super) fn not_json(what: &str, expected: &'static str, error: Malformed) -> CliError {
    let reason = match error {
        Malformed::Json { reason, .. } => reason,
        other => other.to_string(),
    };
    CliError::NotJson { what: what.to_owned(), expected, reason }
}

/// `NAME=VALUE`. A value that is JSON is taken as JSON, anything else as text.
pub(super) fn named_value<'a>(what: &str, pair: &'a str) -> Result<(&'a str, Value), CliError> {
    let named = pair.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, text) = named.ok_or_else(|| {
        CliError::Usage(format!("{what} takes NAME=VALUE and got `{pair}`, e.g. {what} branch=north"))
    })?;
    Ok((name, serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(types: &[&str], rows: Option<&str>, attributes: &[&str]) -> PlanWish {
        let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        PlanWish { types: owned(types), rows: rows.map(Into::into), write_rows: None, attribute: owned(attributes) }
    }

    #[test]
    fn wishes_go_on_top_of_what_is_there() {
        let wish = words(&["Order", "Stock"], Some(r#"{"Order": {"b": "$node.b"}}"#), &["b=north", "areas=[1,2]"]);
        let plan = wish.apply(&Plan::default()).unwrap();
        assert_eq!(plan.types.as_ref().unwrap().len(), 2);
        assert_eq!(plan.attributes["b"], json!("north"));
        assert_eq!(plan.attributes["areas"], json!([1, 2]));

        let plan = words(&[], None, &["areas=null", "b=south"]).apply(&plan).unwrap();
        assert_eq!(plan.rows.len(), 1);
        assert_eq!(plan.attributes, [("b".to_owned(), json!("south"))].into());
        let plan = words(&["*"], Some("{}"), &[]).apply(&plan).unwrap();
        assert_eq!((plan.types, plan.rows.len()), (None, 0));
    }

    #[test]
    fn a_filter_that_cannot_work_is_named_before_it_reaches_a_hub() {
        let refused = |wish: PlanWish| wish.apply(&Plan::default()).unwrap_err().to_string();
        let unknown = refused(words(&[], Some(r#"{"Order": {"b": "$node.b"}}"#), &[]));
        assert!(unknown.contains("--attribute b=VALUE"), "{unknown}");
        let other = refused(words(&["Stock"], Some(r#"{"Order": {}}"#), &[]));
        assert!(other.contains("`Order`") && other.contains("--types"), "{other}");
        let operator = refused(words(&[], Some(r#"{"Order": {"b": {"$near": 1}}}"#), &[]));
        assert!(operator.contains("`Order`") && operator.contains("`$near`"), "{operator}");
        assert!(refused(words(&[], Some("[1]"), &[])).contains("--rows"));
        assert!(refused(words(&[], None, &["north"])).contains("NAME=VALUE"));
    }
}
