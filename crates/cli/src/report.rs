//! How a failure reaches the one who ran the command: on standard error, and by the exit code.

use crate::error::CliError;
use crate::output::Output;
use serde_json::json;
use std::io::{self, Write};
use std::process::ExitCode;

/// Tells a person (or, with `--json`, a program) and gives the exit code. A reader of standard
/// output that went away (`syncline … | head`) is nothing to tell.
pub fn report(error: &CliError, output: Output) -> ExitCode {
    let code = ExitCode::from(error.exit_code());
    if matches!(error, CliError::Output(source) if source.kind() == io::ErrorKind::BrokenPipe) {
        return code;
    }
    let step = error.next_step();
    let text = if output.json {
        as_json(&error.to_string(), step.as_deref(), error.exit_code())
    } else {
        format!("error: {error}{}", step.map(|step| format!("\n  next: {step}")).unwrap_or_default())
    };
    // Standard error that is closed can tell nobody about it.
    let _ = writeln!(io::stderr(), "{text}");
    code
}

/// Tells what is wrong with the arguments, or shows the help or version that they ask for. The
/// arguments were not understood, so `--json` is looked for as a word.
pub fn usage(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    if wants_json && error.use_stderr() {
        let said = error.render().to_string();
        let paragraphs: Vec<&str> = said.split("\n\n").map(str::trim).collect();
        let first = paragraphs.first().map_or("", |text| text.trim_start_matches("error: "));
        let rest = paragraphs.get(1..).unwrap_or_default().join("; ");
        // Standard error that is closed can tell nobody about it.
        let _ = writeln!(io::stderr(), "{}", as_json(first, Some(&rest), 2));
    } else {
        // As above.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn as_json(error: &str, step: Option<&str>, code: u8) -> String {
    json!({ "error": error, "next_step": step, "exit_code": code }).to_string()
}
