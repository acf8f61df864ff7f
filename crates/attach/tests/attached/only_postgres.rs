//! What only a server does: users and their rights, more kinds of statements, rules that are checked at the end, crashes.

use crate::app::Engine;
use crate::centre::{Centre, step, sync, uuid};
use crate::postgres::Postgres;
use crate::small::Small;
use serde_json::json;
use syncline_attach::{AttachError, Attachment, Mapping, Options};

const NOTES: &str = "CREATE TABLE notes(id serial PRIMARY KEY, t text);";
const NOTE: &str = "[types.Note]\ntable = \"notes\"\n";

#[test]
fn every_statement_that_writes_is_registered_and_what_rolls_back_is_not() {
    let schema = "CREATE TABLE parts(id serial PRIMARY KEY, code text UNIQUE, name text);
                  CREATE TABLE source(code text, name text);";
    let (centre, a) = (Centre::default(), Engine::Postgres.app(schema, "[types.Part]\ntable = \"parts\"\n"));
    a.run("INSERT INTO parts(code, name) VALUES ('a', 'old'), ('b', 'stays')");
    a.sync(&centre);
    a.run("BEGIN; INSERT INTO parts(code) VALUES ('never'); TRUNCATE parts; ROLLBACK");
    assert!(a.status().waiting.is_empty());
    a.run(
        "INSERT INTO parts(code, name) VALUES ('a', 'upserted'), ('c', 'new')
           ON CONFLICT (code) DO UPDATE SET name = excluded.name;
         INSERT INTO source VALUES ('b', 'merged'), ('d', 'by merge');
         MERGE INTO parts USING source ON parts.code = source.code
           WHEN MATCHED THEN UPDATE SET name = source.name
           WHEN NOT MATCHED THEN INSERT (code, name) VALUES (source.code, source.name);",
    );
    a.run("COPY parts(code, name) FROM stdin;\ne\tcopied\n\\.\n");
    a.sync(&centre);
    let mut names: Vec<String> = centre.all("Part").values().map(|part| part["name"].to_string()).collect();
    names.sort();
    assert_eq!(names, ["\"by merge\"", "\"copied\"", "\"merged\"", "\"new\"", "\"upserted\""]);
    a.run("TRUNCATE parts");
    a.sync(&centre);
    assert!(centre.all("Part").is_empty());
}

#[test]
fn users_of_the_application_need_no_rights_for_the_tables_of_syncline() {
    let schema = "CREATE ROLE clerk LOGIN;
                  CREATE TABLE notes(day date, n int, title text, PRIMARY KEY (day, n));
                  GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO clerk;";
    let (centre, a) = (Centre::default(), Engine::Postgres.app(schema, NOTE));
    a.sync(&centre);
    // Neither its search path nor how it likes its days has a say in what is registered.
    let schema = a.schema_name();
    a.session().run(&format!(
        "GRANT USAGE ON SCHEMA {schema} TO clerk; SET ROLE clerk; SET datestyle = 'German'; SET search_path = pg_temp;
         INSERT INTO {schema}.notes VALUES ('2025-12-31', 1, 'by a clerk'); UPDATE {schema}.notes SET title = 'still'"
    ));
    a.sync(&centre);
    assert_eq!(centre.only("Note").1, json!({"day": "2025-12-31", "n": 1, "title": "still"}));
}

#[test]
fn what_a_user_puts_before_the_names_of_the_server_is_not_run_with_the_rights_of_the_owner() {
    let schema = "CREATE ROLE mallory LOGIN;
                  CREATE TABLE notes(code text PRIMARY KEY, day date UNIQUE, title text);
                  GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO mallory;";
    let mapping = format!("{NOTE}updated_at = \"updated_at\"\nadd = [\"updated_at\"]\n");
    let (centre, a) = (Centre::default(), Engine::Postgres.app(schema, &mapping));
    a.sync(&centre);
    let (schema, evil) = (a.schema_name(), format!("evil_{}", a.schema_name()));
    let traps = ["replace(text, text, text)", "current_setting(text, boolean)", "clock_timestamp()"].map(|name| {
        let body = "RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;";
        format!("CREATE FUNCTION {evil}.{name} {body}")
    });
    let operators = ["||", "="].map(|operator| {
        format!("CREATE OPERATOR {evil}.{operator} (LEFTARG = text, RIGHTARG = text, FUNCTION = {evil}.joined);")
    });
    a.session().run(&format!(
        "GRANT USAGE ON SCHEMA {schema} TO mallory; CREATE SCHEMA {evil} AUTHORIZATION mallory; SET ROLE mallory;
         {} CREATE FUNCTION {evil}.joined(text, text) RETURNS boolean LANGUAGE plpgsql
           AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$; {}
         CREATE DOMAIN {evil}.text AS pg_catalog.text CHECK (false);
         SET search_path = {evil}, pg_catalog;
         INSERT INTO {schema}.notes VALUES ('it''s', '2025-12-31', 'a'), ('gone', NULL, 'b');
         UPDATE {schema}.notes SET title = 'c'; DELETE FROM {schema}.notes WHERE day IS NULL",
        traps.join(" "),
        operators.join(" ")
    ));
    a.sync(&centre);
    let note = centre.only("Note").1;
    assert_eq!((&note["code"], &note["title"]), (&json!("it's"), &json!("c")));
}

