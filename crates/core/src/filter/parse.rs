//! From the JSON form of a filter to its conditions, within limits.

use super::limits::{CONDITIONS_MAX, DEPTH_MAX, IN_VALUES_MAX, OPERAND_DEPTH_MAX};
use super::{Comparison, FilterError, Node, Path, Test, compare};
use serde_json::{Map, Value};

const FIELD_OPERATORS: &str = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $not";
const LOGICAL_OPERATORS: &str = "$and, $or, $not (all others stand inside a field: {\"age\": {\"$gt\": 30}})";

/// Reads a whole filter.
pub(super) fn parse(filter: &Value) -> Result<Node, FilterError> {
    Parser { conditions_left: CONDITIONS_MAX }.filter(filter, "the filter", 0)
}

struct Parser {
    conditions_left: usize,
}

impl Parser {
    fn filter(&mut self, filter: &Value, place: &str, depth: usize) -> Result<Node, FilterError> {
        let fields = filter
            .as_object()
            .ok_or_else(|| FilterError::NotAnObject { place: place.to_owned(), found: kind(filter) })?;
        if depth > DEPTH_MAX {
            return Err(FilterError::TooDeep);
        }
        let nodes: Result<Vec<Node>, FilterError> = fields
            .iter()
            .map(|(key, value)| match key.as_str() {
                "$and" => self.branches("$and", value, depth).map(Node::And),
                "$or" => self.branches("$or", value, depth).map(Node::Or),
                "$not" => Ok(negated(self.filter(value, "a branch of `$not`", depth + 1)?)),
                unknown if unknown.starts_with('$') => Err(FilterError::UnknownOperator {
                    operator: unknown.to_owned(),
                    place: "the filter".to_owned(),
                    known: LOGICAL_OPERATORS,
                }),
                path => self.field(&Path::new(path)?, value, depth),
            })
            .collect();
        Ok(all_of(nodes?))
    }

    fn branches(&mut self, operator: &'static str, value: &Value, depth: usize) -> Result<Vec<Node>, FilterError> {
        let branches = value.as_array().filter(|b| !b.is_empty()).ok_or_else(|| FilterError::Operand {
            operator,
            place: "the filter".to_owned(),
            expected: "a list of at least one filter",
            found: kind(value),
        })?;
        let place = format!("a branch of `{operator}`");
        branches.iter().map(|branch| self.filter(branch, &place, depth + 1)).collect()
    }

    /// A field with its value: operators when a key starts with `$`, else a value to equal.
    fn field(&mut self, path: &Path, value: &Value, depth: usize) -> Result<Node, FilterError> {
        match value {
            Value::Object(fields) if fields.keys().any(|key| key.starts_with('$')) => {
                self.operators(path, fields, depth)
            }
            operand => self.operator(path, "$eq", operand, depth),
        }
    }

    fn operators(&mut self, path: &Path, fields: &Map<String, Value>, depth: usize) -> Result<Node, FilterError> {
        if let Some(plain) = fields.keys().find(|key| !key.starts_with('$')) {
            return Err(FilterError::Mixed { path: path.to_string(), field: plain.clone() });
        }
        let nodes: Result<Vec<Node>, FilterError> =
            fields.iter().map(|(operator, operand)| self.operator(path, operator, operand, depth)).collect();
        Ok(all_of(nodes?))
    }

