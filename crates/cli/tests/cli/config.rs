//! The layers of the configuration, and what happens to a wrong one.

use crate::shell::Shell;

#[test]
fn each_layer_overrides_the_one_below_and_config_says_which_won() {
    let shell = Shell::new();
    shell
        .write("syncline.toml", "listen = \"127.0.0.1:1\"\nspace = \"shop\"\n\n[limits]\ndepth = 10\nbatch_ops = 20\n");
    let ran = shell.run_with(
        &[
            ("SYNCLINE_LISTEN", "127.0.0.1:2"),
            ("SYNCLINE_LIMITS_DEPTH", "30"),
            ("SYNCLINE_TOKEN", "very-secret-indeed"),
        ],
        &["--json", "config", "--set", "limits.depth=40"],
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let config: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let won = |key: &str| (config["values"][key]["value"].clone(), config["values"][key]["origin"].clone());

    assert_eq!(won("listen"), ("127.0.0.1:2".into(), "SYNCLINE_LISTEN".into()));
    assert_eq!(won("space"), ("shop".into(), "syncline.toml:2".into()));
    assert_eq!(won("limits.batch_ops"), (20.into(), "syncline.toml:6".into()));
    assert_eq!(won("limits.depth"), (40.into(), "--set".into()));
    assert_eq!(won("data"), ("./syncline-data".into(), "default".into()));
    assert_eq!(won("token"), ("(hidden)".into(), "SYNCLINE_TOKEN".into()));
    assert!(!ran.stdout.contains("very-secret-indeed"));
}

#[test]
fn a_named_file_must_exist_and_is_read_instead_of_the_default_one() {
    let shell = Shell::new();
    shell.write("syncline.toml", "space = \"default-file\"\n");
    shell.write("other.toml", "space = \"other-file\"\n");
    let named = shell.json(&["config", "--config", "other.toml"]);
    assert_eq!(named["values"]["space"]["value"], "other-file");
    let by_variable = shell.run_with(&[("SYNCLINE_CONFIG", "other.toml")], &["config"]);
    assert!(by_variable.stdout.contains("other-file"), "{}", by_variable.stdout);
    let missing = shell.fails(1, &["config", "--config", "missing.toml"]);
    assert!(missing.contains("missing.toml"), "{missing}");
}

#[test]
fn a_wrong_configuration_is_refused_with_place_expectation_and_nearest_key() {
    let cases = [
        ("lisen = \"x\"\n", "syncline.toml:1: unknown key `lisen`; the nearest known key is `listen`"),
        (
            "[limits]\ndepth = \"deep\"\n",
            "syncline.toml:2: `limits.depth` is \"deep\" (string); it takes a whole number",
        ),
        ("[limits]\ndepth = 101\n", "`limits.depth` is 101 (integer); it takes a whole number from 1 to 100"),
        ("[log]\nlevel = \"loud\"\n", "one of error, warn, info, debug, trace"),
        ("[[tokens]]\nname = \"a\"\nsecrt = \"b\"\n", "`secret`"),
        ("listen = \n", "syncline.toml:1"),
    ];
    for (text, expected) in cases {
        let shell = Shell::new();
        shell.write("syncline.toml", text);
        for command in [&["config"][..], &["serve", "--listen", "127.0.0.1:0"]] {
            let refusal = shell.fails(2, command);
            assert!(refusal.contains(expected), "{refusal}");
        }
        assert!(!shell.path("syncline-data").exists(), "nothing is begun with a wrong configuration");
    }
}

#[test]
fn a_token_without_a_secret_and_half_a_certificate_are_refused() {
    for (text, expected) in [("[[tokens]]\nname = \"a\"\n", "secret_file"), ("[tls]\ncert = \"c.pem\"\n", "tls.key")] {
        let shell = Shell::new();
        shell.write("syncline.toml", text);
        let refusal = shell.fails(2, &["serve", "--listen", "127.0.0.1:0"]);
        assert!(refusal.contains(expected), "{refusal}");
    }
}

#[test]
fn lists_on_the_command_line_are_read_as_in_the_file_and_odd_origins_are_refused() {
    let shell = Shell::new();
    for list in [
        r#"cors.origins=["https://a.example", "https://b.example:8443"]"#,
        "cors.origins=https://a.example,https://b.example:8443",
    ] {
        let shown = shell.json(&["config", "--set", list]);
        let origins = serde_json::json!(["https://a.example", "https://b.example:8443"]);
        assert_eq!(shown["values"]["cors.origins"]["value"], origins);
    }
    for (odd, says) in [
        ("[https://a.example]", "a list of texts"),
        ("https://a.example/", "no slash at the end"),
        ("a.example", "no slash at the end"),
        ("*,https://a.example", "* alone"),
    ] {
        let said = shell.fails(2, &["serve", "--listen", "127.0.0.1:0", "--set", &format!("cors.origins={odd}")]);
        assert!(said.contains("cors.origins") && said.contains(says), "{said}");
    }
}

#[test]
fn rooms_that_the_hub_does_not_have_are_named() {
    let token = "[[tokens]]\nname = \"a\"\nsecret = \"a-secret-of-16-characters\"\n";
    let room = "[[rooms.room]]\nname = \"orders\"\n";
    for (text, says) in [
        (
            format!("{room}{token}rooms = [\"ordres\"]\n"),
            "`ordres`, and the hub has no such room; the nearest is `orders`",
        ),
        (format!("{room}refresh_on = [\"flies:changed\"]\n"), "no room `flies`; the nearest is `files`"),
    ] {
        let shell = Shell::new();
        shell.write("syncline.toml", &text);
        let said = shell.fails(2, &["serve", "--listen", "127.0.0.1:0"]);
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let shell = Shell::new();
    shell.fails(2, &["serv"]);
    shell.fails(2, &["token", "add"]);
    shell.fails(2, &["config", "--set", "limits.depth"]);
    shell.fails(2, &["config", "--set", "limits.dept=3"]);
}

#[test]
fn completions_know_the_commands_of_every_shell() {
    let shell = Shell::new();
    for name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = shell.ok(&["completions", name]);
        assert!(script.contains("serve") && script.contains("token"), "{name}");
    }
}

#[test]
fn an_empty_flag_is_called_empty_and_no_secret() {
    let said = Shell::new().fails(2, &["db", "sync", "phone.db", "--token", ""]);
    assert!(said.contains("--token: `token` is empty; it takes a text that is not empty"), "{said}");
}
