//! The telling: lines for a person as they happen, one JSON document at the end for a program.

use crate::error::CliError;
use crate::output::{Output, Style};
use serde_json::{Value, json};

/// What has been told so far.
pub(super) struct Story {
    output: Output,
    steps: Vec<(String, Vec<String>)>,
}

impl Story {
    pub(super) fn new(output: Output) -> Story {
        Story { output, steps: Vec::new() }
    }

    /// Begins a step.
    pub(super) fn step(&mut self, title: &str) {
        self.steps.push((title.to_owned(), Vec::new()));
        self.print(&format!("\n{}", self.output.paint(Style::Bold, &format!("{}. {title}", self.steps.len()))));
    }

    /// Tells what happened in it.
    pub(super) fn say(&mut self, line: &str) {
        if let Some((_, lines)) = self.steps.last_mut() {
            lines.push(line.trim_start().to_owned());
        }
        self.print(&format!("   {line}"));
    }

    /// Ends well.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(super) fn end(self, lost: &[Value], documents: &[Value]) -> Result<(), CliError> {
        let output = self.output;
        let steps: Vec<Value> =
            self.steps.iter().map(|(title, lines)| json!({ "step": title, "told": lines })).collect();
        let value = json!({ "converged": true, "steps": steps, "conflicts": lost, "documents": documents });
        output.result(&value, || {
            let verdict = "The hub, laptop, phone and tablet hold exactly the same.";
            format!("\n{}\nNext: syncline serve", output.paint(Style::Good, verdict))
        })
    }

    /// A reader that went away ends the story with the last line, not in the middle of a step.
    fn print(&self, line: &str) {
        if !self.output.json {
            let _ = self.output.line(line);
        }
    }
}
