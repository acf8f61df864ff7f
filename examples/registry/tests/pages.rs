//! The pages of the example and the page client, tested as they are used: by node's test runner, in a script
//! sandbox against a running hub, and in a real browser. The scenarios are in `packages/page/test` and
//! `tests/browser.mjs`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// As `src/hub.rs` has it.
const TOKEN: &str = "the-pages-of-the-registry";

#[test]
fn the_page_client_passes_its_own_tests_and_stays_small() {
    npm(page_client(), &["test"], &[]);
}

#[test]
fn a_page_in_a_sandbox_hears_of_changes_by_a_real_client_from_the_real_hub() {
    let package = page_client();
    let home = tempfile::tempdir().unwrap();
    let registry = Registry::start(home.path(), "127.0.0.1:0");
    npm(package, &["run", "test:hub"], &[("SYNCLINE_URL", &registry.url), ("SYNCLINE_TOKEN", TOKEN)]);
}

#[test]
fn two_windows_of_a_real_browser_stay_in_step_also_when_the_hub_is_killed() {
    page_client();
    let example = Path::new(env!("CARGO_MANIFEST_DIR"));
    install(example);
    let home = tempfile::tempdir().unwrap();
    let mut registry = Some(Registry::start(home.path(), "127.0.0.1:0"));
    let url = registry.as_ref().unwrap().url.clone();

    let mut browser = Command::new("node")
        .arg(example.join("tests/browser.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node is installed by `cargo xtask setup`");
    let mut told = browser.stdin.take().unwrap();
    writeln!(told, "{url}").unwrap();
    let (mut held, mut failed) = (0, Vec::new());
    for line in BufReader::new(browser.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.as_str() {
            "kill" => {
                registry = None;
                writeln!(told, "killed").unwrap();
            }
            "start" => {
                registry = Some(Registry::start(home.path(), url.trim_start_matches("http://")));
                writeln!(told, "started").unwrap();
            }
            line if line.starts_with("ok ") => held += 1,
            _ => failed.push(line),
        }
    }
    assert!(browser.wait().unwrap().success() && failed.is_empty(), "{}", failed.join("\n"));
    assert!(held >= 9, "only {held} scenarios ran");
    assert!(registry.is_some(), "the last scenario leaves the hub running");
}

/// The example as a process. Dropping it kills it, without a chance to do anything.
struct Registry {
    child: Child,
    url: String,
}

impl Registry {
    /// Returns once pages can be opened.
    fn start(home: &Path, listen: &str) -> Registry {
        let mut child = Command::new(env!("CARGO_BIN_EXE_syncline-registry"))
            .args(["--listen", listen, "--idle-seconds", "5", "--data"])
            .arg(home.join("data"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("cargo has built the example for its tests");
        let mut url = String::new();
        let said = child.stdout.take().expect("its standard output is a pipe");
        BufReader::new(said).read_line(&mut url).expect("an address is text");
        assert!(url.starts_with("http://"), "the example did not start");
        Registry { child, url: url.trim_end().to_owned() }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of the page client, built once for all tests.
fn page_client() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the example lives in examples/");
        let package = root.join("packages/page");
        install(&package);
        npm(&package, &["run", "build"], &[]);
        package
    })
}

/// What a package needs, unless that is there already.
fn install(package: &Path) {
    let changed_at = |file: &str| fs::metadata(package.join(file)).and_then(|data| data.modified()).ok();
    if changed_at("node_modules/.package-lock.json") < changed_at("package-lock.json") {
        npm(package, &["ci", "--ignore-scripts"], &[]);
    }
}

fn npm(package: &Path, arguments: &[&str], variables: &[(&str, &str)]) {
    let output = Command::new("npm")
        .args(arguments)
        .current_dir(package)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("npm is installed by `cargo xtask setup`");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let line = arguments.join(" ");
    assert!(output.status.success(), "npm {line} failed:\n{}{}", said(&output.stdout), said(&output.stderr));
}
