//! Attached databases against a hub that is just a list of objects, step by step and without a network: applications
//! write real SQLite files and a real PostgreSQL through connections of their own. Most stories run on both.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

#[path = "attached/answers.rs"]
mod answers;
#[path = "attached/app.rs"]
mod app;
#[path = "attached/bulk.rs"]
mod bulk;
#[path = "attached/capture.rs"]
mod capture;
#[path = "attached/centre.rs"]
mod centre;
#[path = "attached/concurrent.rs"]
mod concurrent;
#[path = "attached/contact.rs"]
mod contact;
#[allow(dead_code)] // others start programs on it
#[path = "../../cli/tests/faults/disk.rs"]
mod disk;
#[path = "attached/drift.rs"]
mod drift;
#[path = "attached/keys.rs"]
mod keys;
#[path = "attached/lines.rs"]
mod lines;
#[path = "attached/mappings.rs"]
mod mappings;
#[path = "attached/only_postgres.rs"]
mod only_postgres;
#[path = "attached/only_sqlite.rs"]
mod only_sqlite;
#[path = "../../server/tests/support/postgres.rs"]
mod postgres;
#[path = "attached/references.rs"]
mod references;
#[allow(dead_code)] // others look whether it is mounted
#[path = "../../server/tests/database/small.rs"]
mod small;
#[path = "attached/together.rs"]
mod together;
#[path = "attached/triggers.rs"]
mod triggers;
#[path = "attached/types_postgres.rs"]
mod types_postgres;
#[path = "attached/types_sqlite.rs"]
mod types_sqlite;

use disk::Disk;
use postgres::Postgres;
