//! First contact: rows that were there before, on both sides, and fills that are interrupted.

use crate::app::{Engine, on_both};
use crate::centre::{Centre, step, sync, uuid};
use serde_json::json;
use syncline_attach::Options;

on_both!(
    rows_of_both_sides_are_found_to_be_the_same_by_a_natural_key,
    the_later_one_stands_where_rows_say_when_they_were_changed,
    two_databases_with_the_same_rows_meet_without_twins_even_at_the_same_moment,
    rows_with_uuids_meet_their_objects,
    a_fill_goes_on_where_it_was_interrupted_in_both_directions,
    edits_made_while_a_packet_is_under_way_are_neither_lost_nor_overwritten,
    a_removal_by_the_hub_does_not_take_an_edit_that_it_has_not_seen,
    a_row_may_be_marked_as_removed_instead,
);

const PARTS: &str = "CREATE TABLE parts(id $KEY, code TEXT UNIQUE, name TEXT, updated_at $TIME);";
const BY_CODE: &str = "[types.Part]\ntable = \"parts\"\nmatch = [\"code\"]\n";

fn rows_of_both_sides_are_found_to_be_the_same_by_a_natural_key(engine: Engine) {
    let (centre, a) = (Centre::default(), engine.app(PARTS, BY_CODE));
    centre.set("Part", &uuid(1), json!({"code": "x", "name": "theirs", "extra": 1}));
    centre.set("Part", &uuid(2), json!({"code": "z", "name": "only theirs"}));
    a.run("INSERT INTO parts(code, name) VALUES ('x', 'ours'), ('y', 'only ours')");
    a.sync(&centre);
    assert_eq!(a.rows("SELECT code, name FROM parts ORDER BY code"), ["x|theirs", "y|only ours", "z|only theirs"]);
    assert_eq!(centre.all("Part").len(), 3, "no twins");
    let status = a.status();
    assert_eq!(status.conflicts.len(), 1, "what did not stand is told");
    assert!(status.conflicts[0].ours.as_deref().unwrap().contains("ours"));
}

fn the_later_one_stands_where_rows_say_when_they_were_changed(engine: Engine) {
    let mapping = format!("{BY_CODE}updated_at = \"updated_at\"\n");
    let (centre, a) = (Centre::default(), engine.app(PARTS, &mapping));
    let theirs = |code: &str| json!({"code": code, "name": "theirs", "updated_at": "2025-06-01T00:00:00Z"});
    centre.set("Part", &uuid(1), theirs("early"));
    centre.set("Part", &uuid(2), theirs("late"));
    a.run("INSERT INTO parts(code, name, updated_at) VALUES ('early', 'ours', '2025-01-01T00:00:00Z'), ('late', 'ours', '2025-12-01 00:00:00')");
    a.sync(&centre);
    assert_eq!(a.rows("SELECT code, name FROM parts ORDER BY code"), ["early|theirs", "late|ours"]);
    assert_eq!(centre.object("Part", &uuid(2)).unwrap()["name"], "ours");
}

fn two_databases_with_the_same_rows_meet_without_twins_even_at_the_same_moment(engine: Engine) {
    let (centre, a, b) = (Centre::default(), engine.app(PARTS, BY_CODE), engine.app(PARTS, BY_CODE));
    for app in [&a, &b] {
        app.run("INSERT INTO parts(code, name) VALUES ('x', 'X'), ('y', 'Y')");
    }
    let (mut first, mut second) = (a.attach().unwrap(), b.attach().unwrap());
    // Both have heard that the hub is empty before either has sent anything.
    step(&mut first, &centre);
    step(&mut second, &centre);
    sync(&mut first, &centre);
    sync(&mut second, &centre);
    sync(&mut first, &centre);
    assert_eq!(centre.all("Part").len(), 2);
    a.run("UPDATE parts SET name = 'new' WHERE code = 'x'");
    sync(&mut first, &centre);
    sync(&mut second, &centre);
    assert_eq!(b.rows("SELECT code, name FROM parts ORDER BY code"), ["x|new", "y|Y"]);
}

fn rows_with_uuids_meet_their_objects(engine: Engine) {
    let schema = "CREATE TABLE parts(id $KEY, uuid $UUID UNIQUE, name TEXT);";
    let (centre, a) = (Centre::default(), engine.app(schema, "[types.Part]\ntable = \"parts\"\nuuid = \"uuid\"\n"));
    centre.set("Part", &uuid(1), json!({"name": "theirs"}));
    a.run(&format!("INSERT INTO parts(uuid, name) VALUES ('{}', 'ours')", uuid(1).replace('-', "")));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT name FROM parts"), ["theirs"]);
    assert_eq!(centre.all("Part").len(), 1);
}

