//! Before and after: proposals, mappings that do not fit, looking without a trace, whose database it is, the way back.

use crate::app::{Engine, on_both};
use crate::centre::{Centre, uuid};
use serde_json::json;
use syncline_attach::attachment::remove;
use syncline_attach::{AttachError, Options, propose};

on_both!(
    a_proposal_for_an_odd_schema_is_a_mapping_that_fits,
    mappings_that_do_not_fit_are_answered_with_the_place_and_what_is_there,
    looking_writes_nothing,
    ids_that_do_not_belong_to_a_database_are_refused,
    everything_is_taken_away_again,
);

const NOTES: &str = "CREATE TABLE notes(id $KEY, t text);";
const NOTE: &str = "[types.Note]\ntable = \"notes\"\n";

fn a_proposal_for_an_odd_schema_is_a_mapping_that_fits(engine: Engine) {
    let time = engine.pick("datetime", "timestamp");
    let schema = format!(
        "CREATE TABLE customers(id $UUID PRIMARY KEY, name text, made {time}, updated_at {time}, is_deleted boolean);
         CREATE TABLE orders(id $KEY, uuid $UUID UNIQUE, number text UNIQUE, customer_id $UUID REFERENCES customers(id));
         CREATE TABLE order_lines(id $KEY, order_id int NOT NULL REFERENCES orders(id) ON DELETE CASCADE, ttl int);
         CREATE TABLE \"odd \"\"Name\"(id $KEY, _id text);
         CREATE TABLE log(line text);
         CREATE TABLE tags(code varchar(9) PRIMARY KEY NOT NULL, name text); INSERT INTO tags VALUES ('t', 'ours');
         CREATE VIEW recent AS SELECT * FROM orders;
         INSERT INTO customers VALUES ('{}', 'n', '2025-12-12 10:00:00.000000', '2025-12-12 10:00:00', false);",
        uuid(1)
    );
    let mut a = engine.app(&schema, "");
    let before = a.schema();
    let proposal = propose(&a.place()).unwrap();
    a.mapping.clone_from(&proposal);
    let preview =
        a.open_with(Options::default()).unwrap_or_else(|error| panic!("{error}\n{proposal}")).preview().unwrap();
    assert_eq!(a.schema(), before);
    let kinds: Vec<&str> = preview.types.iter().map(|of| of.kind.as_str()).collect();
    assert_eq!(kinds, ["Customer", "OddName", "Order", "Tag"], "{proposal}");
    assert_eq!(preview.types[2].fields, ["number", "customer_id", "lines[]"]);
    assert!(proposal.contains("`log` has no primary key") && proposal.contains("# match = [\"number\"]"), "{proposal}");
    let forms = "made = \"datetime\", updated_at = \"datetime-seconds\"";
    assert_eq!(proposal.contains(forms), engine == Engine::Sqlite, "{proposal}");

    let centre = Centre::default();
    centre.set("Tag", &uuid(5), json!({"code": "t", "name": "theirs"}));
    a.run("INSERT INTO \"odd \"\"Name\"(_id) VALUES ('x')");
    a.sync(&centre);
    assert_eq!(centre.only("OddName").1, json!({"row_id": "x"}));
    assert_eq!(centre.only("Customer").0, uuid(1));
    assert_eq!(
        a.rows("SELECT code, name FROM tags"),
        ["t|theirs"],
        "a key that is exchanged means the same everywhere"
    );
}

