//! Lines inside objects, references before their targets, circles of foreign keys, values that change places.

use crate::centre::{App, Centre, uuid};
use serde_json::json;

/// The tables of a construction company, as their applications have them.
const SITE: &str = "
CREATE TABLE brigades(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);
CREATE TABLE daily_reports(
  id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, date DATE NOT NULL, brigade_id INTEGER NOT NULL REFERENCES brigades(id),
  remark TEXT);
CREATE TABLE daily_report_lines(
  id INTEGER PRIMARY KEY, report_id INTEGER NOT NULL REFERENCES daily_reports(id) ON DELETE CASCADE,
  n INTEGER NOT NULL, qty REAL, UNIQUE(report_id, n));";
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

fn site() -> App {
    App::new(SITE, SITE_MAP)
}

#[test]
fn lines_travel_inside_their_object_and_references_name_uuids() {
    let (centre, a, b) = (Centre::default(), site(), site());
    // The numbers differ on purpose: they mean nothing elsewhere.
    b.run("INSERT INTO brigades VALUES (1, 'theirs')");
    a.run(&format!(
        "INSERT INTO brigades VALUES (1, 'ours');
         INSERT INTO daily_reports VALUES (7, '{}', '2025-12-12', 1, NULL);
         INSERT INTO daily_report_lines(report_id, n, qty) VALUES (7, 1, 2.5), (7, 2, 4.0);",
        uuid(1)
    ));
    a.sync(&centre);
    b.sync(&centre);
    a.sync(&centre);
    let brigade = centre.all("Brigade").into_iter().find(|(_, brigade)| brigade["name"] == "ours").unwrap().0;
    assert_eq!(
        centre.object("DailyReport", &uuid(1)),
        Some(json!({
            "date": "2025-12-12", "brigade_id": brigade, "remark": null,
            "lines": [{"n": 1, "qty": 2.5}, {"n": 2, "qty": 4.0}],
        }))
    );
    let report = "SELECT uuid, date, name, n, qty FROM daily_reports JOIN brigades ON brigades.id = brigade_id
                  LEFT JOIN daily_report_lines ON report_id = daily_reports.id ORDER BY n";
    assert_eq!(b.rows(report), a.rows(report));

    b.run("UPDATE daily_report_lines SET qty = 5 WHERE n = 2; INSERT INTO daily_report_lines(report_id, n) SELECT id, 3 FROM daily_reports");
    b.sync(&centre);
    a.run("UPDATE daily_reports SET remark = 'rain'");
    a.sync(&centre);
    b.sync(&centre);
    assert_eq!(a.rows(report).len(), 3);
    assert_eq!(b.rows(report), a.rows(report));
    assert_eq!(b.rows("SELECT remark FROM daily_reports"), ["rain"]);

    a.run("DELETE FROM daily_reports");
    a.sync(&centre);
    b.sync(&centre);
    assert_eq!(b.rows("SELECT 1 FROM daily_report_lines"), [""; 0]);
    assert!(centre.all("DailyReport").is_empty());
}

#[test]
fn what_lines_say_beyond_the_columns_is_kept() {
    let (centre, a) = (Centre::default(), site());
    a.sync(&centre);
    centre.set("Brigade", &uuid(9), json!({"name": "x"}));
    let lines = json!([{"n": 1, "qty": 1.0, "photo": "p.jpg"}, {"n": 2, "qty": 2.0}]);
    centre.set("DailyReport", &uuid(1), json!({"date": "d", "brigade_id": uuid(9), "lines": lines}));
    a.sync(&centre);
    a.run("UPDATE daily_report_lines SET qty = 9 WHERE n = 2");
    a.sync(&centre);
    let object = centre.object("DailyReport", &uuid(1)).unwrap();
    assert_eq!(object["lines"], json!([{"n": 1, "qty": 1.0, "photo": "p.jpg"}, {"n": 2, "qty": 9.0}]));
}

