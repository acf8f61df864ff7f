//! What an application does to its tables is registered and sent, whatever way it does it.

use crate::centre::{App, Centre, step, sync, uuid};
use serde_json::json;

const NOTES: &str = "CREATE TABLE notes(id INTEGER PRIMARY KEY, title TEXT, n INTEGER);";
const NOTE: &str = "[types.Note]\ntable = \"notes\"\n";

#[test]
fn inserts_updates_and_removals_arrive_and_do_not_come_back() {
    let (centre, a, b) = (Centre::default(), App::new(NOTES, NOTE), App::new(NOTES, NOTE));
    a.sync(&centre);
    a.run("INSERT INTO notes(title, n) VALUES ('milk', 1), ('bread', 2)");
    a.sync(&centre);
    b.sync(&centre);
    assert_eq!(b.rows("SELECT title, n FROM notes ORDER BY n"), ["milk|1", "bread|2"]);

    b.run("UPDATE notes SET n = 7 WHERE title = 'milk'; DELETE FROM notes WHERE title = 'bread'");
    b.sync(&centre);
    a.sync(&centre);
    assert_eq!(a.rows("SELECT id, title, n FROM notes"), ["1|milk|7"]);

    let head = centre.head();
    for _ in 0..2 {
        a.sync(&centre);
        b.sync(&centre);
    }
    assert_eq!(centre.head(), head, "nothing is an own change that came from the hub");
}

