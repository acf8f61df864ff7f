//! What is done to an attached database in one transaction, alike for every engine: the queue of changes, what is known
//! of each object, objects that become rows and rows that become objects. Decides nothing: which packet goes and what an
//! answer means is above; what is different between engines is below ([`Engine`]).

mod adopt;
mod ahead;
mod aside;
mod delete;
mod entities;
mod install;
mod named;
mod put;
mod queue;
mod rows;
mod state;
mod swap;
mod together;
mod wire;
mod write_lines;

pub(crate) use crate::engine::Fault;
use ahead::Ahead;
pub(crate) use aside::Held;
pub use aside::{Aside, Conflict};
pub(crate) use entities::Known;
pub(crate) use named::Named;
pub(crate) use put::Arrivals;
use put::full;
pub(crate) use queue::Folded;
pub(crate) use rows::Row;
pub(crate) use state::Standing;

use crate::catalogue::Catalogue;
use crate::engine::{Engine, Purpose};
use crate::error::AttachError;
use crate::identity::Key;
use crate::plan::{Plan, TypePlan};
use crate::sql::{Given, quoted};
use crate::value::Cell;
use std::cell::{Cell as Flag, RefCell};

/// A database of an application, of whatever kind.
pub(crate) struct Database {
    engine: Box<dyn Engine>,
}

/// What is done in one transaction.
pub(crate) struct Work<'a> {
    db: &'a dyn Engine,
    pub(crate) plan: &'a Plan,
    /// Nothing is set aside and no reference waits, so that nobody has to look for such.
    quiet: Flag<bool>,
    /// What is known of objects, by type and id, that was read ahead and is so still.
    seen: RefCell<Named<Option<Known>>>,
    /// Keys of rows, by type and id, that were read ahead for a group of objects.
    ahead: RefCell<Named<Option<Key>>>,
    /// What was read ahead of changes that are to be sent.
    near: RefCell<Ahead>,
}

impl Database {
    pub(crate) fn new(engine: Box<dyn Engine>) -> Database {
        Database { engine }
    }

    pub(crate) fn place(&self) -> String {
        self.engine.place()
    }

    pub(crate) fn catalogue(&self) -> Result<Catalogue, AttachError> {
        self.engine.catalogue()
    }

    pub(crate) fn has_written(&self, version: &mut i64) -> Result<bool, AttachError> {
        self.engine.has_written(version)
    }

    /// Some value of a column.
    pub(crate) fn sample(&self, table: &str, column: &str) -> Option<Cell> {
        let column = quoted(column);
        let sql = format!("SELECT {column} FROM {} WHERE {column} IS NOT NULL LIMIT 1", quoted(table));
        self.engine.query(&sql, &[]).ok()?.into_iter().flatten().next()
    }

    /// How many rows a table has.
    pub(crate) fn count(&self, table: &str) -> Result<u64, AttachError> {
        let rows = self.engine.query(&format!("SELECT count(*) FROM {}", quoted(table)), &[])?;
        Ok(rows.first().map_or(0, |row| row[0].number()).unsigned_abs())
    }

