//! Every type at its limits, from one database to the hub and into another one.

use crate::app::Engine;
use crate::centre::{Centre, uuid};
use serde_json::json;

const ALL: &str = "CREATE TABLE things(
  id INTEGER PRIMARY KEY, n INTEGER, r REAL, d DECIMAL(20, 4), t TEXT, b BLOB, f BOOLEAN, j JSON, day DATE, at DATETIME, bare,
  doubled INTEGER GENERATED ALWAYS AS (n * 2) VIRTUAL);";
const THING: &str = "[types.Thing]\ntable = \"things\"\nas = { at = \"datetime\" }\n";
const SHOWN: &str = "SELECT n, r, d, t, b, f, j, day, at, bare, typeof(n), typeof(r), typeof(d), typeof(t), typeof(b),
  typeof(f), typeof(j), typeof(day), typeof(at), typeof(bare) FROM things ORDER BY id";

#[test]
fn values_at_their_limits_are_the_same_in_another_database() {
    let (centre, a, b) = (Centre::default(), Engine::Sqlite.app(ALL, THING), Engine::Sqlite.app(ALL, THING));
    a.run(
        "INSERT INTO things(n, r, d, t, b, f, j, day, at, bare) VALUES
         (9223372036854775807, 1.7976931348623157e308, 12345678901.2345, 'plain', x'00ff', 1, '{\"a\": [1.50, null]}', '2025-12-12', '2025-12-12 10:00:00.000001', 1),
         (-9223372036854775808, 5e-324, -0.0001, '', x'', 0, '[]', '0001-01-01', '9999-12-31 23:59:59.999999', 'text'),
         (9007199254740993, 9e999, 1, 'a' || char(0) || 'b', NULL, NULL, NULL, NULL, NULL, x'01'),
         (NULL, -9e999, NULL, char(0x1F600, 0x202E, 0xFEFF, 0x65, 0x301, 0x10FFFF, 10, 13, 9, 34, 92), zeroblob(300), 2, '\"s\"', 20251212, 'soon', 0.1),
         (0, -0.0, 0.1, '007', 'text in a blob', 'yes', 'no json', 'tomorrow', '2025-12-12T10:00:00Z', NULL)",
    );
    a.sync(&centre);
    b.sync(&centre);
    let mut expected = a.rows(SHOWN);
    // What is no JSON travels as a text, which is JSON where it arrives.
    expected[4] = expected[4].replace("|no json|", "|\"no json\"|");
    // A time in another spelling arrives as the column spells times.
    expected[4] = expected[4].replace("2025-12-12T10:00:00Z", "2025-12-12 10:00:00.000000");
    assert_eq!(b.rows(SHOWN), expected);
    assert_eq!(b.rows("SELECT doubled FROM things WHERE n = 0"), ["0"]);

    b.run("UPDATE things SET t = 'seen' WHERE n = 9007199254740993");
    b.sync(&centre);
    a.sync(&centre);
    assert_eq!(a.rows("SELECT n, b FROM things WHERE t = 'seen'"), ["9007199254740993|NULL"]);
}

#[test]
fn the_hub_sees_json_that_every_reader_understands() {
    let (centre, a) = (Centre::default(), Engine::Sqlite.app(ALL, THING));
    a.run(
        "INSERT INTO things(n, r, d, t, b, f, j, day, at) VALUES
           (9007199254740993, 2.0, 1.5, 'x', x'00ff', 1, '{\"a\": 1.50}', '2025-12-12', '2025-12-12 10:00:00.500000')",
    );
    a.sync(&centre);
    let (id, _) = centre.only("Thing");
    assert_eq!(
        centre.text("Thing", &id).unwrap(),
        "{\"n\":9007199254740993,\"r\":2.0,\"d\":1.5,\"t\":\"x\",\"b\":{\"base64\":\"AP8=\"},\"f\":true,\"j\":{\"a\": 1.50},\
         \"day\":\"2025-12-12\",\"at\":\"2025-12-12T10:00:00.5\",\"bare\":null}"
    );
}

