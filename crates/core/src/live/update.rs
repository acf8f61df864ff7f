//! Update operators: what they make of one document. Operators take effect in the order in which they stand; unknown
//! ones and plain fields say nothing.

use super::javascript::{self, compare, deep_equal, double};
use super::update_path::{Missing, change, field};
use super::{Unreadable, check_path, update_path};
use serde_json::{Map, Value};

/// What happens to a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    steps: Vec<(Operator, Map<String, Value>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Set,
    /// Fields by their plain names: dots lead nowhere.
    SetPlainly,
    Unset,
    Inc,
    Push,
    Pull,
    AddToSet,
    Rename,
    Mul,
    Min,
    Max,
}

impl Update {
    /// Reads an update.
    ///
    /// # Errors
    /// [`Unreadable::Update`] when it, or the operand of an operator, is no object; [`Unreadable::Path`].
    pub fn parse(update: &Value) -> Result<Update, Unreadable> {
        let malformed = |operator: &str| Unreadable::Update { operator: operator.to_owned() };
        let operators = update.as_object().ok_or_else(|| malformed(""))?;
        let known = operators.iter().filter_map(|(name, operand)| Some((name, Operator::of(name)?, operand)));
        let step = |(name, operator, operand): (&String, Operator, &Value)| {
            let fields = operand.as_object().ok_or_else(|| malformed(name))?;
            fields.keys().try_for_each(|path| check_path(path))?;
            Ok((operator, fields.clone()))
        };
        Ok(Update { steps: known.map(step).collect::<Result<_, _>>()? })
    }

    /// Sets these fields of the document, by their plain names.
    #[must_use]
    pub fn of_fields(fields: Map<String, Value>) -> Update {
        Update { steps: vec![(Operator::SetPlainly, fields)] }
    }

    /// The id that the document gets, where `$set` names one.
    #[must_use]
    pub fn new_id(&self) -> Option<&Value> {
        let sets = self.steps.iter().filter(|(operator, _)| matches!(operator, Operator::Set | Operator::SetPlainly));
        sets.filter_map(|(_, fields)| fields.get("id")).next_back()
    }

    /// Whether values are written whatever stands in their place: then what stood there may be lost.
    #[must_use]
    pub fn overwrites(&self) -> bool {
        let overwriting = |operator: &Operator| {
            matches!(operator, Operator::Set | Operator::SetPlainly | Operator::Unset | Operator::Rename)
        };
        self.steps.iter().any(|(operator, _)| overwriting(operator))
    }

    /// Carries the update out.
    ///
    /// # Errors
    /// [`Unreadable::ListGap`]; the document is then half changed and must not be used.
    pub fn apply(&self, document: &mut Map<String, Value>) -> Result<(), Unreadable> {
        self.steps.iter().try_for_each(|(operator, fields)| operator.apply(document, fields))
    }
}

impl Operator {
    fn of(name: &str) -> Option<Operator> {
        Some(match name {
            "$set" => Operator::Set,
            "$unset" => Operator::Unset,
            "$inc" => Operator::Inc,
            "$push" => Operator::Push,
            "$pull" => Operator::Pull,
            "$addToSet" => Operator::AddToSet,
            "$rename" => Operator::Rename,
            "$mul" => Operator::Mul,
            "$min" => Operator::Min,
            "$max" => Operator::Max,
            _ => return None,
        })
    }

    fn apply(self, document: &mut Map<String, Value>, fields: &Map<String, Value>) -> Result<(), Unreadable> {
        for (path, operand) in fields {
            let reached = match self {
                Operator::SetPlainly => field(document, path, &|_| Some(operand.clone())),
                Operator::Rename => rename(document, path, operand),
                _ => change(document, path, self.missing(), &|value| self.result(value, operand))?,
            };
            // Clients leave out what follows in the same operator.
            if !reached {
                break;
            }
        }
        Ok(())
    }

    fn missing(self) -> Missing {
        if matches!(self, Operator::Unset | Operator::Pull) { Missing::Ends } else { Missing::IsMade }
    }

    /// The value in place of another; `None`: none.
    fn result(self, value: Option<&Value>, operand: &Value) -> Option<Value> {
        let number = value.and_then(Value::as_number).map(double);
        match (self, value) {
            (Operator::Unset, _) => None,
            (Operator::Inc, _) => Some(number.map_or_else(|| operand.clone(), |n| javascript::add(n, operand))),
            (Operator::Mul, _) => Some(number.map_or_else(|| Value::from(0), |n| javascript::multiply(n, operand))),
            (Operator::Push, _) => Some(with(value, operand)),
            (Operator::AddToSet, Some(Value::Array(list))) if list.iter().any(|v| deep_equal(v, operand)) => {
                value.cloned()
            }
            (Operator::AddToSet, _) => Some(with(value, operand)),
            (Operator::Pull, Some(Value::Array(list))) => {
                Some(list.iter().filter(|value| !deep_equal(value, operand)).cloned().collect())
            }
            (Operator::Pull, _) => value.cloned(),
            (Operator::Min, Some(old)) => Some(better(old, operand, compare(old, operand).is_some_and(|o| o.is_gt()))),
            (Operator::Max, Some(old)) => Some(better(old, operand, compare(old, operand).is_some_and(|o| o.is_lt()))),
            (Operator::Set | Operator::SetPlainly | Operator::Rename | Operator::Min | Operator::Max, _) => {
                Some(operand.clone())
            }
        }
    }
}

/// The list with one more element; what is no list gives way to one.
fn with(list: Option<&Value>, element: &Value) -> Value {
    let mut list = list.and_then(Value::as_array).cloned().unwrap_or_default();
    list.push(element.clone());
    Value::Array(list)
}

/// Only numbers give way.
fn better(old: &Value, operand: &Value, gives_way: bool) -> Value {
    if old.is_number() && gives_way { operand.clone() } else { old.clone() }
}

/// A field of the document's top level gets another name.
fn rename(document: &mut Map<String, Value>, from: &str, to: &Value) -> bool {
    if let Some(value) = document.get(from).cloned() {
        update_path::put(document, &javascript::text(Some(to)), value);
        document.shift_remove(from);
    }
    true
}
