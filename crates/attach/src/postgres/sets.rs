//! Statements that write many rows. Rows travel as one value, a list of JSON objects, whose texts the server reads as the
//! types of the table's columns: it reads and plans one short statement, whatever the number of rows.

use super::cells::spell;
use crate::sql::{Given, list, pieces, quoted, rows_of_marks};
use tokio_postgres::types::Type;

/// Reads records as rows of a table.
pub(super) const RECORDS: &str = "json_populate_recordset";

/// Compares with each value of an array.
pub(super) const ANY: &str = "= ANY (CAST(";

/// Rows in one statement, at most.
const ROWS_MAX: usize = 1_024;

/// A statement, and what it is given.
pub(super) enum Set<'g> {
    Records(String, String),
    Values(String, Vec<Given<'g>>),
}

impl Set<'_> {
    pub(super) fn statement(&self) -> (&str, Vec<Given<'_>>) {
        match self {
            Set::Records(sql, records) => (sql, vec![records.into()]),
            Set::Values(sql, values) => (sql, values.clone()),
        }
    }
}

/// Makes rows.
pub(super) fn inserting<'g>(table: &str, columns: &[&String], rows: &[Vec<Given<'_>>]) -> Vec<Set<'g>> {
    let (table, names) = (quoted(table), list(columns.iter().copied()));
    let sql = format!(
        "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE
         SELECT {names} FROM {RECORDS}(NULL::{table}, ?1::json)"
    );
    sets(&sql, columns, rows)
}

/// Sets columns of rows: their values, and behind them the keys.
pub(super) fn updating<'g>(table: &str, set: &[&String], key: &[String], rows: &[Vec<Given<'_>>]) -> Vec<Set<'g>> {
    let table = quoted(table);
    let assigned = set.iter().map(|name| format!("{0} = sync_given.{0}", quoted(name)));
    let same = key.iter().map(|name| format!("sync_row.{0} = sync_given.{0}", quoted(name)));
    let sql = format!(
        "UPDATE {table} AS sync_row SET {} FROM {RECORDS}(NULL::{table}, ?1::json) AS sync_given WHERE {}",
        assigned.collect::<Vec<_>>().join(", "),
        same.collect::<Vec<_>>().join(" AND ")
    );
    sets(&sql, &set.iter().copied().chain(key).collect::<Vec<_>>(), rows)
}

/// Makes rows with JSON in them, whose spelling would not survive inside of other JSON.
pub(super) fn inserting_values<'g>(table: &str, columns: &[&String], rows: &'g [Vec<Given<'g>>]) -> Vec<Set<'g>> {
    let (table, names) = (quoted(table), list(columns.iter().copied()));
    let statement = |piece: &'g [Vec<Given<'g>>]| {
        let marks = rows_of_marks(piece.len(), columns.len(), 1);
        let sql = format!("INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE VALUES {marks}");
        Set::Values(sql, piece.iter().flatten().copied().collect())
    };
    pieces(rows, columns.len()).map(statement).collect()
}

/// The columns have the values of one of some records, which are value `n`.
pub(super) fn among(table: &str, columns: &[&String], n: usize) -> String {
    let names = list(columns.iter().copied());
    format!("({names}) IN (SELECT {names} FROM {RECORDS}(NULL::{}, ?{n}::json))", quoted(table))
}

/// The column has one of the values of an array, which is value `n`: what reads records takes longer.
pub(super) fn any(column: &str, kind: &Type, n: usize) -> String {
    format!("{} {ANY}?{n} AS pg_catalog.{}[]))", quoted(column), kind.name())
}

/// Whether an array of a type is spelled as those of texts are.
pub(super) fn is_plain(kind: &Type) -> bool {
    matches!(*kind, Type::TEXT | Type::VARCHAR | Type::UUID | Type::INT2 | Type::INT4 | Type::INT8)
}

/// Whether a type is one of JSON, whose spelling would not survive inside of other JSON.
pub(super) fn is_json(kind: &Type) -> bool {
    matches!(*kind, Type::JSON | Type::JSONB)
}

/// The first values of rows as arrays, as many at a time as one statement takes.
pub(super) fn arrays(rows: &[Vec<Given<'_>>]) -> Vec<String> {
    let of_rows = |rows: &[Vec<Given<'_>>]| {
        let mut text = String::with_capacity(rows.len() * 40);
        for (n, row) in rows.iter().enumerate() {
            text.push_str(if n == 0 { "{" } else { "," });
            match row[0] {
                Given::Null => text.push_str("NULL"),
                value => put_quoted(value, &mut text),
            }
        }
        text + "}"
    };
    rows.chunks(ROWS_MAX).map(of_rows).collect()
}

fn put_quoted(value: Given<'_>, out: &mut String) {
    let mut spelled = String::new();
    spell(value, &mut spelled).expect("memory can be written to");
    out.push('"');
    for letter in spelled.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
}

fn sets<'g>(sql: &str, columns: &[&String], rows: &[Vec<Given<'_>>]) -> Vec<Set<'g>> {
    records(columns, rows).into_iter().map(|records| Set::Records(sql.to_owned(), records)).collect()
}

/// Rows as JSON, as many at a time as one statement takes.
pub(super) fn records(columns: &[&String], rows: &[Vec<Given<'_>>]) -> Vec<String> {
    let names: Vec<String> = columns.iter().map(|name| json(name)).collect();
    let of_rows = |rows: &[Vec<Given<'_>>]| {
        let mut text = String::with_capacity(rows.len() * names.len() * 32);
        for (n, row) in rows.iter().enumerate() {
            text.push_str(if n == 0 { "[{" } else { "},{" });
            for (n, (name, value)) in names.iter().zip(row).enumerate() {
                text.push_str(if n == 0 { "" } else { "," });
                text.push_str(name);
                text.push(':');
                text.push_str(&value_of(*value));
            }
        }
        text + "}]"
    };
    rows.chunks(ROWS_MAX).map(of_rows).collect()
}

/// Every value but NULL is a text, as the input function of a type reads it.
fn value_of(value: Given<'_>) -> String {
    match value {
        Given::Null => "null".to_owned(),
        Given::Text(text) => json(text),
        value => {
            let mut spelled = String::new();
            spell(value, &mut spelled).expect("memory can be written to");
            json(&spelled)
        }
    }
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a text serializes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_holds_every_text_and_nothing_else() {
        let rows =
            [Given::Text(r#"a"b\c,{}"#), Given::Null, Given::Integer(-5), Given::Text("")].map(|value| vec![value]);
        assert_eq!(arrays(&rows), [r#"{"a\"b\\c,{}",NULL,"-5",""}"#]);
        assert!(arrays(&[]).is_empty());
    }
}
