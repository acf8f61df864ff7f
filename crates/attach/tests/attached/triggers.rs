//! Triggers that somebody takes away or switches off: noticed, and mended on request without losing anything.

use crate::app::{Engine, on_both};
use crate::centre::Centre;
use syncline_attach::{AttachError, Options};

on_both!(triggers_that_were_dropped_or_switched_off_are_noticed_and_mended_on_request);

/// What is done to the table, and a trigger that is not what it was afterwards.
type Harm = (&'static str, &'static str);

const TO_A_FILE: &[Harm] = &[
    ("DROP TRIGGER sync_notes_update", "sync_notes_update"),
    (
        "DROP TRIGGER sync_notes_delete; CREATE TRIGGER sync_notes_delete AFTER DELETE ON notes BEGIN SELECT 1; END",
        "sync_notes_delete",
    ),
    // Tools that change tables make them anew, without the triggers.
    (
        "CREATE TABLE n2(id INTEGER PRIMARY KEY, t TEXT); INSERT INTO n2 SELECT * FROM notes; DROP TABLE notes;
         ALTER TABLE n2 RENAME TO notes",
        "sync_notes_insert",
    ),
];

const ON_A_SERVER: &[Harm] = &[
    ("DROP TRIGGER sync_notes_update ON notes", "sync_notes_update"),
    ("ALTER TABLE notes DISABLE TRIGGER ALL", "sync_notes_insert"),
    (
        "CREATE OR REPLACE FUNCTION sync_notes_delete() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "sync_notes_delete",
    ),
    (
        "ALTER TABLE notes RENAME TO old; CREATE TABLE notes(LIKE old INCLUDING ALL);
         INSERT INTO notes SELECT * FROM old; ALTER SEQUENCE notes_id_seq OWNED BY notes.id; DROP TABLE old",
        "sync_notes_insert",
    ),
];

fn triggers_that_were_dropped_or_switched_off_are_noticed_and_mended_on_request(engine: Engine) {
    let schema = "CREATE TABLE notes(id $KEY, t text);";
    let (centre, a) = (Centre::default(), engine.app(schema, "[types.Note]\ntable = \"notes\"\n"));
    a.run("INSERT INTO notes(t) VALUES ('one'), ('two'), ('three')");
    let mut running = a.attach().unwrap();
    a.sync(&centre);
    for (harm, trigger) in engine.pick(TO_A_FILE, ON_A_SERVER) {
        a.run(harm);
        for refused in [a.attach().err().unwrap(), running.prepare().unwrap_err()] {
            let named = matches!(&refused, AttachError::Triggers(names) if names.iter().any(|name| name == trigger));
            assert!(named && refused.to_string().contains("--mend"), "{harm}: {refused}");
        }
        let told = a.open_with(Options::default()).unwrap().status().unwrap().broken_triggers;
        assert!(told.iter().any(|name| name == trigger), "{harm}: {told:?}");
        a.run("UPDATE notes SET t = t || '!' WHERE t LIKE 'one%'; DELETE FROM notes WHERE t = 'two'");
        a.run("INSERT INTO notes(t) VALUES ('two')");
        a.attach_with(Options { mend: true, ..Options::default() }).unwrap();
        running.prepare().unwrap();
        a.sync(&centre);
        let mut texts: Vec<String> =
            centre.all("Note").values().map(|note| note["t"].as_str().unwrap().to_owned()).collect();
        texts.sort();
        assert_eq!(texts, a.rows("SELECT t FROM notes ORDER BY t"), "{harm}");
    }
}
