//! What an application does to its tables is registered and sent, whatever way it does it.

use crate::app::{Engine, on_both};
use crate::centre::{Centre, step, sync, uuid};
use serde_json::json;

on_both!(
    inserts_updates_and_removals_arrive_and_do_not_come_back,
    what_a_packet_stores_is_registered_nowhere_even_where_it_empties_the_queue,
    only_changed_fields_are_sent_and_changes_that_change_nothing_are_not,
    a_transaction_that_rolls_back_registers_nothing_and_a_large_one_everything,
    a_number_that_is_given_again_is_another_object,
    a_row_whose_key_is_changed_goes_on_under_its_uuid,
    triggers_of_the_application_work_on_and_start_no_echo,
    rows_that_go_with_a_removed_one_are_registered_where_the_application_has_no_triggers,
    an_application_that_reads_for_long_is_not_disturbed,
    an_application_that_dies_in_the_middle_of_a_transaction_has_changed_nothing,
);

const NOTES: &str = "CREATE TABLE notes(id $KEY, title text, n int);";
const NOTE: &str = "[types.Note]\ntable = \"notes\"\n";

fn inserts_updates_and_removals_arrive_and_do_not_come_back(engine: Engine) {
    let (centre, a, b) = (Centre::default(), engine.app(NOTES, NOTE), engine.app(NOTES, NOTE));
    a.sync(&centre);
    a.run("INSERT INTO notes(title, n) VALUES ('milk', 1), ('bread', 2)");
    a.sync(&centre);
    b.sync(&centre);
    assert_eq!(b.rows("SELECT title, n FROM notes ORDER BY n"), ["milk|1", "bread|2"]);

    b.run("UPDATE notes SET n = 7 WHERE title = 'milk'; DELETE FROM notes WHERE title = 'bread'");
    b.sync(&centre);
    a.sync(&centre);
    assert_eq!(a.rows("SELECT id, title, n FROM notes"), ["1|milk|7"]);
    b.run("INSERT INTO notes(title) VALUES ('after')");
    assert_eq!(b.rows("SELECT count(DISTINCT id) FROM notes"), ["2"], "numbers of arrived rows are not given again");

    b.sync(&centre);
    a.sync(&centre);
    let head = centre.head();
    for _ in 0..2 {
        a.sync(&centre);
        b.sync(&centre);
    }
    assert_eq!(centre.head(), head, "nothing is an own change that came from the hub");
}

fn what_a_packet_stores_is_registered_nowhere_even_where_it_empties_the_queue(engine: Engine) {
    let (centre, a) = (Centre::default(), engine.app(NOTES, NOTE));
    a.run("INSERT INTO notes(title) VALUES ('milk'), ('bread')");
    let mut attached = a.attach().unwrap();
    sync(&mut attached, &centre);

    a.run("UPDATE notes SET n = 1");
    (0..5).for_each(|n| centre.set("Note", &uuid(n), json!({"title": "from elsewhere"})));
    let (sent, taken) = step(&mut attached, &centre);

    assert_eq!((sent.entities, taken.confirmed, taken.stored), (2, 2, 5));
    assert_eq!(a.rows("SELECT count(*) FROM sync_log"), ["0"]);
}

