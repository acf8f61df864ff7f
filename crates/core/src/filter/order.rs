//! How JSON values compare: equality, and one total order over all of them.
//!
//! The order is that of MongoDB for the kinds that JSON has: null < numbers < strings < objects <
//! arrays < booleans. Strings go by their UTF-8 bytes; false before true; arrays element by element;
//! objects as their (key, value) pairs in order of the keys. Two values are equal exactly when
//! neither is less.

use serde_json::{Map, Number, Value};
use std::cmp::Ordering;

/// Whether two values are equal: numbers by value, objects whatever the order of their fields.
#[must_use]
pub fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(l), Value::Number(r)) => NumberKey::of(l) == NumberKey::of(r),
        (Value::Array(l), Value::Array(r)) => l.len() == r.len() && l.iter().zip(r).all(|(l, r)| equal(l, r)),
        (Value::Object(l), Value::Object(r)) => {
            l.len() == r.len() && l.iter().all(|(key, l)| r.get(key).is_some_and(|r| equal(l, r)))
        }
        _ => left == right,
    }
}

/// The total order.
#[must_use]
pub fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(l), Value::Number(r)) => NumberKey::of(l).cmp(&NumberKey::of(r)),
        (Value::String(l), Value::String(r)) => l.cmp(r),
        (Value::Bool(l), Value::Bool(r)) => l.cmp(r),
        (Value::Array(l), Value::Array(r)) => {
            first_difference(l.iter().zip(r).map(|(l, r)| compare(l, r))).unwrap_or_else(|| l.len().cmp(&r.len()))
        }
        (Value::Object(l), Value::Object(r)) => {
            let pairs = sorted(l).into_iter().zip(sorted(r));
            first_difference(pairs.map(|(l, r)| l.0.cmp(r.0).then_with(|| compare(l.1, r.1))))
                .unwrap_or_else(|| l.len().cmp(&r.len()))
        }
        _ => rank(left).cmp(&rank(right)),
    }
}

fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Option<Ordering> {
    orders.find(|order| order.is_ne())
}

/// An object's pairs in order of the keys.
fn sorted(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut pairs: Vec<_> = fields.iter().collect();
    pairs.sort_unstable_by_key(|(key, _)| *key);
    pairs
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Number(_) => 1,
        Value::String(_) => 2,
        Value::Object(_) => 3,
        Value::Array(_) => 4,
        Value::Bool(_) => 5,
    }
}

/// A number's place among all numbers, exact for every mix of `i64`, `u64` and `f64`: the greatest
/// float that is not above it, and what is missing from there, which is below 2048 for any integer
/// of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NumberKey {
    /// The float's bits, arranged so that their order is that of the floats.
    floor: u64,
    /// What is missing.
    rest: u16,
}

impl NumberKey {
    /// The place of a number.
    #[must_use]
    pub fn of(number: &Number) -> NumberKey {
        if let Some(integer) = number.as_i64() {
            NumberKey::of_integer(i128::from(integer))
        } else if let Some(integer) = number.as_u64() {
            NumberKey::of_integer(i128::from(integer))
        } else {
            let float = number.as_f64().expect("a JSON number is an i64, a u64 or an f64");
            NumberKey { floor: ordered_bits(float), rest: 0 }
        }
    }

    fn of_integer(integer: i128) -> NumberKey {
        let mut floor = integer as f64;
        if floor as i128 > integer {
            floor = floor.next_down();
        }
        let rest = u16::try_from(integer - floor as i128).expect("64-bit integers are less than 2048 above a float");
        NumberKey { floor: ordered_bits(floor), rest }
    }

    /// Ten bytes whose order is that of the numbers.
    #[must_use]
    pub fn bytes(self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.floor.to_be_bytes());
        bytes[8..].copy_from_slice(&self.rest.to_be_bytes());
        bytes
    }
}

/// Bits that order like the float; both zeros have the same.
fn ordered_bits(float: f64) -> u64 {
    let bits = if float == 0.0 { 0 } else { float.to_bits() };
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}