fn mappings_that_do_not_fit_are_answered_with_the_place_and_what_is_there(engine: Engine) {
    let partitioned = engine.pick("", "CREATE TABLE days(day date) PARTITION BY RANGE (day);");
    let schema = format!(
        "CREATE TABLE log(line text); CREATE TABLE points(x float8 PRIMARY KEY NOT NULL);
         CREATE TABLE pairs(a int, b varchar(9), sum int GENERATED ALWAYS AS (a + 1) STORED, PRIMARY KEY(a, b));
         CREATE TABLE partly(id $KEY, a int, b varchar(9), FOREIGN KEY (a, b) REFERENCES pairs(a, b));
         CREATE TABLE odd(id $KEY, _id text, \"ttl\" int); CREATE VIEW seen AS SELECT * FROM log; {partitioned}"
    );
    let mut a = engine.app(&schema, "");
    let all = [
        ("[types.A]\ntable = \"nothing\"", "which is no table of the database; it has: "),
        ("[types.A]\ntable = \"log\"", "no primary key"),
        ("[types.A]\ntable = \"log\"\nkey = [\"line\"]", "unique"),
        ("[types.A]\ntable = \"points\"", "a number with a fraction"),
        ("[types.A]\ntable = \"pairs\"\nfields = { sum = \"total\" }", "computes itself"),
        ("[types.A]\ntable = \"pairs\"\nexclude = [\"c\"]", "it has: a, b, sum"),
        ("[types.A]\ntable = \"odd\"", "the id of the document"),
        ("[types.A]\ntable = \"odd\"\nfields = { _id = \"name\" }", "its length of life"),
        ("[types.A]\ntable = \"seen\"", "no table"),
        ("[types.A]\ntable = \"sync_log\"", "Syncline's own"),
        ("[types.A]\ntable = \"pairs\"\n[types.B]\ntable = \"pairs\"", "once"),
        ("[types.A]\ntable = \"pairs\"\n[types.B]\ntable = \"partly\"", "it fits"),
    ];
    let of_a_server = [("[types.A]\ntable = \"days\"", "no table")];
    for (mapping, said) in all.iter().chain(engine.pick(&[][..], &of_a_server[..])) {
        a.mapping = (*mapping).to_owned();
        let text = a.open_with(Options::default()).err().map_or_else(|| "it fits".into(), |error| error.to_string());
        assert!(text.contains(said), "{mapping}: {text}");
    }
    assert!(a.traces().is_empty(), "{:?}", a.traces());
}

fn looking_writes_nothing(engine: Engine) {
    let a = engine.app(NOTES, NOTE);
    a.run("INSERT INTO notes VALUES (5, 'x')");
    let bytes = || (engine == Engine::Sqlite).then(|| std::fs::read(a.place()).unwrap());
    let before = (a.schema(), bytes());
    let preview = a.open_with(Options::default()).unwrap().preview().unwrap();
    assert!(!preview.attached);
    assert_eq!((preview.types[0].rows, &preview.types[0].fields), (1, &vec!["t".to_owned()]));
    propose(&a.place()).unwrap();
    let status = a.open_with(Options::default()).unwrap().status().unwrap_err();
    assert!(matches!(status, AttachError::NotAttached(_)), "{status}");
    assert!((a.schema(), bytes()) == before);
}

fn ids_that_do_not_belong_to_a_database_are_refused(engine: Engine) {
    let mut a = engine.app(NOTES, NOTE);
    a.run("INSERT INTO notes(t) VALUES ('x')");
    let with = |node: &str| a.attach_with(Options { node: Some(node.into()), ..Options::default() }).map(drop);
    assert!(with("me").unwrap_err().to_string().contains("no UUID"));
    // Somebody forgets to say who it is, or mistypes it, and the hub has not let it in yet.
    a.attach().unwrap().compose().unwrap();
    with(&uuid(7)).unwrap();
    with(&uuid(1)).unwrap();
    assert_eq!(a.status().node, uuid(1));
    let centre = Centre::default();
    a.sync(&centre);
    assert_eq!(centre.all("Note").len(), 1);
    with(&uuid(1)).unwrap();
    let other = with(&uuid(2)).unwrap_err().to_string();
    assert!(other.contains(&uuid(1)) && other.contains("attach remove"), "{other}");
    a.mapping = format!("hub_id = \"{}\"\n{NOTE}", uuid(3));
    let hub = a.attach().err().unwrap();
    assert!(hub.to_string().contains(&uuid(3)), "{hub}");
    // A newer program's tables are not touched.
    a.run("UPDATE sync_attached SET format = 9");
    assert!(matches!(a.attach(), Err(AttachError::Format { found: 9, .. })));
}

fn everything_is_taken_away_again(engine: Engine) {
    let (centre, a) = (Centre::default(), engine.app(NOTES, NOTE));
    let before = a.schema();
    a.run("INSERT INTO notes VALUES (5, 'x')");
    a.sync(&centre);
    assert!(a.traces().len() > 10);
    a.run("UPDATE notes SET t = 'unsent'");
    let refused = remove(&a.place(), 1_000, false).unwrap_err();
    assert!(matches!(refused, AttachError::Unsent(1)), "{refused}");
    remove(&a.place(), 1_000, true).unwrap();
    assert_eq!(a.schema(), before);
    assert_eq!(a.rows("SELECT * FROM notes"), ["5|unsent"]);
    a.run("UPDATE notes SET t = 'goes on'");
    let gone = remove(&a.place(), 1_000, false).unwrap_err();
    assert!(matches!(gone, AttachError::NotAttached(_)), "{gone}");
}
