//! The tables of the exchange's design, as an operator finds them in a space's file or in the database.

#![allow(clippy::unwrap_used)] // a failed step is a failed test

#[path = "support/postgres.rs"]
mod server;

use rusqlite::Connection;
use server::Postgres;
use std::collections::BTreeSet;
use syncline_core::hub::{Change, Entry, Loaded, Return, Touch, WriteSet};
use syncline_core::model::{
    Body, CollectionName, DocId, Fill, Known, Lsn, Mark, Meta, Millis, NodeId, Plan, Registration, SpaceName, Stamp,
    Traffic, Version,
};
use syncline_server::store::{PostgresOptions, PostgresStore, PostgresUrl, SqliteOptions, SqliteStore, Store};
use tempfile::TempDir;

const X: &str = "22222222-2222-4222-8222-000000000001";
const Y: &str = "22222222-2222-4222-8222-00000000000A";

fn main_space() -> SpaceName {
    SpaceName::new("main").unwrap()
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// A store, and where its rows are.
struct Place {
    store: Box<dyn Store>,
    rows: Rows,
}

enum Rows {
    File(TempDir),
    Database(String),
}

async fn in_a_file() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap();
    store.open_space(&main_space()).await.unwrap();
    Place { store: Box::new(store), rows: Rows::File(dir) }
}

async fn in_a_database() -> Place {
    let database = Postgres::shared().database();
    let url = PostgresUrl::parse(&Postgres::shared().url(&database)).unwrap();
    let store = PostgresStore::open(&url, PostgresOptions::default()).await.unwrap();
    store.open_space(&main_space()).await.unwrap();
    Place { store: Box::new(store), rows: Rows::Database(database) }
}

async fn places() -> [Place; 2] {
    [in_a_file().await, in_a_database().await]
}

async fn register(store: &dyn Store, name: &str, plan: Plan) {
    let registration = Registration { id: node(name), code: name.to_uppercase(), name: format!("Desk {name}"), plan };
    store.register(&main_space(), registration, None).await.unwrap();
}

/// What one commit does.
#[derive(Clone, Copy)]
enum Do {
    Put(&'static str, &'static str),
    Remove(&'static str, &'static str),
    Return(&'static str, &'static str),
}

/// A commit of one node.
async fn commit(store: &dyn Store, by: &str, steps: &[Do]) {
    let by = node(by);
    let (author, steps) = (by.clone(), steps.to_vec());
    let key = |c: &str, id: &str| (CollectionName::new(c).unwrap(), DocId::new(id).unwrap());
    let mut touch = Touch { nodes: [by].into(), ..Touch::default() };
    for Do::Put(c, id) | Do::Remove(c, id) | Do::Return(c, id) in &steps {
        touch.docs.insert(key(c, id));
    }
    let decide = move |mut loaded: Loaded| {
        let author = loaded.nodes[&author].author;
        let mut writes = WriteSet { at: Millis(1_763_715_600_123), ..WriteSet::default() };
        for step in &steps {
            let lsn = loaded.head.next();
            loaded.head = lsn;
            let mark = Mark { stamp: Stamp(1_000 + lsn.0), lsn, author };
            let (Do::Put(c, id) | Do::Remove(c, id) | Do::Return(c, id)) = step;
            let (collection, id) = key(c, id);
            let old = loaded.docs.get(&(collection.clone(), id.clone())).map(|version| version.meta.clone());
            let meta = match (step, old) {
                (Do::Return(..), _) => {
                    writes.entries.push(Entry::Return(Return { lsn, collection, id, author, lost: BTreeSet::new() }));
                    continue;
                }
                (Do::Put(..), None) => Meta::inserted(mark),
                (Do::Put(..), Some(meta)) => Meta { whole: mark, ..meta },
                (Do::Remove(..), meta) => Meta { removed: Some(mark), ..meta.unwrap_or_default() },
            };
            let version = Version { lsn, author, body: Body::trusted("{}"), meta };
            loaded.docs.insert((collection.clone(), id.clone()), version.clone());
            let facts = version.body.facts().clone();
            writes.entries.push(Entry::Change(Change { collection, id, version, facts }));
        }
        writes
    };
    store.commit(&main_space(), touch, Box::new(decide)).await.unwrap();
}

async fn set_traffic(store: &dyn Store, name: &str, traffic: Traffic) {
    let writes = WriteSet { traffic: [(node(name), traffic)].into(), ..WriteSet::default() };
    let touch = Touch { nodes: [node(name)].into(), ..Touch::default() };
    store.commit(&main_space(), touch, Box::new(move |_| writes.clone())).await.unwrap();
}

impl Place {
    /// Rows of a query, their columns joined by spaces.
    fn query(&self, sql: &str) -> Vec<String> {
        match &self.rows {
            Rows::File(dir) => query_file(dir, sql),
            Rows::Database(name) => {
                let sql = format!("\\pset fieldsep ' '\n\\pset null -\nSET search_path = syncline;\n{sql}");
                Postgres::shared().run(name, &sql).lines().map(str::to_owned).collect()
            }
        }
    }
}

