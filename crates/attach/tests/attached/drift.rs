//! Schemas change while databases are attached: columns come and go, tables are made anew, mappings are edited.

use crate::app::{Engine, on_both};
use crate::centre::{Centre, sync, uuid};
use serde_json::json;
use syncline_attach::attachment::remove;
use syncline_core::model::Kind;

on_both!(
    a_schema_that_changes_in_the_middle_of_a_round_costs_at_most_that_round,
    a_column_that_one_side_has_survives_the_other_and_is_filled_when_it_comes,
    a_column_that_goes_is_remarked_upon_and_others_keep_the_field,
    a_type_that_the_mapping_gets_later_is_sent_and_one_that_it_loses_stays_everywhere,
    objects_of_types_without_a_table_are_counted_and_left_alone,
    columns_are_made_on_request_kept_by_triggers_and_taken_away_again,
);

const NOTES: &str = "CREATE TABLE notes(id $KEY, t TEXT);";
const NOTE: &str = "[types.Note]\ntable = \"notes\"\n";

fn a_column_that_one_side_has_survives_the_other_and_is_filled_when_it_comes(engine: Engine) {
    let (centre, a, b) = (Centre::default(), engine.app(NOTES, NOTE), engine.app(NOTES, NOTE));
    a.run("INSERT INTO notes VALUES (1, 'x')");
    a.sync(&centre);
    let mut running = b.attach().unwrap();
    sync(&mut running, &centre);
    a.run("ALTER TABLE notes ADD COLUMN colour TEXT; UPDATE notes SET colour = 'red'");
    a.sync(&centre);
    sync(&mut running, &centre);
    b.run("UPDATE notes SET t = 'y'");
    sync(&mut running, &centre);
    a.sync(&centre);
    assert_eq!(a.rows("SELECT t, colour FROM notes"), ["y|red"]);

    b.run("ALTER TABLE notes ADD COLUMN colour TEXT");
    // The next round of the same process.
    running.prepare().unwrap();
    assert_eq!(b.rows("SELECT t, colour FROM notes"), ["y|red"]);
    assert_eq!(running.remarks(), ["`notes` has a new column; it is exchanged as `colour`"]);
    let head = centre.head();
    b.sync(&centre);
    assert_eq!(centre.head(), head);
}

fn a_column_that_goes_is_remarked_upon_and_others_keep_the_field(engine: Engine) {
    let schema = "CREATE TABLE notes(id $KEY, t TEXT, colour TEXT);";
    let (centre, a) = (Centre::default(), engine.app(schema, NOTE));
    a.run("INSERT INTO notes VALUES (1, 'x', 'red')");
    a.sync(&centre);
    a.run("ALTER TABLE notes DROP COLUMN colour; UPDATE notes SET t = 'y'");
    let mut attached = a.attach().unwrap();
    assert_eq!(attached.remarks(), ["`notes` has no column for `colour` any more; others keep the field"]);
    a.sync(&centre);
    assert_eq!(centre.only("Note").1, json!({"t": "y", "colour": "red"}));
}

fn a_type_that_the_mapping_gets_later_is_sent_and_one_that_it_loses_stays_everywhere(engine: Engine) {
    let schema = format!("{NOTES} CREATE TABLE tags(id $KEY, name TEXT);");
    let (centre, mut a) = (Centre::default(), engine.app(&schema, NOTE));
    a.run("INSERT INTO notes VALUES (1, 'n'); INSERT INTO tags VALUES (1, 'before')");
    a.sync(&centre);
    assert!(centre.all("Tag").is_empty());
    a.mapping = "[types.Tag]\ntable = \"tags\"\n".into();
    a.run("INSERT INTO tags VALUES (2, 'after'); UPDATE notes SET t = 'not any more'");
    a.sync(&centre);
    assert_eq!((centre.all("Tag").len(), centre.only("Note").1), (2, json!({"t": "n"})));
    assert!(!a.traces().iter().any(|name| name.starts_with("sync_notes_")));
}

