//! What a hub has kept aside: [`conflicts`] of edits that lost, [`quarantine`] of ops that it could not apply. Which rows
//! is the same for both, and how a list goes on.

pub mod conflicts;
pub mod quarantine;

use crate::error::CliError;
use crate::groups::SpaceArgs;
use syncline_core::model::{CollectionName, DocId};
use syncline_server::kept::MendReceipt;
use syncline_server::store::ListQuery;

/// What a list shows of a document or an op; one row alone shows all of it.
const LISTED_CHARS: usize = 160;

/// The beginning of a text that may be megabytes long.
fn in_short(text: &str) -> String {
    match text.char_indices().nth(LISTED_CHARS) {
        Some((end, _)) => format!("{}… ({} bytes; `show` has it all)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

/// Which rows.
#[derive(Debug, clap::Args)]
struct RowArgs {
    /// Only of this collection
    #[arg(long, value_name = "NAME")]
    collection: Option<String>,
    /// Only of the document with this id
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// At most so many, at most 1000
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only those with a number below this, to go on after a full list
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
    #[command(flatten)]
    space: SpaceArgs,
}

impl RowArgs {
    fn query(&self) -> Result<ListQuery, CliError> {
        Ok(ListQuery {
            collection: self.collection.as_ref().map(CollectionName::new).transpose()?,
            id: self.id.as_ref().map(DocId::new).transpose()?,
            before: self.before,
            limit: self.limit.into(),
        })
    }

    /// A remark after a full list: how to go on.
    fn more(&self, last: Option<u64>, shown: usize) -> String {
        match last {
            Some(number) if shown == usize::from(self.limit) => format!("\nOlder ones: add --before {number}"),
            _ => String::new(),
        }
    }
}

/// One row.
#[derive(Debug, clap::Args)]
struct OneRow {
    /// Its number, as the list shows it
    #[arg(value_name = "NUMBER")]
    n: u64,
    #[command(flatten)]
    space: SpaceArgs,
}

/// What became of a row that an op was given for.
fn told_of(given: bool, done: &MendReceipt) -> String {
    let told = told("op", done);
    match given && done.repeated {
        true => {
            format!("{told}; what `--op` gives now was not applied: if it is something else, write it as a new edit")
        }
        false => told,
    }
}

/// What became of a row, in words.
fn told(what: &str, done: &MendReceipt) -> String {
    let before = if done.repeated { "was already" } else { "is" };
    match (done.result.as_str(), done.lsn.0) {
        ("applied", 0) => format!("{what} {} {before} as it should be: nothing had to change", done.n),
        ("applied", lsn) => format!("{what} {} {before} applied, as change {lsn}", done.n),
        (result, _) => format!("{what} {} {before} {result}", done.n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_the_beginning_of_what_is_long() {
        assert_eq!(in_short("ж"), "ж");
        let shown = in_short(&"ж".repeat(500));
        assert_eq!(shown, format!("{}… (1000 bytes; `show` has it all)", "ж".repeat(LISTED_CHARS)));
    }
}