fn query_file(dir: &TempDir, sql: &str) -> Vec<String> {
    let file = Connection::open(dir.path().join("spaces/main.db")).unwrap();
    let mut find = file.prepare(sql).unwrap();
    let columns = find.column_count();
    let text = |value: rusqlite::types::Value| match value {
        rusqlite::types::Value::Null => "-".to_owned(),
        rusqlite::types::Value::Integer(n) => n.to_string(),
        rusqlite::types::Value::Text(text) => text,
        other => panic!("{other:?}"),
    };
    let rows = find.query_map([], |row| {
        let cells: Result<Vec<_>, _> = (0..columns).map(|n| row.get(n).map(text)).collect();
        Ok(cells?.join(" "))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_nodes_shows_every_column_of_the_design() {
    for place in places().await {
        let store = &*place.store;
        register(store, "n1", Plan::default()).await;
        register(store, "n2", Plan::default()).await;
        let (received_at, confirmed_at) = (Millis(1_763_715_600_123), Millis(1_763_715_601_000));
        let traffic =
            Traffic { received: 105, received_at, confirmed: 98, confirmed_at, issued: 99, ..Traffic::default() };
        set_traffic(store, "n1", traffic).await;

        let columns = "id, code, name, last_sync_in, last_sync_out, received_packet_no, sent_packet_no";
        assert_eq!(
            place.query(&format!("SELECT {columns} FROM sync_nodes ORDER BY code")),
            ["n1 N1 Desk n1 2025-11-21T09:00:00.123Z 2025-11-21T09:00:01.000Z 105 98", "n2 N2 Desk n2 - - 0 0"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_changes_shows_the_queue_of_each_node() {
    for place in places().await {
        the_queue_is_shown(&place).await;
    }
}

async fn the_queue_is_shown(place: &Place) {
    let store = &*place.store;
    register(store, "n1", Plan::default()).await;
    register(store, "n2", Plan { types: Some(BTreeSet::from([CollectionName::new("B").unwrap()])), ..Plan::default() })
        .await;
    commit(store, "n1", &[Do::Put("A", X), Do::Put("B", Y), Do::Put("A", X), Do::Put("A", "no-uuid")]).await;
    let queue = || {
        place.query(
            "SELECT id, node_id, entity_type, entity_uuid, operation, packet_no FROM sync_changes ORDER BY id, node_id",
        )
    };
    assert_eq!(queue(), [format!("2 n2 B {Y} INSERT -")], "n1 made it all, and n2 gets B only");

    set_traffic(store, "n1", Traffic { cursor: Lsn(4), ..Traffic::default() }).await;
    commit(store, "n3", &[Do::Put("A", X), Do::Remove("B", Y), Do::Put("A", X), Do::Put("C", Y)]).await;
    let sent = vec![(7, Lsn(6)), (8, Lsn(7))];
    set_traffic(
        store,
        "n1",
        Traffic { cursor: Lsn(4), known: Known { upto: Lsn(4), ..Known::default() }, sent, ..Traffic::default() },
    )
    .await;
    let for_n1 = [format!("6 n1 B {Y} DELETE 8"), format!("7 n1 A {X} UPDATE 8"), format!("8 n1 C {Y} INSERT -")];
    assert_eq!(queue()[..], [for_n1[0].clone(), format!("6 n2 B {Y} DELETE -"), for_n1[1].clone(), for_n1[2].clone()]);

    store.unregister(&main_space(), &node("n2")).await.unwrap();
    commit(store, "n1", &[Do::Put("A", X), Do::Return("A", X), Do::Return("C", Y), Do::Return("A", X)]).await;
    assert_eq!(queue(), [for_n1[0].clone(), for_n1[2].clone(), format!("12 n1 A {X} UPDATE -")]);
    set_traffic(
        store,
        "n1",
        Traffic { fill: Some(Fill { start: Lsn(9), again: false, since: Lsn(9) }), ..Traffic::default() },
    )
    .await;
    assert_eq!(
        queue(),
        [format!("8 n1 C {Y} INSERT -"), format!("9 n1 A {X} INSERT -")],
        "a first fill tells of no removal"
    );
    assert_eq!(place.query("SELECT DISTINCT created_at FROM sync_changes"), ["2025-11-21T09:00:00.123Z"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_leaves_no_row_per_node() {
    let place = in_a_file().await;
    let store = &*place.store;
    for n in 0..50 {
        register(store, &format!("n{n}"), Plan::default()).await;
    }
    let rows = || {
        let tables = place.query("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
        let count = |table: &String| place.query(&format!("SELECT count(*) FROM {table}"))[0].parse::<u64>().unwrap();
        tables.iter().map(count).sum::<u64>()
    };
    commit(store, "n0", &[Do::Put("A", Y)]).await;
    let before = rows();
    commit(store, "n0", &[Do::Put("A", X)]).await;
    assert_eq!(rows() - before, 2, "the change and its head");
    assert_eq!(place.query("SELECT count(*) FROM sync_changes"), ["98"], "and yet everybody is to be told");
}
