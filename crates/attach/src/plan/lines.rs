//! Child tables as lists inside objects.

use super::{Ground, LinesPlan, columns, place_of};
use crate::catalogue::Table;
use crate::error::AttachError;
use crate::mapping::{LinesMap, TypeMap};

impl Ground<'_> {
    /// The child tables of a type.
    pub(crate) fn lines(&self, at: &str, parent: &Table, wish: &TypeMap) -> Result<Vec<LinesPlan>, AttachError> {
        let all = wish.lines.iter();
        all.map(|(field, lines)| self.line(&format!("{at}.lines.{field}"), parent, field, lines)).collect()
    }

    fn line(&self, at: &str, parent: &Table, field: &str, wish: &LinesMap) -> Result<LinesPlan, AttachError> {
        let table = self.table(&format!("{at}.table"), &wish.table)?;
        let link = &columns::column_of(&format!("{at}.parent"), table, &wish.parent)?.name;
        let foreign = table.reference(link).filter(|key| key.table.eq_ignore_ascii_case(&parent.name));
        let target = foreign.and_then(|key| key.targets.first()).or_else(|| parent.key.first());
        let Some(target) = target.filter(|_| foreign.is_some() || parent.key.len() == 1) else {
            let reason = format!("names `{link}`, which refers to no single column of `{}`", parent.name);
            return Err(AttachError::mapping(format!("{at}.parent"), reason));
        };
        let target = columns::column_of(&format!("{at}.parent"), parent, target)?.name.clone();
        let mut left_out = vec![link.as_str()];
        left_out.extend(table.key.first().filter(|_| table.numbered).map(String::as_str));
        let exchanged = self.columns(at, table, &wish.columns, &left_out)?;
        let place = |name: &String| place_of(&format!("{at}.match"), &exchanged, table, name);
        let mut matching = wish.matching.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        if matching.is_empty() {
            matching.extend(exchanged.iter().position(|column| column.name.eq_ignore_ascii_case("uuid")));
        }
        let key = if table.key.is_empty() { vec!["rowid".to_owned()] } else { table.key.clone() };
        for name in &wish.order {
            columns::column_of(&format!("{at}.order"), table, name)?;
        }
        Ok(LinesPlan {
            field: field.to_owned(),
            table: table.name.clone(),
            order: wish.order.iter().chain(&key).cloned().collect(),
            parent: (link.clone(), target),
            columns: exchanged,
            matching,
            key,
        })
    }
}
