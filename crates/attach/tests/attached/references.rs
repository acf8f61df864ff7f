//! References before their targets, circles of foreign keys, rows that others need, rules that are checked at the end.

use crate::app::{Engine, on_both};
use crate::centre::{Centre, uuid};
use crate::lines::site;
use serde_json::json;

on_both!(
    an_object_that_comes_before_what_it_refers_to_waits_for_it,
    a_reference_that_may_be_empty_is_filled_when_its_target_comes,
    a_long_chain_of_references_arrives_from_its_wrong_end,
    foreign_keys_in_a_circle_arrive_together,
    a_row_that_others_still_need_stays_until_they_are_gone,
    rules_that_are_checked_at_the_end_of_a_transaction_hold_up_one_object_and_not_the_packet,
);

fn an_object_that_comes_before_what_it_refers_to_waits_for_it(engine: Engine) {
    let (centre, a) = (Centre::with_page(1), site(engine));
    a.sync(&centre);
    centre.set("DailyReport", &uuid(1), json!({"date": "2025-12-12", "brigade_id": uuid(9), "lines": [{"n": 1}]}));
    let taken = a.sync(&centre);
    assert_eq!(taken.aside, 1);
    let aside = a.status().aside;
    assert!(aside[0].reason.contains(&uuid(9)), "{aside:?}");
    centre.set("Brigade", &uuid(9), json!({"name": "late"}));
    a.sync(&centre);
    let joined = "SELECT date, name FROM daily_reports JOIN brigades ON brigades.id = brigade_id";
    assert_eq!(a.rows(joined), ["2025-12-12|late"]);
    assert!(a.status().aside.is_empty());
}

fn a_reference_that_may_be_empty_is_filled_when_its_target_comes(engine: Engine) {
    let schema = "CREATE TABLE people(id $KEY, name text, boss int REFERENCES people(id));";
    let (centre, a) = (Centre::with_page(1), engine.app(schema, "[types.Person]\ntable = \"people\"\n"));
    let boss = || centre.object("Person", &uuid(1)).unwrap()["boss"].clone();
    a.sync(&centre);
    centre.set("Person", &uuid(1), json!({"name": "early", "boss": uuid(2)}));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT name, boss FROM people"), ["early|NULL"]);
    a.run("UPDATE people SET name = 'renamed'");
    a.sync(&centre);
    assert_eq!(boss(), json!(uuid(2)), "an empty column for now is no edit");
    centre.set("Person", &uuid(2), json!({"name": "boss", "boss": null}));
    a.sync(&centre);
    let bosses = "SELECT p.name, b.name FROM people p JOIN people b ON b.id = p.boss";
    assert_eq!(a.rows(bosses), ["renamed|boss"]);
    a.run("UPDATE people SET boss = NULL");
    a.sync(&centre);
    assert_eq!(boss(), json!(null), "emptied by the application, it is one");
}

fn a_long_chain_of_references_arrives_from_its_wrong_end(engine: Engine) {
    let schema = "CREATE TABLE people(id $KEY, name text, boss int REFERENCES people(id));
                  CREATE TABLE steps(id $KEY, n int, before int NOT NULL REFERENCES steps(id));";
    let mapping = "[types.Person]\ntable = \"people\"\n[types.Step]\ntable = \"steps\"\n";
    let (centre, a) = (Centre::default(), engine.app(schema, mapping));
    // A circle of references that may be empty, and a chain that ends in itself, each told last things first.
    centre.set("Person", &uuid(1), json!({"name": "a", "boss": uuid(2)}));
    centre.set("Person", &uuid(2), json!({"name": "b", "boss": uuid(1)}));
    for n in (0..100).rev() {
        centre.set("Step", &uuid(100 + n), json!({"n": n, "before": uuid(100 + n.saturating_sub(1))}));
    }
    a.sync(&centre);
    assert!(a.status().aside.is_empty(), "{:?}", a.status().aside);
    let bosses = "SELECT p.name, b.name FROM people p JOIN people b ON b.id = p.boss ORDER BY 1";
    assert_eq!(a.rows(bosses), ["a|b", "b|a"]);
    let chain =
        "SELECT count(*) FROM steps s JOIN steps b ON b.id = s.before WHERE b.n = s.n - 1 OR b.n = 0 AND s.n = 0";
    assert_eq!(a.rows(chain), ["100"]);
}

