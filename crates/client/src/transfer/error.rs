//! Why an import or export stops.

use syncline_core::model::counted;
use thiserror::Error;

/// A file that cannot be read further, or a document that cannot be written. Records count from 1,
/// without the header of a CSV file; lines count from 1 and say where the record begins.
#[derive(Debug, Error)]
pub enum TransferError {
    /// The file cannot be read or written.
    #[error("the file cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
    /// A record that is no document.
    #[error("record {record} (line {line}): {reason}")]
    Record {
        /// Its number.
        record: u64,
        /// The line where it begins.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A JSON file that is not one array, outside its records.
    #[error("line {line}, after {}: {reason}", counted(*records, "document", "documents"))]
    Array {
        /// The line of the trouble.
        line: u64,
        /// Documents before it.
        records: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// A header that names no table of documents.
    #[error("the header of the CSV file: {reason}")]
    Header {
        /// What is wrong with it.
        reason: String,
    },
    /// More columns than a CSV file may have.
    #[error("the documents have more than {LIMIT} different fields; export them as JSON", LIMIT = super::COLUMNS_MAX)]
    TooManyColumns,
    /// A document that CSV cannot hold in the gathered columns.
    #[error(
        "document {record} has the field `{column}`, which the columns lack; gather the columns from the same documents"
    )]
    UnknownColumn {
        /// Its number, from 1.
        record: u64,
        /// The field as a column name.
        column: String,
    },
    /// A value to export that is not a JSON object.
    #[error("value {record} to export is no JSON object, so it is no document")]
    NotADocument {
        /// Its number, from 1.
        record: u64,
    },
}