#[test]
fn a_user_without_rights_is_told_what_is_missing_and_leaves_nothing_behind() {
    let schema = format!("CREATE ROLE guest LOGIN; {NOTES} GRANT ALL ON notes TO guest;");
    let a = Engine::Postgres.app(&schema, NOTE);
    a.run(&format!("GRANT USAGE ON SCHEMA {} TO guest", a.schema_name()));
    let url = a.place_of("guest");
    let open = || Attachment::open(&url, Mapping::parse(NOTE).unwrap(), Options::default()).unwrap().prepare();
    let refused = open().unwrap_err();
    assert!(matches!(refused, AttachError::Denied(_)) && refused.to_string().contains(a.schema_name()), "{refused}");
    a.run(&format!("GRANT CREATE ON SCHEMA {} TO guest", a.schema_name()));
    let centre = Centre::default();
    open().unwrap();
    a.run("INSERT INTO notes(t) VALUES ('x')");
    let mut attached = Attachment::open(&url, Mapping::parse(NOTE).unwrap(), Options::default()).unwrap();
    sync(&mut attached, &centre);
    assert_eq!(centre.all("Note").len(), 1);
    a.run("REVOKE UPDATE ON notes FROM guest");
    centre.set("Note", centre.only("Note").0.as_str(), json!({"t": "y"}));
    let sent = attached.compose().unwrap();
    let denied = attached.take(&sent, centre.answer(&sent.text).as_bytes()).unwrap_err();
    assert!(matches!(&denied, AttachError::Denied(why) if why.contains("notes")), "{denied}");
}

#[test]
fn places_that_are_no_database_are_named_without_passwords() {
    let server = Postgres::shared();
    let open = |url: &str| syncline_attach::propose(url).unwrap_err().to_string();
    let nobody = open("postgres://ann:s3cret@127.0.0.1:1/shop");
    assert!(nobody.contains("postgres://ann@127.0.0.1:1/shop") && !nobody.contains("s3cret"), "{nobody}");
    let none = open(&server.url("no_such_database"));
    assert!(none.contains("no_such_database") && none.contains("does not exist"), "{none}");
    let wrong = open("postgres://ann:s3cret@db/shop?sslmode=s3cret");
    assert!(wrong.contains("sslmode is one of") && !wrong.contains("s3cret"), "{wrong}");
}

#[test]
fn rules_of_the_application_hold_up_one_object_and_not_the_packet() {
    let schema = "CREATE TABLE firms(id serial PRIMARY KEY, name text CHECK (name <> 'bad'));
                  CREATE TABLE people(id serial PRIMARY KEY, name text,
                    firm int NOT NULL REFERENCES firms(id) DEFERRABLE INITIALLY DEFERRED);
                  CREATE TABLE badges(id serial PRIMARY KEY, firm int);
                  CREATE FUNCTION strict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    IF NEW.firm = -1 THEN RAISE EXCEPTION 'never'; END IF; RETURN NULL; END $$;
                  CREATE CONSTRAINT TRIGGER strict AFTER INSERT ON badges DEFERRABLE INITIALLY DEFERRED
                    FOR EACH ROW EXECUTE FUNCTION strict();";
    let mapping =
        "[types.Firm]\ntable = \"firms\"\n[types.Person]\ntable = \"people\"\n[types.Badge]\ntable = \"badges\"\n";
    let (centre, a) = (Centre::default(), Engine::Postgres.app(schema, mapping));
    centre.set("Firm", &uuid(1), json!({"name": "good"}));
    a.sync(&centre);
    a.run("INSERT INTO people(firm, name) VALUES (1, 'ours')");
    centre.remove("Firm", &uuid(1));
    // A person of a firm that comes in the same packet and cannot be stored, and a rule that is checked at the end.
    centre.set("Person", &uuid(2), json!({"firm": uuid(3), "name": "waits"}));
    centre.set("Firm", &uuid(3), json!({"name": "bad"}));
    centre.set("Badge", &uuid(4), json!({"firm": -1}));
    centre.set("Firm", &uuid(5), json!({"name": "fine"}));
    a.sync(&centre);
    let firms = "SELECT name FROM firms ORDER BY name";
    assert_eq!(a.rows(firms), ["fine", "good"], "{:?}", a.status().aside);
    assert_eq!(a.rows("SELECT name FROM people"), ["ours"]);
    let codes: Vec<String> = a.status().aside.into_iter().map(|aside| aside.code).collect();
    assert_eq!(codes.len(), 4, "{codes:?}");
    assert!(codes.contains(&"check".into()) && codes.contains(&"trigger".into()), "{codes:?}");
    centre.set("Firm", &uuid(3), json!({"name": "better"}));
    centre.set("Badge", &uuid(4), json!({"firm": 1}));
    a.run("DELETE FROM people");
    a.sync(&centre);
    assert_eq!(a.rows("SELECT f.name, p.name FROM people p JOIN firms f ON f.id = firm"), ["better|waits"]);
    assert_eq!(a.rows(firms), ["better", "fine"]);
    assert!(a.status().aside.is_empty(), "{:?}", a.status().aside);
}

