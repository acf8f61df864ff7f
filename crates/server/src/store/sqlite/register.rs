//! Making, changing and ending registrations of nodes in a space's file.

use super::exchange::{node_id, registered, write_traffic};
use super::known::Known;
use super::writer::Writer;
use crate::store::StoreError;
use rusqlite::{Connection, OptionalExtension, params};
use syncline_core::model::{NodeId, Registration, Traffic};

impl Writer {
    /// Registers a node, or changes what is known of it.
    pub fn register(&mut self, registration: &Registration) -> Result<(), StoreError> {
        let action = "registering a node";
        let taken = self.transaction(action, |conn, known| {
            write_registration(conn, known, registration).map_err(StoreError::engine(action))
        })?;
        match taken {
            Some(id) => Err(StoreError::CodeTaken { code: registration.code.clone(), id }),
            None => Ok(()),
        }
    }

    /// Ends a registration.
    pub fn unregister(&mut self, node: &NodeId) -> Result<bool, StoreError> {
        let action = "removing a node's registration";
        self.transaction(action, |conn, _| remove(conn, node).map_err(StoreError::engine(action)))
    }
}

/// Tells who has the code already; then nothing is written.
fn write_registration(
    conn: &Connection,
    known: &mut Known,
    registration: &Registration,
) -> rusqlite::Result<Option<NodeId>> {
    let Registration { id, code, name, plan } = registration;
    let mut owner = conn.prepare_cached("SELECT id FROM nodes WHERE code = ?1 AND id <> ?2")?;
    if let Some(owner) = owner.query_row([code, id.as_str()], |row| node_id(row, 0)).optional()? {
        return Ok(Some(owner));
    }
    let author = known.author(conn, id)?.author;
    let before = registered(conn, Some(id))?.pop();
    let replanned = before.as_ref().is_some_and(|(before, _)| before.plan != *plan);
    let mut add = conn.prepare_cached(
        "INSERT INTO nodes (author, id, code, name, plan) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (author) DO UPDATE SET code = excluded.code, name = excluded.name, plan = excluded.plan",
    )?;
    let plan = serde_json::to_string(plan).expect("a plan serializes");
    add.execute(params![author.0, id.as_str(), code, name, plan])?;
    let mut traffic = before.map_or_else(|| Traffic::new(known.head.lsn), |(_, traffic)| traffic);
    if replanned {
        traffic.fill_again(known.head.lsn);
    }
    write_traffic(conn, known, id, &traffic)?;
    Ok(None)
}

fn remove(conn: &Connection, node: &NodeId) -> rusqlite::Result<bool> {
    conn.execute("DELETE FROM held WHERE author = (SELECT author FROM nodes WHERE id = ?1)", [node.as_str()])?;
    Ok(conn.execute("DELETE FROM nodes WHERE id = ?1", [node.as_str()])? == 1)
}
