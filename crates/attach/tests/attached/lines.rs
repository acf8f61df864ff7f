//! Child rows as lists inside their objects.

use crate::app::{App, Engine, on_both};
use crate::centre::{Centre, uuid};
use serde_json::json;

on_both!(
    lines_travel_inside_their_object_and_references_name_uuids,
    what_lines_say_beyond_the_columns_is_kept,
    lines_whose_unique_numbers_change_places_arrive,
    a_line_that_moves_to_another_object_is_a_change_of_both,
);

/// The tables of a construction company, as their applications have them.
const SITE: &str = "
CREATE TABLE brigades(id $KEY, name text NOT NULL);
CREATE TABLE daily_reports(
  id $GIVEN, uuid $UUID NOT NULL UNIQUE, date date NOT NULL, brigade_id int NOT NULL REFERENCES brigades(id), remark text);
CREATE TABLE daily_report_lines(
  id $KEY, report_id int NOT NULL REFERENCES daily_reports(id) ON DELETE CASCADE,
  n int NOT NULL, qty numeric, UNIQUE(report_id, n));";
const SITE_MAP: &str = r#"
[types.Brigade]
table = "brigades"
[types.DailyReport]
table = "daily_reports"
uuid = "uuid"
[types.DailyReport.lines.lines]
table = "daily_report_lines"
parent = "report_id"
"#;

pub fn site(engine: Engine) -> App {
    // Numbers that nobody but the database gives.
    let given = engine.pick("$KEY", "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY");
    engine.app(&SITE.replace("$GIVEN", given), SITE_MAP)
}

/// A report of a day, as the application writes it.
fn report(n: usize) -> String {
    format!("INSERT INTO daily_reports(uuid, date, brigade_id) VALUES ('{}', '2025-12-0{n}', 1);", uuid(n))
}

fn lines_travel_inside_their_object_and_references_name_uuids(engine: Engine) {
    let (centre, a, b) = (Centre::default(), site(engine), site(engine));
    // The numbers differ on purpose: they mean nothing elsewhere.
    b.run("INSERT INTO brigades(name) VALUES ('theirs'), ('more')");
    a.run(&format!("INSERT INTO brigades(name) VALUES ('ours'); {}", report(1)));
    a.run("INSERT INTO daily_report_lines(report_id, n, qty) VALUES (1, 1, 2.5), (1, 2, 4.25)");
    a.sync(&centre);
    b.sync(&centre);
    a.sync(&centre);
    let brigade = centre.all("Brigade").into_iter().find(|(_, brigade)| brigade["name"] == "ours").unwrap().0;
    let lines = json!([{"n": 1, "qty": 2.5}, {"n": 2, "qty": 4.25}]);
    let object = json!({"date": "2025-12-01", "brigade_id": brigade, "remark": null, "lines": lines});
    assert_eq!(centre.object("DailyReport", &uuid(1)), Some(object));
    let all = "SELECT uuid, date, name, n, qty, remark FROM daily_reports JOIN brigades ON brigades.id = brigade_id
               LEFT JOIN daily_report_lines ON report_id = daily_reports.id ORDER BY n";
    assert_eq!(b.rows(all), a.rows(all));

    b.run("UPDATE daily_report_lines SET qty = 5 WHERE n = 2; INSERT INTO daily_report_lines(report_id, n) SELECT id, 3 FROM daily_reports");
    b.sync(&centre);
    a.run("UPDATE daily_reports SET remark = 'rain'");
    a.sync(&centre);
    b.sync(&centre);
    assert_eq!(a.rows(all).len(), 3);
    assert_eq!(b.rows(all), a.rows(all));
    assert_eq!(b.rows("SELECT remark FROM daily_reports"), ["rain"]);
    a.run("UPDATE daily_report_lines SET n = 10 - n");
    a.sync(&centre);
    b.sync(&centre);
    assert_eq!(b.rows(all), a.rows(all));

    a.run("DELETE FROM daily_reports");
    a.sync(&centre);
    b.sync(&centre);
    assert!(b.rows("SELECT 1 FROM daily_report_lines").is_empty() && centre.all("DailyReport").is_empty());
}

fn what_lines_say_beyond_the_columns_is_kept(engine: Engine) {
    let (centre, a) = (Centre::default(), site(engine));
    a.sync(&centre);
    centre.set("Brigade", &uuid(9), json!({"name": "x"}));
    let lines = json!([{"n": 1, "qty": 1.5, "photo": "p.jpg"}, {"n": 2, "qty": 2.5}]);
    centre.set("DailyReport", &uuid(1), json!({"date": "2025-12-12", "brigade_id": uuid(9), "lines": lines}));
    a.sync(&centre);
    a.run("UPDATE daily_report_lines SET qty = 9.5 WHERE n = 2");
    a.sync(&centre);
    let object = centre.object("DailyReport", &uuid(1)).unwrap();
    assert_eq!(object["lines"], json!([{"n": 1, "qty": 1.5, "photo": "p.jpg"}, {"n": 2, "qty": 9.5}]));
}

fn lines_whose_unique_numbers_change_places_arrive(engine: Engine) {
    let (centre, a) = (Centre::default(), site(engine));
    a.sync(&centre);
    centre.set("Brigade", &uuid(9), json!({"name": "x"}));
    let report = |lines| json!({"date": "2025-12-12", "brigade_id": uuid(9), "lines": lines});
    centre.set("DailyReport", &uuid(1), report(json!([{"n": 1, "qty": 1.5}, {"n": 2, "qty": 2.5}])));
    a.sync(&centre);
    centre.set("DailyReport", &uuid(1), report(json!([{"n": 2, "qty": 1.5}, {"n": 1, "qty": 2.5}])));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT n, qty FROM daily_report_lines ORDER BY n"), ["1|2.5", "2|1.5"]);
}

fn a_line_that_moves_to_another_object_is_a_change_of_both(engine: Engine) {
    let (centre, a, b) = (Centre::default(), site(engine), site(engine));
    a.run(&format!("INSERT INTO brigades(name) VALUES ('x'); {}{}", report(1), report(2)));
    a.run("INSERT INTO daily_report_lines(report_id, n) VALUES (1, 1), (1, 2), (2, 5)");
    a.sync(&centre);
    b.sync(&centre);
    a.run("UPDATE daily_report_lines SET report_id = 2 WHERE n = 2");
    a.sync(&centre);
    b.sync(&centre);
    let lines = "SELECT date, n FROM daily_reports r JOIN daily_report_lines ON report_id = r.id ORDER BY date, n";
    assert_eq!(b.rows(lines), ["2025-12-01|1", "2025-12-02|2", "2025-12-02|5"]);
    a.run(engine.pick("DELETE FROM daily_report_lines", "TRUNCATE daily_report_lines"));
    a.sync(&centre);
    b.sync(&centre);
    assert!(b.rows(lines).is_empty());
}
