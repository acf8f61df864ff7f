//! A node that exchanges packets, written from the description of the protocol alone: rows that are merged by
//! name, a register of changes, and numbers. It knows no extension. Rows, register and numbers survive a
//! restart; that it waits for an answer does not.

use super::part::{MARKS, Part};
use fastrand::Rng;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use syncline_core::model::{Millis, NodeId};

/// The hub's id where nothing else is configured.
pub const HUB_ID: &str = "00000000-0000-4000-8000-000000000000";
const FIELDS: [&str; 3] = ["x", "y", "z"];

/// A type and a UUID.
pub type Key = (String, String);
pub type Row = Map<String, Value>;

/// What the description leaves open.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Sends rows with all their fields, one entity for each; otherwise each change with its own fields.
    pub whole_rows: bool,
    /// Writes `updated_at` into its rows.
    pub times: bool,
    /// Draws a number for every attempt, and sometimes loses one; otherwise it is the last confirmed one + 1.
    pub draws: bool,
    /// Its user goes on while it waits for an answer.
    pub busy: bool,
    /// Gets one type only.
    pub one_type: bool,
    /// Gets only some rows of the first type.
    pub filtered: bool,
}

/// One row of the register.
struct Registered {
    key: Key,
    operation: &'static str,
    fields: Row,
    packet: Option<u64>,
}

/// One node.
pub struct Node {
    pub habits: Habits,
    pub id: NodeId,
    pub token: String,
    number: usize,
    skew_ms: i64,
    ids: &'static [&'static str],
    from: &'static str,
    rows: BTreeMap<Key, Row>,
    register: Vec<Registered>,
    /// The last number that the hub confirmed, and the last one that was drawn.
    confirmed: u64,
    drawn: u64,
    /// The last packet of the hub that was stored.
    ack: u64,
    /// Counts attempts; the one whose answer is waited for.
    attempts: u64,
    pub waits_for: Option<u64>,
    edits: u64,
    /// How many changes of each row were registered.
    pub registered: BTreeMap<Key, usize>,
    /// The last value of each field that this node wrote and did not take back.
    written: BTreeMap<(Key, String), String>,
}

/// A packet on its way.
#[derive(Clone, Debug)]
pub struct Sent {
    pub attempt: u64,
    pub number: u64,
    /// What it acknowledges.
    pub ack: u64,
    pub text: String,
}

impl Habits {
    pub fn roll(dice: &mut Rng) -> Habits {
        Habits {
            whole_rows: dice.bool(),
            times: dice.bool(),
            draws: dice.bool(),
            busy: dice.bool(),
            one_type: dice.u32(0..4) == 0,
            filtered: dice.u32(0..3) == 0,
        }
    }
}