fn objects_of_types_without_a_table_are_counted_and_left_alone(engine: Engine) {
    let (centre, a) = (Centre::default(), engine.app(NOTES, NOTE));
    centre.set("Photo", &uuid(1), json!({"size": 1}));
    centre.set("Note", &uuid(2), json!({"t": "x"}));
    let taken = a.sync(&centre);
    assert_eq!((taken.stored, taken.unmapped.get("Photo")), (1, Some(&1)));
}

fn columns_are_made_on_request_kept_by_triggers_and_taken_away_again(engine: Engine) {
    let mapping = "[types.Note]\ntable = \"notes\"\nadd = [\"uuid\", \"updated_at\", \"is_deleted\"]\n";
    let (centre, a) = (Centre::default(), engine.app(NOTES, mapping));
    let before = a.schema();
    a.run("INSERT INTO notes(t) VALUES ('x')");
    a.sync(&centre);
    a.run("INSERT INTO notes(t) VALUES ('y')");
    a.sync(&centre);
    let new = a.rows(
        "SELECT count(*) FROM notes WHERE length(CAST(uuid AS text)) = 36 AND updated_at IS NOT NULL
           AND NOT is_deleted AND t = 'y'",
    );
    assert_eq!(new, ["1"], "{:?}", a.rows("SELECT * FROM notes"));
    let (id, note) = centre.all("Note").into_iter().find(|(_, note)| note["t"] == "x").unwrap();
    assert_eq!((&note["updated_at"], &note["is_deleted"]), (&json!(null), &json!(false)));
    a.run(engine.pick("PRAGMA recursive_triggers = ON", ""));
    a.run("UPDATE notes SET t = 'z' WHERE id = 1");
    a.sync(&centre);
    let edited = centre.object("Note", &id).unwrap();
    assert!(edited["updated_at"].as_str().is_some_and(|at| at.contains('T')), "{edited}");
    centre.remove("Note", &id);
    a.sync(&centre);
    assert_eq!(a.rows("SELECT id FROM notes WHERE is_deleted"), ["1"]);
    remove(&a.place(), 1_000, false).unwrap();
    assert_eq!(a.schema(), before);
    let both = "[types.Note]\ntable = \"notes\"\nadd = [\"uuid\"]\nuuid = \"t\"\n";
    let refused = syncline_attach::Mapping::parse(both).unwrap_err().to_string();
    assert!(refused.contains("types.Note.uuid"), "{refused}");
}

fn a_schema_that_changes_in_the_middle_of_a_round_costs_at_most_that_round(engine: Engine) {
    let (centre, a) = (Centre::default(), engine.app(NOTES, NOTE));
    a.run("INSERT INTO notes(t) VALUES ('x')");
    let mut attached = a.attach().unwrap();
    sync(&mut attached, &centre);
    let (id, _) = centre.only("Note");
    for (change, news) in [
        ("ALTER TABLE notes ADD COLUMN colour text", json!({"t": "y", "colour": "red"})),
        ("ALTER TABLE notes RENAME COLUMN colour TO shade", json!({"t": "z", "shade": "dark"})),
        ("ALTER TABLE notes DROP COLUMN shade", json!({"t": "last"})),
    ] {
        a.run("INSERT INTO notes(t) VALUES ('ours')");
        centre.set("Note", &id, news.clone());
        let sent = attached.compose().unwrap();
        let answer = centre.answer(&sent.text);
        a.run(change);
        if let Err(refused) = attached.take(&sent, answer.as_bytes()) {
            assert!(matches!(refused.kind(), Kind::Retry), "{change}: {refused}");
        }
        // The next round of the same process.
        attached.prepare().unwrap();
        sync(&mut attached, &centre);
        assert_eq!(a.rows("SELECT t FROM notes WHERE id = 1"), [news["t"].as_str().unwrap()], "{change}");
    }
    assert_eq!((centre.all("Note").len(), a.status().aside), (4, Vec::new()));
    assert_eq!(centre.object("Note", &id).unwrap()["colour"], "red", "what has no column any more stays elsewhere");
}