#[test]
fn lines_whose_unique_numbers_change_places_arrive() {
    let (centre, a) = (Centre::default(), site());
    a.sync(&centre);
    centre.set("Brigade", &uuid(9), json!({"name": "x"}));
    let report = |lines| json!({"date": "d", "brigade_id": uuid(9), "lines": lines});
    centre.set("DailyReport", &uuid(1), report(json!([{"n": 1, "qty": 1.0}, {"n": 2, "qty": 2.0}])));
    a.sync(&centre);
    centre.set("DailyReport", &uuid(1), report(json!([{"n": 2, "qty": 1.0}, {"n": 1, "qty": 2.0}])));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT n, qty FROM daily_report_lines ORDER BY n"), ["1|2.0", "2|1.0"]);
}

#[test]
fn an_object_that_comes_before_what_it_refers_to_waits_for_it() {
    let (centre, a) = (Centre::with_page(1), site());
    a.sync(&centre);
    centre.set("DailyReport", &uuid(1), json!({"date": "d", "brigade_id": uuid(9), "lines": [{"n": 1}]}));
    let taken = a.sync(&centre);
    assert_eq!(taken.aside, 1);
    let status = a.attach().unwrap().status().unwrap();
    assert!(status.aside[0].reason.contains(&uuid(9)), "{:?}", status.aside);
    centre.set("Brigade", &uuid(9), json!({"name": "late"}));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT date, name FROM daily_reports JOIN brigades ON brigades.id = brigade_id"), ["d|late"]);
    assert!(a.attach().unwrap().status().unwrap().aside.is_empty());
}

#[test]
fn a_reference_that_may_be_empty_is_filled_when_its_target_comes() {
    let schema = "CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, boss INTEGER REFERENCES people(id));";
    let (centre, a) = (Centre::with_page(1), App::new(schema, "[types.Person]\ntable = \"people\"\n"));
    a.sync(&centre);
    centre.set("Person", &uuid(1), json!({"name": "early", "boss": uuid(2)}));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT name, boss FROM people"), ["early|NULL"]);
    a.run("UPDATE people SET name = 'renamed'");
    a.sync(&centre);
    assert_eq!(
        centre.object("Person", &uuid(1)).unwrap()["boss"],
        json!(uuid(2)),
        "an empty column for now is no edit"
    );
    centre.set("Person", &uuid(2), json!({"name": "boss", "boss": null}));
    a.sync(&centre);
    let bosses = "SELECT p.name, b.name FROM people p JOIN people b ON b.id = p.boss";
    assert_eq!(a.rows(bosses), ["renamed|boss"]);
    a.run("UPDATE people SET boss = NULL");
    a.sync(&centre);
    assert_eq!(
        centre.object("Person", &uuid(1)).unwrap()["boss"],
        json!(null),
        "emptied by the application, it is one"
    );
}

#[test]
fn foreign_keys_in_a_circle_arrive_together() {
    let schema = "CREATE TABLE firms(id INTEGER PRIMARY KEY, head INTEGER NOT NULL REFERENCES people(id) DEFERRABLE INITIALLY DEFERRED);
                  CREATE TABLE people(id INTEGER PRIMARY KEY, firm INTEGER NOT NULL REFERENCES firms(id));";
    let mapping = "[types.Firm]\ntable = \"firms\"\n[types.Person]\ntable = \"people\"\n";
    let (centre, a, b) = (Centre::default(), App::new(schema, mapping), App::new(schema, mapping));
    a.run("BEGIN; INSERT INTO firms VALUES (3, 5); INSERT INTO people VALUES (5, 3); COMMIT");
    a.sync(&centre);
    b.sync(&centre);
    let circle = "SELECT count(*) FROM firms JOIN people ON people.id = head AND firms.id = firm";
    assert_eq!(b.rows(circle), ["1"]);
    b.run("BEGIN; PRAGMA defer_foreign_keys = ON; DELETE FROM firms; DELETE FROM people; COMMIT");
    b.sync(&centre);
    a.sync(&centre);
    assert_eq!(centre.all("Firm").len() + centre.all("Person").len(), 0);
    let left = a.attach().unwrap().status().unwrap().aside;
    assert_eq!(a.rows("SELECT 1 FROM people"), [""; 0], "{left:?}");
}