#[test]
fn another_spelling_of_a_value_is_no_change_and_goes_back_to_nobody() {
    let (centre, a) = (Centre::default(), Engine::Sqlite.app(ALL, THING));
    a.sync(&centre);
    let spelled = json!({"n": "5", "d": "1.50", "f": true, "at": "2025-12-12T12:00:00+02:00", "later": {"x": [1]}});
    centre.set("Thing", &uuid(1), spelled);
    a.sync(&centre);
    assert_eq!(a.rows("SELECT n, d, f, at FROM things"), ["5|1.5|1|2025-12-12 10:00:00.000000"]);
    a.run("UPDATE things SET t = 'mine'");
    a.sync(&centre);
    let object = centre.object("Thing", &uuid(1)).unwrap();
    assert_eq!((&object["d"], &object["at"]), (&json!("1.50"), &json!("2025-12-12T12:00:00+02:00")));
    assert_eq!((&object["t"], &object["later"]), (&json!("mine"), &json!({"x": [1]})), "fields without a column stay");
}

#[test]
fn a_value_that_no_packet_or_column_can_hold_sets_one_object_aside() {
    let schema = "CREATE TABLE things(id INTEGER PRIMARY KEY, n INTEGER NOT NULL CHECK (n > 0), t TEXT) STRICT;";
    let (centre, a) = (Centre::default(), Engine::Sqlite.app(schema, "[types.Thing]\ntable = \"things\"\n"));
    a.run("INSERT INTO things VALUES (1, 1, CAST(x'ff' AS TEXT)), (2, 2, 'fine')");
    a.sync(&centre);
    assert_eq!(centre.only("Thing").1, json!({"n": 2, "t": "fine"}));

    centre.set("Thing", &uuid(1), json!({"n": "five", "t": "wrong type"}));
    centre.set("Thing", &uuid(2), json!({"n": 0, "t": "check"}));
    centre.set("Thing", &uuid(3), json!({"n": null, "t": "null"}));
    centre.set("Thing", &uuid(4), json!({"n": 4, "t": "good"}));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT n FROM things ORDER BY n"), ["1", "2", "4"]);
    let status = a.status();
    let codes: Vec<&str> = status.aside.iter().map(|aside| aside.code.as_str()).collect();
    assert_eq!(codes, ["not_utf8", "datatype", "check", "not_null"]);

    centre.set("Thing", &uuid(2), json!({"n": 6}));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT n FROM things ORDER BY n"), ["1", "2", "4", "6"], "corrected there, it arrives");
    assert_eq!(a.status().aside.len(), 3);
}

#[test]
fn ids_are_found_in_every_form_in_which_applications_keep_them() {
    for (declared, held) in [
        ("TEXT", format!("'{}'", uuid(1))),
        ("CHAR(32)", format!("'{}'", uuid(1).replace('-', ""))),
        ("BLOB", format!("x'{}'", uuid(1).replace('-', ""))),
    ] {
        let schema = format!(
            "CREATE TABLE things(id {declared} PRIMARY KEY NOT NULL, parent {declared} REFERENCES things(id), t TEXT);"
        );
        let mapping = "[types.Thing]\ntable = \"things\"\nuuid = \"id\"\n";
        let (centre, a, b) =
            (Centre::default(), Engine::Sqlite.app(&schema, mapping), Engine::Sqlite.app(&schema, mapping));
        a.run(&format!("INSERT INTO things VALUES ({held}, {held}, 'own parent')"));
        a.sync(&centre);
        let object = json!({"parent": uuid(1), "t": "own parent"});
        assert_eq!(centre.object("Thing", &uuid(1)), Some(object), "{declared}");
        b.sync(&centre);
        assert_eq!(b.rows("SELECT * FROM things"), a.rows("SELECT * FROM things"), "{declared}");
    }
}
