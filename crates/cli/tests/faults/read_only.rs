//! Directories that may not be written: a hub, a backup, a restoration and a device say which, and leave what is there
//! as it is.

use crate::history::{Deed, Log};
use crate::hub::{Hub, SYNCLINE, TOKEN};
use crate::node::Node;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const NOTES: &str = "notes";
const READ_ONLY: u32 = 0o555;
const WRITABLE: u32 = 0o755;

#[test]
fn a_hub_that_may_not_write_its_directory_refuses_to_start_by_the_directorys_name() {
    let place = Place::new();
    let data = place.path("hub");
    let (hub, node) = hub_with_a_note(&place, &data);
    drop(hub);

    place.may(&data, READ_ONLY);
    place.may(&data.join("spaces"), READ_ONLY);
    let refusal = Hub::try_spawn(place.command(), &data).err().expect("it cannot work there");
    assert!(refusal.contains(data.to_str().unwrap()) && refusal.contains("ermission denied"), "{refusal}");
    let nowhere = place.path("closed");
    fs::create_dir(&nowhere).unwrap();
    place.may(&nowhere, READ_ONLY);
    let refusal = Hub::try_spawn(place.command(), &nowhere.join("hub")).err().expect("it cannot work there");
    assert!(refusal.contains(nowhere.to_str().unwrap()) && refusal.contains("ermission denied"), "{refusal}");

    place.may(&data, WRITABLE);
    place.may(&data.join("spaces"), WRITABLE);
    let hub = Hub::spawn(place.command(), &data);
    Log::read(&hub.address).judge(node.notes());
}

#[test]
fn a_hub_whose_directory_becomes_read_only_goes_on_with_what_is_open_and_names_what_it_cannot_make() {
    let place = Place::new();
    let data = place.path("hub");
    let (hub, mut node) = hub_with_a_note(&place, &data);

    place.may(&data.join("spaces"), READ_ONLY);
    let url = format!("http://{}", hub.address);
    let add = || {
        let mut command = Command::new(SYNCLINE);
        command.args(["token", "add", "t", "--space", "other", "--hub", &url, "--token", TOKEN]).output().unwrap()
    };
    let refused = add();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("other.db"), "{said}");
    node.write(Deed::Insert, NOTES, "meanwhile");
    node.push().unwrap();

    place.may(&data.join("spaces"), WRITABLE);
    let made = add();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(hub.get("/health/ready").status, 200);
    Log::read(&hub.address).judge(node.notes());
}

#[test]
fn a_backup_and_a_restoration_name_the_directory_that_they_may_not_write() {
    let place = Place::new();
    drop(Hub::spawn(place.command(), &place.path("hub")));
    drop(place.runs(&["backup", "saved", "--data", "hub"]));
    fs::create_dir(place.path("closed")).unwrap();
    place.may(&place.path("closed"), READ_ONLY);

    for args in [["backup", "closed/saved", "--data", "hub"], ["restore", "saved", "--data", "closed/back"]] {
        let said = place.refuses(&args);
        assert!(said.contains("closed/") && said.contains("ermission denied"), "{args:?}: {said}");
    }
}

#[test]
fn a_device_that_may_not_write_its_file_says_so_and_keeps_everything() {
    let place = Place::new();
    drop(place.runs(&["db", "insert", "d.db", NOTES, r#"{"_id": "before"}"#]));
    let file = place.path("d.db");

    place.may(&file, 0o444);
    place.may(place.home.path(), READ_ONLY);
    for args in [&["db", "insert", "d.db", NOTES, r#"{"_id": "x"}"#][..], &["db", "insert", "new.db", NOTES, "{}"]] {
        let said = place.refuses(args);
        assert!(said.contains(args[2]), "{args:?}: {said}");
    }
    place.may(&file, 0o644);
    place.may(place.home.path(), WRITABLE);
    drop(place.runs(&["db", "insert", "d.db", NOTES, r#"{"_id": "after"}"#]));
    assert_eq!(place.runs(&["db", "count", "d.db", NOTES]).trim(), "2");
}

#[test]
fn a_database_that_may_not_be_written_is_not_attached_and_stays_as_it_is() {
    let place = Place::new();
    let file = place.path("app.db");
    let made = "CREATE TABLE notes(id INTEGER PRIMARY KEY, t TEXT); INSERT INTO notes(t) VALUES ('x')";
    rusqlite::Connection::open(&file).unwrap().execute_batch(made).unwrap();
    fs::write(place.path("app.db.toml"), "[types.Note]\ntable = \"notes\"\n").unwrap();
    place.may(&file, 0o444);
    place.may(place.home.path(), READ_ONLY);
    let before = fs::read(&file).unwrap();
    let once = ["attach", "once", "app.db", "--token", "t", "--hub", "http://127.0.0.1:1"];

    let said = place.refuses(&once);
    assert!(said.contains("cannot be written to") && said.contains("ls -l"), "{said}");
    assert!(place.refuses(&["attach", "init", "app.db", "--mapping", "new.toml"]).contains("ermission denied"));
    assert_eq!(fs::read(&file).unwrap(), before);

    place.may(&file, 0o644);
    place.may(place.home.path(), WRITABLE);
    let said = place.refuses(&once);
    assert!(said.contains("cannot reach the hub"), "{said}");
}

/// A hub that has taken one note, and who wrote it.
fn hub_with_a_note(place: &Place, data: &Path) -> (Hub, Node) {
    let hub = Hub::spawn(place.command(), data);
    let mut node = Node::new("n", &hub.address);
    node.write(Deed::Insert, NOTES, "before");
    node.push().unwrap();
    (hub, node)
}

/// A directory of somebody who is not root: whom permissions bind.
struct Place {
    home: TempDir,
    is_root: bool,
}

impl Place {
    fn new() -> Place {
        let told = Command::new("id").arg("-u").output().unwrap();
        let place = Place { home: tempfile::tempdir().unwrap(), is_root: told.stdout.trim_ascii() == b"0" };
        place.may(place.home.path(), WRITABLE);
        if place.is_root {
            // The way to the binary may be closed to others.
            fs::copy(SYNCLINE, place.path("syncline")).unwrap();
            let given = Command::new("chown").args(["-R", NOBODY]).arg(place.home.path()).status().unwrap();
            assert!(given.success());
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The binary, run by somebody who is not root.
    fn command(&self) -> Command {
        if !self.is_root {
            return Command::new(SYNCLINE);
        }
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()]);
        command.arg(self.path("syncline"));
        command
    }

    /// Sets permissions; the owner stays.
    fn may(&self, path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        if self.is_root {
            let given = Command::new("chown").arg(NOBODY).arg(path).status().unwrap();
            assert!(given.success());
        }
    }

    fn runs(&self, args: &[&str]) -> String {
        let output = self.command().args(args).current_dir(self.home.path()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refuses(&self, args: &[&str]) -> String {
        let output = self.command().args(args).current_dir(self.home.path()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        said
    }
}

/// A user without rights.
const NOBODY: &str = "65534";
