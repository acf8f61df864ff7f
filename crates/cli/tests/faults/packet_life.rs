//! Databases of the library that exchange packets, over their whole life: rows that enter and leave their
//! filters, a change to the log, a hub that comes back from a backup.

use crate::device::Device;
use crate::history::{Deed, Log, converged};
use crate::http::{self, Request};
use crate::hub::{Hub, SYNCLINE, TOKEN};
use crate::proxy::Proxy;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use syncline::query::Query;
use syncline::sync::{DatabaseSync, Protocol, SyncEvent, SyncOptions};
use syncline::{Collection, Database};

const ORDERS: &str = "orders";

#[test]
fn rows_come_and_go_with_a_nodes_filter_and_its_own_edits_are_no_conflicts() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    let centre = Site::by_log(&hub);
    let rows = json!({ ORDERS: { "branch": "$node.branch" } });
    // It may hand rows over to others.
    let wish = json!({ "rows": rows, "write_rows": { ORDERS: {} }, "attributes": { "branch": "north" } });
    let north = Site::by_packets(&hub, "NORTH", &wish);
    for n in 0..6 {
        centre.insert(n, ["north", "south"][n % 2]);
    }
    let meet = || {
        for site in [&centre, &north, &centre, &north] {
            site.cycle();
        }
        centre.rows()
    };
    let of = |all: &BTreeMap<String, Value>, branch: &str| -> BTreeMap<String, Value> {
        all.iter().filter(|(_, row)| row["branch"] == branch).map(|(id, row)| (id.clone(), row.clone())).collect()
    };
    let all = meet();
    assert_eq!((all.len(), north.rows()), (6, of(&all, "north")));

    // Others give rows away and bring some.
    centre.set(0, "south");
    centre.set(1, "north");
    let all = meet();
    assert_eq!(north.rows(), of(&all, "north"));
    assert!(north.rows().contains_key(&uuid(1)) && !north.rows().contains_key(&uuid(0)));

    // It gives rows away itself, and makes some that are not its own.
    north.set(1, "south");
    north.insert(7, "north");
    north.insert(8, "south");
    let all = meet();
    assert_eq!((all.len(), north.rows()), (8, of(&all, "north")));
    assert_eq!((&all[&uuid(1)]["branch"], &all[&uuid(8)]["branch"]), (&json!("south"), &json!("south")));

    // One of them comes back.
    centre.set(1, "north");
    let all = meet();
    assert_eq!(north.rows(), of(&all, "north"));
    assert_eq!(north.conflicts(), 0, "nothing was edited by two");
    let ledger = hub.get("/admin/spaces/main/conflicts").json();
    assert_eq!(ledger["conflicts"], json!([]));

    // It becomes the other branch, with an edit of its own under way.
    north.insert(9, "south");
    let set = ["node", "set", "NORTH", "--attribute", "branch=south"];
    let hub_args = ["--hub", &format!("http://{}", hub.address), "--admin-token", TOKEN];
    let status = Command::new(SYNCLINE).args(set).args(hub_args).current_dir(home.path()).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let all = meet();
    assert_eq!((all.len(), north.rows()), (9, of(&all, "south")));
    assert_eq!(north.conflicts(), 0);
}

#[test]
fn a_file_stays_with_its_dialect_and_loses_nothing_by_a_wrong_one() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    let mut node = Device::by_packets("a", home.path(), "notes", &hub);
    let mut device = Device::new("b", home.path(), "notes");
    for (n, one) in [&mut node, &mut device].into_iter().enumerate() {
        let mut open = one.open(&hub.address);
        open.write(Deed::Insert, &uuid(n));
        assert!(open.cycle().success);
        open.write(Deed::Update, &uuid(n));
    }
    for (one, dialect, said) in
        [(&node, "lsn", "goes by packets"), (&device, "exchange", "has synced with a hub's log")]
    {
        let wrong = one.sync_command(&hub.address).args(["--protocol", dialect]).output().unwrap();
        let why = String::from_utf8_lossy(&wrong.stderr);
        assert!(!wrong.status.success() && why.contains("`notes`") && why.contains(said), "{why}");
        assert!(why.contains("--protocol") && why.contains("another database file"), "it says what to do: {why}");
    }
    let (mut node, mut device) = (node.open(&hub.address), device.open(&hub.address));
    assert!(node.cycle().success && device.cycle().success && node.cycle().success);
    converged(&hub.address, &[("a".into(), node.replica()), ("b".into(), device.replica())]);
}

