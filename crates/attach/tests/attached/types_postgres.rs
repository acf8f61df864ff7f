//! Every type at its limits, from PostgreSQL to the hub and into another PostgreSQL, and through a SQLite file and back.

use crate::app::Engine;
use crate::centre::{self, Centre, uuid};
use serde_json::json;

const ALL: &str = "
CREATE TYPE mood AS ENUM ('sad', 'it''s fine');
CREATE DOMAIN cents AS bigint CHECK (VALUE >= 0);
CREATE TABLE things(
  id bigserial PRIMARY KEY, i2 smallint, i4 integer, i8 bigint, d numeric, p numeric(10, 2), r real, f double precision,
  t text, v varchar(5), c char(3), x bytea, b boolean, day date, at timestamp, z timestamptz, tod time, span interval,
  j json, jb jsonb, u uuid, ns int[], ts text[], m mood, price cents, net inet,
  doubled bigint GENERATED ALWAYS AS (i4::bigint * 2) STORED);";
const THING: &str = "[types.Thing]\ntable = \"things\"\n";
const SHOWN: &str =
    "SELECT i2, i4, i8, d, p, r, f, t, v, c, x, b, day, at, z, tod, span, j, jb, u, ns, ts, m, price, net
  FROM things ORDER BY i4";

const ROWS: &str = "INSERT INTO things
  (i2, i4, i8, d, p, r, f, t, v, c, x, b, day, at, z, tod, span, j, jb, u, ns, ts, m, price, net) VALUES
  (32767, 2147483647, 9223372036854775807, 12345678901234567890123456789.123456789, 99999999.99, 3.4028235e38,
   1.7976931348623157e308, E'\\U0001F600 \\u202e \\ufeff e\\u0301 \\t\\n\\r\"\\\\', '12345', 'a', '\\x00ff', true,
   '9999-12-31', '9999-12-31 23:59:59.999999', '2025-12-12 12:00:00.5+02', '23:59:59.999999', '1 year 2 mons 3 days 04:05:06.7',
   '{\"a\": [1.50, null], \"a\": 2}', '{\"b\": 1.50, \"a\": \"\\u00e9\"}', '22222222-2222-4222-8222-00000000000a',
   '{1,NULL,-3}', '{\"a b\",NULL,t,\"say \\\"hi\\\"\",\"\"}', 'it''s fine', 9223372036854775807, '10.0.0.0/8'),
  (-32768, -2147483648, -9223372036854775808, -0.000000000000000000000000000001, -0.01, 1e-45, 5e-324, '', '', '', '', false,
   '0001-01-01 BC', '0001-01-01 00:00:00', '0001-01-01 00:00:00+00', '00:00', '-1 days', '[]', '\"s\"', NULL,
   '{}', '{{a,b},{c,d}}', 'sad', 0, '::1'),
  (0, 0, 9007199254740993, 'NaN', 1.10, 'NaN', '-Infinity', 'null', 'nul', 'x y', '\\x', NULL, 'infinity', '-infinity',
   'infinity', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (NULL, 1, NULL, NULL, NULL, 0.1, 0.1, NULL, NULL, NULL, NULL, NULL, NULL, '294276-12-31 00:00:00',
   '1900-01-01 00:00:00.000001+00', '24:00', '0', '0', '0', NULL, '[2:3]={7,8}', '{}', NULL, NULL, NULL)";

#[test]
fn values_at_their_limits_are_the_same_in_another_database() {
    let (centre, a, b) = (Centre::default(), Engine::Postgres.app(ALL, THING), Engine::Postgres.app(ALL, THING));
    a.run(ROWS);
    a.sync(&centre);
    let taken = b.sync(&centre);
    assert_eq!(taken.aside, 0, "{:?}", b.status().aside);
    assert_eq!(b.rows(SHOWN), a.rows(SHOWN));
    assert_eq!(b.rows("SELECT doubled FROM things WHERE i4 = -2147483648"), ["-4294967296"]);

    // An edit of one column sends that column only: every other one holds what the hub has, as it would spell it.
    let head = centre.head();
    b.run("UPDATE things SET t = 'seen'");
    let mut attached = b.attach().unwrap();
    let sent = attached.compose().unwrap();
    assert_eq!(sent.text.matches(r#""data":{"t":"seen"}"#).count(), 4, "{}", sent.text);
    centre::sync(&mut attached, &centre);
    assert_eq!(centre.head(), head + 4);
    a.sync(&centre);
    assert_eq!(a.rows(SHOWN), b.rows(SHOWN));
}

#[test]
fn the_hub_sees_json_that_every_reader_understands() {
    let (centre, a) = (Centre::default(), Engine::Postgres.app(ALL, THING));
    a.run(
        "INSERT INTO things(i8, d, p, r, x, b, day, at, z, j, ns, ts, price) VALUES (9007199254740993, 1.50, 2, 0.1, '\\x00ff',
         true, '2025-12-12', '2025-12-12 10:00:00.5', '2025-12-12 12:00:00+02', '{\"a\": 1.50}', '{1,2}', '{t,1}', 7)",
    );
    a.sync(&centre);
    let (id, _) = centre.only("Thing");
    let text = centre.text("Thing", &id).unwrap();
    for part in [
        "\"i8\":9007199254740993,\"d\":1.50,\"p\":2.00,\"r\":0.1,",
        "\"x\":{\"base64\":\"AP8=\"},\"b\":true,\"day\":\"2025-12-12\",\"at\":\"2025-12-12T10:00:00.5\",\
         \"z\":\"2025-12-12T10:00:00Z\",",
        "\"j\":{\"a\": 1.50},",
        "\"ns\":[1,2],\"ts\":[\"t\",\"1\"],",
        "\"price\":7,",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("doubled"));
}

#[test]
fn another_spelling_of_a_value_is_no_change_and_goes_back_to_nobody() {
    let (centre, a) = (Centre::default(), Engine::Postgres.app(ALL, THING));
    a.sync(&centre);
    let spelled = json!({
        "i4": "5", "d": "1.5", "p": 1.5, "r": 0.123_456_789_012, "b": true, "z": "2025-12-12T12:00:00+02:00",
        "at": "2025-12-12T12:00:00+02:00", "jb": {"b": 1, "a": 2}, "u": "22222222-2222-4222-8222-00000000000A", "ns": [1],
        "later": {"x": [1]},
    });
    centre.set("Thing", &uuid(1), spelled.clone());
    a.sync(&centre);
    let row = a.rows("SELECT i4, d, p, r, b, z AT TIME ZONE 'UTC', at, jb, u, ns FROM things");
    let expected = "5|1.5|1.50|0.12345679|t|2025-12-12 10:00:00|2025-12-12 10:00:00|{\"a\": 2, \"b\": 1}|\
                    22222222-2222-4222-8222-00000000000a|{1}";
    assert_eq!(row, [expected]);
    a.run("UPDATE things SET t = 'mine'");
    a.sync(&centre);
    let object = centre.object("Thing", &uuid(1)).unwrap();
    for (field, value) in spelled.as_object().unwrap() {
        assert_eq!(&object[field], value, "{field}");
    }
    assert_eq!(object["t"], "mine");
}

#[test]
fn a_value_that_a_column_cannot_hold_sets_one_object_aside() {
    let (centre, a) = (Centre::default(), Engine::Postgres.app(ALL, THING));
    a.sync(&centre);
    let wrong = [
        json!({"i4": "five"}),
        json!({"i2": 40_000}),
        json!({"t": "a\u{0}b"}),
        json!({"v": "too long"}),
        json!({"m": "angry"}),
        json!({"price": -1}),
        json!({"day": "some day"}),
        json!({"ns": [{"a": 1}]}),
    ];
    for (n, fields) in wrong.iter().enumerate() {
        centre.set("Thing", &uuid(n), fields.clone());
    }
    centre.set("Thing", &uuid(99), json!({"i4": 1}));
    a.sync(&centre);
    let aside = a.status().aside;
    assert_eq!(aside.len(), wrong.len(), "{aside:?}");
    assert_eq!(a.rows("SELECT i4 FROM things"), ["1"]);
    centre.set("Thing", &uuid(0), json!({"i4": 5}));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT i4 FROM things ORDER BY 1"), ["1", "5"]);
}

#[test]
fn what_goes_through_a_sqlite_file_comes_back_as_it_was() {
    let schema = "CREATE TABLE things(id INTEGER PRIMARY KEY, i2 INTEGER, i4 INTEGER, i8 INTEGER, d DECIMAL, p DECIMAL, r REAL,
        f REAL, t TEXT, v TEXT, c TEXT, x BLOB, b BOOLEAN, day DATE, at DATETIME, z DATETIME, tod TIME, span TEXT, j JSON, jb JSON,
        u CHAR(36), ns JSON, ts JSON, m TEXT, price INTEGER, net TEXT, note TEXT);";
    let mapping = format!("{THING}as = {{ at = \"datetime\", z = \"datetime\" }}\n");
    let (centre, a, lite) = (Centre::default(), Engine::Postgres.app(ALL, THING), Engine::Sqlite.app(schema, &mapping));
    a.run(ROWS);
    let before = a.rows(SHOWN);
    a.sync(&centre);
    lite.sync(&centre);
    let here = lite.rows("SELECT i8, x, b, day, at, z FROM things WHERE i4 = 2147483647");
    assert_eq!(here, ["9223372036854775807|x00ff|1|9999-12-31|9999-12-31 23:59:59.999999|2025-12-12 10:00:00.500000"]);
    lite.run("UPDATE things SET note = 'seen'");
    lite.sync(&centre);
    a.sync(&centre);
    assert_eq!(a.rows(SHOWN), before, "what the file holds less exactly was not its change");
    lite.run(
        "UPDATE things SET i8 = i8 - 1, x = x'0102', b = 0, z = '2026-01-01 00:00:00.000000' WHERE i4 = 2147483647",
    );
    lite.sync(&centre);
    a.sync(&centre);
    let changed = a.rows("SELECT i8, x, b, z AT TIME ZONE 'UTC' FROM things WHERE i4 = 2147483647");
    assert_eq!(changed, ["9223372036854775806|\\x0102|f|2026-01-01 00:00:00"]);
}
