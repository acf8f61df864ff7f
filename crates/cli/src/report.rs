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
    let (step, number) = (error.next_step(), error.exit_code());
    let text = if output.json {
        json!({ "error": error.to_string(), "next_step": step, "exit_code": number }).to_string()
    } else {
        format!("error: {error}{}", step.map(|step| format!("\n  next: {step}")).unwrap_or_default())
    };
    // Standard error that is closed can tell nobody about it.
    let _ = writeln!(io::stderr(), "{text}");
    code
}