fn only_changed_fields_are_sent_and_changes_that_change_nothing_are_not(engine: Engine) {
    let (centre, a) = (Centre::default(), engine.app(NOTES, NOTE));
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

fn a_transaction_that_rolls_back_registers_nothing_and_a_large_one_everything(engine: Engine) {
    let (centre, a, b) = (Centre::default(), engine.app(NOTES, NOTE), engine.app(NOTES, NOTE));
    a.run("INSERT INTO notes(title) VALUES ('stays')");
    a.sync(&centre);
    let mut undecided = a.session();
    undecided.run("BEGIN; INSERT INTO notes(title) VALUES ('never'); UPDATE notes SET title = 'no'; DELETE FROM notes");
    undecided.run("ROLLBACK");
    assert!(a.status().waiting.is_empty());
    undecided
        .run("BEGIN; UPDATE notes SET title = 'half'; SAVEPOINT before; DELETE FROM notes; ROLLBACK TO before; COMMIT");
    a.sync(&centre);
    assert_eq!(centre.only("Note").1["title"], "half");

    a.run(
        "BEGIN; DELETE FROM notes; WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < 3000)
           INSERT INTO notes(n) SELECT n FROM k; UPDATE notes SET title = 't' || n; COMMIT",
    );
    a.sync(&centre);
    let all = centre.all("Note");
    assert_eq!(all.len(), 3_000);
    assert!(all.values().all(|note| note["title"] == json!(format!("t{}", note["n"]))));
    b.sync(&centre);
    assert_eq!(b.rows("SELECT count(*), count(DISTINCT id), sum(n) FROM notes"), ["3000|3000|4501500"]);
}

fn a_number_that_is_given_again_is_another_object(engine: Engine) {
    let (centre, a) = (Centre::default(), engine.app(NOTES, NOTE));
    a.run("INSERT INTO notes VALUES (1, 'first', 1)");
    a.sync(&centre);
    let (first, _) = centre.only("Note");
    a.run("DELETE FROM notes; INSERT INTO notes VALUES (1, 'second', NULL)");
    a.sync(&centre);
    let (second, note) = centre.only("Note");
    assert_eq!(note, json!({"title": "second", "n": null}));
    assert_ne!(first, second);
}

fn a_row_whose_key_is_changed_goes_on_under_its_uuid(engine: Engine) {
    let schema = "CREATE TABLE notes(id $KEY, uuid $UUID UNIQUE, title text);";
    let (centre, a) = (Centre::default(), engine.app(schema, "[types.Note]\ntable = \"notes\"\nuuid = \"uuid\"\n"));
    a.run(&format!("INSERT INTO notes VALUES (1, '{}', 'x'), (2, NULL, 'without')", uuid(1)));
    a.sync(&centre);
    assert_eq!(centre.object("Note", &uuid(1)), Some(json!({"title": "x"})));
    assert_eq!(a.rows("SELECT length(CAST(uuid AS text)) FROM notes WHERE id = 2"), ["36"], "it was given one");

    a.run("UPDATE notes SET id = 50, title = 'y' WHERE id = 1");
    a.sync(&centre);
    assert_eq!(centre.object("Note", &uuid(1)), Some(json!({"title": "y"})));
    assert_eq!(centre.all("Note").len(), 2);
}

fn triggers_of_the_application_work_on_and_start_no_echo(engine: Engine) {
    let tables = "CREATE TABLE orders(id $KEY, total int NOT NULL DEFAULT 0, touched int NOT NULL DEFAULT 0);
         CREATE TABLE items(id $KEY, order_id int REFERENCES orders(id) ON DELETE CASCADE, price int);";
    let triggers = engine.pick(
        "CREATE TRIGGER sums AFTER INSERT ON items BEGIN
           UPDATE orders SET total = total + NEW.price WHERE id = NEW.order_id; END;
         CREATE TRIGGER touches AFTER UPDATE OF total ON orders BEGIN
           UPDATE orders SET touched = touched + 1 WHERE id = NEW.id; END;",
        "CREATE FUNCTION sums() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           UPDATE orders SET total = total + NEW.price WHERE id = NEW.order_id; RETURN NULL; END $$;
         CREATE TRIGGER sums AFTER INSERT ON items FOR EACH ROW EXECUTE FUNCTION sums();
         CREATE FUNCTION touches() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           NEW.touched := NEW.touched + 1; RETURN NEW; END $$;
         CREATE TRIGGER touches BEFORE UPDATE OF total ON orders FOR EACH ROW EXECUTE FUNCTION touches();",
    );
    let schema = format!("{tables}{triggers}");
    let mapping = "[types.Order]\ntable = \"orders\"\n[types.Item]\ntable = \"items\"\n";
    let (centre, a, b) = (Centre::default(), engine.app(&schema, mapping), engine.app(&schema, mapping));
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

fn rows_that_go_with_a_removed_one_are_registered_where_the_application_has_no_triggers(engine: Engine) {
    let schema = "CREATE TABLE orders(id $KEY, total int);
         CREATE TABLE items(id $KEY, order_id int REFERENCES orders(id) ON DELETE CASCADE, price int);";
    let mapping = "[types.Order]\ntable = \"orders\"\n[types.Item]\ntable = \"items\"\n";
    let (centre, a, b) = (Centre::default(), engine.app(schema, mapping), engine.app(schema, mapping));
    a.run("INSERT INTO orders(total) VALUES (1), (2)");
    a.sync(&centre);
    b.sync(&centre);
    b.run("INSERT INTO items(order_id, price) SELECT id, 5 FROM orders");
    b.sync(&centre);
    assert_eq!(centre.all("Item").len(), 2);
    a.run("DELETE FROM orders WHERE total = 1");
    a.sync(&centre);
    b.sync(&centre);
    assert_eq!(b.rows("SELECT 1 FROM items").len(), 1, "it went with its order");
    assert_eq!(centre.all("Item").len(), 1, "and the hub knows");
}

fn an_application_that_reads_for_long_is_not_disturbed(engine: Engine) {
    let (centre, a) = (Centre::default(), engine.app(NOTES, NOTE));
    a.run(engine.pick("PRAGMA journal_mode = WAL", ""));
    a.run("INSERT INTO notes(title) VALUES ('before')");
    a.sync(&centre);
    let mut reader = a.session();
    reader.run(engine.pick("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ"));
    assert_eq!(reader.rows("SELECT count(*) FROM notes"), ["1"]);
    centre.set("Note", &uuid(5), json!({"title": "from elsewhere"}));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT count(*) FROM notes"), ["2"]);
    assert_eq!(reader.rows("SELECT count(*) FROM notes"), ["1"], "it reads at one moment");
}

fn an_application_that_dies_in_the_middle_of_a_transaction_has_changed_nothing(engine: Engine) {
    let (centre, a) = (Centre::default(), engine.app(NOTES, NOTE));
    a.run("INSERT INTO notes(title) VALUES ('stays')");
    a.sync(&centre);
    let mut dying = a.session();
    dying.run("BEGIN; INSERT INTO notes(title) VALUES ('never'); UPDATE notes SET title = 'no'");
    drop(dying);
    let (id, _) = centre.only("Note");
    centre.set("Note", &id, json!({"n": 5}));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT title, n FROM notes"), ["stays|5"], "{:?}", a.status().aside);
    assert_eq!(centre.only("Note").1, json!({"title": "stays", "n": 5}));
}