#[test]
fn a_server_that_crashes_between_two_steps_loses_nothing_and_does_nothing_twice() {
    let (server, centre) = (Postgres::start(&[]), Centre::default());
    let database = server.database();
    server.run(&database, NOTES);
    let mapping = || Mapping::parse(NOTE).unwrap();
    let mut attached = Attachment::open(&server.url(&database), mapping(), Options::default()).unwrap();
    attached.prepare().unwrap();
    sync(&mut attached, &centre);
    for n in 0..3 {
        server.run(&database, &format!("INSERT INTO notes(t) VALUES ('n{n}')"));
        centre.set("Note", &uuid(n), json!({"t": "theirs"}));
        let sent = attached.compose().unwrap();
        let answer = centre.answer(&sent.text);
        server.crash();
        let away = attached.take(&sent, answer.as_bytes()).unwrap_err();
        assert!(matches!(away, AttachError::NoServer { .. } | AttachError::Database(_)), "{away}");
        server.start_again();
        // The same process goes on with a new connection.
        step(&mut attached, &centre);
    }
    sync(&mut attached, &centre);
    assert_eq!(centre.all("Note").len(), 6);
    assert_eq!(server.run(&database, "SELECT count(*) FROM notes"), "6");
    assert_eq!(server.run(&database, "SELECT count(*) FROM sync_changes"), "0");
}

#[test]
fn a_full_disk_of_the_server_stops_a_round_and_nothing_is_half_done_or_lost() {
    let (server, centre) = (Postgres::start(&[]), Centre::default());
    let small = Small::of(&server, "notes");
    server.run(&small.database, NOTES);
    let place = server.url(&small.database);
    let mut attached = Attachment::open(&place, Mapping::parse(NOTE).unwrap(), Options::default()).unwrap();
    attached.prepare().unwrap();
    server.run(&small.database, "INSERT INTO notes(t) VALUES ('ours')");
    sync(&mut attached, &centre);
    server.run(&small.database, "UPDATE notes SET t = 'ours, and not sent yet'");

    small.fill(&server, 3 << 20);
    // What the server could make smaller would take long to fill a disk.
    let mut rng = fastrand::Rng::with_seed(7);
    let mut text = || (0..200_000).map(|_| rng.alphanumeric()).collect::<String>();
    for n in 0..40 {
        centre.set("Note", &uuid(n), json!({ "t": text() }));
    }
    let sent = attached.compose().unwrap();
    let answer = centre.answer(&sent.text);
    for _ in 0..2 {
        let full = attached.take(&sent, answer.as_bytes()).unwrap_err();
        assert!(matches!(full, AttachError::Full) && full.to_string().contains("make room"), "{full}");
        assert_eq!(server.run(&small.database, "SELECT count(*) FROM notes"), "1");
    }

    small.make_room(&server);
    attached.take(&sent, answer.as_bytes()).unwrap();
    sync(&mut attached, &centre);
    assert_eq!(server.run(&small.database, "SELECT count(*), count(DISTINCT t) FROM notes"), "41|41");
    assert_eq!(centre.all("Note").values().filter(|note| note["t"] == "ours, and not sent yet").count(), 1);
    assert!(attached.status().unwrap().aside.is_empty());
}
