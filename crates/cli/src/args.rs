//! The command line: the tree of commands. Each command's own arguments stand beside its code in
//! `cmd/`, those that several share in `groups`.

use crate::cmd;
use clap::{Parser, Subcommand};

/// Keeps documents in step between many devices and one hub.
///
/// Apps write to an embedded database that works offline. The hub keeps the whole picture and one
/// ordered log of changes; every device converges on it.
#[derive(Debug, Parser)]
#[command(
    name = "syncline",
    version,
    arg_required_else_help = true,
    after_help = "Start here:
  syncline demo                 see offline edits, a conflict, a crash and convergence in a few seconds
  syncline serve                start a hub in this directory; prints its address and a first admin token
  syncline token add phone      let a device in
  syncline db insert notes.db notes '{\"title\": \"hello\"}'
  syncline db sync notes.db --hub http://127.0.0.1:7460 --token TOKEN --collections notes

Exit codes: 0 it worked, 1 it failed, 2 the command, its configuration or its input must be written
differently."
)]
pub struct Cli {
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a hub
    Serve(cmd::serve::Args),
    /// See it work: a hub and three devices, offline edits, a conflict, a crash, convergence
    Demo(cmd::demo::Args),
    /// Say who may use the hub
    Token(cmd::token::Args),
    /// Show the devices and apps that a space knows; register those that exchange packets
    Node(cmd::node::Args),
    /// Bring packets of registered nodes in and out by file
    Exchange(cmd::exchange::Args),
    /// Show where the spaces of a hub stand
    Status(cmd::status::Args),
    /// Say what the documents of a collection must keep to, and which do not
    Rules(cmd::rules::Args),
    /// Show which edits lost against concurrent ones, and what they said
    Conflicts(cmd::kept::conflicts::Args),
    /// Show the ops that the hub could not apply, and why
    Quarantine(cmd::kept::quarantine::Args),
    /// Look for what is wrong with a hub, and say what to do
    Doctor(cmd::operate::doctor::Args),
    /// Copy a hub's data while it runs
    Backup(cmd::operate::backup::Args),
    /// Bring a backup back
    Restore(cmd::operate::restore::Args),
    /// Move a hub to another kind of store: a directory, a PostgreSQL database
    Migrate(cmd::operate::migrate::Args),
    /// Hold an embedded database against its hub, and mend it
    Verify(cmd::verify::Args),
    /// Use an embedded database from the shell
    Db(cmd::db::Args),
    /// Make an existing SQL database a node of a hub
    Attach(cmd::attach::Args),
    /// Show the effective configuration and where each value came from
    Config(cmd::config::Args),
    /// Write a completion script for a shell
    Completions(cmd::completions::Args),
}
