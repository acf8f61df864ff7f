//! Schemas change while databases are attached: columns come and go, tables are made anew, mappings are edited.

use crate::centre::{App, Centre, uuid};
use serde_json::json;
use syncline_attach::{AttachError, Options};

const NOTES: &str = "CREATE TABLE notes(id INTEGER PRIMARY KEY, t TEXT);";
const NOTE: &str = "[types.Note]\ntable = \"notes\"\n";

#[test]
fn a_column_that_one_side_has_survives_the_other_and_is_filled_when_it_comes() {
    let (centre, a, b) = (Centre::default(), App::new(NOTES, NOTE), App::new(NOTES, NOTE));
    a.run("INSERT INTO notes VALUES (1, 'x')");
    a.sync(&centre);
    b.sync(&centre);
    a.run("ALTER TABLE notes ADD COLUMN colour TEXT; UPDATE notes SET colour = 'red'");
    a.sync(&centre);
    b.sync(&centre);
    b.run("UPDATE notes SET t = 'y'");
    b.sync(&centre);
    a.sync(&centre);
    assert_eq!(a.rows("SELECT t, colour FROM notes"), ["y|red"]);

    b.run("ALTER TABLE notes ADD COLUMN colour TEXT");
    let mut attached = b.attach().unwrap();
    assert_eq!(b.rows("SELECT t, colour FROM notes"), ["y|red"]);
    assert_eq!(attached.remarks(), ["`notes` has a new column; it is exchanged as `colour`"]);
    let head = centre.head();
    b.sync(&centre);
    assert_eq!(centre.head(), head);
}

#[test]
fn a_column_that_goes_is_remarked_upon_and_others_keep_the_field() {
    let schema = "CREATE TABLE notes(id INTEGER PRIMARY KEY, t TEXT, colour TEXT);";
    let (centre, a) = (Centre::default(), App::new(schema, NOTE));
    a.run("INSERT INTO notes VALUES (1, 'x', 'red')");
    a.sync(&centre);
    a.run("ALTER TABLE notes DROP COLUMN colour; UPDATE notes SET t = 'y'");
    let mut attached = a.attach().unwrap();
    assert_eq!(attached.remarks(), ["`notes` has no column for `colour` any more; others keep the field"]);
    a.sync(&centre);
    assert_eq!(centre.only("Note").1, json!({"t": "y", "colour": "red"}));
}

#[test]
fn triggers_that_were_dropped_are_noticed_and_mended_on_request_without_losing_anything() {
    let (centre, a) = (Centre::default(), App::new(NOTES, NOTE));
    a.run("INSERT INTO notes VALUES (1, 'one'), (2, 'two'), (3, 'three')");
    a.sync(&centre);
    // Tools that change tables make them anew, without the triggers.
    a.run("CREATE TABLE n2(id INTEGER PRIMARY KEY, t TEXT); INSERT INTO n2 SELECT * FROM notes; DROP TABLE notes;
           ALTER TABLE n2 RENAME TO notes;
           UPDATE notes SET t = 'changed' WHERE id = 1; DELETE FROM notes WHERE id = 2; INSERT INTO notes VALUES (4, 'four')");
    let refused = a.attach().err().unwrap();
    assert!(matches!(&refused, AttachError::Triggers(names) if names.len() == 4), "{refused}");
    assert!(refused.to_string().contains("--mend"), "{refused}");

    a.attach_with(Options { mend: true, ..Options::default() }).unwrap();
    a.sync(&centre);
    let mut texts: Vec<String> =
        centre.all("Note").values().map(|note| note["t"].as_str().unwrap().to_owned()).collect();
    texts.sort();
    assert_eq!(texts, ["changed", "four", "three"]);
}

#[test]
fn a_type_that_the_mapping_gets_later_is_sent_and_one_that_it_loses_stays_everywhere() {
    let schema = format!("{NOTES} CREATE TABLE tags(id INTEGER PRIMARY KEY, name TEXT);");
    let (centre, mut a) = (Centre::default(), App::new(&schema, NOTE));
    a.run("INSERT INTO notes VALUES (1, 'n'); INSERT INTO tags VALUES (1, 'before')");
    a.sync(&centre);
    assert!(centre.all("Tag").is_empty());
    a.mapping = "[types.Tag]\ntable = \"tags\"\n".into();
    a.run("INSERT INTO tags VALUES (2, 'after'); UPDATE notes SET t = 'not any more'");
    a.sync(&centre);
    assert_eq!((centre.all("Tag").len(), centre.only("Note").1), (2, json!({"t": "n"})));
    assert!(!a.traces().iter().any(|name| name.starts_with("sync_notes_")));
}

#[test]
fn objects_of_types_without_a_table_are_counted_and_left_alone() {
    let (centre, a) = (Centre::default(), App::new(NOTES, NOTE));
    centre.set("Photo", &uuid(1), json!({"size": 1}));
    centre.set("Note", &uuid(2), json!({"t": "x"}));
    let taken = a.sync(&centre);
    assert_eq!((taken.stored, taken.unmapped.get("Photo")), (1, Some(&1)));
}
