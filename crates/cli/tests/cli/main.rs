//! The real binary, used as a person or a script uses it.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod admin;
mod attach;
mod attach_postgres;
mod backup;
mod config;
mod construction;
mod damaged;
mod db;
mod demo;
mod deploy;
mod docs_commands;
mod doctor;
mod doctor_shared;
#[path = "../support/environment.rs"]
mod environment;
#[path = "../support/eventually.rs"]
mod eventually;
mod kept;
mod nodes;
mod postgres;
mod rules;
mod serve;
mod shell;
mod slips;
mod verify;
