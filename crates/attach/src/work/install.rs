//! The tables and triggers of Syncline in an application's database: made, looked after, taken away. Never touches what
//! is the application's.

use super::Database;
use crate::engine::{Engine, Fault, Purpose, Trigger};
use crate::error::AttachError;
use crate::mapping::Added;
use crate::plan::Plan;
use crate::value::Cell;
use std::collections::BTreeMap;

/// The format of the tables.
const FORMAT: i64 = 1;

/// The tables, those that others need last.
const NAMES: [&str; 12] = [
    "sync_log",
    "sync_entities",
    "sync_references",
    "sync_packets",
    "sync_aside",
    "sync_conflicts",
    "sync_columns",
    "sync_fill",
    "sync_triggers",
    "sync_added",
    "sync_nodes",
    "sync_attached",
];

/// How the triggers of a plan stand.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// Somebody has dropped or changed them.
    pub broken: Vec<Trigger>,
    /// The mapping asks for them since it was changed.
    pub new: Vec<Trigger>,
    /// The mapping asks for them no more.
    pub left_over: Vec<String>,
}

/// What is known of a trigger that was made: how it was asked for, and how it stood then.
type Made = BTreeMap<String, (String, String)>;

impl Database {
    /// Whether the database has the tables of Syncline, in a format that is known.
    pub(crate) fn is_attached(&self) -> Result<bool, AttachError> {
        if self.engine.query(self.engine.spellings().has_table, &["sync_attached".into()])?.is_empty() {
            return Ok(false);
        }
        let found = self.engine.query("SELECT format FROM sync_attached", &[])?;
        let found = found.first().map_or(0, |row| row[0].number());
        if found == FORMAT { Ok(true) } else { Err(AttachError::Format { found, known: FORMAT }) }
    }

    /// Makes the tables and triggers, and columns that were asked for.
    pub(crate) fn install(
        &self,
        plan: &Plan,
        (node, hub): (&str, &str),
        added: &[(String, Added)],
    ) -> Result<(), AttachError> {
        self.schema(|engine| {
            engine.batch(engine.spellings().tables)?;
            let sql = "INSERT INTO sync_attached(one, format, node_id, hub_id) VALUES (1, ?1, ?2, ?3)";
            engine.execute(sql, &[FORMAT.into(), node.into(), hub.into()])?;
            engine.execute("INSERT INTO sync_nodes(id, code, name) VALUES (?1, 'HUB', 'the hub')", &[hub.into()])?;
            add(engine, added)?;
            make(engine, &engine.triggers(plan))?;
            for plan in &plan.types {
                engine.execute("INSERT INTO sync_fill(entity_type) VALUES (?1)", &[(&plan.kind).into()])?;
            }
            Ok(())
        })
    }

    /// Makes columns that were asked for since.
    pub(crate) fn add_columns(&self, added: &[(String, Added)]) -> Result<(), AttachError> {
        self.schema(|engine| add(engine, added))
    }

    /// Looks whether everything that registers changes is in place.
    pub(crate) fn guard(&self, plan: &Plan) -> Result<Guard, AttachError> {
        let (there, mut made, mut guard) = (self.engine.standing()?, made(&*self.engine)?, Guard::default());
        for trigger in self.engine.triggers(plan) {
            match made.remove(&trigger.name) {
                None => guard.new.push(trigger),
                Some((sql, stood)) if sql == trigger.sql && there.get(&trigger.name) == Some(&stood) => {}
                Some(_) => guard.broken.push(trigger),
            }
        }
        guard.left_over = made.into_keys().filter(|name| there.contains_key(name)).collect();
        Ok(guard)
    }

    /// Puts the triggers in place. Rows of types with new ones are registered once.
    pub(crate) fn mend(&self, guard: &Guard) -> Result<(), AttachError> {
        self.schema(|engine| {
            let wanted: Vec<Trigger> = guard.broken.iter().chain(&guard.new).cloned().collect();
            for name in guard.left_over.iter().chain(wanted.iter().map(|trigger| &trigger.name)) {
                engine.drop_trigger(name)?;
                engine.execute("DELETE FROM sync_triggers WHERE name = ?1", &[name.into()])?;
            }
            make(engine, &wanted)?;
            for trigger in wanted {
                let sql = "INSERT INTO sync_fill(entity_type) VALUES (?1)
                           ON CONFLICT(entity_type) DO UPDATE SET after_key = NULL, done = 0";
                engine.execute(sql, &[(&trigger.kind).into()])?;
            }
            Ok(())
        })
    }

    /// Takes everything of Syncline away.
    pub(crate) fn uninstall(&self) -> Result<(), AttachError> {
        self.schema(|engine| {
            for name in made(engine)?.keys() {
                engine.drop_trigger(name)?;
            }
            for row in engine.query("SELECT table_name, column_name FROM sync_added", &[])? {
                let mut names = row.into_iter().filter_map(Cell::into_text);
                if let (Some(table), Some(column)) = (names.next(), names.next()) {
                    engine.drop_column(&table, &column)?;
                }
            }
            engine.batch("DROP VIEW IF EXISTS sync_changes")?;
            for name in NAMES {
                engine.batch(&format!("DROP TABLE IF EXISTS {name}"))?;
            }
            Ok(())
        })
    }

    fn schema(&self, work: impl FnOnce(&dyn Engine) -> Result<(), Fault>) -> Result<(), AttachError> {
        self.transaction(Purpose::Building, || Ok(work(&*self.engine)?))
    }
}

fn add(engine: &dyn Engine, added: &[(String, Added)]) -> Result<(), Fault> {
    for (table, added) in added {
        engine.add_column(table, *added)?;
        let sql = "INSERT INTO sync_added(table_name, column_name) VALUES (?1, ?2)";
        engine.execute(sql, &[table.into(), added.column().into()])?;
    }
    Ok(())
}

fn made(engine: &dyn Engine) -> Result<Made, Fault> {
    let rows = engine.query("SELECT name, made, stands FROM sync_triggers", &[])?;
    let read = |row: Vec<Cell>| {
        let mut texts = row.into_iter().filter_map(Cell::into_text);
        Some((texts.next()?, (texts.next()?, texts.next()?)))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

fn make(engine: &dyn Engine, triggers: &[Trigger]) -> Result<(), Fault> {
    triggers.iter().try_for_each(|trigger| engine.batch(&trigger.sql))?;
    let standing = engine.standing()?;
    for trigger in triggers {
        let stands = standing.get(&trigger.name);
        let sql = "INSERT INTO sync_triggers(name, made, stands) VALUES (?1, ?2, ?3)";
        engine.execute(sql, &[(&trigger.name).into(), (&trigger.sql).into(), stands.into()])?;
    }
    Ok(())
}
