//! Attached databases against a hub that is just a list of objects, step by step and without a network: applications
//! write real SQLite files through connections of their own.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

#[path = "attached/capture.rs"]
mod capture;
#[path = "attached/centre.rs"]
mod centre;
#[path = "attached/contact.rs"]
mod contact;
#[path = "attached/drift.rs"]
mod drift;
#[path = "attached/relations.rs"]
mod relations;
#[path = "attached/trouble.rs"]
mod trouble;
#[path = "attached/types.rs"]
mod types;
