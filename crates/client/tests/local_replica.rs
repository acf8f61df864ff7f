//! The replica against the real decisions of a hub that lives in the test's memory: batches,
//! receipts, pages, snapshots, rebase, quarantine.
#![allow(clippy::unwrap_used)] // the helpers of tests are tests too

#[path = "local_replica/fates.rs"]
mod fates;
#[path = "local_replica/outbox.rs"]
mod outbox;
#[path = "local_replica/quarantine.rs"]
mod quarantine;
#[path = "local_replica/random.rs"]
mod random;
#[path = "local_replica/rebase.rs"]
mod rebase;
#[path = "local_replica/world.rs"]
mod world;
