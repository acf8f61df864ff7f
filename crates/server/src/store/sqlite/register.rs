//! Making, changing and ending registrations of nodes in a space's file.

use super::exchange::{node_id, registered, write_traffic};
use super::known::Known;
use super::writer::Writer;
use crate::store::StoreError;
use rusqlite::{Connection, OptionalExtension, params};
use syncline_core::model::{NodeId, Registration, Traffic};

impl Writer {
    /// Registers a node, or changes what is known of it; `false`: something else than `expected` is registered.
    pub fn register(
        &mut self,
        registration: &Registration,
        expected: Option<&Registration>,
    ) -> Result<bool, StoreError> {
        let action = "registering a node";
        let done = self.transaction(action, |conn, known| {
            write_registration(conn, known, registration, expected).map_err(StoreError::engine(action))
        })?;
        done.map_err(|id| StoreError::CodeTaken { code: registration.code.clone(), id })
    }

    /// Ends a registration.
    pub fn unregister(&mut self, node: &NodeId) -> Result<bool, StoreError> {
        let action = "removing a node's registration";
        self.transaction(action, |conn, _| remove(conn, node).map_err(StoreError::engine(action)))
    }
}

/// Where somebody has the code already, tells who; then nothing is written.
fn write_registration(
    conn: &Connection,
    known: &mut Known,
    registration: &Registration,
    expected: Option<&Registration>,
) -> rusqlite::Result<Result<bool, NodeId>> {
    let Registration { id, code, name, plan } = registration;
    let before = registered(conn, Some(id))?.pop();
    if before.as_ref().map(|(before, _)| before) != expected {
        return Ok(Ok(false));
    }
    let mut owner = conn.prepare_cached("SELECT id FROM nodes WHERE code = ?1 AND id <> ?2")?;
    if let Some(owner) = owner.query_row([code, id.as_str()], |row| node_id(row, 0)).optional()? {
        return Ok(Err(owner));
    }
    let author = known.author(conn, id)?.author;
    let replanned = before.as_ref().is_some_and(|(before, _)| before.plan != *plan);
    let mut add = conn.prepare_cached(
        "INSERT INTO nodes (author, id, code, name, plan) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (author) DO UPDATE SET code = excluded.code, name = excluded.name, plan = excluded.plan",
    )?;
    let plan = serde_json::to_string(plan).expect("a plan serializes");
    add.execute(params![author.0, id.as_str(), code, name, plan])?;
    let mut traffic = before.map_or_else(|| Traffic::new(known.head.lsn), |(_, traffic)| traffic);
    if replanned {
        traffic.fill_otherwise(known.head.lsn);
    }
    write_traffic(conn, known, id, &traffic)?;
    Ok(Ok(true))
}

fn remove(conn: &Connection, node: &NodeId) -> rusqlite::Result<bool> {
    conn.execute("DELETE FROM held WHERE author = (SELECT author FROM nodes WHERE id = ?1)", [node.as_str()])?;
    Ok(conn.execute("DELETE FROM nodes WHERE id = ?1", [node.as_str()])? == 1)
}
