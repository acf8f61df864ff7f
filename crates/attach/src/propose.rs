//! A first mapping for a database, to be looked over by a person. Reads, and writes nothing.

use crate::attachment::look;
use crate::catalogue::{Catalogue, Table};
use crate::error::AttachError;
use crate::value::Cell;
use crate::work::Database;
use std::ffi::OsStr;
use std::fmt::Write;

/// The text of a mapping for everything in a database that can be exchanged; what cannot stands in remarks.
///
/// # Errors
/// There is no database, or it cannot be read.
pub fn propose(place: &(impl AsRef<OsStr> + ?Sized)) -> Result<String, AttachError> {
    let (db, catalogue) = look(place.as_ref())?;
    let mut text = String::from(
        "# Which tables are exchanged, and as which types. docs/attach.md explains every key.\n\
         schema_version = \"1.0.0\"\n",
    );
    for table in &catalogue.tables {
        if parent_of(&catalogue, table).is_some() {
            continue;
        }
        if table.key.is_empty() && uuid_of(table).is_none() {
            let _ = write!(
                text,
                "\n# `{}` has no primary key and cannot be exchanged: nothing tells its rows apart.\n",
                table.name
            );
            continue;
        }
        put_type(&mut text, &db, &catalogue, table);
    }
    Ok(text)
}

fn put_type(text: &mut String, db: &Database, catalogue: &Catalogue, table: &Table) {
    let kind = type_name(&table.name);
    let _ = write!(text, "\n[types.{kind}]\ntable = {}\n", toml_text(&table.name));
    if let Some(uuid) = uuid_of(table) {
        let _ = writeln!(text, "uuid = {}", toml_text(uuid));
    }
    for name in ["updated_at", "is_deleted"] {
        if let Some(column) = table.column(name) {
            let _ = writeln!(text, "{name} = {}", toml_text(&column.name));
        }
    }
    put_columns(text, db, table);
    put_match(text, table);
    for lines in
        catalogue.tables.iter().filter(|lines| parent_of(catalogue, lines).is_some_and(|(of, _)| of == table.name))
    {
        let Some((_, column)) = parent_of(catalogue, lines) else { continue };
        let field = lines.name.strip_prefix(&format!("{}_", singular(&table.name))).unwrap_or(&lines.name);
        let _ = write!(text, "\n[types.{kind}.lines.{}]\n", toml_key(field));
        let _ = writeln!(text, "table = {}\nparent = {}", toml_text(&lines.name), toml_text(column));
        put_columns(text, db, lines);
    }
}

/// By what rows of two databases are found to be the same. A key that is exchanged says it of itself; whether other
/// unique columns do, a person decides.
fn put_match(text: &mut String, table: &Table) {
    let listed = |names: &[String]| names.iter().map(|name| toml_text(name)).collect::<Vec<_>>().join(", ");
    if !table.numbered && uuid_of(table).is_none() {
        let _ = writeln!(text, "match = [{}]", listed(&table.key));
        return;
    }
    let mut naturals = table.uniques.iter().filter(|unique| Some(&unique[0][..]) != uuid_of(table));
    if let Some(natural) = naturals.next() {
        let _ =
            writeln!(text, "# Rows that other databases have as well, under other ids, are found to be the same by:");
        let _ = writeln!(text, "# match = [{}]", listed(natural));
    }
}

/// Names that a hub takes for something else, and forms of times as the application writes them.
fn put_columns(text: &mut String, db: &Database, table: &Table) {
    let taken = table.columns.iter().filter(|column| matches!(&*column.name, "_id" | "ttl" | "expireAt"));
    let renamed: Vec<String> = taken
        .map(|column| format!("{} = \"row_{}\"", toml_key(&column.name), column.name.trim_start_matches('_')))
        .collect();
    if !renamed.is_empty() {
        let _ = writeln!(text, "fields = {{ {} }}", renamed.join(", "));
    }
    let times = table.columns.iter().filter(|column| {
        let declared = column.declared.to_uppercase();
        declared.starts_with("DATETIME") || declared.starts_with("TIMESTAMP")
    });
    let forms: Vec<String> = times
        .filter_map(|column| {
            let Some(Cell::Text(sample)) = db.sample(&table.name, &column.name) else { return None };
            let form = match sample.len() {
                26 if sample.as_bytes()[10] == b' ' => "datetime",
                19 if sample.as_bytes()[10] == b' ' => "datetime-seconds",
                _ => return None,
            };
            Some(format!("{} = \"{form}\"", toml_key(&column.name)))
        })
        .collect();
    if !forms.is_empty() {
        let _ = writeln!(text, "as = {{ {} }}", forms.join(", "));
    }
}

/// The table and column that a table's rows go with, if they are lines of one other table and nobody refers to them.
fn parent_of<'t>(catalogue: &'t Catalogue, table: &'t Table) -> Option<(&'t str, &'t str)> {
    let mut owners = table.references.iter().filter(|key| key.cascades && key.columns.len() == 1);
    let owner = owners.next().filter(|_| owners.next().is_none())?;
    let target = catalogue.table(&owner.table)?;
    let referred = catalogue.tables.iter().flat_map(|other| &other.references);
    let is_referred = referred.into_iter().any(|key| key.table.eq_ignore_ascii_case(&table.name));
    let nested = target.references.iter().any(|key| key.cascades);
    let required = table.column(&owner.columns[0])?.not_null;
    let own = target.name == table.name || is_referred || nested || !required || table.key.len() > 2;
    (!own).then_some((&target.name, &owner.columns[0]))
}

fn uuid_of(table: &Table) -> Option<&str> {
    let named = |name: &str| table.column(name).map(|column| column.name.as_str());
    let id = table.column("id").filter(|column| {
        let declared = column.declared.to_uppercase();
        declared.contains("UUID") || declared.contains("GUID") || matches!(&*declared, "CHAR(32)" | "CHAR(36)")
    });
    named("uuid").or_else(|| named("guid")).or_else(|| id.map(|column| column.name.as_str()))
}

/// `daily_reports` as `DailyReport`.
fn type_name(table: &str) -> String {
    let words = singular(table);
    let words = words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    };
    let name: String = words.map(capital).collect();
    if name.is_ascii() { name } else { toml_text(&name) }
}

fn singular(table: &str) -> String {
    match table {
        _ if table.ends_with("ies") && table.len() > 4 => format!("{}y", &table[..table.len() - 3]),
        _ if table.ends_with("sses") || table.ends_with("xes") => table[..table.len() - 2].to_owned(),
        _ if table.ends_with('s') && !table.ends_with("ss") => table[..table.len() - 1].to_owned(),
        _ => table.to_owned(),
    }
}

fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn toml_key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if bare { name.to_owned() } else { toml_text(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_after_one_row_of_their_table() {
        for (table, name) in [
            ("daily_reports", "DailyReport"),
            ("brigades", "Brigade"),
            ("categories", "Category"),
            ("order line", "OrderLine"),
            ("classes", "Class"),
            ("address", "Address"),
            ("größen", "\"Größen\""),
        ] {
            assert_eq!(type_name(table), name);
        }
    }
}