#[test]
fn only_changed_fields_are_sent_and_changes_that_change_nothing_are_not() {
    let (centre, a) = (Centre::default(), App::new(NOTES, NOTE));
    a.run("INSERT INTO notes VALUES (1, 'milk', 1)");
    let mut attached = a.attach().unwrap();
    sync(&mut attached, &centre);
    let head = centre.head();

    a.run("UPDATE notes SET title = title; UPDATE notes SET n = 2; UPDATE notes SET n = 1");
    sync(&mut attached, &centre);
    assert_eq!(centre.head(), head);

    a.run("UPDATE notes SET n = 3");
    let (sent, _) = step(&mut attached, &centre);
    assert!(sent.text.contains(r#""operation":"UPDATE","data":{"n":3}"#), "{}", sent.text);
}

#[test]
fn a_transaction_that_rolls_back_registers_nothing_and_a_large_one_everything() {
    let (centre, a) = (Centre::default(), App::new(NOTES, NOTE));
    a.sync(&centre);
    a.run("BEGIN; INSERT INTO notes(title) VALUES ('never'); ROLLBACK");
    assert!(a.attach().unwrap().status().unwrap().waiting.is_empty());

    a.run(
        "BEGIN; WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < 3000)
           INSERT INTO notes(n) SELECT n FROM k; UPDATE notes SET title = 't' || n; COMMIT",
    );
    a.sync(&centre);
    let all = centre.all("Note");
    assert_eq!(all.len(), 3_000);
    assert!(all.values().all(|note| note["title"] == json!(format!("t{}", note["n"]))));
}

#[test]
fn rows_that_a_replace_takes_away_without_a_word_are_removed_everywhere() {
    let schema = "CREATE TABLE parts(id INTEGER PRIMARY KEY, code TEXT UNIQUE, name TEXT);";
    let (centre, a) = (Centre::default(), App::new(schema, "[types.Part]\ntable = \"parts\"\n"));
    a.run("INSERT INTO parts VALUES (1, 'a', 'old'), (2, 'b', 'stays')");
    a.sync(&centre);
    a.run("INSERT OR REPLACE INTO parts(id, code, name) VALUES (9, 'a', 'new')");
    a.run("UPDATE OR REPLACE parts SET code = 'b' WHERE id = 9");
    a.sync(&centre);
    let (_, part) = centre.only("Part");
    assert_eq!(part, json!({"code": "b", "name": "new"}));
}

#[test]
fn a_number_that_is_given_again_is_another_object() {
    let (centre, a) = (Centre::default(), App::new(NOTES, NOTE));
    a.run("INSERT INTO notes VALUES (1, 'first', 1)");
    a.sync(&centre);
    let (first, _) = centre.only("Note");
    a.run("DELETE FROM notes; INSERT INTO notes VALUES (1, 'second', NULL)");
    a.sync(&centre);
    let (second, note) = centre.only("Note");
    assert_eq!(note, json!({"title": "second", "n": null}));
    assert_ne!(first, second);
}

#[test]
fn a_row_whose_key_is_changed_goes_on_under_its_uuid() {
    let schema = "CREATE TABLE notes(id INTEGER PRIMARY KEY, uuid TEXT UNIQUE, title TEXT);";
    let (centre, a) = (Centre::default(), App::new(schema, "[types.Note]\ntable = \"notes\"\nuuid = \"uuid\"\n"));
    a.run(&format!("INSERT INTO notes VALUES (1, '{}', 'x'), (2, NULL, 'without')", uuid(1)));
    a.sync(&centre);
    assert_eq!(centre.object("Note", &uuid(1)), Some(json!({"title": "x"})));
    assert_eq!(a.rows("SELECT length(uuid) FROM notes WHERE id = 2"), ["36"], "it was given one");

    a.run("UPDATE notes SET id = 50, title = 'y' WHERE id = 1");
    a.sync(&centre);
    assert_eq!(centre.object("Note", &uuid(1)), Some(json!({"title": "y"})));
    assert_eq!(centre.all("Note").len(), 2);
}

#[test]
fn triggers_of_the_application_work_on_and_start_no_echo() {
    let schema = "CREATE TABLE orders(id INTEGER PRIMARY KEY, total INTEGER NOT NULL DEFAULT 0, touched INTEGER DEFAULT 0);
                  CREATE TABLE items(id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders(id) ON DELETE CASCADE, price INTEGER);
                  CREATE TRIGGER sums AFTER INSERT ON items BEGIN
                    UPDATE orders SET total = total + NEW.price WHERE id = NEW.order_id; END;
                  CREATE TRIGGER touches AFTER UPDATE OF total ON orders BEGIN
                    UPDATE orders SET touched = touched + 1 WHERE id = NEW.id; END;";
    let mapping = "[types.Order]\ntable = \"orders\"\n[types.Item]\ntable = \"items\"\n";
    let (centre, a, b) = (Centre::default(), App::new(schema, mapping), App::new(schema, mapping));
    a.sync(&centre);
    b.sync(&centre);
    a.run("INSERT INTO orders DEFAULT VALUES; INSERT INTO items(order_id, price) VALUES (1, 5), (1, 7)");
    a.sync(&centre);
    assert_eq!(centre.only("Order").1, json!({"total": 12, "touched": 2}));
    b.sync(&centre);
    let head = centre.head();
    for _ in 0..3 {
        a.sync(&centre);
        b.sync(&centre);
    }
    assert_eq!(centre.head(), head, "two databases whose triggers write do not answer each other for ever");
    a.run("DELETE FROM orders");
    a.sync(&centre);
    b.sync(&centre);
    assert_eq!(centre.all("Item").len() + b.rows("SELECT 1 FROM items").len(), 0, "what cascades is registered");
}

#[test]
fn an_application_that_is_in_the_middle_of_a_transaction_disturbs_nothing() {
    let (centre, a) = (Centre::default(), App::new(NOTES, NOTE));
    a.run("PRAGMA journal_mode = WAL");
    a.sync(&centre);
    a.run("INSERT INTO notes(title) VALUES ('before')");
    a.sync(&centre);
    a.run("BEGIN");
    assert_eq!(a.rows("SELECT count(*) FROM notes"), ["1"], "it reads at one moment");
    centre.set("Note", &uuid(5), json!({"title": "from elsewhere"}));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT count(*) FROM notes"), ["1"]);
    a.run("COMMIT");
    assert_eq!(a.rows("SELECT count(*) FROM notes"), ["2"]);
}
