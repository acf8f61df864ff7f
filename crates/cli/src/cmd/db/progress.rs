//! A progress bar for long work, only where a person looks at the terminal.

use crate::output::Output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;

/// A bar that knows how much there is to do.
pub fn bar(output: Output, total: u64, unit: &str) -> ProgressBar {
    let template = format!("{{bar:30}} {{pos}}/{{len}} {unit} ({{per_sec}}, {{eta}} left)");
    drawn(ProgressBar::with_draw_target(Some(total), target(output)), &template)
}

/// A counter where nobody knows how much there is to do.
pub fn counter(output: Output, unit: &str) -> ProgressBar {
    let template = format!("{{spinner}} {{pos}} {unit} ({{per_sec}})");
    drawn(ProgressBar::with_draw_target(None, target(output)), &template)
}

/// Standard error, which stays silent by itself when it is no terminal.
fn target(output: Output) -> ProgressDrawTarget {
    if output.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() }
}

fn drawn(bar: ProgressBar, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    // Whole ones: nobody counts parts of an object.
    let pace = |state: &ProgressState, text: &mut dyn Write| {
        let _ = write!(text, "{:.0}/s", state.per_sec()); // a text takes all that is written
    };
    bar.with_style(style.with_key("per_sec", pace))
}
