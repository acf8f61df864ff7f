//! Reads documents from a CSV file.

use super::csv_quotes::Quotes;
use super::{COLUMNS_MAX, RECORD_BYTES_MAX, TransferError, cell};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::io::{self, Read};

/// The documents of a CSV file after its header.
#[derive(Debug)]
pub(super) struct CsvRecords<R> {
    reader: csv::Reader<Rationed<R>>,
    columns: Vec<Column>,
    row: csv::ByteRecord,
    records: u64,
}

/// A column and the field that it stands for.
#[derive(Debug)]
struct Column {
    title: String,
    names: Vec<String>,
}

/// Bytes read for one row, so that a quote that is never closed does not fill the memory.
const ROW_BYTES_MAX: usize = 4 * RECORD_BYTES_MAX;
const TOO_LONG: &str = "does not end within 64 MiB; a quote may be left open";

/// Nesting of the fields that columns stand for: the limit of a document.
const NAMES_MAX: usize = 64;

impl<R: Read> CsvRecords<R> {
    /// Reads the header.
    pub(super) fn open(reader: R) -> Result<CsvRecords<R>, TransferError> {
        let rationed = Rationed { reader, bytes_left: ROW_BYTES_MAX, quotes: Quotes::default() };
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(rationed);
        if let Err(error) = reader.byte_headers() {
            if reader.get_ref().bytes_left == 0 {
                return Err(TransferError::Header { reason: TOO_LONG.to_owned() });
            }
            return Err(TransferError::Io(error.into()));
        }
        if let Some(reason) = reader.get_ref().quotes.unclosed() {
            return Err(TransferError::Header { reason });
        }
        let _header = reader.get_mut().quotes.next_row();
        let header = reader.byte_headers().map_err(|error| TransferError::Io(error.into()))?;
        let columns = columns(header).map_err(|reason| TransferError::Header { reason })?;
        Ok(CsvRecords { reader, columns, row: csv::ByteRecord::new(), records: 0 })
    }

    /// The next document.
    pub(super) fn read(&mut self) -> Result<Option<Value>, TransferError> {
        let behind = self.reader.position().line();
        let record = self.records + 1;
        self.reader.get_mut().bytes_left = ROW_BYTES_MAX;
        let read = self.reader.read_byte_record(&mut self.row);
        let line = self.reader.get_mut().quotes.next_row().unwrap_or(behind);
        let refused = |reason| TransferError::Record { record, line, reason };
        match read {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(_) if self.reader.get_ref().bytes_left == 0 => return Err(refused(TOO_LONG.to_owned())),
            Err(error) => return Err(TransferError::Io(error.into())),
        }
        self.records = record;
        if let Some(reason) = self.reader.get_ref().quotes.unclosed() {
            return Err(refused(reason));
        }
        self.document().map(Some).map_err(refused)
    }

    fn document(&self) -> Result<Value, String> {
        let (cells, columns) = (self.row.len(), self.columns.len());
        if cells != columns {
            return Err(format!("has {cells} cells, but the header names {columns} columns"));
        }
        let mut document = Map::new();
        for (cell, column) in self.row.iter().zip(&self.columns) {
            let title = &column.title;
            if cell.len() > RECORD_BYTES_MAX {
                return Err(format!("column `{title}` has {} bytes; the limit is {RECORD_BYTES_MAX}", cell.len()));
            }
            let text = std::str::from_utf8(cell)
                .map_err(|_| format!("column `{title}` is not UTF-8; save the file as UTF-8"))?;
            if let Some(value) = cell::read(text)
                && !cell::place(&mut document, &column.names, value)
            {
                return Err(format!(
                    "column `{title}` and another both give a value to the same field; empty one of them"
                ));
            }
        }
        Ok(Value::Object(document))
    }
}

fn columns(header: &csv::ByteRecord) -> Result<Vec<Column>, String> {
    if header.is_empty() {
        return Err("is missing; the first row names the columns".to_owned());
    }
    if header.len() > COLUMNS_MAX {
        return Err(format!("names {} columns; the limit is {COLUMNS_MAX}", header.len()));
    }
    let mut seen = HashSet::new();
    let mut columns = Vec::with_capacity(header.len());
    for (at, title) in header.iter().enumerate() {
        let title = std::str::from_utf8(title)
            .map_err(|_| format!("column {} is not UTF-8; save the file as UTF-8", at + 1))?;
        let names = cell::names(title);
        if names.len() > NAMES_MAX {
            return Err(format!("column {} nests more than {NAMES_MAX} levels deep", at + 1));
        }
        if !seen.insert(names.clone()) {
            return Err(format!("names `{title}` twice; every column needs its own name"));
        }
        columns.push(Column { title: title.to_owned(), names });
    }
    Ok(columns)
}

/// A reader that fails once its ration is used up, and that knows whether the file ends inside quotes.
#[derive(Debug)]
struct Rationed<R> {
    reader: R,
    bytes_left: usize,
    quotes: Quotes,
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes_left == 0 {
            return Err(io::Error::other(TOO_LONG));
        }
        let wanted = buffer.len().min(self.bytes_left);
        let read = self.reader.read(&mut buffer[..wanted])?;
        self.bytes_left -= read;
        self.quotes.pass(&buffer[..read]);
        Ok(read)
    }
}
