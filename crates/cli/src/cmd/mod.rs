//! The commands, one per file. Each parses nothing but its own arguments, does its work through a
//! library of the project, and hands the result to [`Output`](crate::output::Output).

pub mod attach;
pub mod completions;
pub mod config;
pub mod db;
pub mod demo;
pub mod exchange;
pub mod kept;
pub mod node;
pub mod operate;
pub mod rules;
pub mod serve;
pub mod status;
pub mod token;
pub mod verify;
