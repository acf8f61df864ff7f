//! The binary `syncline`: the hub, its administration and a shell for embedded databases.
//!
//! In reading order: [`args`] (the tree of commands), [`groups`] (arguments that
//! several share), [`config`] (file, variables, flags), [`cmd`]
//! (one file per command), [`hub`] (a hub from the administrator's side), [`packet_file`], [`log`], [`stop`]
//! (signals), [`output`] (tables or JSON), [`error`], [`next_step`] and [`report`] (what can fail and what to do
//! next). Decides nothing about data: that is the libraries' work.

mod args;
mod cmd;
mod config;
mod error;
mod groups;
mod hub;
mod log;
mod next_step;
mod output;
mod packet_file;
mod report;
mod stop;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use error::CliError;
use output::Output;
use report::report;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return report::usage(&error),
    };
    let output = Output::new(cli.json);
    // Fails only when a provider is chosen already, and then that one is used.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(source) => return report(&CliError::Runtime(source), output),
    };
    match runtime.block_on(run(&cli.command, output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error, output),
    }
}

async fn run(command: &Command, output: Output) -> Result<(), CliError> {
    match command {
        Command::Serve(args) => cmd::serve::run(args, output).await,
        Command::Demo(args) => cmd::demo::run(args, output).await,
        Command::Token(args) => cmd::token::run(args, output).await,
        Command::Node(args) => cmd::node::run(args, output).await,
        Command::Exchange(args) => cmd::exchange::run(args, output).await,
        Command::Status(args) => cmd::status::run(args, output).await,
        Command::Rules(args) => cmd::rules::run(args, output).await,
        Command::Conflicts(args) => cmd::kept::conflicts::run(args, output).await,
        Command::Quarantine(args) => cmd::kept::quarantine::run(args, output).await,
        Command::Doctor(args) => cmd::operate::doctor::run(args, output).await,
        Command::Backup(args) => cmd::operate::backup::run(args, output).await,
        Command::Migrate(args) => cmd::operate::migrate::run(args, output).await,
        Command::Restore(args) => cmd::operate::restore::run(args, output).await,
        Command::Verify(args) => cmd::verify::run(args, output).await,
        Command::Db(args) => cmd::db::run(args, output).await,
        Command::Attach(args) => cmd::attach::run(args, output).await,
        Command::Config(args) => cmd::config::run(args, output),
        Command::Completions(args) => cmd::completions::run(args, Cli::command(), output),
    }
}
