//! Documents to and from files: a JSON array, JSON lines, or CSV.
//!
//! Owns the three formats. Both ways hold one document at a time. It never touches storage: the
//! caller feeds [`Exporter`] and drains [`Import`]. Bad input stops an import with the record, the
//! line and the reason; nothing is left out silently.
//!
//! # CSV
//!
//! The first row names the columns. A column stands for a field; `address.city` is the field `city`
//! inside `address`. A dot or a backslash that belongs to a name is written `\.` or `\\`. A cell is
//! read as
//!
//! | cell | value |
//! |---|---|
//! | empty | the field is absent |
//! | `null`, `true`, `false` | null, a boolean |
//! | a number as JSON writes it (`7`, `-1.5e3`) | a number; integers beyond 64 bits stay text |
//! | JSON that begins with `{`, `[` or `"` | the object, list or string |
//! | anything else, also `007`, `+1`, ` 1` | text |
//!
//! On export, text that would be read as something else (`7`, `true`, the empty text; not `007`) is
//! written as a JSON string, and lists and empty objects as JSON. So every document comes back as it
//! was, save for the order of its fields.

mod cell;
mod csv_quotes;
mod csv_read;
mod error;
mod export;
mod json_read;

#[cfg(test)]
mod tests;

pub use cell::COLUMNS_MAX;
pub use error::TransferError;
pub use export::{Columns, Exporter};

use csv_read::CsvRecords;
use json_read::{ArrayRecords, LineRecords};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};

/// Bytes of one record in a JSON file, or of one cell in CSV: the limit of a document.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// How documents stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON array of documents (`.json`).
    JsonArray,
    /// One document per line (`.jsonl`, `.ndjson`).
    JsonLines,
    /// A table (`.csv`); see [the module](self).
    Csv,
}

impl Format {
    /// The format that a file name's extension stands for, in any case.
    #[must_use]
    pub fn from_extension(extension: &str) -> Option<Format> {
        match extension.to_ascii_lowercase().as_str() {
            "json" => Some(Format::JsonArray),
            "jsonl" | "ndjson" => Some(Format::JsonLines),
            "csv" => Some(Format::Csv),
            _ => None,
        }
    }
}

/// The documents of a file, one by one. Ends after the first error.
///
/// ```
/// use syncline::transfer::{Format, Import};
///
/// let csv = "_id,age,address.city\nu1,41,Oslo\n";
/// let documents: Result<Vec<_>, _> = Import::new(csv.as_bytes(), Format::Csv).collect();
/// assert_eq!(documents?, vec![serde_json::json!({"_id": "u1", "age": 41, "address": {"city": "Oslo"}})]);
/// # Ok::<(), syncline::transfer::TransferError>(())
/// ```
#[derive(Debug)]
pub struct Import<R: Read> {
    records: Records<R>,
    ended: bool,
}

#[derive(Debug)]
enum Records<R: Read> {
    /// Before the first byte is read.
    Unopened(Option<R>, Format),
    Array(ArrayRecords<BufReader<R>>),
    Lines(LineRecords<BufReader<R>>),
    Csv(CsvRecords<BufReader<R>>),
}

impl<R: Read> Import<R> {
    /// Reads documents from `reader`, which needs no buffer of its own. A byte order mark is skipped.
    #[must_use]
    pub fn new(reader: R, format: Format) -> Import<R> {
        Import { records: Records::Unopened(Some(reader), format), ended: false }
    }

    fn read(&mut self) -> Option<Result<Value, TransferError>> {
        if let Records::Unopened(reader, format) = &mut self.records {
            let reader = reader.take()?;
            match open(reader, *format) {
                Ok(records) => self.records = records,
                Err(error) => return Some(Err(error)),
            }
        }
        match &mut self.records {
            Records::Unopened(..) => None,
            Records::Array(records) => records.read().transpose(),
            Records::Lines(records) => records.read().transpose(),
            Records::Csv(records) => records.read().transpose(),
        }
    }
}

impl<R: Read> Iterator for Import<R> {
    type Item = Result<Value, TransferError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.read();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

fn open<R: Read>(reader: R, format: Format) -> Result<Records<R>, TransferError> {
    let mut reader = BufReader::new(reader);
    if reader.fill_buf()?.starts_with(b"\xEF\xBB\xBF") {
        reader.consume(3);
    }
    Ok(match format {
        Format::JsonArray => Records::Array(ArrayRecords::new(reader)),
        Format::JsonLines => Records::Lines(LineRecords::new(reader)),
        Format::Csv => Records::Csv(CsvRecords::open(reader)?),
    })
}
