//! A mapping that fits its database, resolved: every column with its field, form and target. Owns what can be
//! exchanged at all and why not. Reads no row and writes nothing.

mod columns;
mod lines;
#[cfg(test)]
mod tests;

use crate::catalogue::{Affinity, Catalogue, Column, Table};
use crate::error::AttachError;
use crate::identity::UuidForm;
use crate::mapping::{Added, Form, Mapping, TypeMap};
use crate::value::Cell;
use std::collections::BTreeMap;
use syncline_core::model::{CollectionName, Fields};

/// What Syncline's own tables begin with.
pub(crate) const RESERVED_PREFIX: &str = "sync_";

/// What is exchanged of a database.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// In the order of their names.
    pub types: Vec<TypePlan>,
}

/// A table whose rows are objects.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TypePlan {
    pub kind: String,
    pub table: String,
    /// The columns that tell rows apart.
    pub key: Vec<String>,
    /// The same columns as the catalogue has them.
    pub key_columns: Vec<Column>,
    /// The database numbers new rows by itself, and the number means nothing elsewhere.
    pub numbered: bool,
    /// A number is never given again.
    pub never_again: bool,
    pub uuid: Option<(String, UuidForm)>,
    /// Places in `columns`.
    pub updated_at: Option<usize>,
    pub is_deleted: Option<usize>,
    /// The column `updated_at` is Syncline's own, and kept by its triggers.
    pub touches: bool,
    pub matching: Vec<usize>,
    pub columns: Vec<ColumnPlan>,
    pub uniques: Vec<Vec<String>>,
    pub lines: Vec<LinesPlan>,
}

/// A column and its field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ColumnPlan {
    pub name: String,
    pub field: String,
    pub declared: String,
    pub affinity: Affinity,
    pub form: Form,
    pub respells: bool,
    pub not_null: bool,
    pub refers: Refers,
    /// What it refers to may come later in the same transaction.
    pub defers: bool,
}

/// What a column's value names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refers {
    Nothing,
    /// An object, by the key of its row; packets say its UUID.
    Key {
        kind: String,
    },
    /// An object, by its UUID.
    Uuid {
        kind: String,
        form: UuidForm,
    },
    /// A row by a value that means the same everywhere.
    Row {
        table: String,
        column: String,
    },
}

/// A child table whose rows are a list in the objects of another one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LinesPlan {
    pub field: String,
    pub table: String,
    /// What tells its rows apart; `rowid` where it has no key.
    pub key: Vec<String>,
    /// Its column that names the object's row, and the column there that it names.
    pub parent: (String, String),
    pub order: Vec<String>,
    /// Places in `columns`; empty: the place in the list counts.
    pub matching: Vec<usize>,
    pub columns: Vec<ColumnPlan>,
}

/// Some value of a column, where it has one.
pub(crate) type Sample<'a> = &'a dyn Fn(&str, &str) -> Option<Cell>;

/// What the parts of a mapping are held against.
pub(crate) struct Ground<'a> {
    pub mapping: &'a Mapping,
    pub catalogue: &'a Catalogue,
    pub sample: Sample<'a>,
}

impl ColumnPlan {
    /// Of which type the objects are that its values name.
    pub fn target_kind(&self) -> Option<&str> {
        match &self.refers {
            Refers::Key { kind } | Refers::Uuid { kind, .. } => Some(kind),
            Refers::Nothing | Refers::Row { .. } => None,
        }
    }

    /// Which object an arriving one names here: its type, and its id as it is written.
    pub fn target<'c, 'd>(&'c self, data: &'d Fields) -> Option<(&'c str, &'d str)> {
        let (kind, field) = (self.target_kind()?, data.get(&self.field)?);
        Some((kind, field.get().trim_matches('"')))
    }
}

impl Plan {
    /// Holds a mapping against the database.
    ///
    /// # Errors
    /// [`AttachError::Mapping`] for the first thing that does not fit, with its place and what would.
    pub(crate) fn new(mapping: &Mapping, catalogue: &Catalogue, sample: Sample<'_>) -> Result<Plan, AttachError> {
        let ground = Ground { mapping, catalogue, sample };
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        for (place, table) in ground.tables() {
            if let Some(other) = owners.insert(table.to_lowercase(), place.clone()) {
                let reason = format!("maps table `{table}`, which `{other}` maps already; map a table once");
                return Err(AttachError::mapping(place, reason));
            }
        }
        if mapping.types.is_empty() {
            return Err(AttachError::mapping("types", "names no table; `syncline attach init` proposes a mapping"));
        }
        let types = mapping.types.iter().map(|(kind, wish)| ground.type_plan(kind, wish));
        Ok(Plan { types: types.collect::<Result<_, _>>()? })
    }

    /// The type of this name.
    pub(crate) fn named(&self, kind: &str) -> Option<&TypePlan> {
        self.types.iter().find(|plan| plan.kind == kind)
    }
}

impl<'a> Ground<'a> {
    /// All tables that are mapped, with their places.
    fn tables(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for (kind, wish) in &self.mapping.types {
            all.push((format!("types.{kind}.table"), wish.table.clone()));
            let lines = wish.lines.iter();
            all.extend(lines.map(|(field, lines)| (format!("types.{kind}.lines.{field}.table"), lines.table.clone())));
        }
        all
    }

