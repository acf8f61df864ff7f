//! What a collection demands of its documents, as a person sets it and as the hub holds it. Says what a rule means;
//! what becomes of an edit that breaks one is the hub's decision.

mod canonical;
mod unique;

pub use unique::{TooLong, UniqueKey, UniqueValue};

use super::{Body, CollectionName, SpaceName, Strategy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

/// The rules of one collection. As JSON they are what the administration takes and what stores keep; what is left
/// out demands nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectionRule {
    /// How concurrent edits are decided; `None`: as the pushing client asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Fields, alone or together, whose values no two documents share.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unique: BTreeSet<UniqueKey>,
    /// The JSON Schema of its documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<serde_json::Value>,
    /// Bytes that a document may have as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Documents that nobody has changed for so many milliseconds are removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_ms: Option<u64>,
}

impl CollectionRule {
    /// Unique keys of one collection: each is looked up with every edit.
    pub const UNIQUE_MAX: usize = 16;

    /// The key by which stores keep the rules of a collection.
    #[must_use]
    pub fn key(space: &SpaceName, collection: &CollectionName) -> String {
        format!("{space}/{collection}")
    }

    /// Whether it demands nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == CollectionRule::default()
    }

    /// Whether an edit can be refused because of it.
    #[must_use]
    pub fn can_refuse(&self) -> bool {
        !self.unique.is_empty() || self.schema.is_some() || self.max_bytes.is_some()
    }
}

/// A JSON Schema, ready to be asked. Its language is none of the core's business.
pub trait Shape: Debug + Send + Sync {
    /// Says in a short sentence where a document breaks the schema and by which keyword; `None`: it fits.
    fn breach(&self, document: &str) -> Option<String>;
}

/// The rules of a collection, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// As they were set.
    pub rule: CollectionRule,
    /// Their schema.
    pub shape: Option<Arc<dyn Shape>>,
}

impl Demands {
    /// The values of a document that no other document may have. Values that cannot be compared count for nothing.
    #[must_use]
    pub fn values(&self, body: &Body) -> BTreeSet<(UniqueKey, String)> {
        if self.rule.unique.is_empty() {
            return BTreeSet::new();
        }
        let fields = body.fields();
        let value = |key: &UniqueKey| Some((key.clone(), key.value(&fields).ok()??));
        self.rule.unique.iter().filter_map(value).collect()
    }
}
