//! The binary `syncline`: the hub, its administration and a shell for embedded databases.
//!
//! In reading order: [`args`] (the tree of commands), [`config`] (file, variables, flags), [`cmd`]
//! (one file per command), [`output`] (tables or JSON), [`error`] (what can fail and what to do
//! next). Decides nothing about data: that is the libraries' work.

mod args;
mod cmd;
mod config;
mod error;
mod output;

use args::{Cli, Command};
use clap::Parser;
use error::CliError;
use output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    match run(&cli.command, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.report(output);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(command: &Command, output: Output) -> Result<(), CliError> {
    match command {
        Command::Config(args) => cmd::config::run(args, output),
        Command::Completions(args) => cmd::completions::run(args, output),
    }
}
