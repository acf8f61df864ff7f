//! Nodes that exchange packets, and their packets by file: in the data directory while no hub runs, through
//! the hub when one does.

use crate::shell::{Hub, Shell};
use serde_json::{Value, json};

const NORTH: &str = "11111111-1111-4111-8111-000000000001";
const SOUTH: &str = "11111111-1111-4111-8111-000000000002";
const HUB: &str = "00000000-0000-4000-8000-000000000000";
const REPORT: &str = "22222222-2222-4222-8222-000000000001";

/// Runs commands on a data directory, or with a hub's address and token.
struct Desk<'a> {
    shell: &'a Shell,
    hub: Vec<String>,
}

impl Desk<'_> {
    fn args<'b>(&'b self, args: &[&'b str]) -> Vec<&'b str> {
        args.iter().copied().chain(self.hub.iter().map(String::as_str)).collect()
    }

    fn json(&self, args: &[&str]) -> Value {
        self.shell.json(&self.args(args))
    }

    fn ok(&self, args: &[&str]) -> String {
        self.shell.ok(&self.args(args))
    }

    fn fails(&self, code: i32, args: &[&str]) -> String {
        self.shell.fails(code, &self.args(args))
    }
}

/// The same by both ways in.
fn by_both_ways(story: impl Fn(&Desk<'_>)) {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    story(&Desk { shell: &shell, hub: ["--hub", &hub.url, "--admin-token", hub.admin()].map(str::to_owned).to_vec() });

    let shell = Shell::new();
    Hub::start(&shell, &[]).stop("-TERM");
    story(&Desk { shell: &shell, hub: Vec::new() });
}

fn packet(number: u64, ack: u64, entities: &Value) -> String {
    json!({
        "header": { "sender_node_id": NORTH, "recipient_node_id": HUB, "packet_no": number, "ack_packet_no": ack,
                    "schema_version": "1.0.0" },
        "body": { "entities": entities }
    })
    .to_string()
}

fn report(operation: &str, data: Value) -> Value {
    json!({ "type": "Report", "uuid": REPORT, "operation": operation, "data": data })
}

#[test]
fn a_node_is_registered_shown_changed_and_removed() {
    by_both_ways(|desk| {
        let made = desk.json(&["node", "add", "--code", "NORTH", "--name", "Branch north"]);
        let id = made["id"].as_str().unwrap();
        let token = made["token"].as_str().unwrap();
        assert_eq!((id.len(), made["name"].as_str()), (36, Some("Branch north")));
        assert!(token.len() > 30, "a token is made where none is given");
        let given = desk.json(&["node", "add", "--id", SOUTH, "--code", "SOUTH", "--token", "a-secret-of-its-own"]);
        assert_eq!((given["id"].as_str(), given["token"].as_str()), (Some(SOUTH), Some("a-secret-of-its-own")));

        let listed = desk.json(&["node", "list"]);
        let codes: Vec<_> = listed.as_array().unwrap().iter().map(|node| &node["registered"]["code"]).collect();
        assert_eq!(codes, ["NORTH", "SOUTH"]);
        let unknown = ["last_seq", "cursor", "seen_at"].iter().find(|name| listed[0].get(**name).is_some());
        assert_eq!((unknown, &listed[0]["behind"]), (None, &json!(0)), "nothing is said of what is not known");
        assert!(!listed.to_string().contains(token), "a list never shows secrets");
        assert!(desk.ok(&["node", "list"]).contains("Branch north"));

        let rows = r#"{"orders": {"branch": "$node.branch"}}"#;
        let plan = ["--types", "orders,stock", "--rows", rows, "--attribute", "branch=north", "--name", "The north"];
        desk.ok(&[&["node", "set", "NORTH"], &plan[..]].concat());
        let shown = desk.json(&["node", "show", &id[..8]]);
        assert_eq!(shown["plan"]["types"], json!(["orders", "stock"]));
        assert_eq!(shown["plan"]["attributes"], json!({ "branch": "north" }));
        assert_eq!((&shown["name"], &shown["queue"]), (&json!("The north"), &json!(0)));
        let text = desk.ok(&["node", "show", "NORTH"]);
        for column in ["last_sync_in", "last_sync_out", "received_packet_no", "sent_packet_no", "queue", "$node.branch"]
        {
            assert!(text.contains(column), "{text}");
        }

        let rotated = desk.json(&["node", "rotate-token", "NORTH"]);
        assert_ne!(rotated["token"], made["token"]);
        desk.ok(&["node", "remove", "NORTH"]);
        let gone = desk.fails(1, &["node", "show", "NORTH"]);
        assert!(gone.contains("NORTH") && gone.contains("node list"), "{gone}");
    });
}

#[test]
fn packets_travel_by_file_and_twice_does_no_harm() {
    by_both_ways(|desk| {
        desk.ok(&["node", "add", "--id", NORTH, "--code", "NORTH"]);
        desk.ok(&["node", "add", "--id", SOUTH, "--code", "SOUTH"]);
        desk.shell.write("1.json", &packet(1, 0, &json!([report("INSERT", json!({ "day": 1, "sum": 7 }))])));
        desk.shell.write("2.json", &packet(2, 0, &json!([report("DELETE", Value::Null)])));

        let taken = desk.json(&["exchange", "import", "1.json"]);
        assert_eq!((&taken["node"], &taken["ack_packet_no"]), (&json!(NORTH), &json!(1)));
        let export = || desk.json(&["exchange", "export", "--node", "SOUTH"]);
        let first = export();
        assert_eq!(first["header"]["packet_no"], 1);
        assert_eq!(first["body"]["entities"], json!([report("INSERT", json!({ "day": 1, "sum": 7 }))]));
        assert_eq!(desk.json(&["node", "show", "SOUTH"])["queue"], 1, "sent is not confirmed");
        assert_eq!(export()["header"]["packet_no"], 2);

        assert_eq!(desk.json(&["exchange", "import", "2.json"])["repeated"], false);
        let again = desk.ok(&["exchange", "import", "1.json"]);
        assert!(again.contains(&format!("Packet 1 of node {NORTH} was imported before; nothing changed.")), "{again}");
        assert_eq!(desk.json(&["exchange", "import", "2.json"])["repeated"], true);
        assert_eq!(export()["body"]["entities"], json!([report("DELETE", Value::Null)]));

        let said = desk.json(&["exchange", "export", "--node", NORTH, "--output", "back.json"]);
        assert_eq!((&said["entities"], &said["header"]["ack_packet_no"]), (&json!(0), &json!(2)));
        let written: Value = serde_json::from_slice(&std::fs::read(desk.shell.path("back.json")).unwrap()).unwrap();
        assert_eq!(written["header"], said["header"]);
    });
}

#[test]
fn files_that_begin_with_a_byte_order_mark_are_taken() {
    by_both_ways(|desk| {
        branch(desk, "site.db", "SITE", r#"{"day":1}"#);
        let mark = |file: &str| {
            let text = std::fs::read_to_string(desk.shell.path(file)).unwrap();
            desk.shell.write(file, &format!("\u{feff}{text}"));
        };
        desk.shell.ok(&["db", "exchange", "export", "site.db", "--output", "to-hub.json"]);
        mark("to-hub.json");
        assert_eq!(desk.json(&["exchange", "import", "to-hub.json"])["entities"], 1);
        desk.ok(&["exchange", "export", "--node", "SITE", "--output", "from-hub.json"]);
        mark("from-hub.json");
        assert_eq!(desk.shell.json(&["db", "exchange", "import", "site.db", "from-hub.json"])["settled"], 1);
    });
}

#[test]
fn what_cannot_be_taken_is_named() {
    by_both_ways(|desk| {
        desk.ok(&["node", "add", "--id", NORTH, "--code", "NORTH", "--types", "Report"]);
        let stranger = json!({ "type": "Strange", "uuid": REPORT, "operation": "DELETE", "data": null });
        desk.shell.write("strange.json", &packet(1, 0, &json!([stranger])));
        let said = desk.ok(&["exchange", "import", "strange.json"]);
        assert!(said.contains("set aside") && said.contains("Strange") && said.contains("unknown_type"), "{said}");
        assert!(desk.ok(&["quarantine"]).contains(REPORT));
        let spaced = json!({ "type": "Daily report", "uuid": REPORT, "operation": "DELETE", "data": null });
        desk.shell.write("spaced.json", &packet(2, 0, &json!([spaced])));
        desk.ok(&["exchange", "import", "spaced.json"]);
        let listed = desk.ok(&["quarantine"]);
        assert!(listed.contains(&format!("`{REPORT}` in `Daily report`")), "{listed}");

        desk.shell.write("wrong.json", &packet(0, 0, &json!([])));
        let wrong = desk.fails(1, &["exchange", "import", "wrong.json"]);
        assert!(wrong.contains("header.packet_no"), "{wrong}");
        desk.shell.write("broken.json", "{");
        assert!(desk.fails(2, &["exchange", "import", "broken.json"]).contains("packet"));
        assert!(desk.fails(1, &["exchange", "import", "missing.json"]).contains("missing.json"));
        assert!(desk.fails(1, &["exchange", "export", "--node", "NOBODY"]).contains("NOBODY"));

        let taken = desk.fails(1, &["node", "add", "--code", "NORTH"]);
        assert!(taken.contains("`NORTH`") && taken.contains("another"), "{taken}");
        assert!(desk.fails(2, &["node", "add", "--id", "7", "--code", "X"]).contains("UUID"));
        assert!(desk.fails(2, &["node", "add", "--code", "X", "--token", "short"]).contains("at least"));
        let unknown = ["node", "set", "NORTH", "--rows", r#"{"Report": {"b": "$node.b"}}"#];
        assert!(desk.fails(2, &unknown).contains("--attribute b=VALUE"));
        assert!(desk.fails(2, &["node", "set", "NORTH"]).contains("nothing to change"));
    });
}

#[test]
fn the_token_of_a_node_is_not_taken_for_the_admins() {
    let shell = Shell::new();
    let refused =
        shell.fails(2, &["node", "add", "--code", "X", "--token", "secret-of-x", "--hub", "http://127.0.0.1:9"]);
    assert!(refused.contains("--admin-token"), "{refused}");
}

#[test]
fn a_node_that_was_silent_for_too_long_is_marked() {
    let shell = Shell::new();
    for (retention, silent) in [("90d", false), ("1ms", true)] {
        let hub = Hub::start_with(&shell, &[("SYNCLINE_RETENTION_NODES", retention)], &["--data", retention]);
        let hub = ["--hub", &hub.url, "--admin-token", hub.admin()].map(str::to_owned).to_vec();
        let desk = Desk { shell: &shell, hub };
        desk.ok(&["node", "add", "--id", NORTH, "--code", "NORTH"]);
        desk.ok(&["node", "add", "--id", SOUTH, "--code", "SOUTH"]);
        shell.write("1.json", &packet(1, 0, &json!([])));
        desk.ok(&["exchange", "import", "1.json"]);

        let listed = desk.json(&["node", "list"]);
        let since = listed.as_array().unwrap().iter().map(|node| node["registered"].get("silent_since"));
        let last_in = &listed[0]["registered"]["last_sync_in"];
        assert_eq!(since.collect::<Vec<_>>(), [silent.then_some(last_in), None], "SOUTH has never called");
        let (table, shown) = (desk.ok(&["node", "list"]), desk.ok(&["node", "show", "NORTH"]));
        assert_eq!((table.contains(", silent"), table.contains("node remove")), (silent, silent), "{table}");
        assert_eq!(shown.contains("silent"), silent, "{shown}");
    }
}

/// A database file with one document, registered under a code. Returns its token.
fn branch(desk: &Desk<'_>, file: &str, code: &str, document: &str) -> String {
    desk.shell.ok(&["db", "insert", file, "reports", document]);
    let id = desk.shell.json(&["db", "status", file])["node"].as_str().unwrap().to_owned();
    desk.json(&["node", "add", "--id", &id, "--code", code])["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_database_file_syncs_by_packets_with_a_hub() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let desk =
        Desk { shell: &shell, hub: ["--hub", &hub.url, "--admin-token", hub.admin()].map(str::to_owned).to_vec() };
    let tokens = [branch(&desk, "a.db", "A", r#"{"day":1}"#), branch(&desk, "b.db", "B", r#"{"day":2}"#)];
    let sync = |file: &str, token: &str| {
        let by = ["--hub", &hub.url, "--token", token, "--protocol", "exchange"];
        shell.json(&[&["db", "sync", file], &by[..]].concat())
    };
    assert_eq!(sync("a.db", &tokens[0])["pushed"], 1);
    let both = sync("b.db", &tokens[1]);
    assert_eq!((&both["pulled"], &both["pushed"], &both["pending"]), (&json!(1), &json!(1), &json!(0)));
    let by_file = shell.json(&["db", "sync", "a.db", "--hub", &hub.url, "--token", &tokens[0]]);
    assert_eq!(by_file["pulled"], 1, "the file knows its protocol");
    let more = ["--hub", &hub.url, "--token", &tokens[0], "--collections", "orders"];
    shell.ok(&[&["db", "sync", "a.db"], &more[..]].concat());
    let other = ["--hub", &hub.url, "--token", hub.admin(), "--protocol", "lsn"];
    let refused = shell.fails(1, &[&["db", "sync", "a.db"], &other[..]].concat());
    assert!(refused.contains("goes by packets") && refused.contains("without `--protocol`"), "{refused}");
    shell.ok(&["db", "insert", "log.db", "notes", "{}"]);
    let by_log = ["db", "sync", "log.db", "--hub", &hub.url, "--token", hub.admin()];
    shell.ok(&by_log);
    let refused = shell.fails(1, &[&by_log[..], &["--protocol", "exchange"]].concat());
    assert!(refused.contains("hub's log") && refused.contains("without `--protocol`"), "{refused}");
    assert_eq!(shell.json(&by_log)["pending"], 0);
    let all = |file: &str| shell.json(&["db", "find", file, "reports", "--sort", "day"]);
    assert_eq!(all("a.db"), all("b.db"));

    let unknown =
        shell.fails(2, &["db", "sync", "a.db", "--hub", &hub.url, "--token", &tokens[0], "--protocol", "wires"]);
    assert!(unknown.contains("exchange"), "{unknown}");
}

#[test]
fn a_database_file_exchanges_packets_by_file() {
    by_both_ways(|desk| {
        branch(desk, "site.db", "SITE", r#"{"day":1}"#);
        desk.ok(&["node", "add", "--id", NORTH, "--code", "NORTH"]);
        desk.shell.write("north.json", &packet(1, 0, &json!([report("INSERT", json!({ "sum": 7 }))])));
        desk.ok(&["exchange", "import", "north.json"]);

        let said = desk.shell.json(&["db", "exchange", "export", "site.db", "--output", "to-hub.json"]);
        assert_eq!((&said["entities"], &said["header"]["packet_no"]), (&json!(1), &json!(1)));
        desk.ok(&["exchange", "import", "to-hub.json"]);
        desk.ok(&["exchange", "export", "--node", "SITE", "--output", "from-hub.json"]);
        let imported = desk.shell.json(&["db", "exchange", "import", "site.db", "from-hub.json"]);
        assert_eq!(
            (&imported["applied"], &imported["settled"], &imported["pending"]),
            (&json!(1), &json!(1), &json!(0))
        );
        assert_eq!(desk.shell.json(&["db", "get", "site.db", "Report", REPORT])["sum"], 7);
        let again = desk.shell.ok(&["db", "exchange", "import", "site.db", "from-hub.json"]);
        assert!(again.contains("no news"), "{again}");
        let wrong = desk.shell.fails(1, &["db", "exchange", "import", "site.db", "to-hub.json"]);
        assert!(wrong.contains("cannot be imported"), "{wrong}");
    });
}
