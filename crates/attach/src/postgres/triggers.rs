//! The triggers that register changes (step 1 of the life of a change), as SQL for PostgreSQL.
//!
//! One statement of the application is one statement here, however many rows it changes. They name rows and no more, so
//! that columns may come and go. They run with the rights of whoever attached the database: the application's users need
//! none for the tables of Syncline.

use crate::catalogue::{Affinity, Column};
use crate::engine::Trigger;
use crate::plan::{LinesPlan, Plan, TypePlan};
use crate::sql::{list, literal, quoted};
use syncline_core::wire::digest::fnv128;

/// What stands before names: the longest that PostgreSQL keeps.
const NAME_BYTES: usize = 63;

/// The rows that a statement has changed, for its trigger.
const ROWS: &str = "sync_rows";

/// What is done is not the application's: see `capture`. A condition of the trigger would be made ready anew for each
/// statement, which takes longer than to ask inside.
const APPLYING: &str = "pg_catalog.current_setting('syncline.applying', true) OPERATOR(pg_catalog.=) '1'";

// Functions run with the rights of whoever attached, in whatever search path the application has: to set another one for
// each call would cost a good part of what registering costs. So every name in them says its schema, operators' too.
const TEXT: &str = "pg_catalog.text";
const JOINS: &str = "OPERATOR(pg_catalog.||)";
const EQUALS: &str = "OPERATOR(pg_catalog.=)";

/// All triggers of a plan in a schema.
pub(super) fn triggers(schema: &str, plan: &Plan) -> Vec<Trigger> {
    plan.types.iter().flat_map(|plan| of_type(schema, plan).into_iter().chain(of_lines(schema, plan))).collect()
}

/// The key of a row as `entity_key` holds it, as Rust spells it; `of` is what stands before the columns.
pub(super) fn key_sql(columns: &[Column], of: &str) -> String {
    let part = |column: &Column| {
        let name = format!("{of}{}", quoted(&column.name));
        match column.affinity {
            Affinity::Integer => format!("{name}::{TEXT}"),
            Affinity::Numeric => format!("{name}::pg_catalog.int4::{TEXT}"),
            Affinity::None => format!("'X''' {JOINS} pg_catalog.upper(pg_catalog.encode({name}, 'hex')) {JOINS} ''''"),
            Affinity::Text | Affinity::Real => {
                format!("'''' {JOINS} pg_catalog.replace({name}::{TEXT}, '''', '''''') {JOINS} ''''")
            }
        }
    };
    columns.iter().map(part).collect::<Vec<_>>().join(&format!(" {JOINS} ',' {JOINS} "))
}

/// When a trigger fires, and for what.
struct Event<'e> {
    name: &'e str,
    event: String,
    /// Where the changed rows are: a table of them, or `OLD` and `NEW` of each.
    rows: &'e str,
    /// What must hold of a row.
    when: String,
}

fn of_type(schema: &str, plan: &TypePlan) -> Vec<Trigger> {
    let of_rows = |operation: &str| register(schema, plan, operation, &key(plan, ""), &format!(" FROM {ROWS}"));
    let statement = |name: &str, event: &str, rows: &str, body: &str| {
        let event = Event { name, event: event.to_owned(), rows, when: String::new() };
        trigger(schema, plan, &plan.table, &event, body)
    };
    let (inserted, updated, deleted) = (of_rows("INSERT"), of_rows("UPDATE"), of_rows("DELETE"));
    let table = format!(" FROM {}.{}", quoted(schema), quoted(&plan.table));
    let differs = format!("({}) IS DISTINCT FROM ({})", prefixed(&plan.key, "OLD."), prefixed(&plan.key, "NEW."));
    let moved = Event {
        name: "move",
        event: format!("AFTER UPDATE OF {}", list(&plan.key)),
        rows: "FOR EACH ROW",
        when: format!("WHEN ({differs}) "),
    };
    let mut all = vec![
        statement("insert", "AFTER INSERT", NEW_ROWS, &inserted),
        statement("update", "AFTER UPDATE", NEW_ROWS, &updated),
        trigger(schema, plan, &plan.table, &moved, &register(schema, plan, "DELETE", &key(plan, "OLD."), "")),
        statement("delete", "AFTER DELETE", OLD_ROWS, &deleted),
        statement(
            "truncate",
            "BEFORE TRUNCATE",
            "FOR EACH STATEMENT",
            &register(schema, plan, "DELETE", &key(plan, ""), &table),
        ),
    ];
    if plan.touches {
        all.push(statement("touch", "BEFORE INSERT OR UPDATE", "FOR EACH ROW", TOUCH));
    }
    all
}

/// Says that the row was changed now, where the application does not say when.
const TOUCH: &str = "IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
  NEW.updated_at := coalesce(NEW.updated_at, pg_catalog.clock_timestamp() AT TIME ZONE 'UTC'); RETURN NEW;
