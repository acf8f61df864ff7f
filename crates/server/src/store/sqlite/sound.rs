//! Whether a data file is sound: SQLite's own look at every page, and that what a space's rows name is there. Reads, and
//! never writes; what is damaged inside of a text, only its reader can tell.

use super::columns::nat;
use super::schema;
use crate::store::StoreError;
use rusqlite::{Connection, ErrorCode, OptionalExtension};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use syncline_core::model::counted;

/// Between two reports.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// SQLite's steps between two looks at how far it is; a step is a page at first, and a row later.
const STEPS: u32 = 1 << 10;

/// What a file holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    /// The hub's own file.
    Hub,
    /// A space.
    Space,
}

impl Content {
    /// The steps of its schema.
    pub fn schema(self) -> &'static [&'static str] {
        match self {
            Content::Hub => schema::HUB,
            Content::Space => schema::SPACE,
        }
    }
}

/// Looks at a file that nobody writes; what is wrong with it, or nothing. `tell` hears how many bytes were looked at.
/// Blocks.
///
/// # Errors
/// The file cannot be read at all.
pub(super) fn damage(path: &Path, content: Content, tell: &mut dyn FnMut(u64)) -> Result<Option<String>, StoreError> {
    let conn = schema::open_still(path)?;
    let page_bytes: u64 = conn.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap_or(0);
    let looked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&looked);
    let count = move || {
        counted.fetch_add(STEPS.into(), Ordering::Relaxed);
        false
    };
    conn.progress_handler(i32::try_from(STEPS).unwrap_or(i32::MAX), Some(count))
        .map_err(StoreError::engine("looking at every page"))?;
    thread::scope(|scope| {
        let (done, ended) = mpsc::channel();
        scope.spawn(move || drop(done.send(damage_by(&conn, content))));
        loop {
            match ended.recv_timeout(TELL_EVERY) {
                Ok(found) => return found.map_err(|error| error.of_file(path)),
                Err(RecvTimeoutError::Timeout) => tell(looked.load(Ordering::Relaxed) * page_bytes),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(StoreError::engine("looking at every page")("the look broke off").of_file(path));
                }
            }
        }
    })
}

/// The same over a connection.
pub(super) fn damage_by(conn: &Connection, content: Content) -> Result<Option<String>, StoreError> {
    let action = "looking at every page";
    let found = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)).and_then(|said| {
        if said != "ok" {
            return Ok(Some(said));
        }
        match content {
            Content::Hub => spoiled(conn),
            Content::Space => missing(conn),
        }
    });
    found.map_err(StoreError::engine(action)).or_else(|error| damage_in(&error).map(Some).ok_or(error))
}

/// Every record is what the hub reads when it starts.
fn spoiled(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT kind, key FROM records WHERE NOT json_valid(value) LIMIT 1";
    let found = conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(found.map(|(kind, key): (String, String)| format!("the {kind} `{key}` is no JSON any more")))
}

/// Every document has its text, and the log ends where the space says.
fn missing(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let count = |sql: &str| conn.query_row(sql, [], |row| row.get(0)).map(nat);
    let lost = count("SELECT count(*) FROM heads h LEFT JOIN log l ON l.lsn = h.lsn WHERE l.lsn IS NULL")?;
    let beyond = count("SELECT count(*) FROM log WHERE lsn > (SELECT lsn FROM state)")?;
    Ok(match (lost, beyond) {
        (0, 0) => None,
        (0, n) => Some(format!("{} behind the end of its log", counted(n, "change lies", "changes lie"))),
        (n, _) => Some(counted(n, "document has no text", "documents have no text")),
    })
}

/// What SQLite says of a file that is not what was written; `None`: the error is another one.
pub(super) fn damage_in(error: &StoreError) -> Option<String> {
    let (StoreError::Engine { action, source } | StoreError::File { action, source, .. }) = error else { return None };
    let code = source.downcast_ref::<rusqlite::Error>()?.sqlite_error_code()?;
    matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase).then(|| format!("{action}: {source}"))
}
