//! What a database says of its own tables, in words that every engine has. Owns no SQL and no rule about what is
//! exchanged.

use crate::mapping::{Added, Form, Mapping, TypeMap};

/// The tables of a database, as they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// In the order of their names.
    pub tables: Vec<Table>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Its name, as it is spelled.
    pub name: String,
    /// Its columns in their order; hidden ones are left out.
    pub columns: Vec<Column>,
    /// The columns of its primary key, in the order of the key.
    pub key: Vec<String>,
    /// The key is one number that the database itself gives to new rows.
    pub numbered: bool,
    /// A number is never given again.
    pub never_again: bool,
    /// What its columns refer to.
    pub references: Vec<ForeignKey>,
    /// Columns that are unique together, the primary key left out.
    pub uniques: Vec<Vec<String>>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, as it is spelled.
    pub name: String,
    /// Its type, as it was declared.
    pub declared: String,
    /// What becomes of values of other types.
    pub affinity: Affinity,
    /// How its values are written in packets, where the mapping does not say it.
    pub form: Form,
    /// One value may be spelled in several ways, of which the column holds another one than was written.
    pub respells: bool,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// Whether the database computes it from others: it is neither sent nor written.
    pub generated: bool,
}

/// What a column does to values that are not of its type; SQLite's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// Whole numbers, else what was given.
    Integer,
    /// Numbers with a fraction.
    Real,
    /// Numbers where they can be read as one.
    Numeric,
    /// Text.
    Text,
    /// Everything as it was given.
    None,
}

/// Columns that name a row of another table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// In this table.
    pub columns: Vec<String>,
    /// The other table.
    pub table: String,
    /// In the other table; empty: its primary key.
    pub targets: Vec<String>,
    /// Whether the row goes with the other one.
    pub cascades: bool,
    /// Whether the other row may come later in the same transaction.
    pub defers: bool,
}

impl Catalogue {
    /// The table of this name; upper and lower case are the same, as in SQL.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name.eq_ignore_ascii_case(name))
    }
}

impl Catalogue {
    /// Columns that a mapping has made and that are not there yet, with their tables.
    #[must_use]
    pub(crate) fn missing(&self, mapping: &Mapping) -> Vec<(String, Added)> {
        let of = |wish: &TypeMap| {
            let table = self.table(&wish.table)?;
            let missing = wish.add.iter().filter(|added| table.column(added.column()).is_none());
            Some(missing.map(|added| (table.name.clone(), *added)).collect::<Vec<_>>())
        };
        mapping.types.values().filter_map(of).flatten().collect()
    }

    /// As it will be with them.
    pub(crate) fn complete(&mut self, mapping: &Mapping) {
        for (table, added) in self.missing(mapping) {
            let (name, not_null) = (added.column().to_owned(), added == Added::IsDeleted);
            let form = if not_null { Form::Boolean } else { Form::Plain };
            let affinity = if not_null { Affinity::Numeric } else { Affinity::Text };
            let column =
                Column { name, declared: String::new(), affinity, form, respells: false, not_null, generated: false };
            let all = self.tables.iter_mut().filter(|other| other.name == table);
            all.for_each(|table| table.columns.push(column.clone()));
        }
    }
}

impl Table {
    /// The column of this name; upper and lower case are the same.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// What one column alone refers to.
    #[must_use]
    pub fn reference(&self, column: &str) -> Option<&ForeignKey> {
        self.references.iter().find(|key| key.columns.len() == 1 && key.columns[0].eq_ignore_ascii_case(column))
    }
}