END IF;
IF coalesce(NEW.updated_at OPERATOR(pg_catalog.=) OLD.updated_at, NEW.updated_at IS NULL AND OLD.updated_at IS NULL) THEN
  NEW.updated_at := pg_catalog.clock_timestamp() AT TIME ZONE 'UTC';
END IF;
RETURN NEW;";

const NEW_ROWS: &str = "REFERENCING NEW TABLE AS sync_rows FOR EACH STATEMENT";
const OLD_ROWS: &str = "REFERENCING OLD TABLE AS sync_rows FOR EACH STATEMENT";

/// A change of a line is a change of its object.
fn of_lines(schema: &str, plan: &TypePlan) -> Vec<Trigger> {
    let of = |lines: &LinesPlan| {
        let link = quoted(&lines.parent.0);
        let touched = touched(schema, plan, lines, ROWS);
        let all = self::touched(schema, plan, lines, &format!("{}.{}", quoted(schema), quoted(&lines.table)));
        let statement = |name: &str, event: &str, rows: &str, body: &str| {
            let event = Event { name, event: event.to_owned(), rows, when: String::new() };
            trigger(schema, plan, &lines.table, &event, body)
        };
        let moved = Event {
            name: "move",
            event: format!("AFTER UPDATE OF {link}"),
            rows: "FOR EACH ROW",
            when: format!("WHEN (OLD.{link} IS DISTINCT FROM NEW.{link}) "),
        };
        let left = self::touched(schema, plan, lines, &format!("(SELECT OLD.{link}) AS moved({link})"));
        [
            statement("insert", "AFTER INSERT", NEW_ROWS, &touched),
            statement("update", "AFTER UPDATE", NEW_ROWS, &touched),
            trigger(schema, plan, &lines.table, &moved, &left),
            statement("delete", "AFTER DELETE", OLD_ROWS, &touched),
            statement("truncate", "BEFORE TRUNCATE", "FOR EACH STATEMENT", &all),
        ]
    };
    plan.lines.iter().flat_map(of).collect()
}

/// Registers the objects of lines that stand in `rows`, each once.
fn touched(schema: &str, plan: &TypePlan, lines: &LinesPlan, rows: &str) -> String {
    let (link, target) = (quoted(&lines.parent.0), &lines.parent.1);
    if plan.key == [target.clone()] {
        let column = Column { name: lines.parent.0.clone(), ..plan.key_columns[0].clone() };
        let from = format!(" FROM (SELECT DISTINCT {link} FROM {rows} WHERE {link} IS NOT NULL) AS lines");
        return register(schema, plan, "UPDATE", &key_sql(&[column], ""), &from);
    }
    let parents = format!("{}.{}", quoted(schema), quoted(&plan.table));
    let from = format!(" FROM {parents} AS o WHERE o.{} {EQUALS} ANY (SELECT {link} FROM {rows})", quoted(target));
    register(schema, plan, "UPDATE", &key(plan, "o."), &from)
}

fn register(schema: &str, plan: &TypePlan, operation: &str, key: &str, from: &str) -> String {
    format!(
        "INSERT INTO {}.sync_log(entity_type, entity_key, operation) SELECT {}, {key}, '{operation}'{from};",
        quoted(schema),
        literal(&plan.kind)
    )
}

fn key(plan: &TypePlan, of: &str) -> String {
    key_sql(&plan.key_columns, of)
}

fn prefixed(names: &[String], of: &str) -> String {
    names.iter().map(|name| format!("{of}{}", quoted(name))).collect::<Vec<_>>().join(", ")
}

/// A trigger and its function, of one name.
fn trigger(schema: &str, plan: &TypePlan, table: &str, event: &Event<'_>, body: &str) -> Trigger {
    let name = name_of(table, event.name);
    let (place, own) = (quoted(schema), quoted(&name));
    // Keys are spelled alike whatever the session of the application has chosen.
    let spelled = |column: &Column| {
        let declared = &column.declared;
        ["date", "time", "interval"].iter().any(|word| declared.starts_with(word))
    };
    let settings = match plan.key_columns.iter().any(spelled) {
        true => "SET datestyle = 'ISO, YMD' SET timezone = 'UTC' SET intervalstyle = 'iso_8601' ",
        false => "",
    };
    let untouched = if event.event.starts_with("BEFORE INSERT") { "NEW" } else { "NULL" };
    let sql = format!(
        "CREATE FUNCTION {place}.{own}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
         {settings}AS $sync$ BEGIN IF {APPLYING} THEN RETURN {untouched}; END IF; {body} RETURN NULL; END $sync$;\n\
         CREATE TRIGGER {own} {} ON {place}.{} {} {}EXECUTE FUNCTION {place}.{own}();",
        event.event,
        quoted(table),
        event.rows,
        event.when
    );
    Trigger { name, kind: plan.kind.clone(), sql }
}

fn name_of(table: &str, event: &str) -> String {
    let name = format!("sync_{table}_{event}");
    if name.len() <= NAME_BYTES {
        return name;
    }
    format!("sync_{}_{event}", u128::from_be_bytes(fnv128(&[table.as_bytes()])))
}
