//! Settings in which workers that share a store must agree: a client would meet now one, now the other. The hub that
//! starts says which of them differ from those of the hub that started last; nothing is refused for it, because in the
//! middle of a rolling restart they may differ.

use crate::error::ServerError;
use crate::options::{Options, UnknownTypes};
use crate::store::{RecordKind, Store};
use std::collections::BTreeMap;

/// The key of the one record.
const SHARED: &str = "shared";

type Values = BTreeMap<String, String>;

/// Compares with what the hub before has noted, and notes its own.
///
/// # Errors
/// Those of the store.
pub(crate) async fn compare(store: &dyn Store, options: &Options) -> Result<(), ServerError> {
    if !store.is_shared() {
        return Ok(());
    }
    let own = values(options);
    let noted = store.records(RecordKind::Setting).await?.into_iter().find(|record| record.key == SHARED);
    let noted: Option<Values> = noted.and_then(|record| serde_json::from_str(&record.value).ok());
    for (key, there, here) in differences(noted.as_ref(), &own) {
        tracing::warn!(
            setting = key,
            there,
            here,
            next = "give all hubs on this store the same configuration, and restart those that have the old one",
            "the hub that started last on this store has another setting"
        );
    }
    if noted.as_ref() != Some(&own) {
        let text = serde_json::to_string(&own).expect("texts serialize");
        store.put_record(RecordKind::Setting, SHARED.to_owned(), Some(text)).await?;
    }
    Ok(())
}

fn differences<'a>(noted: Option<&'a Values>, own: &'a Values) -> Vec<(&'a str, &'a str, &'a str)> {
    let differs = |(key, here): (&'a String, &'a String)| {
        let there = noted?.get(key)?;
        (there != here).then_some((key.as_str(), there.as_str(), here.as_str()))
    };
    own.iter().filter_map(differs).collect()
}

/// What decides about data, and what clients are told by name. No secret is among it.
fn values(options: &Options) -> Values {
    let Options { settings, exchange, .. } = options;
    let (limits, retention) = (&settings.limits, &settings.retention);
    let types = exchange.types.as_ref().map(|types| types.iter().map(|name| name.as_str()).collect::<Vec<_>>());
    let unknown = match exchange.unknown_types {
        UnknownTypes::Quarantine => "quarantine",
        UnknownTypes::Refuse => "refuse",
    };
    let values = [
        ("space", options.default_space.to_string()),
        ("collection", options.default_collection.to_string()),
        ("exchange.hub_id", exchange.hub_id.to_lowercase()),
        ("exchange.schema_version", exchange.schema_version.clone()),
        ("exchange.types", types.map_or_else(|| "all".to_owned(), |types| types.join(","))),
        ("exchange.unknown_types", unknown.to_owned()),
        ("limits.batch_ops", limits.batch_ops.to_string()),
        ("limits.document_bytes", limits.document_bytes.to_string()),
        ("limits.depth", limits.depth.to_string()),
        ("limits.clock_drift_ms", limits.clock_drift_ms.to_string()),
        ("retention.log", format!("{:?}", retention.log)),
        ("retention.receipts", format!("{:?}", retention.receipts)),
        ("retention.ledger", format!("{:?}", retention.ledger)),
        ("retention.quarantine", format!("{:?}", retention.quarantine)),
        ("retention.nodes", format!("{:?}", retention.nodes)),
        ("live.client_retention", format!("{:?}", retention.clients)),
    ];
    let rules = options.collections.iter().map(|declared| {
        let rule = serde_json::to_string(&declared.rule).expect("a rule serializes");
        (format!("collections.{}/{}", declared.space, declared.collection), rule)
    });
    values.into_iter().map(|(key, value)| (key.to_owned(), value)).chain(rules).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn settings_that_differ_are_named_with_both_values() {
        let one = values(&Options::default());
        let mut options = Options::default();
        options.exchange.schema_version = "2.0.0".to_owned();
        options.settings.retention.log = Duration::from_secs(60);
        options.settings.bounds.requests = 7;
        let two = values(&options);
        assert_eq!(
            differences(Some(&one), &two),
            [("exchange.schema_version", "1.0.0", "2.0.0"), ("retention.log", "7776000s", "60s")]
        );
        assert_eq!(differences(None, &two), [], "the first hub agrees with itself");
    }
}
