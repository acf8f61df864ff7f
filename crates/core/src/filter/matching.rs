//! Asks a parsed filter about one document.

use super::order::{compare, equal};
use super::{Comparison, Node, Test};
use serde_json::Value;
use std::cmp::Ordering;

/// Whether the conditions hold for the document.
pub(super) fn matches(node: &Node, document: &Value) -> bool {
    match node {
        Node::And(nodes) => nodes.iter().all(|n| matches(n, document)),
        Node::Or(nodes) => nodes.iter().any(|n| matches(n, document)),
        Node::Not(inner) => !matches(inner, document),
        Node::Field { path, test: Test::Exists } => path.any_leaf(document, &mut |leaf| leaf.is_some()),
        Node::Field { path, test } => path.any_value(document, &mut |value| passes(test, value)),
    }
}

fn passes(test: &Test, value: Option<&Value>) -> bool {
    let value_or_null = value.unwrap_or(&Value::Null);
    match test {
        Test::Equal(operand) => equal(value_or_null, operand),
        Test::In(operands) => operands.binary_search_by(|operand| compare(operand, value_or_null)).is_ok(),
        Test::Compare(side, operand) => {
            let same_kind = std::mem::discriminant(value_or_null) == std::mem::discriminant(operand);
            same_kind && holds(*side, compare(value_or_null, operand))
        }
        Test::Exists => value.is_some(),
    }
}

fn holds(side: Comparison, order: Ordering) -> bool {
    match side {
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
    }
}
