//! What people get wrong at first: it is said at once, and the next step is one that they can take.

use super::shell::{Hub, Shell};

#[test]
fn a_space_that_does_not_exist_is_made_and_said_to_be() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let add = |name: &str, space: &str| {
        shell.run(&["token", "add", name, "--space", space, "--hub", &hub.url, "--token", hub.admin()])
    };
    let (typo, again, known) = (add("t1", "mian"), add("t2", "mian"), add("t3", "main"));
    assert_eq!([typo.code, again.code, known.code], [0; 3]);
    assert!(typo.stderr.contains("space `mian` did not exist; it was made"), "{typo:?}");
    assert!(again.stderr.is_empty() && known.stderr.is_empty(), "{again:?} {known:?}");
    hub.stop("-TERM");
}

#[test]
fn config_refuses_what_a_hub_would_refuse_and_shows_rooms() {
    let shell = Shell::new();
    for (text, code, words) in [
        ("[[tokens]]\nname = \"a\"\nsecret = \"short\"\n", 2, "at least 16"),
        ("[[tokens]]\nname = \"a\"\nsecret_file = \"nope\"\n", 1, "nope"),
        ("[[rooms.room]]\nname = \"Stock\"\n", 2, "Stock"),
        ("[[collections]]\nname = \"a\"\n", 2, "gives no rule"),
    ] {
        shell.write("syncline.toml", text);
        let ran = shell.run(&["config"]);
        assert!(ran.stdout.contains("limits.depth"), "it is shown all the same: {ran:?}");
        assert!(ran.code == code && ran.stderr.contains(words), "{text}: {ran:?}");
        assert_eq!(shell.run(&["serve", "--listen", "127.0.0.1:0"]).code, code, "{text}");
    }
    shell.write("syncline.toml", "[[rooms.room]]\nname = \"stock\"\ncollections = [\"goods\"]\n");
    let shown = shell.ok(&["config"]);
    assert!(shown.contains("room stock") && shown.contains("collections = goods"), "{shown}");
    assert_eq!(shell.json(&["config"])["rooms"][0]["name"], "stock");
}

#[test]
fn a_named_data_directory_comes_before_the_hub_of_a_variable() {
    let shell = Shell::new();
    let other = Hub::start(&shell, &["--data", "other"]);
    Hub::start(&shell, &["--data", "mine"]).stop("-TERM");
    shell.ok(&["token", "add", "phone", "--data", "mine"]);
    let variables = [("SYNCLINE_HUB", other.url.as_str()), ("SYNCLINE_TOKEN", other.admin())];
    let list = |args: &[&str]| shell.run_with(&variables, &[&["token", "list"], args].concat());
    let (mine, theirs) = (list(&["--data", "mine"]), list(&[]));
    assert!(mine.code == 0 && mine.stdout.contains("phone"), "{mine:?}");
    assert!(theirs.code == 0 && !theirs.stdout.contains("phone"), "{theirs:?}");
    let both = list(&["--data", "mine", "--hub", &other.url]);
    assert!(both.code == 0 && !both.stdout.contains("phone"), "a flag that names the hub comes first: {both:?}");
    other.stop("-TERM");
}

#[test]
fn a_watch_ends_where_the_hub_refuses_the_token() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let wrong = ["--hub", &hub.url, "--token", "no-token-of-this-hub"];
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n1"}"#]);
    let refused = shell.fails(1, &[&["db", "watch", "a.db", "notes"][..], &wrong].concat());
    assert!(refused.contains("token"), "{refused}");
    let unknown = shell.fails(1, &[&["status"][..], &wrong].concat());
    assert!(unknown.contains("stop the hub first and add `--data DIR`"), "{unknown}");
    hub.stop("-TERM");
}

#[test]
fn a_round_that_left_something_aside_is_not_in_step() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &["--set", "limits.document_bytes=200"]);
    let sync =
        || shell.ok(&["db", "sync", "a.db", "--collections", "notes", "--hub", &hub.url, "--token", hub.admin()]);
    shell.ok(&["db", "insert", "a.db", "notes", r#"{"_id":"n1"}"#]);
    assert!(sync().starts_with("in step: pulled 0, pushed 1"));
    let long = format!(r#"{{"_id":"n2","text":"{}"}}"#, "x".repeat(300));
    shell.ok(&["db", "insert", "a.db", "notes", &long]);
    let said = sync();
    assert!(said.starts_with("synced: ") && said.contains("not taken: 1 op was set aside"), "{said}");
    hub.stop("-TERM");
}
