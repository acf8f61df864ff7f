//! The real binary under faults: hubs and clients that are killed, replies that never arrive, disks
//! that are full, strangers that talk nonsense.
//!
//! Owns the promises "durable", "exactly one effect", "convergent" and "never blocked by one" as seen
//! from outside of the process. Must never look into the hub's files or call its code: what a client
//! can see is what counts. [`history`] judges, [`proxy`] and the signals of [`hub`] break things.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod attach_crash;
mod backup;
mod balancer;
mod blows;
mod bootstrap;
mod client_crash;
mod clock;
mod clock_steps;
mod cut_replies;
mod damaged;
mod data_gone;
#[path = "../../../server/tests/support/postgres.rs"]
mod database;
mod device;
mod disk;
mod disk_full;
#[path = "../support/eventually.rs"]
mod eventually;
mod foreign;
mod garbage;
mod history;
mod http;
mod hub;
mod hub_crash;
mod live_way;
mod load;
mod many_spaces;
mod nebula;
mod node;
mod packet_crash;
mod packet_life;
mod proxy;
mod read_only;
mod redis;
mod rounds;
mod saving;
mod second_hub;
mod shutdown;
mod slow_way;
#[allow(dead_code)] // others ask whether it is a disk of its own
#[path = "../../../server/tests/database/small.rs"]
mod small;
mod strict_node;
mod together;
mod workers;
mod writer;

use database::Postgres;
use disk::Disk;