fn a_fill_goes_on_where_it_was_interrupted_in_both_directions(engine: Engine) {
    let schema = "CREATE TABLE notes(id $KEY, n INTEGER);";
    let mapping = "[types.Note]\ntable = \"notes\"\n";
    let (centre, a) = (Centre::with_page(100), engine.app(schema, mapping));
    for n in 0..1_000 {
        centre.set("Note", &uuid(n), json!({"n": n}));
    }
    a.run("WITH RECURSIVE k(n) AS (SELECT 10001 UNION ALL SELECT n + 1 FROM k WHERE n < 12500) INSERT INTO notes(n) SELECT n FROM k");
    let mut packets = 0;
    loop {
        // Each step is another process.
        let mut attached = a.attach_with(Options { packet_rows: 300, ..Options::default() }).unwrap();
        let (sent, taken) = step(&mut attached, &centre);
        packets += 1;
        let status = attached.status().unwrap();
        assert!(sent.entities == 0 || status.filled_in, "nothing is sent before the hub's objects are here");
        if !taken.more && sent.entities == 0 && status.filled_out && status.waiting.is_empty() {
            break;
        }
        assert!(packets < 100);
    }
    assert_eq!(a.rows("SELECT count(*), count(DISTINCT n) FROM notes"), ["3500|3500"]);
    assert_eq!(centre.all("Note").len(), 3_500);
    assert!(packets >= 10 + 2_500 / 300, "{packets}");
}

fn edits_made_while_a_packet_is_under_way_are_neither_lost_nor_overwritten(engine: Engine) {
    let schema = "CREATE TABLE notes(id $KEY, a TEXT, b TEXT, c TEXT);";
    let (centre, app) = (Centre::default(), engine.app(schema, "[types.Note]\ntable = \"notes\"\n"));
    app.run("INSERT INTO notes VALUES (1, 'a', 'b', 'c')");
    let mut attached = app.attach().unwrap();
    sync(&mut attached, &centre);
    let (id, _) = centre.only("Note");

    app.run("UPDATE notes SET a = 'ours 1'");
    let sent = attached.compose().unwrap();
    let answer = centre.answer(&sent.text);
    app.run("UPDATE notes SET a = 'ours 2', b = 'ours'");
    centre.set("Note", &id, json!({"b": "theirs", "c": "theirs"}));
    // The answer is lost: the very same packet goes again.
    assert_eq!(attached.compose().unwrap(), sent);
    let second = centre.answer(&sent.text);
    assert_ne!(second, answer);
    attached.take(&sent, second.as_bytes()).unwrap();
    assert_eq!(app.rows("SELECT a, b, c FROM notes"), ["ours 2|ours|theirs"]);
    sync(&mut attached, &centre);
    assert_eq!(centre.object("Note", &id), Some(json!({"a": "ours 2", "b": "ours", "c": "theirs"})));
}

fn a_removal_by_the_hub_does_not_take_an_edit_that_it_has_not_seen(engine: Engine) {
    let schema = "CREATE TABLE notes(id $KEY, a TEXT, b TEXT);";
    let (centre, app) = (Centre::default(), engine.app(schema, "[types.Note]\ntable = \"notes\"\n"));
    app.run("INSERT INTO notes VALUES (1, 'a', 'b')");
    let mut attached = app.attach().unwrap();
    sync(&mut attached, &centre);
    let (id, _) = centre.only("Note");
    let sent = attached.compose().unwrap();
    centre.remove("Note", &id);
    app.run("UPDATE notes SET a = 'edited'");
    attached.take(&sent, centre.answer(&sent.text).as_bytes()).unwrap();
    assert_eq!(app.rows("SELECT a FROM notes"), ["edited"]);
    sync(&mut attached, &centre);
    assert_eq!(
        centre.object("Note", &id),
        Some(json!({"a": "edited", "b": "b"})),
        "the hub decides about the whole object"
    );
}

fn a_row_may_be_marked_as_removed_instead(engine: Engine) {
    let schema = "CREATE TABLE notes(id $KEY, t TEXT, is_deleted BOOLEAN NOT NULL DEFAULT false);";
    let (centre, a) =
        (Centre::default(), engine.app(schema, "[types.Note]\ntable = \"notes\"\nis_deleted = \"is_deleted\"\n"));
    a.run("INSERT INTO notes(t) VALUES ('x')");
    a.sync(&centre);
    let (id, _) = centre.only("Note");
    centre.remove("Note", &id);
    a.sync(&centre);
    assert_eq!(a.rows("SELECT t FROM notes WHERE is_deleted"), ["x"]);
    a.run("UPDATE notes SET t = 'y'");
    a.sync(&centre);
    assert!(centre.all("Note").is_empty(), "an edit of a removed row brings nothing back");
    a.run("UPDATE notes SET is_deleted = false");
    a.sync(&centre);
    assert_eq!(centre.object("Note", &id), Some(json!({"t": "y", "is_deleted": false})));
}
