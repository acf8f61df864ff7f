//! `syncline completions`: the shell's own completion script on standard output.

use crate::error::CliError;
use crate::output::Output;
use clap::Command;
use clap_complete::Shell;

/// Arguments of `syncline completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  syncline completions bash > ~/.local/share/bash-completion/completions/syncline
  syncline completions zsh  > ~/.zfunc/_syncline
  syncline completions fish > ~/.config/fish/completions/syncline.fish")]
pub struct Args {
    /// The shell that the script is for
    shell: Shell,
}

/// Writes the script for the whole tree of commands.
///
/// # Errors
/// Standard output is closed.
pub fn run(args: &Args, mut tree: Command, output: Output) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut tree, "syncline", &mut script);
    output.line(&String::from_utf8_lossy(&script))
}
