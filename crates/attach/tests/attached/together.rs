//! Many objects in one packet, which are stored together as far as that works.

use crate::app::{App, Engine, on_both};
use crate::centre::{Centre, sync, uuid};
use crate::lines::site;
use serde_json::{Value, json};

on_both!(
    exactly_those_of_many_that_cannot_be_stored_are_set_aside,
    edits_and_rows_that_are_gone_stay_out_of_what_arrives_with_many_others,
);

/// More than are stored by one statement, and no round number.
const MANY: std::ops::Range<usize> = 100..401;

fn report(n: usize, remark: &str, lines: &[usize]) -> Value {
    let lines: Vec<Value> = lines.iter().map(|line| json!({"n": line, "qty": n * 10 + line})).collect();
    json!({"date": "2025-12-12", "brigade_id": uuid(1), "remark": remark, "lines": lines})
}

/// A hub with a brigade and its reports, and a database that has them.
fn world(engine: Engine) -> (Centre, App) {
    let (centre, app) = (Centre::default(), site(engine));
    centre.set("Brigade", &uuid(1), json!({"name": "ours"}));
    MANY.for_each(|n| centre.set("DailyReport", &uuid(n), report(n, "new", &[1, 2])));
    (centre, app)
}

/// Each report with its remark, and how many lines of which sum it has.
fn reports(app: &App) -> Vec<String> {
    app.rows(
        "SELECT uuid, remark, count(l.id), cast(coalesce(sum(qty), 0) AS integer) FROM daily_reports r
         LEFT JOIN daily_report_lines l ON report_id = r.id GROUP BY uuid, remark ORDER BY uuid",
    )
}

fn exactly_those_of_many_that_cannot_be_stored_are_set_aside(engine: Engine) {
    let (centre, app) = world(engine);
    let (dateless, early, twofold) = (uuid(150), uuid(250), uuid(399));
    let with = |n: usize, field: &str, value: Value| {
        let mut report = report(n, "new", &[1, 2]);
        report[field] = value;
        centre.set("DailyReport", &uuid(n), report);
    };
    with(150, "date", Value::Null);
    with(250, "brigade_id", json!(uuid(2)));
    with(399, "lines", json!([{"n": 1, "qty": 1}, {"n": 1, "qty": 2}]));
    let taken = app.sync(&centre);
    assert_eq!((taken.stored, taken.aside), (MANY.len() as u64 - 2, 3));
    let mut aside: Vec<_> = app.status().aside.into_iter().map(|aside| (aside.uuid, aside.code)).collect();
    aside.sort();
    let code = |uuid: &String, code: &str| (uuid.clone(), code.to_owned());
    assert_eq!(aside, [code(&dateless, "not_null"), code(&early, "waits"), code(&twofold, "not_unique")]);
    let expected = |n: usize| format!("{}|new|2|{}", uuid(n), n * 20 + 3);
    let good = || MANY.filter(|n| ![150, 250, 399].contains(n));
    assert_eq!(reports(&app), good().map(expected).collect::<Vec<_>>());

    centre.set("Brigade", &uuid(2), json!({"name": "theirs"}));
    let remark = |n: usize| ["even", "new"][n % 2];
    for n in MANY {
        let lines: &[usize] = [&[1, 2, 3][..], &[2], &[]][n % 3];
        centre.set("DailyReport", &uuid(n), report(n, remark(n), lines));
    }
    app.sync(&centre);
    let head = centre.head();
    let expected = |n: usize| {
        let (count, sum) = [(3, n * 30 + 6), (1, n * 10 + 2), (0, 0)][n % 3];
        format!("{}|{}|{count}|{sum}", uuid(n), remark(n))
    };
    assert_eq!(reports(&app), MANY.map(expected).collect::<Vec<_>>());
    assert_eq!((app.status().aside, app.sync(&centre).confirmed, centre.head()), (vec![], 0, head));
}

fn edits_and_rows_that_are_gone_stay_out_of_what_arrives_with_many_others(engine: Engine) {
    let (centre, app) = world(engine);
    app.sync(&centre);
    let mut attached = app.attach().unwrap();
    let sent = attached.compose().unwrap();
    let one = |n: usize| format!("FROM daily_reports WHERE uuid = '{}'", uuid(n));
    app.run(&format!("UPDATE daily_reports SET remark = 'ours' WHERE uuid = '{}'", uuid(200)));
    app.run(&format!("UPDATE daily_report_lines SET qty = 7 WHERE n = 2 AND report_id IN (SELECT id {})", one(201)));
    app.run(&format!("DELETE {}", one(202)));
    MANY.for_each(|n| centre.set("DailyReport", &uuid(n), report(n, "theirs", &[1, 2])));
    let taken = attached.take(&sent, centre.answer(&sent.text).as_bytes()).unwrap();
    assert_eq!((taken.stored, taken.aside), (MANY.len() as u64, 0));
    sync(&mut attached, &centre);

    let expected = |n: usize| match n {
        200 => format!("{}|ours|2|{}", uuid(n), n * 20 + 3),
        201 => format!("{}|theirs|2|{}", uuid(n), n * 10 + 1 + 7),
        n => format!("{}|theirs|2|{}", uuid(n), n * 20 + 3),
    };
    let others = || MANY.filter(|n| *n != 202);
    let found: Vec<String> = reports(&app).into_iter().filter(|row| !row.starts_with(&uuid(202))).collect();
    assert_eq!(found, others().map(expected).collect::<Vec<_>>());
    assert_eq!(centre.object("DailyReport", &uuid(200)).unwrap()["remark"], "ours");
    assert_eq!(centre.object("DailyReport", &uuid(201)).unwrap()["lines"][1]["qty"], 7);
}