    /// The table of a name.
    pub(crate) fn table(&self, at: &str, name: &str) -> Result<&'a Table, AttachError> {
        if name.to_lowercase().starts_with(RESERVED_PREFIX) {
            return Err(AttachError::mapping(
                at,
                format!("names `{name}`: tables that begin with `sync_` are Syncline's own"),
            ));
        }
        self.catalogue.table(name).ok_or_else(|| {
            let names: Vec<&str> = self.catalogue.tables.iter().map(|table| table.name.as_str()).collect();
            AttachError::mapping(
                at,
                format!("names `{name}`, which is no table of the database; it has: {}", names.join(", ")),
            )
        })
    }

    /// The type that maps a table.
    pub(crate) fn owner(&self, table: &str) -> Option<(&'a str, &'a TypeMap)> {
        let own = self.mapping.types.iter().find(|(_, wish)| wish.table.eq_ignore_ascii_case(table));
        own.map(|(kind, wish)| (kind.as_str(), wish))
    }

    fn type_plan(&self, kind: &str, wish: &TypeMap) -> Result<TypePlan, AttachError> {
        let at = format!("types.{kind}");
        CollectionName::new(kind).map_err(|why| AttachError::mapping(&at, why.to_string()))?;
        let table = self.table(&format!("{at}.table"), &wish.table)?;
        let uuid = self.uuid_of(&at, table, wish)?;
        let key = key_of(&at, table, wish)?;
        let own_number = table.numbered && wish.key.is_empty();
        let numbered = own_number && !wish.share_key && uuid.as_ref().is_none_or(|(name, _)| *name != key[0]);
        let mut left_out: Vec<&str> = uuid.iter().map(|(name, _)| name.as_str()).collect();
        if numbered {
            left_out.push(&key[0]);
        }
        let columns = self.columns(&at, table, &wish.columns, &left_out)?;
        let place = |option: &str, name: &String| place_of(&format!("{at}.{option}"), &columns, table, name);
        let plan = TypePlan {
            kind: kind.to_owned(),
            table: table.name.clone(),
            numbered,
            never_again: table.never_again,
            updated_at: wish.updated_at.as_ref().map(|name| place("updated_at", name)).transpose()?,
            is_deleted: wish.is_deleted.as_ref().map(|name| place("is_deleted", name)).transpose()?,
            touches: wish.add.contains(&Added::UpdatedAt),
            matching: wish.matching.iter().map(|name| place("match", name)).collect::<Result<_, _>>()?,
            uniques: table.uniques.clone(),
            lines: self.lines(&at, table, wish)?,
            key_columns: key.iter().filter_map(|name| table.column(name)).cloned().collect(),
            key,
            uuid,
            columns,
        };
        columns::fields_are_told_apart(&at, &plan)?;
        Ok(plan)
    }

    fn uuid_of(&self, at: &str, table: &Table, wish: &TypeMap) -> Result<Option<(String, UuidForm)>, AttachError> {
        let Some(name) = &wish.uuid else { return Ok(None) };
        let column = columns::column_of(&format!("{at}.uuid"), table, name)?;
        let declared = column.declared.to_uppercase();
        let form = match (self.sample)(&table.name, &column.name) {
            Some(Cell::Text(text)) if text.len() == 32 => UuidForm::Digits,
            Some(Cell::Text(_)) => UuidForm::Hyphens,
            Some(Cell::Blob(_)) => UuidForm::Bytes,
            _ if declared.contains("(32)") => UuidForm::Digits,
            _ if declared.contains("BLOB") || declared.contains("BINARY") || declared == "BYTEA" => UuidForm::Bytes,
            _ => UuidForm::Hyphens,
        };
        Ok(Some((column.name.clone(), form)))
    }
}

/// The columns that tell the rows of a table apart.
fn key_of(at: &str, table: &Table, wish: &TypeMap) -> Result<Vec<String>, AttachError> {
    let mut key = table.key.clone();
    if !wish.key.is_empty() {
        let named = wish.key.iter().map(|name| columns::column_of(&format!("{at}.key"), table, name));
        key = named.map(|column| Ok(column?.name.clone())).collect::<Result<_, AttachError>>()?;
        let same = |unique: &Vec<String>| unique.len() == key.len() && unique.iter().all(|name| key.contains(name));
        if !table.uniques.iter().chain([&table.key]).any(same) {
            let reason = format!(
                "names columns of `{}` that are not declared unique; make a UNIQUE index over them",
                table.name
            );
            return Err(AttachError::mapping(format!("{at}.key"), reason));
        }
    } else if let (true, Some(uuid)) = (key.is_empty(), &wish.uuid) {
        key = vec![columns::column_of(&format!("{at}.uuid"), table, uuid)?.name.clone()];
    }
    if key.is_empty() {
        let reason = format!(
            "names `{}`, which has no primary key; name columns that are unique together (`key = [\"…\"]`) or a column \
             with UUIDs (`uuid = \"…\"`)",
            table.name
        );
        return Err(AttachError::mapping(format!("{at}.table"), reason));
    }
    for name in &key {
        if table.column(name).is_some_and(|column| column.affinity == Affinity::Real) {
            let reason = format!("has the key `{name}`, a number with a fraction, which tells rows apart nowhere else");
            return Err(AttachError::mapping(at, reason));
        }
    }
    Ok(key)
}

/// Where a column stands among those that are exchanged.
pub(crate) fn place_of(at: &str, columns: &[ColumnPlan], table: &Table, name: &str) -> Result<usize, AttachError> {
    columns::column_of(at, table, name)?;
    columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        AttachError::mapping(at, format!("names `{name}`, which is not exchanged: it is excluded, generated or an id"))
    })
}
