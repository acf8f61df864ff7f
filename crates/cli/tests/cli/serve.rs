//! Starting and stopping a hub.

use crate::shell::{Hub, Shell, all_bytes_below};

#[test]
fn the_first_start_makes_an_admin_token_and_no_later_one_does() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let (url, token) = (hub.url.clone(), hub.admin().to_owned());
    shell.ok(&["status", "--hub", &url, "--token", &token]);
    let (status, said_later, log) = hub.stop("-TERM");
    assert!(status.success(), "{log}");
    assert!(!log.contains(&token) && !said_later.contains(&token), "the log holds the token");
    let kept = all_bytes_below(&shell.path("syncline-data"));
    assert!(!kept.windows(token.len()).any(|part| part == token.as_bytes()), "the disk holds the token");

    let again = Hub::start(&shell, &[]);
    assert_eq!(again.admin, None);
    shell.ok(&["status", "--hub", &again.url, "--token", &token]);
}

#[test]
fn both_signals_stop_it_cleanly_and_the_log_says_where_it_listened() {
    for signal in ["-TERM", "-INT"] {
        let shell = Shell::new();
        let hub = Hub::start(&shell, &["--ready-file", "ready"]);
        let ready = std::fs::read_to_string(shell.path("ready")).unwrap();
        let beside_the_data = std::fs::read_to_string(shell.path("syncline-data/hub.json")).unwrap();
        assert_eq!(ready, beside_the_data);
        assert!(ready.contains(&hub.url) && ready.contains(&hub.pid().to_string()), "{ready}");

        let url = hub.url.clone();
        let (status, _, log) = hub.stop(signal);
        assert_eq!(status.code(), Some(0), "{log}");
        let accepts = log.lines().find(|line| line.contains("the hub accepts connections")).unwrap();
        let line: serde_json::Value = serde_json::from_str(accepts).unwrap();
        assert_eq!(line["url"], url.as_str());
        assert!(!shell.path("ready").exists() && !shell.path("syncline-data/hub.json").exists());
    }
}

#[test]
fn a_second_hub_on_the_same_data_is_told_about_the_first() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let refusal = shell.fails(1, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(refusal.contains("another hub runs on this data directory") && refusal.contains(&hub.url), "{refusal}");
    assert!(refusal.contains("--data"), "{refusal}");
}

#[test]
fn a_taken_address_is_an_error_that_names_it() {
    let shell = Shell::new();
    let hub = Hub::start(&shell, &[]);
    let taken = hub.url.trim_start_matches("http://");
    let refusal = shell.fails(1, &["serve", "--data", "other", "--listen", taken]);
    assert!(refusal.contains(taken), "{refusal}");
}

#[test]
fn a_hub_at_a_socket_file_is_found_and_administered_there_and_leaves_nothing_behind() {
    let shell = Shell::new();
    let hub = Hub::start_at(&shell, "unix:hub.sock");
    let socket = shell.path("hub.sock");
    let url = format!("unix:{}", std::fs::canonicalize(&socket).unwrap().display());
    assert_eq!(hub.url, url);
    assert!(std::fs::read_to_string(shell.path("syncline-data/hub.json")).unwrap().contains(&url));
    let spaces = shell.json(&["status", "--hub", &url, "--token", hub.admin()]);
    assert_eq!(spaces[0]["space"], "main");
    let found = shell.json(&["status", "--token", hub.admin()]);
    assert_eq!(found, spaces, "by the data directory alone");

    let taken = shell.fails(1, &["serve", "--data", "other", "--listen", "unix:hub.sock"]);
    assert!(taken.contains("unix:hub.sock") && taken.contains("--listen"), "{taken}");

    let (status, _, log) = hub.stop("-TERM");
    assert!(status.success() && log.contains(&url), "{log}");
    assert!(!socket.exists());
    let gone = shell.fails(1, &["status", "--hub", &url, "--token", "x"]);
    assert!(gone.contains(&url) && gone.contains("group"), "{gone}");
}

#[test]
fn the_socket_file_of_a_killed_hub_is_replaced_and_another_file_is_not() {
    let shell = Shell::new();
    let (status, ..) = Hub::start_at(&shell, "unix:hub.sock").stop("-KILL");
    assert!(!status.success() && shell.path("hub.sock").exists());
    let again = Hub::start_at(&shell, "unix:hub.sock");
    assert!(shell.fails(1, &["status", "--hub", &again.url, "--token", "wrong"]).contains("401"));

    shell.write("notes.txt", "mine");
    let refusal = shell.fails(1, &["serve", "--data", "other", "--listen", "unix:notes.txt"]);
    assert!(refusal.contains("no socket file") && refusal.contains("another path"), "{refusal}");
    let with_tls = ["serve", "--data", "other", "--listen", "unix:other.sock", "--tls-cert", "c", "--tls-key", "k"];
    assert!(!shell.fails(1, &with_tls).is_empty() && !shell.path("other.sock").exists());
}

#[test]
fn an_admin_token_of_the_configuration_is_used_and_none_is_made() {
    let secret = "correct-horse-battery-staple";
    let shell = Shell::new();
    let by_variable = Hub::start_with(&shell, &[("SYNCLINE_ADMIN_TOKEN", secret)], &[]);
    assert_eq!(by_variable.admin, None);
    shell.ok(&["token", "list", "--hub", &by_variable.url, "--token", secret]);
    by_variable.stop("-TERM");

    shell.write("secret", &format!("{secret}\n"));
    let by_file = Hub::start(&shell, &["--admin-token-file", "secret"]);
    assert_eq!(by_file.admin, None);
    shell.ok(&["token", "list", "--hub", &by_file.url, "--token", secret]);
}

#[test]
fn a_weak_admin_token_is_refused_without_being_shown() {
    let shell = Shell::new();
    let ran = shell.run_with(&[("SYNCLINE_ADMIN_TOKEN", "hunter2")], &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("SYNCLINE_ADMIN_TOKEN") && ran.stderr.contains("16"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
}

#[test]
fn tokens_and_collections_of_the_configuration_are_in_force() {
    let shell = Shell::new();
    shell.write(
        "syncline.toml",
        "admin_token = \"correct-horse-battery-staple\"\n[[collections]]\nname = \"notes\"\nspace = \"shop\"\n\
         strategy = \"merge\"\n[[tokens]]\nname = \"kiosk\"\nsecret = \"0123456789abcdef\"\naccess = \"read\"\n",
    );
    let hub = Hub::start(&shell, &[]);
    let admin = ["--hub", &hub.url, "--token", "correct-horse-battery-staple"];
    let tokens = shell.json(&[&["token", "list"], &admin[..]].concat());
    let kiosk = tokens.as_array().unwrap().iter().find(|token| token["name"] == "kiosk").unwrap();
    assert_eq!((&kiosk["declared"], &kiosk["write"]), (&true.into(), &false.into()));
    let spaces = shell.json(&[&["status"], &admin[..]].concat());
    assert!(spaces.as_array().unwrap().iter().any(|space| space["space"] == "shop"), "{spaces}");

    let refusal = shell.fails(1, &["status", "--hub", &hub.url, "--token", "0123456789abcdef"]);
    assert!(refusal.contains("403") && refusal.contains("kiosk"), "{refusal}");
}