    fn operator(&mut self, path: &Path, operator: &str, operand: &Value, depth: usize) -> Result<Node, FilterError> {
        self.conditions_left = self.conditions_left.checked_sub(1).ok_or(FilterError::TooManyConditions)?;
        let at = Place { path, operand };
        let test = match operator {
            "$eq" => at.equal("$eq"),
            "$ne" => return Ok(negated(at.field(at.equal("$ne")?))),
            "$gt" => at.comparison("$gt", Comparison::Greater),
            "$gte" => at.comparison("$gte", Comparison::GreaterOrEqual),
            "$lt" => at.comparison("$lt", Comparison::Less),
            "$lte" => at.comparison("$lte", Comparison::LessOrEqual),
            "$in" => at.list("$in"),
            "$nin" => return Ok(negated(at.field(at.list("$nin")?))),
            "$exists" => return at.exists(),
            "$not" => return self.not(&at, depth),
            unknown => {
                return Err(FilterError::UnknownOperator {
                    operator: unknown.to_owned(),
                    place: format!("`{path}`"),
                    known: FIELD_OPERATORS,
                });
            }
        };
        Ok(at.field(test?))
    }

    /// `$not` inside a field: the negation of the field's other operators.
    fn not(&mut self, at: &Place<'_>, depth: usize) -> Result<Node, FilterError> {
        if depth >= DEPTH_MAX {
            return Err(FilterError::TooDeep);
        }
        match at.operand {
            Value::Object(fields) if !fields.is_empty() => Ok(negated(self.operators(at.path, fields, depth + 1)?)),
            _ => Err(at.refused("$not", "an object of operators such as {\"$gt\": 30}")),
        }
    }
}

/// An operator's operand and the field it stands in.
struct Place<'f> {
    path: &'f Path,
    operand: &'f Value,
}

impl Place<'_> {
    fn field(&self, test: Test) -> Node {
        Node::Field { path: self.path.clone(), test }
    }

    fn equal(&self, operator: &'static str) -> Result<Test, FilterError> {
        self.shallow(operator)?;
        Ok(Test::Equal(self.operand.clone()))
    }

    fn comparison(&self, operator: &'static str, side: Comparison) -> Result<Test, FilterError> {
        match self.operand {
            Value::Array(_) | Value::Object(_) => Err(self.refused(operator, "a number, a string, a boolean or null")),
            scalar => Ok(Test::Compare(side, scalar.clone())),
        }
    }

    fn list(&self, operator: &'static str) -> Result<Test, FilterError> {
        let values = self.operand.as_array().ok_or_else(|| self.refused(operator, "a list of values"))?;
        if values.len() > IN_VALUES_MAX {
            return Err(FilterError::TooManyValues { operator, place: self.shown(), found: values.len() });
        }
        self.shallow(operator)?;
        let mut values = values.clone();
        values.sort_by(compare);
        values.dedup_by(|a, b| compare(a, b).is_eq());
        Ok(Test::In(values))
    }

    fn exists(&self) -> Result<Node, FilterError> {
        match self.operand {
            Value::Bool(true) => Ok(self.field(Test::Exists)),
            Value::Bool(false) => Ok(negated(self.field(Test::Exists))),
            _ => Err(self.refused("$exists", "true or false")),
        }
    }

    fn shallow(&self, operator: &'static str) -> Result<(), FilterError> {
        if nests_within(self.operand, OPERAND_DEPTH_MAX) {
            return Ok(());
        }
        Err(FilterError::OperandTooDeep { operator, place: self.shown() })
    }

    fn refused(&self, operator: &'static str, expected: &'static str) -> FilterError {
        FilterError::Operand { operator, place: self.shown(), expected, found: kind(self.operand) }
    }

    fn shown(&self) -> String {
        format!("`{}`", self.path)
    }
}

fn all_of(mut nodes: Vec<Node>) -> Node {
    match nodes.len() {
        1 => nodes.remove(0),
        _ => Node::And(nodes),
    }
}

fn negated(node: Node) -> Node {
    Node::Not(Box::new(node))
}

/// Whether arrays and objects nest at most this many levels deep.
fn nests_within(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(elements) => levels > 0 && elements.iter().all(|e| nests_within(e, levels - 1)),
        Value::Object(fields) => levels > 0 && fields.values().all(|v| nests_within(v, levels - 1)),
        _ => true,
    }
}

/// A value's kind, for messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(elements) if elements.is_empty() => "an empty list",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
