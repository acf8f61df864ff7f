//! How results look: one JSON document with `--json`, tables and sentences for people otherwise.
//! Results go to standard output, everything else to standard error. Colours appear only on
//! terminals, and never with `NO_COLOR`.

use crate::error::CliError;
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// Where and how a command writes.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Machine-readable.
    pub json: bool,
    /// Standard output takes colours.
    colour: bool,
}

/// A way to set words off.
#[derive(Clone, Copy, Debug)]
pub enum Style {
    /// Titles and what matters most.
    Bold,
    /// What matters least.
    Faint,
    /// Good news.
    Good,
    /// What wants attention.
    Attention,
    /// Bad news.
    Bad,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Style::Bold => "1",
            Style::Faint => "2",
            Style::Good => "32",
            Style::Attention => "33",
            Style::Bad => "31",
        }
    }
}

impl Output {
    /// Looks at standard output and the environment once.
    pub fn new(json: bool) -> Output {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Output { json, colour: wanted && !json && std::io::stdout().is_terminal() }
    }

    /// The text, set off where colours are welcome.
    pub fn paint(self, style: Style, text: &str) -> String {
        if self.colour { format!("\x1b[{}m{text}\x1b[0m", style.code()) } else { text.to_owned() }
    }

    /// The result of a command: the value as one JSON document, or the text for people.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn result<T: Serialize>(self, value: &T, text: impl FnOnce() -> String) -> Result<(), CliError> {
        if self.json {
            let json = serde_json::to_string_pretty(value).expect("results serialize");
            self.line(&json)
        } else {
            self.line(text().trim_end_matches('\n'))
        }
    }

    /// One line (or text) on standard output, written at once.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn line(self, text: &str) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(CliError::Output)
    }

    /// A remark for people; it disturbs no result.
    pub fn remark(self, text: &str) {
        if !self.json {
            // Standard error that is closed can tell nobody about it.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}

/// Columns that line up.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column titles.
    pub fn new<const N: usize>(titles: [&str; N]) -> Table {
        Table { rows: vec![titles.map(str::to_owned).to_vec()] }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The table as text, its titles in bold.
    pub fn render(&self, output: Output) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| self.rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let line = |row: &Vec<String>| {
            // Not by `format!`, which knows widths up to 65,535 only.
            let padded = |(cell, width): (&String, &usize)| {
                format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count())))
            };
            row.iter().zip(&widths).map(padded).collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let mut lines: Vec<String> = self.rows.iter().map(line).collect();
        lines[0] = output.paint(Style::Bold, &lines[0]);
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["NAME", "AGE"]);
        table.row(["Žofie".into(), "7".into()]);
        let text = table.render(Output { json: false, colour: false });
        assert_eq!(text, "NAME   AGE\nŽofie  7");
        table.row(["x".repeat(70_000), String::new()]);
        assert_eq!(table.render(Output { json: false, colour: false }).lines().count(), 3);
    }
}
