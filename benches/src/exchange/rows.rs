//! The same rows as entities of a packet and as ops of an own push.

use crate::documents::fields;
use crate::hub::TOKEN;
use crate::process::Server;
use crate::wire::{Connection, Counter, server_lsn};
use std::io::{Error, Result};

/// Rows of a packet, and of a push.
pub(super) const PER_PACKET: u64 = 1_000;
/// When the rows were made: on a day long past, as 2^10 times the milliseconds.
const STAMP: u64 = 1_700_000_000_000 << 10;

/// The first row of each batch.
pub(super) fn batches(rows: u64) -> impl Iterator<Item = u64> {
    (0..rows).step_by(PER_PACKET as usize)
}

/// Rows in their version 0 (new) or 1, as entities.
pub(super) fn entities(first: u64, version: u64) -> String {
    let operation = if version == 0 { "INSERT" } else { "UPDATE" };
    let entity = |n| {
        let (uuid, data) = (uuid(n), fields(n, version));
        format!(r#"{{"type":"docs","uuid":"{uuid}","operation":"{operation}","data":{{{data}}}}}"#)
    };
    (first..first + PER_PACKET).map(entity).collect::<Vec<_>>().join(",")
}

/// The same as a push. Rows were inserted in order, so a row's number is the LSN of its version 0.
pub(super) fn push(first: u64, version: u64) -> String {
    let op = |n| {
        let (uuid, data, lsn) = (uuid(n), fields(n, version), n + 1);
        if version == 0 {
            format!(
                r#"{{"seq":{lsn},"op":"insert","collection":"docs","id":"{uuid}","stamp":{STAMP},"doc":{{"_id":"{uuid}",{data}}}}}"#
            )
        } else {
            let (seq, stamp) = ((version << 40) + lsn, STAMP + version);
            format!(
                r#"{{"seq":{seq},"op":"update","collection":"docs","id":"{uuid}","base":{lsn},"stamp":{stamp},"set":{{{data}}}}}"#
            )
        }
    };
    let ops = (first..first + PER_PACKET).map(op).collect::<Vec<_>>().join(",");
    format!(r#"{{"node":"pusher","batchId":"{version}-{first}","ops":[{ops}]}}"#)
}

fn uuid(n: u64) -> String {
    format!("22222222-2222-4222-8222-{n:012}")
}

/// An own client that pushes.
pub(super) struct Pusher(Connection);

impl Pusher {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn new(hub: &Server) -> Result<Pusher> {
        Ok(Pusher(Connection::open(hub.port, TOKEN)?))
    }

    /// Pushes once.
    ///
    /// # Errors
    /// When an op is not applied.
    pub fn send(&mut self, body: &str) -> Result<()> {
        let mut applied = Counter::of("\"applied\"");
        self.0.request("POST", "/sync/push", body, |piece| applied.feed(piece))?;
        let told = applied.seen;
        if told == PER_PACKET { Ok(()) } else { Err(Error::other(format!("{told} of {PER_PACKET} ops were applied"))) }
    }
}

/// An own client that pulls everything. Returns how many rows there were.
///
/// # Errors
/// When a request fails.
pub(super) fn pull(hub: &Server) -> Result<u64> {
    let mut connection = Connection::open(hub.port, TOKEN)?;
    let mut counter = Counter::of("\"mark\":");
    let mut lsn = 0;
    loop {
        let path = format!("/sync/pull?node=puller&collections=docs&since_lsn={lsn}");
        let page = connection.request("GET", &path, "", |piece| counter.feed(piece))?;
        let next = server_lsn(&page).ok_or_else(|| Error::other("a page without server_lsn"))?;
        if next == lsn {
            return Ok(counter.seen);
        }
        lsn = next;
    }
}