#[test]
fn unique_values_change_places_in_one_packet_and_in_several() {
    for page in [0, 1] {
        let schema = "CREATE TABLE seats(id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE CHECK (length(code) = 1), row INTEGER);";
        let mapping = "[types.Seat]\ntable = \"seats\"\n";
        let (centre, a, b) = (Centre::with_page(page), App::new(schema, mapping), App::new(schema, mapping));
        a.run("INSERT INTO seats VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)");
        a.sync(&centre);
        b.sync(&centre);
        a.run(
            "UPDATE seats SET code = 'x' WHERE row = 1; UPDATE seats SET code = 'a' WHERE row = 2;
               UPDATE seats SET code = 'b' WHERE row = 3; UPDATE seats SET code = 'c' WHERE row = 1",
        );
        a.sync(&centre);
        b.sync(&centre);
        let status = b.attach().unwrap().status().unwrap();
        assert_eq!(b.rows("SELECT code, row FROM seats ORDER BY row"), ["c|1", "a|2", "b|3"], "{:?}", status.aside);
        assert!(status.aside.is_empty(), "{:?}", status.aside);
    }
}

#[test]
fn a_value_that_two_databases_gave_to_different_rows_is_set_aside_until_somebody_decides() {
    let schema = "CREATE TABLE parts(id INTEGER PRIMARY KEY, code TEXT UNIQUE, name TEXT);";
    let mapping = "[types.Part]\ntable = \"parts\"\n";
    let (centre, a, b) = (Centre::default(), App::new(schema, mapping), App::new(schema, mapping));
    a.sync(&centre);
    b.sync(&centre);
    a.run("INSERT INTO parts(code, name) VALUES ('x', 'from a'), ('y', 'other')");
    b.run("INSERT INTO parts(code, name) VALUES ('x', 'from b')");
    a.sync(&centre);
    let taken = b.sync(&centre);
    assert_eq!((taken.stored, taken.aside), (1, 1), "one part is set aside, not the packet");
    b.run("UPDATE parts SET code = 'x2' WHERE name = 'from b'");
    b.sync(&centre);
    a.sync(&centre);
    let parts = "SELECT code, name FROM parts ORDER BY code";
    assert_eq!(b.rows(parts), ["x|from a", "x2|from b", "y|other"]);
    assert_eq!(a.rows(parts), b.rows(parts));
}

#[test]
fn tables_with_composite_and_text_keys_are_objects_too() {
    let schema = "CREATE TABLE orders(number TEXT PRIMARY KEY, buyer TEXT);
                  CREATE TABLE order_items(number TEXT REFERENCES orders(number) ON DELETE CASCADE, article INTEGER, qty INTEGER,
                    PRIMARY KEY(number, article)) WITHOUT ROWID;";
    let mapping = "[types.Order]\ntable = \"orders\"\n[types.Item]\ntable = \"order_items\"\n";
    let (centre, a, b) = (Centre::default(), App::new(schema, mapping), App::new(schema, mapping));
    a.run("INSERT INTO orders VALUES ('it''s 1', 'me'); INSERT INTO order_items VALUES ('it''s 1', 5, 2), ('it''s 1', 6, 3)");
    a.sync(&centre);
    b.sync(&centre);
    assert_eq!(b.rows("SELECT * FROM order_items ORDER BY article"), ["it's 1|5|2", "it's 1|6|3"]);
    b.run("UPDATE order_items SET qty = 9 WHERE article = 6; DELETE FROM order_items WHERE article = 5");
    b.sync(&centre);
    a.sync(&centre);
    assert_eq!(a.rows("SELECT * FROM order_items"), ["it's 1|6|9"]);
}

#[test]
fn a_row_that_others_still_need_stays_until_they_are_gone() {
    let (centre, a) = (Centre::default(), site());
    a.sync(&centre);
    centre.set("Brigade", &uuid(9), json!({"name": "x"}));
    a.sync(&centre);
    a.run(&format!("INSERT INTO daily_reports(uuid, date, brigade_id) VALUES ('{}', 'd', 1)", uuid(1)));
    centre.remove("Brigade", &uuid(9));
    let taken = a.sync(&centre);
    assert_eq!(taken.aside, 1);
    assert_eq!(a.rows("SELECT name FROM brigades"), ["x"]);
    a.run("DELETE FROM daily_reports");
    a.sync(&centre);
    assert_eq!(a.rows("SELECT name FROM brigades"), [""; 0]);
    assert!(a.attach().unwrap().status().unwrap().aside.is_empty());
}

