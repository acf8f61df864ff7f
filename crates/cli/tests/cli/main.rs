//! The real binary, used as a person or a script uses it.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod admin;
mod attach;
mod backup;
mod config;
mod damaged;
mod db;
mod demo;
mod deploy;
mod docs_commands;
mod doctor;
mod kept;
mod nodes;
mod postgres;
mod rules;
mod serve;
mod shell;
mod slips;
mod verify;
