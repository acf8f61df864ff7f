//! Asks a query about one document.

use super::content::digest;
use super::javascript::{compare, deep_equal, number_text, text};
use super::pattern::Pattern;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// A query, taken apart.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// All must hold.
    All(Vec<Node>),
    /// One must hold.
    Any(Vec<Node>),
    /// None may hold.
    NoneOf(Vec<Node>),
    /// A field of the document.
    Field {
        /// Its name; dots lead into objects.
        name: String,
        /// Whether the document must have a field of exactly this name.
        present: bool,
        condition: Condition,
    },
}

/// What is asked of one value.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Equal(Value),
    Tests {
        tests: Vec<Test>,
        /// What is said of an absent field; `None`: no.
        if_absent: Option<bool>,
    },
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    Equal(Value),
    Unequal(Value),
    Compare(Side, Value),
    /// `None`: no list was given.
    In(Option<Listed>),
    NotIn(Option<Listed>),
    Pattern(Pattern),
    Exists(bool),
    Nested(String, Condition),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// The values of a list: long ones hold mostly ids.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    texts: BTreeSet<String>,
    /// The others by their digest.
    others: BTreeMap<u64, Vec<Value>>,
}

impl Node {
    pub fn of_id(id: &Value) -> Node {
        Node::Field { name: "id".to_owned(), present: true, condition: Condition::Equal(id.clone()) }
    }

    pub fn matches(&self, document: &Value) -> bool {
        match self {
            Node::All(nodes) => nodes.iter().all(|node| node.matches(document)),
            Node::Any(nodes) => nodes.iter().any(|node| node.matches(document)),
            Node::NoneOf(nodes) => !nodes.iter().any(|node| node.matches(document)),
            Node::Field { name, present: true, condition } if document.get(name).is_none() => condition.if_absent(),
            Node::Field { name, condition, .. } => condition.holds_at(document, name),
        }
    }

    /// See [`Query::pinned`](super::Query::pinned).
    pub fn pinned(&self) -> Option<BTreeSet<String>> {
        match self {
            Node::All(nodes) => nodes.iter().find_map(Node::pinned),
            Node::Any(nodes) => nodes.iter().map(Node::pinned).collect::<Option<Vec<_>>>().map(union),
            Node::Field { name, condition, .. } if name == "id" => condition.pinned(),
            Node::NoneOf(_) | Node::Field { .. } => None,
        }
    }
}

fn union(sets: Vec<BTreeSet<String>>) -> BTreeSet<String> {
    sets.into_iter().flatten().collect()
}

impl Condition {
    /// What is said of a field that is not there.
    fn if_absent(&self) -> bool {
        matches!(self, Condition::Tests { if_absent: Some(true), .. })
    }

    /// Asks the field of this name; dots lead into objects.
    fn holds_at(&self, value: &Value, name: &str) -> bool {
        let Some((first, rest)) = name.split_once('.') else { return self.holds(part(value, name).as_deref()) };
        match part(value, first) {
            Some(inner) => self.holds_at(&inner, rest),
            None => self.if_absent(),
        }
    }

    fn holds(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Condition::Tests { tests, .. }, _) => tests.iter().all(|test| test.passes(value)),
            (Condition::Equal(operand), Some(Value::Array(list))) => list.iter().any(|v| deep_equal(v, operand)),
            (Condition::Equal(operand), Some(value)) => deep_equal(value, operand),
            (Condition::Equal(_), None) => false,
        }
    }

    fn pinned(&self) -> Option<BTreeSet<String>> {
        match self {
            Condition::Equal(operand) => Some(id_text(operand).into_iter().collect()),
            Condition::Tests { tests, .. } => tests.iter().find_map(|test| match test {
                Test::Equal(operand) => Some(id_text(operand).into_iter().collect()),
                Test::In(list) => Some(list.as_ref().map(Listed::ids).unwrap_or_default()),
                _ => None,
            }),
        }
    }
}

impl Test {
    fn passes(&self, value: Option<&Value>) -> bool {
        let equals = |operand: &Value| value.is_some_and(|value| deep_equal(value, operand));
        match self {
            Test::Equal(operand) => equals(operand),
            Test::Unequal(operand) => !equals(operand),
            Test::Compare(side, operand) => {
                let order = value.and_then(|value| compare(value, operand));
                order.is_some_and(|order| match side {
                    Side::Greater => order.is_gt(),
                    Side::GreaterOrEqual => order.is_ge(),
                    Side::Less => order.is_lt(),
                    Side::LessOrEqual => order.is_le(),
                })
            }
            Test::In(list) => list.as_ref().is_some_and(|list| list.meets(value)),
            Test::NotIn(list) => list.as_ref().is_none_or(|list| !list.meets(value)),
            Test::Pattern(pattern) => pattern.is_in(&text(value)),
            Test::Exists(wanted) => value.is_some() == *wanted,
            Test::Nested(name, condition) => match value {
                Some(value @ (Value::Object(_) | Value::Array(_))) => condition.holds_at(value, name),
                _ => false,
            },
        }
    }
}

impl Listed {
    pub fn of(list: &[Value]) -> Listed {
        let texts = list.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
        let mut others = BTreeMap::<u64, Vec<Value>>::new();
        for value in list.iter().filter(|value| !value.is_string()) {
            let alike = others.entry(digest(value)).or_default();
            if !alike.contains(value) {
                alike.push(value.clone());
            }
        }
        Listed { texts, others }
    }

    /// A list meets it by one of its elements.
    fn meets(&self, value: Option<&Value>) -> bool {
        match value {
            Some(Value::Array(list)) => list.iter().any(|value| self.holds(value)),
            Some(value) => self.holds(value),
            None => false,
        }
    }

    fn holds(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.texts.contains(text),
            _ if self.others.is_empty() => false,
            other => {
                let alike = self.others.get(&digest(other)).map(Vec::as_slice).unwrap_or_default();
                alike.iter().any(|operand| deep_equal(other, operand))
            }
        }
    }

    fn ids(&self) -> BTreeSet<String> {
        self.texts.iter().cloned().chain(self.others.values().flatten().filter_map(id_text)).collect()
    }
}

/// An id as text; other values are nobody's id.
fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number_text(number)),
        _ => None,
    }
}

/// A field of an object; a place of a list, or its length.
fn part<'a>(value: &'a Value, name: &str) -> Option<Cow<'a, Value>> {
    match value {
        Value::Object(fields) => fields.get(name).map(Cow::Borrowed),
        Value::Array(list) if name == "length" => Some(Cow::Owned(Value::from(list.len()))),
        Value::Array(list) => list.get(place(name)?).map(Cow::Borrowed),
        _ => None,
    }
}

/// A place in a list, spelled as JavaScript does.
pub(super) fn place(name: &str) -> Option<usize> {
    let spelled_so = name == "0" || !name.starts_with(['0', '+']);
    name.parse().ok().filter(|_| spelled_so)
}
