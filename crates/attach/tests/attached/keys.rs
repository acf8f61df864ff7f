//! Values that are to be unique, and keys of more than a number.

use crate::app::{Engine, on_both};
use crate::centre::{Centre, uuid};
use serde_json::json;

on_both!(
    unique_values_change_places_in_one_packet_and_in_several,
    a_value_that_two_databases_gave_to_different_rows_is_set_aside_until_somebody_decides,
    a_rule_that_one_object_breaks_holds_up_that_object_only,
    tables_with_composite_and_text_keys_are_objects_too,
);

fn unique_values_change_places_in_one_packet_and_in_several(engine: Engine) {
    let checked = "UNIQUE CHECK (length(code) = 1)";
    let ways =
        engine.pick(vec![(0, checked), (1, checked)], vec![(0, checked), (1, checked), (0, "UNIQUE DEFERRABLE")]);
    for (page, unique) in ways {
        let schema = format!("CREATE TABLE seats(id $KEY, code varchar(1) NOT NULL {unique}, n int UNIQUE, row int);");
        let mapping = "[types.Seat]\ntable = \"seats\"\n";
        let (centre, a, b) = (Centre::with_page(page), engine.app(&schema, mapping), engine.app(&schema, mapping));
        a.run("INSERT INTO seats(code, n, row) VALUES ('a', 1, 1), ('b', 2, 2), ('c', 3, 3)");
        a.sync(&centre);
        b.sync(&centre);
        a.run(
            "UPDATE seats SET code = 'x', n = 9 WHERE row = 1; UPDATE seats SET code = 'a', n = 1 WHERE row = 2;
             UPDATE seats SET code = 'b', n = 2 WHERE row = 3; UPDATE seats SET code = 'c', n = 3 WHERE row = 1",
        );
        a.sync(&centre);
        b.sync(&centre);
        let aside = b.status().aside;
        assert_eq!(b.rows("SELECT code, n, row FROM seats ORDER BY row"), ["c|3|1", "a|1|2", "b|2|3"], "{aside:?}");
        assert!(aside.is_empty(), "{aside:?}");
    }
}

fn a_value_that_two_databases_gave_to_different_rows_is_set_aside_until_somebody_decides(engine: Engine) {
    let schema = "CREATE TABLE parts(id $KEY, code text UNIQUE, name text);";
    let mapping = "[types.Part]\ntable = \"parts\"\n";
    let (centre, a, b) = (Centre::default(), engine.app(schema, mapping), engine.app(schema, mapping));
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

fn a_rule_that_one_object_breaks_holds_up_that_object_only(engine: Engine) {
    let schema = "CREATE TABLE parts(id $KEY, n int NOT NULL CHECK (n > 0), t text);";
    let (centre, a) = (Centre::default(), engine.app(schema, "[types.Part]\ntable = \"parts\"\n"));
    a.sync(&centre);
    centre.set("Part", &uuid(1), json!({"n": 1, "t": "good"}));
    centre.set("Part", &uuid(2), json!({"n": 0, "t": "check"}));
    centre.set("Part", &uuid(3), json!({"n": null, "t": "null"}));
    centre.set("Part", &uuid(4), json!({"n": 4, "t": "good"}));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT n FROM parts ORDER BY n"), ["1", "4"]);
    let codes: Vec<String> = a.status().aside.into_iter().map(|aside| aside.code).collect();
    assert_eq!(codes, ["check", "not_null"]);
    centre.set("Part", &uuid(2), json!({"n": 6}));
    a.sync(&centre);
    assert_eq!(a.rows("SELECT n FROM parts ORDER BY n"), ["1", "4", "6"], "corrected there, it arrives");
    assert_eq!(a.status().aside.len(), 1);
}

fn tables_with_composite_and_text_keys_are_objects_too(engine: Engine) {
    let more = engine.pick(
        "PRIMARY KEY(number, article)) WITHOUT ROWID",
        "day timestamptz DEFAULT '2025-12-12 09:00:00.5+09', open boolean DEFAULT true, raw bytea DEFAULT '\\x01',
         PRIMARY KEY(number, article, day, open, raw))",
    );
    let schema = format!(
        "CREATE TABLE orders(number varchar(9) PRIMARY KEY NOT NULL, buyer text);
         CREATE TABLE order_items(number varchar(9) REFERENCES orders(number) ON DELETE CASCADE ON UPDATE CASCADE,
           article int, qty int, {more};"
    );
    let mapping = "[types.Order]\ntable = \"orders\"\n[types.Item]\ntable = \"order_items\"\n";
    let (centre, a, b) = (Centre::default(), engine.app(&schema, mapping), engine.app(&schema, mapping));
    let insert = "INSERT INTO order_items(number, article, qty) VALUES ('it''s 1', 5, 2), ('it''s 1', 6, 3)";
    a.run(&format!("INSERT INTO orders VALUES ('it''s 1', 'me'); {insert}"));
    a.sync(&centre);
    b.sync(&centre);
    let items = "SELECT * FROM order_items ORDER BY article";
    assert_eq!(b.rows(items).len(), 2, "{:?}", b.status().aside);
    assert_eq!(b.rows(items), a.rows(items));
    b.run("UPDATE order_items SET qty = 9 WHERE article = 6; DELETE FROM order_items WHERE article = 5");
    b.sync(&centre);
    a.sync(&centre);
    assert_eq!(a.rows(items), b.rows(items), "{:?}", b.status());
    a.run("UPDATE orders SET number = 'new'");
    a.sync(&centre);
    b.sync(&centre);
    assert_eq!(b.rows("SELECT number, qty FROM order_items"), ["new|9"]);
}
