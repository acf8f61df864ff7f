//! Every command that the documents show works: the lines with `$ ` in blocks marked `console` run
//! in order, one document in one shell, in a scratch directory, with `syncline` on the path. Fixed
//! ports of the documents become free ones.

use crate::shell::{SYNCLINE, Shell};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn commands_of_the_readme_work() {
    run("README.md");
}

#[test]
fn commands_of_docs_access_work() {
    run("docs/access.md");
}

#[test]
fn commands_of_docs_attach_work() {
    run("docs/attach.md");
}

#[test]
fn commands_of_docs_cli_work() {
    run("docs/cli.md");
}

#[test]
fn commands_of_docs_conflicts_work() {
    run("docs/conflicts.md");
}

#[test]
fn commands_of_docs_rules_work() {
    run("docs/rules.md");
}

#[test]
fn commands_of_docs_operations_work() {
    run("docs/operations.md");
}

#[test]
fn commands_of_docs_packets_work() {
    run("docs/packets.md");
}

#[test]
fn commands_of_docs_pages_work() {
    run("docs/pages.md");
}

#[test]
fn commands_of_docs_reliability_work() {
    run("docs/reliability.md");
}

fn run(document: &str) {
    let text = std::fs::read_to_string(Path::new(ROOT).join(document)).unwrap();
    let commands = commands(&text);
    assert!(!commands.is_empty(), "{document} shows no command in a ```console block");
    let shell = Shell::new();
    let script = format!(
        "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\nset -v\n{}\n",
        with_free_ports(&commands.join("\n"))
    );
    shell.write("commands.sh", &script);
    let bin = Path::new(SYNCLINE).parent().unwrap();
    let path = std::env::join_paths(
        [bin.to_owned()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let output =
        shell.command("timeout").env("PATH", path.unwrap()).args(["120", "bash", "commands.sh"]).output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{document}\n{}\n{}", said(&output.stdout), said(&output.stderr));
}

/// Lines with `$ ` and the lines with `> ` that continue them, of ```console blocks.
fn commands(markdown: &str) -> Vec<String> {
    let mut inside = false;
    let mut commands: Vec<String> = Vec::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside && line.trim() == "```console";
        } else if inside && let Some(command) = line.strip_prefix("$ ") {
            commands.push(command.to_owned());
        } else if inside && let (Some(more), Some(last)) = (line.strip_prefix("> "), commands.last_mut()) {
            last.push('\n');
            last.push_str(more);
        }
    }
    commands
}

/// Each `127.0.0.1:PORT` becomes a port that nobody uses.
fn with_free_ports(script: &str) -> String {
    const HOST: &str = "127.0.0.1:";
    let mut free: BTreeMap<&str, TcpListener> = BTreeMap::new();
    let mut text = String::new();
    let mut rest = script;
    while let Some(at) = rest.find(HOST) {
        let (before, after) = rest.split_at(at + HOST.len());
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (port, after) = after.split_at(digits);
        let listener =
            free.entry(port).or_insert_with(|| TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap());
        text.push_str(before);
        text.push_str(&listener.local_addr().unwrap().port().to_string());
        rest = after;
    }
    text + rest
}

#[test]
fn only_commands_of_console_blocks_are_taken() {
    let markdown = "$ no\n```console\n$ a \\\n> b\noutput\n$ c\n```\n```sh\n$ no\n```\n";
    assert_eq!(commands(markdown), ["a \\\nb", "c"]);
}

#[test]
fn a_port_stays_the_same_within_a_document() {
    let script = with_free_ports("a 127.0.0.1:1/x b 127.0.0.1:2 c 127.0.0.1:1");
    let ports: Vec<&str> =
        script.split("127.0.0.1:").skip(1).map(|part| part.split(['/', ' ']).next().unwrap()).collect();
    assert_eq!(ports[0], ports[2]);
    assert_ne!(ports[0], ports[1]);
}