fn foreign_keys_in_a_circle_arrive_together(engine: Engine) {
    let schema = engine.pick(
        "CREATE TABLE firms(id $KEY, head int NOT NULL REFERENCES people(id) DEFERRABLE INITIALLY DEFERRED);
         CREATE TABLE people(id $KEY, firm int NOT NULL REFERENCES firms(id));",
        "CREATE TABLE firms(id $KEY, head int NOT NULL);
         CREATE TABLE people(id $KEY, firm int NOT NULL REFERENCES firms(id));
         ALTER TABLE firms ADD FOREIGN KEY (head) REFERENCES people(id) DEFERRABLE;
         SELECT setval('firms_id_seq', 40), setval('people_id_seq', 50);",
    );
    let later = engine.pick("PRAGMA defer_foreign_keys = ON", "SET CONSTRAINTS ALL DEFERRED");
    let mapping = "[types.Firm]\ntable = \"firms\"\n[types.Person]\ntable = \"people\"\n";
    let (centre, a, b) = (Centre::default(), engine.app(schema, mapping), engine.app(schema, mapping));
    a.run(&format!("BEGIN; {later}; INSERT INTO firms VALUES (3, 5); INSERT INTO people VALUES (5, 3); COMMIT"));
    a.sync(&centre);
    b.sync(&centre);
    let circle = "SELECT count(*) FROM firms JOIN people ON people.id = head AND firms.id = firm";
    assert_eq!(b.rows(circle), ["1"], "{:?}", b.status().aside);
    b.run(&format!("BEGIN; {later}; DELETE FROM people; DELETE FROM firms; COMMIT"));
    b.sync(&centre);
    a.sync(&centre);
    assert_eq!(centre.all("Firm").len() + centre.all("Person").len(), 0);
    assert!(a.rows("SELECT 1 FROM people").is_empty(), "{:?}", a.status().aside);
}

fn a_row_that_others_still_need_stays_until_they_are_gone(engine: Engine) {
    let (centre, a) = (Centre::default(), site(engine));
    a.sync(&centre);
    centre.set("Brigade", &uuid(9), json!({"name": "x"}));
    a.sync(&centre);
    let report = "INSERT INTO daily_reports(uuid, date, brigade_id)";
    a.run(&format!("{report} SELECT '{}', '2025-12-12', id FROM brigades", uuid(1)));
    centre.remove("Brigade", &uuid(9));
    let taken = a.sync(&centre);
    assert_eq!(taken.aside, 1);
    assert_eq!(a.rows("SELECT name FROM brigades"), ["x"]);
    a.run("DELETE FROM daily_reports");
    a.sync(&centre);
    assert!(a.rows("SELECT name FROM brigades").is_empty() && a.status().aside.is_empty());
}

fn rules_that_are_checked_at_the_end_of_a_transaction_hold_up_one_object_and_not_the_packet(engine: Engine) {
    let schema = "CREATE TABLE firms(id $KEY, name text CHECK (name <> 'bad'));
                  CREATE TABLE people(id $KEY, name text, firm int NOT NULL REFERENCES firms(id) DEFERRABLE INITIALLY DEFERRED);
                  CREATE TABLE badges(id $KEY, firm int);";
    let mapping = "[types.Firm]\ntable = \"firms\"\n[types.Person]\ntable = \"people\"\n
                   [types.Badge]\ntable = \"badges\"\nreferences = { firm = \"Firm\" }\n";
    let (centre, a) = (Centre::default(), engine.app(schema, mapping));
    centre.set("Firm", &uuid(1), json!({"name": "good"}));
    a.sync(&centre);
    a.run("INSERT INTO people(firm, name) SELECT id, 'ours' FROM firms");
    centre.remove("Firm", &uuid(1));
    // A person and a badge of a firm that comes in the same packet and cannot be stored.
    centre.set("Person", &uuid(2), json!({"firm": uuid(3), "name": "waits"}));
    centre.set("Badge", &uuid(4), json!({"firm": uuid(3)}));
    centre.set("Firm", &uuid(3), json!({"name": "bad"}));
    centre.set("Firm", &uuid(5), json!({"name": "fine"}));
    a.sync(&centre);
    let firms = "SELECT name FROM firms ORDER BY name";
    assert_eq!(a.rows(firms), ["fine", "good"], "{:?}", a.status().aside);
    assert_eq!(a.rows("SELECT name FROM people"), ["ours"]);
    assert_eq!(a.rows("SELECT firm FROM badges"), ["NULL"]);
    centre.set("Firm", &uuid(3), json!({"name": "better"}));
    a.run("DELETE FROM people");
    a.sync(&centre);
    assert_eq!(a.rows("SELECT f.name, p.name FROM people p JOIN firms f ON f.id = firm"), ["better|waits"]);
    assert_eq!(a.rows("SELECT f.name FROM badges b JOIN firms f ON f.id = firm"), ["better"]);
    assert_eq!(a.rows(firms), ["better", "fine"]);
    assert!(a.status().aside.is_empty(), "{:?}", a.status().aside);
}
