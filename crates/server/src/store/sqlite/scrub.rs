//! A look at all that is stored of a space while it is in use: its log row by row, that each document has its text, and
//! SQLite's own look at its other tables. In steps, so that no read transaction lasts: one would hold up the log file's way
//! home. Reads, and never writes.

use super::columns::{LIVE, REMOVED};
use super::load::version_of;
use super::reader::Reader;
use crate::store::StoreError;
use crate::store::feed::damaged_text;
use rusqlite::Connection;

/// A step is followed by so many times its own length of rest.
pub(super) const REST: u32 = 20;
/// Rows of the log, and documents, in one step.
const ROWS: i64 = 2_000;
/// Bytes after which a step of the log ends.
const BYTES: usize = 4 << 20;

/// What a step has found.
pub(super) enum Found {
    /// Nothing to tell.
    Sound,
    /// The file is not what was written.
    Pages(String),
    /// The text of one document is none any more.
    Text(StoreError),
}

/// How far a look has come.
#[derive(Default)]
pub(super) enum Looked {
    /// At the log, up to a position.
    #[default]
    Nothing,
    Log(i64),
    /// At the documents, up to one of them.
    Documents(i64, String),
    /// At the tables up to this one.
    Tables(String),
    /// At everything.
    All,
}

impl Looked {
    pub fn is_done(&self) -> bool {
        matches!(self, Looked::All)
    }
}

/// Looks at a little more.
pub(super) fn step(reader: &mut Reader, looked: Looked) -> Result<(Found, Looked), StoreError> {
    let (conn, names) = reader.begin().map_err(StoreError::engine("looking at a space"))?;
    let done = match looked {
        Looked::Nothing => log(&conn, names, 0),
        Looked::Log(after) => log(&conn, names, after),
        Looked::Documents(cid, id) => documents(&conn, cid, &id),
        Looked::Tables(after) => table(&conn, &after),
        Looked::All => Ok((Found::Sound, Looked::All)),
    };
    done.map_err(StoreError::engine("looking at a space"))
}

/// Every document in the log must be one that its readers can take apart.
fn log(conn: &Connection, names: &[String], after: i64) -> rusqlite::Result<(Found, Looked)> {
    let mut find = conn.prepare_cached(
        "SELECT lsn, author, stamp, meta, body, cid, id, kind FROM log WHERE lsn > ?1 ORDER BY lsn LIMIT ?2",
    )?;
    let mut rows = find.query([after, ROWS])?;
    let (mut last, mut bytes, mut count) = (after, 0, 0);
    while let Some(row) = rows.next()? {
        (last, count) = (row.get(0)?, count + 1);
        bytes += row.get_ref(4)?.as_bytes()?.len();
        let kind: i64 = row.get(7)?;
        if let (true, Err(why)) = (kind == LIVE || kind == REMOVED, version_of(row)) {
            let cid: i64 = row.get(5)?;
            let name = usize::try_from(cid - 1).ok().and_then(|n| names.get(n)).map_or("?", String::as_str);
            let id = String::from_utf8_lossy(row.get_ref(6)?.as_bytes()?).into_owned();
            return Ok((Found::Text(damaged_text(name, &id, &why)), Looked::All));
        }
        if bytes >= BYTES {
            break;
        }
    }
    let more = count == ROWS || bytes >= BYTES;
    Ok((Found::Sound, if more { Looked::Log(last) } else { Looked::Documents(0, String::new()) }))
}

/// Every document has a row in the log.
fn documents(conn: &Connection, cid: i64, id: &str) -> rusqlite::Result<(Found, Looked)> {
    let mut find = conn.prepare_cached(
        "SELECT h.cid, h.id, l.lsn IS NULL FROM heads h LEFT JOIN log l ON l.lsn = h.lsn
         WHERE (h.cid, h.id) > (?1, ?2) ORDER BY h.cid, h.id LIMIT ?3",
    )?;
    let mut rows = find.query(rusqlite::params![cid, id, ROWS])?;
    let (mut last, mut count) = ((cid, id.to_owned()), 0);
    while let Some(row) = rows.next()? {
        (last, count) = ((row.get(0)?, row.get(1)?), count + 1);
        if row.get(2)? {
            return Ok((Found::Pages(format!("document `{}` has no text", last.1)), Looked::All));
        }
    }
    Ok((Found::Sound, if count == ROWS { Looked::Documents(last.0, last.1) } else { Looked::Tables(String::new()) }))
}

/// The next of the other tables.
fn table(conn: &Connection, after: &str) -> rusqlite::Result<(Found, Looked)> {
    let mut find = conn.prepare_cached(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name > ?1 AND name NOT IN ('log', 'heads')
             AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name LIMIT 1",
    )?;
    let mut names = find.query([after])?;
    let Some(name) = names.next()?.map(|row| row.get::<_, String>(0)).transpose()? else {
        return Ok((Found::Sound, Looked::All));
    };
    let said: String = conn.query_row(&format!("PRAGMA quick_check('{name}')"), [], |row| row.get(0))?;
    let found = if said == "ok" { Found::Sound } else { Found::Pages(said) };
    Ok((found, Looked::Tables(name)))
}
