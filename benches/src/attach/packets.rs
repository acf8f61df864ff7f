//! Packets of a hub that become rows, beside multi-row upserts of the same rows in transactions of the same size.

use super::app::{App, Value};
use super::tables::{Dialect, changed, estimate, mapping, remark, report, schema, uuid};
use super::{Extent, Result};
use crate::report::{Goal, pair};
use std::time::Instant;
use syncline_attach::{Attachment, Mapping, Options};

/// The node, and the hub that packets seem to come from.
const NODE: &str = "11111111-1111-4111-8111-000000000001";
const HUB: &str = "00000000-0000-4000-8000-000000000000";
/// Objects in a packet, as many as a hub puts into one.
const PER_PACKET: u64 = 1_000;
/// Packets of one kind in a round.
const PACKETS: u64 = 10;

/// What makes the values of a row.
type Rows = fn(Dialect, u64, u64) -> Vec<Value>;

/// What a round writes: its name, the type, and the version of the objects.
const KINDS: [(&str, &str, u64); 4] = [
    ("new objects", "Estimate", 0),
    ("changed objects", "Estimate", 1),
    ("new objects that refer to others", "DailyReport", 0),
    ("changed objects that refer to others", "DailyReport", 1),
];

/// Attaches a database as the first node.
pub fn attach(place: &str, dialect: Dialect) -> Result<Attachment> {
    let options = Options { node: Some(NODE.to_owned()), ..Options::default() };
    let mut attached = Attachment::open(place, Mapping::parse(mapping(dialect))?, options)?;
    attached.prepare()?;
    Ok(attached)
}

/// Both ways of storing, alternating. Tells whether every goal was met.
pub fn compare(dialect: Dialect, extent: Extent, open: &mut dyn FnMut() -> Result<Box<dyn App>>) -> Result<bool> {
    let (mut ours, mut theirs) = (KINDS.map(|_| Vec::new()), KINDS.map(|_| Vec::new()));
    for _ in 0..extent.rounds {
        let (mut plain, mut app) = (open()?, open()?);
        plain.run(&schema(dialect))?;
        app.run(&schema(dialect))?;
        let mut attached = attach(app.place(), dialect)?;
        take(&mut attached, 0, "")?;
        let mut number = 0;
        for (n, (_, kind, version)) in KINDS.iter().enumerate() {
            theirs[n].push(upserted(&mut *plain, dialect, kind, *version)?);
            let packets: Vec<String> = (0..PACKETS).map(|packet| entities(kind, packet, *version)).collect();
            let began = Instant::now();
            for packet in &packets {
                number += 1;
                take(&mut attached, number, packet)?;
            }
            ours[n].push((PACKETS * PER_PACKET) as f64 / began.elapsed().as_secs_f64());
        }
    }
    let mut met = true;
    for (n, (name, ..)) in KINDS.iter().enumerate() {
        met &= pair(name, "rows/s", &ours[n], &theirs[n], Goal::AtLeast(0.3));
    }
    Ok(met)
}

/// A packet of the hub arrives, as the answer to an own one.
fn take(attached: &mut Attachment, number: u64, entities: &str) -> Result<()> {
    let sent = attached.compose()?;
    let answer = format!(
        r#"{{"header":{{"sender_node_id":"{HUB}","recipient_node_id":"{NODE}","packet_no":{number},"ack_packet_no":{},"schema_version":"1.2.0"}},"body":{{"entities":[{entities}]}}}}"#,
        sent.number
    );
    let taken = attached.take(&sent, answer.as_bytes())?;
    let all = entities.matches("\"operation\"").count() as u64;
    if taken.stored != all || taken.aside + taken.conflicts > 0 {
        return Err(format!("{taken:?} of {all} objects").into());
    }
    Ok(())
}

fn entities(kind: &str, packet: u64, version: u64) -> String {
    let of = |n: u64| {
        let (uuid, data) = match kind {
            "Estimate" => {
                let (total, signed) = (n + version, n.is_multiple_of(2));
                (uuid(1, n), format!(r#""number":"E-{n:06}","total":{total}.5,"signed":{signed}"#))
            }
            _ => {
                let (estimate, remark) = (uuid(1, n), remark(n, version));
                let data = format!(r#""date":"2025-12-12","estimate_id":"{estimate}","remark":"{remark}","lines":[]"#);
                (uuid(2, n), data)
            }
        };
        let changed = changed(version);
        format!(
            r#"{{"type":"{kind}","uuid":"{uuid}","operation":"UPDATE","data":{{{data},"updated_at":"{changed}","is_deleted":false}}}}"#
        )
    };
    (packet * PER_PACKET..(packet + 1) * PER_PACKET).map(of).collect::<Vec<_>>().join(",")
}

/// Rows per second of one upsert for each packet.
fn upserted(app: &mut dyn App, dialect: Dialect, kind: &str, version: u64) -> Result<f64> {
    let (table, columns, row): (_, _, Rows) = match kind {
        "Estimate" => ("estimates", ["number", "total", "signed"], estimate),
        _ => ("daily_reports", ["date", "estimate_id", "remark"], report),
    };
    let columns = [&["id"], &columns[..], &["uuid", "updated_at", "is_deleted"]].concat();
    let marks = |n: usize| {
        let marks = (1..=columns.len()).map(|m| format!("?{}", n * columns.len() + m));
        format!("({})", marks.collect::<Vec<_>>().join(", "))
    };
    let set: Vec<String> = columns[1..].iter().map(|name| format!("{name} = excluded.{name}")).collect();
    let sql = format!(
        "INSERT INTO {table}({}) VALUES {} ON CONFLICT(id) DO UPDATE SET {}",
        columns.join(", "),
        (0..PER_PACKET as usize).map(marks).collect::<Vec<_>>().join(", "),
        set.join(", ")
    );
    let all: Vec<Vec<Value>> = (0..PACKETS)
        .map(|packet| (packet * PER_PACKET..(packet + 1) * PER_PACKET).flat_map(|n| row(dialect, n, version)).collect())
        .collect();
    let began = Instant::now();
    for values in all {
        app.each(&sql, &[values])?;
    }
    Ok((PACKETS * PER_PACKET) as f64 / began.elapsed().as_secs_f64())
}
