//! The triggers that register changes (step 1 of the life of a change), as SQL.
//!
//! They name the row and no more, so that columns may come and go; what has changed is found when a packet is composed.
//! They ask nothing: what Syncline's own writes register is taken back before they are committed (see `capture`).

use super::key_sql;
use crate::engine::Trigger;
use crate::plan::{LinesPlan, Plan, TypePlan};
use crate::sql::{list, literal, quoted};
use std::collections::BTreeSet;

/// All triggers of a plan.
pub(crate) fn triggers(plan: &Plan) -> Vec<Trigger> {
    plan.types.iter().flat_map(|plan| of_type(plan).into_iter().chain(of_lines(plan))).collect()
}

fn of_type(plan: &TypePlan) -> Vec<Trigger> {
    let kind = literal(&plan.kind);
    let (new, old) = (key_sql(&plan.key, plan.numbered, "NEW."), key_sql(&plan.key, plan.numbered, "OLD."));
    let register = |key: &str, operation: &str| {
        format!("INSERT INTO sync_log(entity_type, entity_key, operation) VALUES ({kind}, {key}, '{operation}');")
    };
    let moved = format!(
        "INSERT INTO sync_log(entity_type, entity_key, operation) SELECT {kind}, {old}, 'DELETE' WHERE {old} IS NOT {new};"
    );
    // What is rare has triggers of its own, that other updates do not wake.
    let mut all = vec![
        trigger(plan, &plan.table, "insert", "AFTER INSERT", &register(&new, "INSERT")),
        trigger(plan, &plan.table, "update", "AFTER UPDATE", &register(&new, "UPDATE")),
        trigger(plan, &plan.table, "move", &format!("AFTER UPDATE OF {}", list(&plan.key)), &moved),
        trigger(plan, &plan.table, "delete", "AFTER DELETE", &register(&old, "DELETE")),
    ];
    if plan.touches {
        let event = |when: &str| format!("AFTER {when} ON {} {APPLICATION}", quoted(&plan.table));
        all.push(made(plan, &plan.table, "new", &event("INSERT"), &touch(plan, "NULL")));
        all.push(made(plan, &plan.table, "touch", &event("UPDATE"), &touch(plan, "OLD.\"updated_at\"")));
    }
    let uniques: Vec<&Vec<String>> = replaceable(plan).collect();
    if !uniques.is_empty() {
        let body = uniques.iter().map(|unique| replaced(plan, unique)).collect::<Vec<_>>().join(" ");
        let columns: BTreeSet<&String> = uniques.iter().copied().flatten().collect();
        // Nearly always there is no such row, and looking costs less than a statement that finds none.
        let found = uniques.iter().map(|unique| format!("EXISTS (SELECT 1 {})", same(plan, unique)));
        let when = format!("ON {} WHEN {}", quoted(&plan.table), found.collect::<Vec<_>>().join(" OR "));
        all.push(made(plan, &plan.table, "replace", &format!("BEFORE INSERT {when}"), &body));
        let event = format!("BEFORE UPDATE OF {} {when}", list(columns));
        all.push(made(plan, &plan.table, "displace", &event, &body));
    }
    all
}

/// What Syncline itself stores is left as it is.
const APPLICATION: &str = "WHEN (SELECT kept_upto FROM sync_attached) IS NULL";

/// Says that the row was changed now, where the application does not say when.
fn touch(plan: &TypePlan, before: &str) -> String {
    let same = plan.key.iter().map(|name| format!("{} = NEW.{}", quoted(name), quoted(name)));
    format!(
        "UPDATE {} SET \"updated_at\" = strftime('%Y-%m-%d %H:%M:%f000', 'now') WHERE {} AND \"updated_at\" IS {before};",
        quoted(&plan.table),
        same.collect::<Vec<_>>().join(" AND ")
    )
}

/// Uniques by which an `INSERT OR REPLACE` takes other rows away without a word. Of a UUID the new row tells it.
fn replaceable(plan: &TypePlan) -> impl Iterator<Item = &Vec<String>> {
    let is_uuid = |unique: &[String]| plan.uuid.as_ref().is_some_and(|(name, _)| unique == [name.clone()]);
    plan.uniques.iter().filter(move |unique| !is_uuid(unique) && **unique != plan.key)
}

fn replaced(plan: &TypePlan, unique: &[String]) -> String {
    format!(
        "INSERT INTO sync_log(entity_type, entity_key, operation) SELECT {}, {}, 'UPDATE' {};",
        literal(&plan.kind),
        key_sql(&plan.key, plan.numbered, ""),
        same(plan, unique)
    )
}

/// Rows that have the new row's values in these columns.
fn same(plan: &TypePlan, unique: &[String]) -> String {
    let terms = unique.iter().map(|name| format!("{} = NEW.{}", quoted(name), quoted(name)));
    format!("FROM {} WHERE {}", quoted(&plan.table), terms.collect::<Vec<_>>().join(" AND "))
}

/// A change of a line is a change of its object.
fn of_lines(plan: &TypePlan) -> Vec<Trigger> {
    let of = |lines: &LinesPlan| {
        let (new, old) = (touched(plan, lines, "NEW."), touched(plan, lines, "OLD."));
        let moving = format!("AFTER UPDATE OF {}", quoted(&lines.parent.0));
        [
            trigger(plan, &lines.table, "insert", "AFTER INSERT", &new),
            trigger(plan, &lines.table, "update", "AFTER UPDATE", &new),
            trigger(plan, &lines.table, "move", &moving, &old),
            trigger(plan, &lines.table, "delete", "AFTER DELETE", &old),
        ]
    };
    plan.lines.iter().flat_map(of).collect()
}

fn touched(plan: &TypePlan, lines: &LinesPlan, of: &str) -> String {
    let (link, target) = &lines.parent;
    let value = format!("{of}{}", quoted(link));
    let start = format!(
        "INSERT INTO sync_log(entity_type, entity_key, operation) SELECT {}, {{}}, 'UPDATE'",
        literal(&plan.kind)
    );
    if plan.key == [target.clone()] {
        let key = key_sql(std::slice::from_ref(link), plan.numbered, of);
        return format!("{} WHERE {value} IS NOT NULL;", start.replace("{}", &key));
    }
    let (table, target) = (quoted(&plan.table), quoted(target));
    format!("{} FROM {table} WHERE {target} = {value};", start.replace("{}", &key_sql(&plan.key, plan.numbered, "")))
}

fn trigger(plan: &TypePlan, table: &str, name: &str, event: &str, body: &str) -> Trigger {
    made(plan, table, name, &format!("{event} ON {}", quoted(table)), body)
}

fn made(plan: &TypePlan, table: &str, name: &str, event: &str, body: &str) -> Trigger {
    let name = format!("sync_{table}_{name}");
    let sql = format!("CREATE TRIGGER {} {event} BEGIN {body} END", quoted(&name));
    Trigger { name, kind: plan.kind.clone(), sql }
}
