//! The part of the data that a registered node is given: all of it, one type only, or some rows of the first.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use syncline_core::model::{CollectionName, Plan};

/// Where all meet: the types of the nodes are the collections of the devices.
pub const TYPES: [&str; 2] = ["notes", "tasks"];
/// What a row filter compares with. Values begin with the letter and number of who wrote them.
pub const MARKS: [&str; 4] = ["d0", "d1", "n0", "n1"];

/// What the hub gives a node.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// One type only.
    pub one_type: bool,
    /// Only rows of the first type whose `x` is not below `from`.
    pub filtered: bool,
    pub from: &'static str,
    /// It may write other rows than it gets.
    pub hands_over: bool,
}

impl Part {
    /// Everything.
    pub const WHOLE: Part = Part { one_type: false, filtered: false, from: "", hands_over: false };

    /// The types that it is about.
    pub fn types(&self) -> &'static [&'static str] {
        &TYPES[..if self.one_type { 1 } else { TYPES.len() }]
    }

    /// As the hub is told.
    pub fn plan(&self) -> Plan {
        let name = |name: &str| CollectionName::new(name).expect("a valid name");
        let types = self.one_type.then(|| BTreeSet::from([name(TYPES[0])]));
        let rows = (name(TYPES[0]), json!({ "x": { "$gte": "$node.from" } }));
        let rows = if self.filtered { BTreeMap::from([rows]) } else { BTreeMap::new() };
        let all = (name(TYPES[0]), json!({}));
        let write_rows = if self.filtered && self.hands_over { BTreeMap::from([all]) } else { BTreeMap::new() };
        Plan { types, rows, write_rows, attributes: BTreeMap::from([("from".to_owned(), json!(self.from))]) }
    }

    /// Whether all that it writes of its types is taken.
    pub fn writes_all(&self) -> bool {
        !self.filtered || self.hands_over
    }

    /// Whether a document of the hub belongs to it.
    pub fn holds(&self, kind: &str, document: &Value) -> bool {
        let first = kind == TYPES[0];
        let above = document.get("x").and_then(Value::as_str).is_some_and(|x| x >= self.from);
        (first || !self.one_type) && (!first || !self.filtered || above)
    }
}
