//! The real binary, used as a person or a script uses it.

mod admin;
mod config;
mod db;
mod demo;
mod docs_commands;
mod serve;
mod shell;
