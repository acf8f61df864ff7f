//! Writes documents to a file, one by one.

use super::{COLUMNS_MAX, TransferError, cell};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::io::Write;

/// The columns of a CSV file, gathered from all documents before the first is written: `_id` first,
/// the others as they appear.
#[derive(Clone, Debug)]
pub struct Columns {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Columns {
    /// The column `_id` alone.
    #[must_use]
    pub fn new() -> Columns {
        Columns { names: vec!["_id".to_owned()], places: HashMap::from([("_id".to_owned(), 0)]) }
    }

    /// Adds the columns of a document.
    ///
    /// # Errors
    /// [`TransferError::TooManyColumns`] above [`COLUMNS_MAX`].
    pub fn add(&mut self, document: &Value) -> Result<(), TransferError> {
        let Some(fields) = document.as_object() else {
            return Ok(());
        };
        cell::each(fields, &mut |column, _| {
            if self.names.len() <= COLUMNS_MAX && !self.places.contains_key(column) {
                self.places.insert(column.to_owned(), self.names.len());
                self.names.push(column.to_owned());
            }
        });
        if self.names.len() > COLUMNS_MAX { Err(TransferError::TooManyColumns) } else { Ok(()) }
    }
}

impl Default for Columns {
    fn default() -> Columns {
        Columns::new()
    }
}

/// Writes documents in one format. Wrap files in a `BufWriter`; call [`Exporter::finish`] at the end.
///
/// ```
/// use serde_json::json;
/// use syncline::transfer::Exporter;
///
/// let mut exporter = Exporter::json_lines(Vec::new());
/// exporter.write(&json!({"_id": "u1"}))?;
/// assert_eq!(exporter.finish()?, b"{\"_id\":\"u1\"}\n");
/// # Ok::<(), syncline::transfer::TransferError>(())
/// ```
#[derive(Debug)]
pub struct Exporter<W: Write> {
    form: Form<W>,
    written: u64,
}

#[derive(Debug)]
enum Form<W: Write> {
    Array(W),
    Lines(W),
    Csv { writer: Box<csv::Writer<W>>, columns: Columns, header_due: bool },
}

impl<W: Write> Exporter<W> {
    /// Writes one JSON array, one document per line.
    pub fn json_array(writer: W) -> Exporter<W> {
        Exporter { form: Form::Array(writer), written: 0 }
    }

    /// Writes one document per line.
    pub fn json_lines(writer: W) -> Exporter<W> {
        Exporter { form: Form::Lines(writer), written: 0 }
    }

    /// Writes a table with these columns, which must have been gathered from the same documents.
    pub fn csv(writer: W, columns: Columns) -> Exporter<W> {
        let writer = Box::new(csv::Writer::from_writer(writer));
        Exporter { form: Form::Csv { writer, columns, header_due: true }, written: 0 }
    }

    /// Writes the next document.
    ///
    /// # Errors
    /// [`TransferError`] when the value is no object, has a field without a column, or the file
    /// cannot be written.
    pub fn write(&mut self, document: &Value) -> Result<(), TransferError> {
        let record = self.written + 1;
        let fields = document.as_object().ok_or(TransferError::NotADocument { record })?;
        match &mut self.form {
            Form::Array(writer) => {
                writer.write_all(if self.written == 0 { b"[\n" } else { b",\n" })?;
                write_json(writer, document)?;
            }
            Form::Lines(writer) => {
                write_json(writer, document)?;
                writer.write_all(b"\n")?;
            }
            Form::Csv { writer, columns, header_due } => {
                let row = row(fields, columns, record)?;
                if std::mem::take(header_due) {
                    writer.write_record(&columns.names).map_err(io_error)?;
                }
                writer.write_record(row).map_err(io_error)?;
            }
        }
        self.written = record;
        Ok(())
    }

    /// Ends the file and flushes it. An export without documents is an empty array, an empty file,
    /// or a header.
    ///
    /// # Errors
    /// [`TransferError::Io`].
    pub fn finish(self) -> Result<W, TransferError> {
        let mut inner = match self.form {
            Form::Array(mut writer) => {
                writer.write_all(if self.written == 0 { b"[]\n" } else { b"\n]\n" })?;
                writer
            }
            Form::Lines(writer) => writer,
            Form::Csv { mut writer, columns, header_due } => {
                if header_due {
                    writer.write_record(&columns.names).map_err(io_error)?;
                }
                writer.into_inner().map_err(|error| TransferError::Io(error.into_error()))?
            }
        };
        inner.flush()?;
        Ok(inner)
    }
}

fn write_json(writer: &mut impl Write, document: &Value) -> Result<(), TransferError> {
    serde_json::to_writer(writer, document).map_err(|error| TransferError::Io(error.into()))
}

fn row(fields: &Map<String, Value>, columns: &Columns, record: u64) -> Result<Vec<String>, TransferError> {
    let mut row = vec![String::new(); columns.names.len()];
    let mut unknown = None;
    cell::each(fields, &mut |column, value| match columns.places.get(column) {
        Some(place) => row[*place] = cell::write(value),
        None => unknown = Some(column.to_owned()),
    });
    match unknown {
        Some(column) => Err(TransferError::UnknownColumn { record, column }),
        None => Ok(row),
    }
}

/// Writing rows of equal length fails only where the file does.
fn io_error(error: csv::Error) -> TransferError {
    TransferError::Io(error.into())
}