#[test]
fn rules_that_are_checked_at_the_end_of_a_transaction_hold_up_one_object_and_not_the_packet() {
    let schema = "CREATE TABLE firms(id INTEGER PRIMARY KEY, name TEXT CHECK (name <> 'bad'));
                  CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT,
                    firm INTEGER NOT NULL REFERENCES firms(id) DEFERRABLE INITIALLY DEFERRED);
                  CREATE TABLE badges(id INTEGER PRIMARY KEY, firm INTEGER);";
    let mapping = "[types.Firm]\ntable = \"firms\"\n[types.Person]\ntable = \"people\"\n
                   [types.Badge]\ntable = \"badges\"\nreferences = { firm = \"Firm\" }\n";
    let (centre, a) = (Centre::default(), App::new(schema, mapping));
    centre.set("Firm", &uuid(1), json!({"name": "good"}));
    a.sync(&centre);
    a.run("INSERT INTO people(firm, name) VALUES (1, 'ours')");
    centre.remove("Firm", &uuid(1));
    // A person and a badge of a firm that comes in the same packet and cannot be stored.
    centre.set("Person", &uuid(2), json!({"firm": uuid(3), "name": "waits"}));
    centre.set("Badge", &uuid(4), json!({"firm": uuid(3)}));
    centre.set("Firm", &uuid(3), json!({"name": "bad"}));
    centre.set("Firm", &uuid(5), json!({"name": "fine"}));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT name FROM firms ORDER BY name"), ["fine", "good"]);
    assert_eq!(a.rows("SELECT name FROM people"), ["ours"]);
    assert_eq!(a.rows("SELECT firm FROM badges"), ["NULL"]);
    centre.set("Firm", &uuid(3), json!({"name": "better"}));
    a.run("DELETE FROM people");
    a.sync(&centre);
    assert_eq!(a.rows("SELECT f.name, p.name FROM people p JOIN firms f ON f.id = firm"), ["better|waits"]);
    assert_eq!(a.rows("SELECT f.name FROM badges b JOIN firms f ON f.id = firm"), ["better"]);
    assert_eq!(a.rows("SELECT name FROM firms ORDER BY name"), ["better", "fine"]);
}

#[test]
fn triggers_that_undo_whole_transactions_hold_up_one_object_and_not_the_packet() {
    let schema = "CREATE TABLE notes(id INTEGER PRIMARY KEY, t TEXT);
                  CREATE TRIGGER strict BEFORE INSERT ON notes WHEN NEW.t LIKE 'bad%' BEGIN SELECT RAISE(ROLLBACK, 'never'); END;
                  CREATE TRIGGER keep BEFORE DELETE ON notes WHEN OLD.t = 'kept' BEGIN SELECT RAISE(ROLLBACK, 'kept'); END;";
    let (centre, a) = (Centre::default(), App::new(schema, "[types.Note]\ntable = \"notes\"\n"));
    a.sync(&centre);
    for (n, text) in ["first", "bad 1", "kept", "bad 2", "last"].iter().enumerate() {
        centre.set("Note", &uuid(n), json!({"t": text}));
    }
    a.sync(&centre);
    assert_eq!(a.rows("SELECT t FROM notes ORDER BY id"), ["first", "kept", "last"]);
    centre.remove("Note", &uuid(2));
    centre.set("Note", &uuid(1), json!({"t": "good 1"}));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT t FROM notes ORDER BY t"), ["first", "good 1", "kept", "last"]);
    let status = a.attach().unwrap().status().unwrap();
    let reasons: Vec<&str> = status.aside.iter().map(|aside| aside.reason.as_str()).collect();
    assert_eq!(reasons.iter().filter(|reason| **reason == "never").count(), 1, "{reasons:?}");
    assert_eq!(reasons.len(), 2, "{reasons:?}");
}
