//! From JSON to a query.

use super::matching::{Condition, Listed, Node, Side, Test};
use super::pattern::Pattern;
use super::{CONDITIONS_MAX, IN_VALUES_MAX, PATTERNS_MAX, QUERY_DEPTH_MAX, Unreadable, check_path, javascript};
use serde_json::{Map, Value};

/// Reads a whole query; tells how many patterns it has.
pub(super) fn query(query: &Value) -> Result<(Node, usize), Unreadable> {
    let mut reader = Reader { conditions: 0, values: 0, patterns: 0 };
    Ok((reader.query(query, 0)?, reader.patterns))
}

/// What has been read so far, against the limits.
struct Reader {
    conditions: usize,
    values: usize,
    patterns: usize,
}

impl Reader {
    fn query(&mut self, query: &Value, depth: usize) -> Result<Node, Unreadable> {
        let Value::Object(fields) = query else { return Err(Unreadable::Query) };
        self.enter(depth)?;
        if let Some(node) = self.logical(fields, depth + 1)? {
            return Ok(node);
        }
        let logical = ["$and", "$or", "$not"].iter().any(|name| fields.contains_key(*name));
        let others: Vec<_> = fields.iter().filter(|(name, _)| !is_logical(name)).collect();
        if logical && others.is_empty() {
            return Ok(Node::Any(Vec::new()));
        }
        let mut nodes = Vec::with_capacity(others.len());
        for (name, condition) in others {
            check_path(name)?;
            let condition = self.condition(condition, depth + 1)?;
            // Beside a logical operator that says nothing, clients skip the presence test.
            nodes.push(Node::Field { name: name.clone(), present: !logical, condition });
        }
        Ok(Node::All(nodes))
    }

    /// The first of `$and`, `$or` and `$not` that can be used decides.
    fn logical(&mut self, fields: &Map<String, Value>, depth: usize) -> Result<Option<Node>, Unreadable> {
        if let Some(Value::Array(list)) = fields.get("$and") {
            return Ok(Some(Node::All(self.queries(list, depth)?)));
        }
        if let Some(Value::Array(list)) = fields.get("$or") {
            return Ok(Some(Node::Any(self.queries(list, depth)?)));
        }
        match fields.get("$not") {
            Some(Value::Array(list)) => Ok(Some(Node::NoneOf(self.queries(list, depth)?))),
            Some(query @ (Value::Object(_) | Value::Null)) => Ok(Some(Node::NoneOf(vec![self.query(query, depth)?]))),
            _ => Ok(None),
        }
    }

    fn queries(&mut self, list: &[Value], depth: usize) -> Result<Vec<Node>, Unreadable> {
        list.iter().map(|query| self.query(query, depth)).collect()
    }

    fn condition(&mut self, condition: &Value, depth: usize) -> Result<Condition, Unreadable> {
        self.enter(depth)?;
        let Value::Object(operators) = condition else { return Ok(Condition::Equal(condition.clone())) };
        let mut tests = Vec::with_capacity(operators.len());
        for (operator, operand) in operators {
            tests.push(self.test(operator, operand, depth + 1)?);
        }
        let if_absent = operators.get("$exists").map(|operand| *operand == Value::Bool(false));
        Ok(Condition::Tests { tests, if_absent })
    }

    fn test(&mut self, operator: &str, operand: &Value, depth: usize) -> Result<Test, Unreadable> {
        self.enter(depth)?;
        let compare = |side| Ok(Test::Compare(side, operand.clone()));
        match operator {
            "$eq" => Ok(Test::Equal(operand.clone())),
            "$ne" => Ok(Test::Unequal(operand.clone())),
            "$gt" => compare(Side::Greater),
            "$gte" => compare(Side::GreaterOrEqual),
            "$lt" => compare(Side::Less),
            "$lte" => compare(Side::LessOrEqual),
            "$in" => Ok(Test::In(self.list(operand)?)),
            "$nin" => Ok(Test::NotIn(self.list(operand)?)),
            "$regex" => Ok(Test::Pattern(self.pattern(operand)?)),
            "$exists" => Ok(Test::Exists(javascript::truthy(operand))),
            field => {
                check_path(field)?;
                Ok(Test::Nested(field.to_owned(), self.condition(operand, depth + 1)?))
            }
        }
    }

    fn list(&mut self, operand: &Value) -> Result<Option<Listed>, Unreadable> {
        let Value::Array(list) = operand else { return Ok(None) };
        self.values += list.len();
        if self.values > IN_VALUES_MAX { Err(Unreadable::TooManyValues) } else { Ok(Some(Listed::of(list))) }
    }

    fn pattern(&mut self, operand: &Value) -> Result<Pattern, Unreadable> {
        self.patterns += 1;
        if self.patterns > PATTERNS_MAX {
            return Err(Unreadable::TooManyPatterns);
        }
        Pattern::new(&javascript::text(Some(operand)))
    }

    fn enter(&mut self, depth: usize) -> Result<(), Unreadable> {
        self.conditions += 1;
        if depth > QUERY_DEPTH_MAX * 2 {
            return Err(Unreadable::TooDeep);
        }
        // Each condition is entered with its tests and with the query around it.
        if self.conditions > CONDITIONS_MAX * 3 { Err(Unreadable::TooManyConditions) } else { Ok(()) }
    }
}

fn is_logical(name: &str) -> bool {
    matches!(name, "$and" | "$or" | "$not")
}