    /// Reads at one moment.
    pub(crate) fn read<T>(
        &self,
        plan: &Plan,
        work: impl FnOnce(&Work<'_>) -> Result<T, AttachError>,
    ) -> Result<T, AttachError> {
        self.engine.begin(Purpose::Reading)?;
        let done = work(&Work::new(&*self.engine, plan));
        self.engine.roll_back();
        done
    }

    /// Writes all or nothing. Capturing is off in between: what is written here is no change of the application.
    pub(crate) fn write<T>(
        &self,
        plan: &Plan,
        work: impl FnOnce(&Work<'_>) -> Result<T, AttachError>,
    ) -> Result<T, AttachError> {
        self.transaction(Purpose::Writing, || {
            self.engine.capture(false)?;
            let done = work(&Work::new(&*self.engine, plan))?;
            self.engine.capture(true)?;
            Ok(done)
        })
    }

    fn transaction<T>(
        &self,
        purpose: Purpose,
        work: impl FnOnce() -> Result<T, AttachError>,
    ) -> Result<T, AttachError> {
        let done =
            self.engine.begin(purpose).and_then(|()| work()).and_then(|done| self.engine.commit().map(|()| done));
        if done.is_err() {
            self.engine.roll_back();
        }
        done
    }
}

impl<'a> Work<'a> {
    fn new(db: &'a dyn Engine, plan: &'a Plan) -> Work<'a> {
        Work {
            db,
            plan,
            quiet: Flag::new(false),
            seen: RefCell::default(),
            ahead: RefCell::default(),
            near: RefCell::default(),
        }
    }
}

impl Work<'_> {
    /// Looks whether anything waits, before many objects are gone through.
    pub(crate) fn look_for_waiting(&self) -> Result<(), Fault> {
        let sql = "SELECT EXISTS (SELECT 1 FROM sync_aside) OR EXISTS (SELECT 1 FROM sync_references)";
        self.quiet.set(!self.exists(sql, &[])?);
        Ok(())
    }

    /// Whether something waits, as far as anybody has seen.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.quiet.get()
    }

    fn query(&self, sql: &str, values: &[Given<'_>]) -> Result<Vec<Vec<Cell>>, Fault> {
        self.db.query(sql, values)
    }

    /// The first row that a statement gives.
    fn first(&self, sql: &str, values: &[Given<'_>]) -> Result<Option<Vec<Cell>>, Fault> {
        Ok(self.db.query(sql, values)?.into_iter().next())
    }

    /// Whether a statement `SELECT EXISTS (…)` says so.
    fn exists(&self, sql: &str, values: &[Given<'_>]) -> Result<bool, Fault> {
        Ok(self.first(sql, values)?.is_some_and(|row| row[0].number() != 0))
    }

    fn execute(&self, sql: &str, values: &[Given<'_>]) -> Result<u64, Fault> {
        self.db.execute(sql, values)
    }

    /// References may point nowhere until the transaction ends.
    pub(crate) fn defer(&self, on: bool) -> Result<(), Fault> {
        self.db.defer(on)
    }

    /// References to rows that are removed are checked at once, where that leaves room for circles.
    pub(crate) fn remove_strictly(&self, on: bool) -> Result<(), Fault> {
        self.db.remove_strictly(on)
    }

    /// Whether a rule of the application has undone the whole transaction.
    pub(crate) fn is_undone(&self) -> bool {
        self.db.is_undone()
    }

    /// Does something to one object: all of it or nothing.
    pub(crate) fn whole<T>(&self, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        self.within("object", work)
    }

    /// Does something, all of it or nothing, under the name of a savepoint.
    pub(crate) fn within<T>(&self, name: &str, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        self.save(name)?;
        let done = work();
        match &done {
            // The whole transaction goes; it may be gone already.
            Err(Fault::Failed(_)) => {}
            Err(_) if self.is_undone() => {}
            Err(_) => self.back_to(name)?,
            Ok(_) => self.release(name)?,
        }
        done
    }

    pub(crate) fn save(&self, name: &str) -> Result<(), Fault> {
        self.execute(&format!("SAVEPOINT {name}"), &[]).map(drop)
    }

    /// Takes back what was done since it was saved.
    pub(crate) fn back_to(&self, name: &str) -> Result<(), Fault> {
        self.execute(&format!("ROLLBACK TO {name}"), &[])?;
        self.release(name)
    }

    pub(crate) fn release(&self, name: &str) -> Result<(), Fault> {
        self.execute(&format!("RELEASE {name}"), &[]).map(drop)
    }

    /// Numbers for new rows of these objects.
    pub(crate) fn numbers<N>(&self, plan: &TypePlan, names: Vec<N>) -> Result<Vec<(N, i64)>, Fault> {
        let numbers = self.db.numbers(plan, names.len())?;
        if numbers.len() < names.len() {
            return Err(full(plan));
        }
        Ok(names.into_iter().zip(numbers).collect())
    }
}
