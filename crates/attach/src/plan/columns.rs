//! Columns and their fields: names, forms, and what they refer to.

use super::{ColumnPlan, Ground, Refers, TypePlan};
use crate::catalogue::{Column, Table};
use crate::error::AttachError;
use crate::mapping::{ColumnsMap, TypeMap};
use std::collections::BTreeSet;

/// Names of fields that a hub reads for itself, and what it takes them for.
const RESERVED_FIELDS: [(&str, &str); 3] =
    [("_id", "the id of the document"), ("expireAt", "the end of the document's life"), ("ttl", "its length of life")];

impl Ground<'_> {
    /// The columns of a table that are exchanged; `left_out` are those that are something else.
    pub(crate) fn columns(
        &self,
        at: &str,
        table: &Table,
        wish: &ColumnsMap,
        left_out: &[&str],
    ) -> Result<Vec<ColumnPlan>, AttachError> {
        let named = [("exclude", wish.exclude.iter().collect::<Vec<_>>()), ("fields", wish.fields.keys().collect())];
        let more = [("as", wish.forms.keys().collect::<Vec<_>>()), ("references", wish.references.keys().collect())];
        for (option, names) in named.into_iter().chain(more) {
            for name in names {
                let column = column_of(&format!("{at}.{option}"), table, name)?;
                if column.generated && option != "exclude" {
                    let reason = format!("names `{name}`, which the database computes itself: it is never exchanged");
                    return Err(AttachError::mapping(format!("{at}.{option}"), reason));
                }
            }
        }
        let is = |name: &String, other: &str| name.eq_ignore_ascii_case(other);
        let meant = table.columns.iter().filter(|column| {
            !column.generated
                && !left_out.iter().any(|name| is(&column.name, name))
                && !wish.exclude.iter().any(|name| is(name, &column.name))
        });
        meant.map(|column| self.column(at, table, column, wish)).collect()
    }

    fn column(&self, at: &str, table: &Table, column: &Column, wish: &ColumnsMap) -> Result<ColumnPlan, AttachError> {
        let name = &column.name;
        let field = wish.fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or(name, |(_, field)| field);
        if let Some((_, meaning)) = RESERVED_FIELDS.iter().find(|(reserved, _)| reserved == field) {
            let reason = format!(
                "has a column `{name}` whose field would be `{field}`, which a hub takes for {meaning}; give it another \
                 name: fields = {{ \"{name}\" = \"row_{}\" }}",
                field.trim_start_matches('_')
            );
            return Err(AttachError::mapping(at, reason));
        }
        let form = wish.forms.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, form)| *form);
        Ok(ColumnPlan {
            name: name.clone(),
            field: field.clone(),
            declared: column.declared.clone(),
            affinity: column.affinity,
            form: form.unwrap_or(column.form),
            respells: column.respells,
            not_null: column.not_null,
            refers: self.refers(at, table, name, wish)?,
            defers: table.reference(name).is_none_or(|foreign| foreign.defers),
        })
    }

    fn refers(&self, at: &str, table: &Table, name: &str, wish: &ColumnsMap) -> Result<Refers, AttachError> {
        let wished = wish.references.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        if let Some((_, kind)) = wished {
            let at = format!("{at}.references");
            let Some(target) = self.mapping.types.get(kind) else {
                return Err(AttachError::mapping(at, format!("names type `{kind}`, which the mapping does not have")));
            };
            return self.to_type(&at, name, (kind, target), None);
        }
        let Some(foreign) = table.reference(name) else { return Ok(Refers::Nothing) };
        let target = foreign.targets.first().map(String::as_str);
        if let Some(owner) = self.owner(&foreign.table) {
            return self.to_type(at, name, owner, target);
        }
        let numbered = self.catalogue.table(&foreign.table).is_some_and(|table| table.numbered);
        if numbered && self.is_lines(&foreign.table) {
            let reason = format!(
                "has a column `{name}` that refers to rows of `{}`, which are lines of other objects and have no id \
                 elsewhere; exclude the column, or map that table as a type of its own",
                foreign.table
            );
            return Err(AttachError::mapping(at, reason));
        }
        let first = || self.catalogue.table(&foreign.table).and_then(|table| table.key.first()).cloned();
        let column = target.map(str::to_owned).or_else(first).unwrap_or_else(|| "rowid".into());
        Ok(Refers::Row { table: foreign.table.clone(), column })
    }

    /// A reference to an object: by its key, its UUID, or another value that means the same everywhere.
    fn to_type(
        &self,
        at: &str,
        name: &str,
        (kind, wish): (&str, &TypeMap),
        target: Option<&str>,
    ) -> Result<Refers, AttachError> {
        let kind = kind.to_owned();
        let table = self.table(at, &wish.table)?;
        let uuid = self.uuid_of(at, table, wish)?;
        let key = super::key_of(at, table, wish)?;
        let target = target.unwrap_or(&key[0]);
        if let Some((column, form)) = uuid
            && column.eq_ignore_ascii_case(target)
        {
            return Ok(Refers::Uuid { kind, form });
        }
        if key.len() == 1 && key[0].eq_ignore_ascii_case(target) {
            return Ok(Refers::Key { kind });
        }
        if key.len() > 1 && table.key.len() == key.len() && !table.uniques.iter().any(|unique| unique.len() == 1) {
            let reason = format!("has a column `{name}` that refers to a part of the key of `{}`", table.name);
            return Err(AttachError::mapping(at, reason));
        }
        Ok(Refers::Row { table: table.name.clone(), column: target.to_owned() })
    }

    fn is_lines(&self, table: &str) -> bool {
        let mut all = self.mapping.types.values().flat_map(|wish| wish.lines.values());
        all.any(|lines| lines.table.eq_ignore_ascii_case(table))
    }
}

/// The column of a name.
pub(crate) fn column_of<'t>(at: &str, table: &'t Table, name: &str) -> Result<&'t Column, AttachError> {
    table.column(name).ok_or_else(|| {
        let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let reason = format!("names `{name}`, which is no column of `{}`; it has: {}", table.name, names.join(", "));
        AttachError::mapping(at, reason)
    })
}

/// No two columns are the same field.
pub(crate) fn fields_are_told_apart(at: &str, plan: &TypePlan) -> Result<(), AttachError> {
    let lists = plan.lines.iter().map(|lines| (at.to_owned(), &lines.field));
    let own = plan.columns.iter().map(|column| (at.to_owned(), &column.field));
    unique(own.chain(lists))?;
    for lines in &plan.lines {
        let at = format!("{at}.lines.{}", lines.field);
        unique(lines.columns.iter().map(|column| (at.clone(), &column.field)))?;
    }
    Ok(())
}

fn unique<'f>(fields: impl Iterator<Item = (String, &'f String)>) -> Result<(), AttachError> {
    let mut known = BTreeSet::new();
    for (at, field) in fields {
        if !known.insert(field) {
            let reason =
                format!("has two columns or lists for field `{field}`; rename one: fields = {{ COLUMN = \"…\" }}");
            return Err(AttachError::mapping(at, reason));
        }
    }
    Ok(())
}
