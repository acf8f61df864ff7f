//! A whole table in one transaction.

use crate::app::{Engine, on_both};
use crate::centre::Centre;

on_both!(a_hundred_thousand_rows_that_one_transaction_changes_arrive_whatever_interrupts_them);

const METERS: usize = 200;
const READINGS: usize = 500;

fn a_hundred_thousand_rows_that_one_transaction_changes_arrive_whatever_interrupts_them(engine: Engine) {
    let schema = "CREATE TABLE meters(id $KEY, n int);
                  CREATE TABLE readings(id $KEY, meter_id int NOT NULL REFERENCES meters(id), n int, v int);
                  CREATE INDEX of_a_meter ON readings(meter_id);";
    let mapping = "[types.Meter]\ntable = \"meters\"\n[types.Meter.lines.readings]\ntable = \"readings\"\nparent = \"meter_id\"\n";
    let (centre, a) = (Centre::default(), engine.app(schema, mapping));
    a.sync(&centre);
    let numbers = |upto| format!("WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < {upto})");
    a.run(&format!(
        "BEGIN; {} INSERT INTO meters(n) SELECT n FROM k;
         {} INSERT INTO readings(meter_id, n) SELECT id, k.n FROM meters, k; COMMIT",
        numbers(METERS),
        numbers(READINGS)
    ));
    a.run("BEGIN; UPDATE readings SET v = -1; UPDATE readings SET v = n * 2; COMMIT");
    let mut packets = 0;
    while !a.status().waiting.is_empty() {
        // Each packet is another process; some end before they have heard the answer.
        let mut attached = a.attach().unwrap();
        let sent = attached.compose().unwrap();
        let answer = centre.answer(&sent.text);
        packets += 1;
        if packets % 3 > 0 {
            attached.take(&sent, answer.as_bytes()).unwrap();
        }
    }
    let all = centre.all("Meter");
    assert_eq!((all.len(), centre.head()), (METERS, METERS as u64), "nothing twice");
    for meter in all.values() {
        let readings = meter["readings"].as_array().unwrap();
        assert_eq!(readings.len(), READINGS);
        assert!(readings.iter().all(|reading| reading["v"].as_i64() == reading["n"].as_i64().map(|n| n * 2)));
    }
}
