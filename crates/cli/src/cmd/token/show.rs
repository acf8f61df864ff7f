//! How tokens are shown to people: in a table, and by what one allows.

use crate::hub::access_of;
use crate::output::Table;
use std::collections::BTreeSet;
use std::fmt::Display;
use syncline_core::model::{CollectionName, Millis};
use syncline_server::auth::{RowRules, TokenSpec, TokenView};

/// Characters of a column of the table, or of a line.
const SHOWN_CHARS: usize = 80;

/// All tokens as a table.
pub(super) fn table(tokens: &[TokenView]) -> Table {
    let mut table = Table::new(["NAME", "ACCESS", "SPACE", "COLLECTIONS", "ROWS", "ROOMS", "NODE", "EXPIRES", "FROM"]);
    for TokenView { spec, declared, .. } in tokens {
        table.row([
            spec.name.to_string(),
            access(spec),
            spec.space.as_ref().map_or("*".into(), ToString::to_string),
            collections(spec, SHOWN_CHARS),
            cut(&filters(spec).join("; "), SHOWN_CHARS),
            spec.rooms.as_ref().map_or("*".into(), |rooms| cut(&names(rooms), SHOWN_CHARS)),
            spec.node.as_ref().map_or("any".into(), ToString::to_string),
            spec.expires_at.map_or("never".into(), Millis::iso),
            if *declared { "configuration".into() } else { "store".into() },
        ]);
    }
    table
}

/// What a token allows, line by line.
pub(super) fn allowed(spec: &TokenSpec) -> String {
    let mut lines = vec![
        ("access", access(spec)),
        ("space", spec.space.as_ref().map_or("every space".into(), ToString::to_string)),
        ("collections", collections(spec, 10 * SHOWN_CHARS)),
    ];
    lines.extend(filters(spec).iter().map(|line| ("rows", cut(line, 10 * SHOWN_CHARS))));
    let claims = spec.claims.iter().map(|(name, value)| ("claim", cut(&format!("{name}={value}"), SHOWN_CHARS)));
    lines.extend(claims);
    lines.extend(spec.collection.as_ref().map(|name| ("bare paths", name.to_string())));
    lines.extend(spec.rooms.as_ref().map(|rooms| ("rooms", names(rooms))));
    lines.extend(spec.node.as_ref().map(|node| ("node", format!("{node} alone"))));
    lines.push(("expires", spec.expires_at.map_or("never".into(), Millis::iso)));
    lines.into_iter().map(|(what, value)| format!("  {what:<12} {value}")).collect::<Vec<_>>().join("\n")
}

fn access(spec: &TokenSpec) -> String {
    match access_of(spec) {
        "admin" => "admin".into(),
        access if spec.emit => format!("{access}, emit"),
        access => access.into(),
    }
}

/// Its collections, and of which of them it opens only some rows.
fn collections(spec: &TokenSpec, most: usize) -> String {
    let rows: BTreeSet<_> = spec.rows.keys().chain(spec.read_rows.keys()).chain(spec.write_rows.keys()).collect();
    let some = |name: &CollectionName| format!("{name} (some rows)");
    let all: Vec<String> = match &spec.collections {
        None => std::iter::once("*".to_owned()).chain(rows.iter().map(|name| some(name))).collect(),
        Some(all) => all.iter().map(|name| if rows.contains(name) { some(name) } else { name.to_string() }).collect(),
    };
    cut(&all.join(","), most)
}

/// Its filters, one for each collection and direction.
fn filters(spec: &TokenSpec) -> Vec<String> {
    let lines = |what: &'static str, rules: &RowRules| {
        rules.iter().map(move |(name, filter)| format!("{what}{name}: {filter}")).collect::<Vec<_>>()
    };
    [lines("", &spec.rows), lines("read ", &spec.read_rows), lines("write ", &spec.write_rows)].concat()
}

fn names<T: Display>(names: &BTreeSet<T>) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<String>>().join(",")
}

/// `--json` has all of it.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}… (--json: all)", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Output;
    use serde_json::json;

    fn spec(json: serde_json::Value) -> TokenSpec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn filters_are_shown_beside_the_collections_and_long_lists_are_cut() {
        let anna = spec(json!({"name": "anna", "rows": {"tasks": {"owner": "$sub"}}, "read_rows": {"notes": {}}}));
        let rows: serde_json::Map<_, _> = (0..6_000).map(|n| (format!("collection-{n}"), json!({"n": n}))).collect();
        let wide = spec(json!({"name": "wide", "rows": rows}));
        let view = |spec: &TokenSpec| TokenView { spec: spec.clone(), declared: false, created_at: None };
        let text = table(&[view(&anna), view(&wide)]).render(Output::new(false));
        assert!(text.contains(r#"tasks: {"owner":"$sub"}; read notes: {}"#), "{text}");
        assert!(text.contains("collection-0 (some rows)") && text.contains("… (--json: all)"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() < 400), "{text}");
        let said = allowed(&anna);
        assert!(
            said.contains(r#"rows         tasks: {"owner":"$sub"}"#) && said.contains("expires      never"),
            "{said}"
        );
    }
}
