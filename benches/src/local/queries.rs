//! Queries beside SQL that means the same; both sides give back parsed documents.

use super::{DOCUMENTS, open, per_second, raw};
use crate::documents::document;
use crate::report::{Goal, pair};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::error::Error;
use std::time::Instant;
use syncline::Collection;
use syncline::query::Query;

/// Ten of five hundred owners.
const OWNERS: u64 = 200;
/// Whole scans per round.
const SCANS: u64 = 5;

/// The same question in both languages, asked for each of some values.
struct Question {
    name: &'static str,
    query: fn(&Value) -> Value,
    sql: &'static str,
    wanted: Vec<Value>,
}

pub(super) fn compare(rounds: usize) -> Result<(), Box<dyn Error>> {
    let texts: Vec<String> = (0..DOCUMENTS).map(|n| document(n, 0)).collect();
    let dir = tempfile::tempdir()?;
    let mut connection = raw::open(dir.path())?;
    raw::fill(&mut connection, &texts, texts.len())?;
    connection.execute_batch("CREATE INDEX owners ON docs(json_extract(body, '$.owner'))")?;
    let docs = open(dir.path())?.collection("docs")?;
    docs.create_index(None, "owner", false)?;
    let parsed: Result<Vec<Value>, _> = texts.iter().map(|text| serde_json::from_str(text)).collect();
    docs.insert_many(parsed?)?;

    for question in questions() {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (their_rate, their_answer) = ask_raw(&connection, &question)?;
            let (our_rate, our_answer) = ask(&docs, &question)?;
            if our_answer != their_answer {
                return Err(format!("{}: both sides must find the same documents", question.name).into());
            }
            ours.push(our_rate);
            theirs.push(their_rate);
        }
        pair(question.name, "queries/s", &ours, &theirs, Goal::Open);
    }
    Ok(())
}

fn questions() -> [Question; 3] {
    let last = 1_000_000_000_000 + DOCUMENTS;
    [
        Question {
            name: "find by an indexed field, about 20 documents",
            query: |owner| json!({"filter": {"owner": owner}}),
            sql: "SELECT body FROM docs WHERE json_extract(body, '$.owner') = ?1 ORDER BY rowid",
            wanted: (0..OWNERS).map(|n| json!(format!("user-{n:04}"))).collect(),
        },
        Question {
            name: "find without index, limit 10, whole scan",
            query: |least| json!({"filter": {"mark": {"$gte": least}}, "limit": 10}),
            sql: "SELECT body FROM docs WHERE json_extract(body, '$.mark') >= ?1 ORDER BY rowid LIMIT 10",
            wanted: (0..SCANS).map(|n| json!(last - 10 - n)).collect(),
        },
        Question {
            name: "find without index, limit 10, early end",
            query: |rank| json!({"filter": {"rank": rank}, "limit": 10}),
            sql: "SELECT body FROM docs WHERE json_extract(body, '$.rank') = ?1 ORDER BY rowid LIMIT 10",
            wanted: (0..OWNERS).map(|n| json!(n % 5)).collect(),
        },
    ]
}

/// Queries per second, and the last answer.
fn ask(docs: &Collection, question: &Question) -> Result<(f64, Vec<Value>), Box<dyn Error>> {
    let mut answer = Vec::new();
    let began = Instant::now();
    for wanted in &question.wanted {
        answer = docs.find(&Query::from_json(&(question.query)(wanted))?)?;
    }
    Ok((per_second(question.wanted.len(), began), answer))
}

fn ask_raw(connection: &Connection, question: &Question) -> Result<(f64, Vec<Value>), Box<dyn Error>> {
    let mut answer = Vec::new();
    let began = Instant::now();
    for wanted in &question.wanted {
        answer = raw::select(connection, question.sql, wanted)?;
    }
    Ok((per_second(question.wanted.len(), began), answer))
}