#[test]
fn a_hub_that_comes_back_from_a_backup_takes_up_with_nodes_that_are_ahead() {
    let home = tempfile::tempdir().unwrap();
    let (data, backup) = (home.path().join("hub"), home.path().join("backup"));
    let mut hub = Hub::start(&data);
    let centre = Site::by_packets(&hub, "CENTRE", &json!({}));
    let branch = Site::by_packets(&hub, "BRANCH", &json!({}));
    centre.insert(0, "first");
    centre.cycle();
    branch.cycle();
    hub.kill();
    copy(&data, &backup);

    hub = Hub::start(&data);
    centre.lead_to(&hub.address);
    branch.lead_to(&hub.address);
    for n in 1..4 {
        centre.insert(n, "after the backup");
        centre.cycle();
        branch.cycle();
    }
    hub.kill();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    hub = Hub::start(&data);
    centre.lead_to(&hub.address);
    branch.lead_to(&hub.address);

    for n in 4..10 {
        branch.lose_an_answer(&hub);
        centre.insert(n, "after the restoration");
        centre.cycle();
    }
    branch.set(0, "edited by the branch");
    branch.insert(10, "of the branch");
    branch.cycle();
    centre.cycle();
    let (ours, theirs) = (centre.rows(), branch.rows());
    assert_eq!(ours, theirs, "what came before the restoration stays with those who have it");
    assert_eq!(ours.len(), 11);
    assert_eq!(ours[&uuid(0)]["branch"], "edited by the branch");
    assert_eq!(Log::read(&hub.address).replica().len(), 8, "the hub itself has lost three");
}

/// A database in memory, and what sync has told it.
struct Site {
    database: Database,
    options: Mutex<SyncOptions>,
    sync: Mutex<DatabaseSync>,
    conflicts: Arc<Mutex<usize>>,
}

impl Site {
    fn by_log(hub: &Hub) -> Site {
        let options = SyncOptions { long_poll: false, ..SyncOptions::new(format!("http://{}", hub.address), TOKEN) };
        Site::with(Database::open_in_memory().unwrap(), options)
    }

    fn by_packets(hub: &Hub, code: &str, plan: &Value) -> Site {
        let database = Database::open_in_memory().unwrap();
        let id = database.replica().node().unwrap().to_string();
        let wish = json!({ "id": id, "code": code, "name": code, "plan": plan }).to_string();
        let (method, path, body) = ("POST", "/admin/spaces/main/nodes", Some(wish.as_bytes()));
        let made = http::send(&hub.address, &Request { method, path, token: TOKEN, body }).unwrap().json();
        let token = made["token"].as_str().unwrap_or_else(|| panic!("{made}"));
        let options = SyncOptions::new(format!("http://{}", hub.address), token);
        Site::with(database, SyncOptions { protocol: Protocol::Exchange, ..options })
    }

    fn with(database: Database, options: SyncOptions) -> Site {
        let options = SyncOptions { collections: vec![ORDERS.into()], auto_sync: false, ..options };
        let sync = database.sync(options.clone()).unwrap();
        let site = Site { database, options: Mutex::new(options), sync: Mutex::new(sync), conflicts: Arc::default() };
        site.listen();
        site
    }

    fn listen(&self) {
        let conflicts = Arc::clone(&self.conflicts);
        let count = move |event: &SyncEvent| {
            *conflicts.lock().unwrap() += usize::from(matches!(event, SyncEvent::Conflict(_)));
        };
        self.sync.lock().unwrap().on("*", count).unwrap();
    }

    fn lead_to(&self, address: &str) {
        let mut options = self.options.lock().unwrap();
        options.url = format!("http://{address}");
        let mut sync = self.sync.lock().unwrap();
        sync.disable();
        *sync = self.database.sync(options.clone()).unwrap();
    }

    fn orders(&self) -> Collection {
        self.database.collection(ORDERS).unwrap()
    }

    fn insert(&self, n: usize, branch: &str) {
        drop(self.orders().insert(json!({ "_id": uuid(n), "branch": branch, "sum": n })).unwrap());
    }

    fn set(&self, n: usize, branch: &str) {
        drop(self.orders().update(&uuid(n), &json!({ "branch": branch })).unwrap());
    }

    fn cycle(&self) {
        let outcome = self.sync.lock().unwrap().sync_now_blocking();
        assert!(outcome.success, "{outcome:?}");
    }

    fn conflicts(&self) -> usize {
        *self.conflicts.lock().unwrap()
    }

    fn rows(&self) -> BTreeMap<String, Value> {
        let rows = self.orders().find(&Query::default()).unwrap();
        rows.into_iter().map(|row| (row["_id"].as_str().unwrap().to_owned(), crate::history::bare(&row))).collect()
    }

    /// The hub answers, and the site hears nothing of it.
    fn lose_an_answer(&self, hub: &Hub) {
        let proxy = Proxy::start(&hub.address, 0);
        let cut_all = crate::proxy::Weather { cut_reply: 100, cut_within_bytes: 1, ..crate::proxy::Weather::CALM };
        proxy.weather(cut_all);
        self.lead_to(&proxy.address);
        assert!(!self.sync.lock().unwrap().sync_now_blocking().success);
        self.lead_to(&hub.address);
    }
}

/// Files of a hub that does not run.
fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-R").args([from, to]).status().unwrap();
    assert!(done.success());
}

fn uuid(n: usize) -> String {
    format!("22222222-2222-4222-8222-{n:012}")
}
