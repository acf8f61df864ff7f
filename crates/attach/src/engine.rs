//! The seam between the exchange and the kinds of databases: what an engine says of itself and does, and nothing of
//! packets. Everything that both kinds do alike is in `work`, in SQL that both read.
//!
//! Statements name their values `?1`, `?2`, …; what they give are [`Cell`]s.

use crate::catalogue::Catalogue;
use crate::error::AttachError;
use crate::mapping::Added;
use crate::plan::{ColumnPlan, Plan, TypePlan};
use crate::sql::{Given, any_of, sought};
use crate::value::Cell;
use std::collections::BTreeMap;
use syncline_core::model::Rejection;

/// A kind of database.
pub(crate) trait Engine: Send {
    /// How messages name the database.
    fn place(&self) -> String;

    /// The tables of the application.
    fn catalogue(&self) -> Result<Catalogue, AttachError>;

    /// The rows that a statement gives.
    fn query(&self, sql: &str, values: &[Given<'_>]) -> Result<Vec<Vec<Cell>>, Fault>;

    /// How many rows a statement has touched.
    fn execute(&self, sql: &str, values: &[Given<'_>]) -> Result<u64, Fault>;

    /// Statements behind each other, of which none needs the answer to another one.
    fn execute_all(&self, statements: &[(&str, Vec<Given<'_>>)]) -> Result<(), Fault>;

    /// Runs a statement for the rows of a table that have one of these values in columns of it: `sql` is given the condition,
    /// whose values stand behind `before`.
    fn among(
        &self,
        of: (&str, &[&String]),
        wanted: &[Vec<Given<'_>>],
        before: &[Given<'_>],
        sql: &dyn Fn(&str) -> String,
    ) -> Result<Vec<Vec<Cell>>, Fault>;

    /// Makes rows of a table that fill the same columns.
    fn insert_rows(&self, table: &str, columns: &[&String], rows: &[Vec<Given<'_>>]) -> Result<(), Fault>;

    /// Sets columns of rows of a table: their values, and behind them the keys.
    fn update_rows(&self, table: &str, set: &[&String], key: &[String], rows: &[Vec<Given<'_>>]) -> Result<(), Fault>;

    /// Statements without values.
    fn batch(&self, sql: &str) -> Result<(), Fault>;

    /// Begins a transaction that sees one state of the database.
    fn begin(&self, purpose: Purpose) -> Result<(), AttachError>;

    /// Ends it.
    ///
    /// # Errors
    /// [`AttachError::Dangling`] where a rule that is checked at the end is broken.
    fn commit(&self) -> Result<(), AttachError>;

    /// Takes it back.
    fn roll_back(&self);

    /// Whether a rule of the application has undone the whole transaction.
    fn is_undone(&self) -> bool;

    /// Whether what triggers register from now on counts. Part of the transaction, as rows are. While it does not, nothing
    /// else is put into the queue or taken out of it.
    fn capture(&self, on: bool) -> Result<(), Fault>;

    /// From here on in this transaction triggers fire, whether the application has some of its own or not.
    fn wake_triggers(&self) -> Result<(), Fault>;

    /// References may point nowhere until the transaction ends; or no longer, as far as there are none that do.
    fn defer(&self, on: bool) -> Result<(), Fault>;

    /// While objects are removed: references to their rows are checked at once, as far as no removal in a circle
    /// needs the end of the transaction.
    fn remove_strictly(&self, on: bool) -> Result<(), Fault>;

    /// Whether the application may have written since `version`, a value of an earlier call.
    fn has_written(&self, version: &mut i64) -> Result<bool, AttachError>;

    /// How its SQL spells what is spelled in several ways.
    fn spellings(&self) -> &'static Spellings;

    /// The triggers of a plan.
    fn triggers(&self, plan: &Plan) -> Vec<Trigger>;

    /// The triggers of Syncline that are in place and work, by name, each with a text that changes when it does.
    fn standing(&self) -> Result<BTreeMap<String, String>, Fault>;

    /// Takes a trigger away, where it is there.
    fn drop_trigger(&self, name: &str) -> Result<(), Fault>;

    /// Makes a column.
    fn add_column(&self, table: &str, added: Added) -> Result<(), Fault>;

    /// Takes a column away that was made.
    fn drop_column(&self, table: &str, column: &str) -> Result<(), Fault>;

    /// The key of a row as `entity_key` holds it, in SQL; `of` is what stands before the columns (`NEW.`).
    fn key_sql(&self, plan: &TypePlan, of: &str) -> String;

    /// Numbers for so many new rows, that no other row gets.
    fn numbers(&self, plan: &TypePlan, count: usize) -> Result<Vec<i64>, Fault>;

    /// What a column would make of a value.
    fn held(&self, column: &ColumnPlan, cell: Cell) -> Result<Cell, Fault>;

    /// Columns that refer to a table and are checked only when the transaction ends, whatever was asked for: the
    /// referring table and column, and the column here (`None`: the key).
    fn late_references(&self, table: &str) -> Result<Vec<(String, String, Option<String>)>, Fault>;

    /// Does something that checks of the application would not let stand, and that is gone before the transaction ends.
    fn unchecked(&self, work: &mut dyn FnMut() -> Result<(), Fault>) -> Result<(), Fault>;
}

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Reading,
    /// Writing rows; no other transaction of Syncline writes meanwhile.
    Writing,
    /// Making and taking away tables and triggers; as with writing.
    Building,
}

/// Words of an engine's SQL.
#[derive(Debug)]
pub(crate) struct Spellings {
    /// Makes the tables of Syncline.
    pub tables: &'static str,
    /// One row where a table of the name `?1` is there.
    pub has_table: &'static str,
    /// `made_at` of `sync_log` as packets say it.
    pub made_at: &'static str,
    /// What stands between the columns and the values of a new row.
    pub inserting: &'static str,
}

/// A trigger as it must stand in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trigger {
    pub name: String,
    /// The type whose changes it registers.
    pub kind: String,
    pub sql: String,
}

/// Why one object cannot be read or written.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It refers to an object that is not here yet.
    Waits { kind: String, uuid: String },
    /// It can never be, as things stand.
    Aside(Rejection),
    /// The application is at it; later it can be.
    Busy(String),
    /// The database itself.
    Failed(AttachError),
}

/// The code of a value that another row holds.
pub(crate) const TAKEN: &str = "not_unique";

impl Fault {
    pub(crate) fn aside(code: &str, reason: impl Into<String>) -> Fault {
        Fault::Aside(Rejection { code: code.to_owned(), reason: reason.into() })
    }

    /// Whether another row holds a value that is to be unique.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Fault::Aside(why) if why.code == TAKEN)
    }
}

/// Where one object's matter is everybody's: it was to be in order.
impl From<Fault> for AttachError {
    fn from(fault: Fault) -> AttachError {
        match fault {
            Fault::Failed(error) => error,
            Fault::Aside(why) => AttachError::Packet(why.reason),
            Fault::Busy(reason) => AttachError::Busy(reason),
            Fault::Waits { kind, uuid } => AttachError::Packet(format!("{kind} {uuid} is not there")),
        }
    }
}

/// What [`Engine::among`] does where each value is given by itself.
pub(crate) fn in_pieces(
    db: &dyn Engine,
    columns: &[&String],
    wanted: &[Vec<Given<'_>>],
    before: &[Given<'_>],
    sql: &dyn Fn(&str) -> String,
) -> Result<Vec<Vec<Cell>>, Fault> {
    let mut all = Vec::new();
    for piece in sought(wanted, columns.len()) {
        let condition = any_of(columns, piece.len(), before.len() + 1);
        let values: Vec<Given<'_>> = before.iter().chain(piece.into_iter().flatten()).copied().collect();
        all.extend(db.query(&sql(&condition), &values)?);
    }
    Ok(all)
}