impl Node {
    pub fn new(number: usize, ids: &'static [&'static str], dice: &mut Rng) -> Node {
        Node {
            habits: Habits::roll(dice),
            id: NodeId::new(format!("11111111-1111-4111-8111-{number:012}")).expect("a valid id"),
            token: format!("secret-of-node-{number}"),
            number,
            skew_ms: dice.i64(-10_000..10_000),
            ids,
            from: MARKS[dice.usize(..MARKS.len())],
            rows: BTreeMap::new(),
            register: Vec::new(),
            confirmed: 0,
            drawn: 0,
            ack: 0,
            attempts: 0,
            waits_for: None,
            edits: 0,
            registered: BTreeMap::new(),
            written: BTreeMap::new(),
        }
    }

    /// What it is registered for.
    pub fn part(&self) -> Part {
        let Habits { one_type, filtered, .. } = self.habits;
        Part { one_type, filtered, from: self.from, hands_over: self.number.is_multiple_of(2) }
    }

    /// Its part of the data becomes another one.
    pub fn move_on(&mut self, dice: &mut Rng) {
        self.from = MARKS[dice.usize(..MARKS.len())];
    }

    /// Its rows; a field that is null is the same as none.
    pub fn shown(&self) -> BTreeMap<Key, Row> {
        self.rows.iter().map(|(key, row)| (key.clone(), without_nulls(row))).collect()
    }

    pub fn is_idle(&self) -> bool {
        self.register.is_empty()
    }

    /// Values that must be somewhere in the end.
    pub fn written(&self) -> impl Iterator<Item = &String> {
        self.written.values()
    }

    /// Everything that is not confirmed, in one packet.
    pub fn compose(&mut self, dice: &mut Rng) -> Sent {
        let number = if self.habits.draws {
            self.drawn += 1 + u64::from(dice.u32(0..10) == 0);
            self.drawn
        } else {
            self.confirmed + 1
        };
        let entities = if self.habits.whole_rows { self.whole_rows() } else { self.changes() };
        for row in &mut self.register {
            row.packet = Some(number);
        }
        let packet = json!({
            "header": {
                "sender_node_id": self.id.as_str(), "recipient_node_id": HUB_ID,
                "packet_no": number, "ack_packet_no": self.ack, "schema_version": "1.0.0",
            },
            "body": { "entities": entities },
        });
        self.attempts += 1;
        self.waits_for = Some(self.attempts);
        Sent { attempt: self.attempts, number, ack: self.ack, text: packet.to_string() }
    }

    fn changes(&self) -> Vec<Value> {
        self.register.iter().map(|row| entity(&row.key, row.operation, &row.fields)).collect()
    }

    /// The rows as they are now, each once: inserted where the register begins with that.
    fn whole_rows(&self) -> Vec<Value> {
        let mut first: Vec<(&Key, &str)> = Vec::new();
        for row in &self.register {
            if first.iter().all(|(key, _)| *key != &row.key) {
                first.push((&row.key, row.operation));
            }
        }
        let now = |(key, operation): &(&Key, &str)| match self.rows.get(*key) {
            None => entity(key, "DELETE", &Row::new()),
            Some(row) => entity(key, if *operation == "INSERT" { "INSERT" } else { "UPDATE" }, row),
        };
        first.iter().map(now).collect()
    }

    /// Stores an answer of the hub: what it confirms is done, and its entities are the rows.
    pub fn store(&mut self, sent: &Sent, ack: u64, packet: u64, entities: &[Value]) {
        self.waits_for = None;
        self.confirmed = self.confirmed.max(sent.number);
        self.register.retain(|row| row.packet.is_none_or(|number| number > ack));
        entities.iter().for_each(|entity| self.apply(entity));
        self.ack = packet;
    }

    /// Sets the fields that are given by name. What the user did meanwhile stays until it is sent.
    fn apply(&mut self, entity: &Value) {
        let text = |name: &str| entity[name].as_str().unwrap_or_default().to_owned();
        let key = (text("type"), text("uuid"));
        let pending: Vec<&Registered> = self.register.iter().filter(|row| row.key == key).collect();
        let mut own = Row::new();
        for row in &pending {
            match row.operation {
                "DELETE" => own.clear(),
                _ => own.extend(row.fields.clone()),
            }
        }
        let deleted_here = pending.last().is_some_and(|row| row.operation == "DELETE");
        let row = match entity["data"].as_object() {
            _ if deleted_here => None,
            None if own.is_empty() => None,
            None => Some(own),
            Some(data) => {
                let mut row = self.rows.get(&key).cloned().unwrap_or_default();
                row.extend(data.clone());
                row.extend(own);
                Some(row)
            }
        };
        match row {
            Some(row) => drop(self.rows.insert(key, row)),
            None => drop(self.rows.remove(&key)),
        }
    }

    /// The user does something; tells what.
    pub fn act(&mut self, dice: &mut Rng, now: Millis) -> String {
        let types = self.part().types();
        let kind = types[dice.usize(..types.len())];
        let key = (kind.to_owned(), self.ids[dice.usize(..self.ids.len())].to_owned());
        let field = FIELDS[dice.usize(..FIELDS.len())];
        if self.waits_for.is_some() && !self.habits.busy {
            return "waits for an answer".to_owned();
        }
        if dice.u32(0..4) == 0 { self.delete(key) } else { self.set(key, field, now) }
    }

    fn set(&mut self, key: Key, field: &str, now: Millis) -> String {
        self.edits += 1;
        let value = format!("n{}e{}.", self.number, self.edits);
        let mut fields = Row::from_iter([(field.to_owned(), json!(value))]);
        if self.habits.times {
            let now = Millis(now.0.saturating_add_signed(self.skew_ms));
            fields.insert("updated_at".to_owned(), json!(now.iso()));
        }
        let operation = if self.rows.contains_key(&key) { "UPDATE" } else { "INSERT" };
        self.rows.entry(key.clone()).or_default().extend(fields.clone());
        self.written.insert((key.clone(), field.to_owned()), value.clone());
        let told = format!("{operation} {}/{}.{field} = {value}", key.0, key.1);
        self.note(key, operation, fields);
        told
    }

    fn delete(&mut self, key: Key) -> String {
        if self.rows.remove(&key).is_none() {
            return format!("finds no {}/{} to delete", key.0, key.1);
        }
        self.written.retain(|(of, _), _| *of != key);
        let told = format!("DELETE {}/{}", key.0, key.1);
        self.note(key, "DELETE", Row::new());
        told
    }

    fn note(&mut self, key: Key, operation: &'static str, fields: Row) {
        *self.registered.entry(key.clone()).or_default() += 1;
        self.register.push(Registered { key, operation, fields, packet: None });
    }
}

/// A row as the check compares it.
pub fn without_nulls(row: &Row) -> Row {
    row.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn entity((kind, uuid): &Key, operation: &str, fields: &Row) -> Value {
    let data = if operation == "DELETE" { Value::Null } else { json!(fields) };
    json!({ "type": kind, "uuid": uuid, "operation": operation, "data": data })
}
