//! Reads documents from JSON lines, or from one JSON array without holding it: only the text of one
//! document at a time.

use super::{RECORD_BYTES_MAX, TransferError};
use serde_json::Value;
use std::io::{BufRead, Read};
use syncline_core::model::plain_words;

/// The documents of a file with one per line; empty lines are passed over.
#[derive(Debug)]
pub(super) struct LineRecords<R> {
    reader: R,
    text: Vec<u8>,
    line: u64,
    records: u64,
}

impl<R: BufRead> LineRecords<R> {
    pub(super) fn new(reader: R) -> LineRecords<R> {
        LineRecords { reader, text: Vec::new(), line: 0, records: 0 }
    }

    /// The next document.
    pub(super) fn read(&mut self) -> Result<Option<Value>, TransferError> {
        loop {
            self.text.clear();
            let bytes_max = RECORD_BYTES_MAX as u64 + 1;
            if self.reader.by_ref().take(bytes_max).read_until(b'\n', &mut self.text)? == 0 {
                return Ok(None);
            }
            self.line += 1;
            if !self.text.trim_ascii().is_empty() {
                self.records += 1;
                return document(&self.text, self.records, self.line).map(Some);
            }
        }
    }
}

/// The documents of a file that is one JSON array.
#[derive(Debug)]
pub(super) struct ArrayRecords<R> {
    reader: R,
    text: Vec<u8>,
    line: u64,
    records: u64,
    begun: bool,
}

impl<R: BufRead> ArrayRecords<R> {
    pub(super) fn new(reader: R) -> ArrayRecords<R> {
        ArrayRecords { reader, text: Vec::new(), line: 1, records: 0, begun: false }
    }

    /// The next document.
    pub(super) fn read(&mut self) -> Result<Option<Value>, TransferError> {
        let mut next = self.next_visible()?;
        if !self.begun {
            if next != Some(b'[') {
                return Err(self.broken("the file is not a JSON array of documents; is it JSON lines, or CSV?"));
            }
            self.begun = true;
            self.reader.consume(1);
            next = self.next_visible()?;
            if next != Some(b']') {
                return self.element(next).map(Some);
            }
        }
        match next {
            Some(b',') => {
                self.reader.consume(1);
                let next = self.next_visible()?;
                self.element(next).map(Some)
            }
            Some(b']') => {
                self.reader.consume(1);
                match self.next_visible()? {
                    None => Ok(None),
                    Some(_) => Err(self.broken("something follows the end of the array")),
                }
            }
            None => Err(self.broken("the file ends before the end of the array; it may be cut off")),
            Some(_) => Err(self.broken("expected a comma or the end of the array")),
        }
    }

    /// Passes over white space; the byte that follows stays unread.
    fn next_visible(&mut self) -> Result<Option<u8>, TransferError> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let visible = buffer.iter().position(|byte| !byte.is_ascii_whitespace());
            let blank = &buffer[..visible.unwrap_or(buffer.len())];
            self.line += newlines(blank);
            let (blank_bytes, at_end) = (blank.len(), buffer.is_empty());
            let next = visible.map(|at| buffer[at]);
            self.reader.consume(blank_bytes);
            if next.is_some() || at_end {
                return Ok(next);
            }
        }
    }

    /// The document that begins with the byte `first`, still unread.
    fn element(&mut self, first: Option<u8>) -> Result<Value, TransferError> {
        let (record, line) = (self.records + 1, self.line);
        let refused = |reason: &str| TransferError::Record { record, line, reason: reason.to_owned() };
        match first {
            Some(b'{') => {}
            Some(b']' | b',') => return Err(refused("is missing; there is a comma too many")),
            Some(_) => return Err(refused(NOT_AN_OBJECT)),
            None => return Err(self.broken("the file ends before the end of the array; it may be cut off")),
        }
        self.text.clear();
        let mut nesting = Nesting::default();
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Err(refused("the file ends inside this document; it may be cut off"));
            }
            let end = buffer.iter().position(|byte| nesting.ends_with(*byte));
            let taken = end.map_or(buffer.len(), |at| at + 1);
            self.text.extend_from_slice(&buffer[..taken]);
            self.line += newlines(&buffer[..taken]);
            self.reader.consume(taken);
            if end.is_some() || self.text.len() > RECORD_BYTES_MAX {
                self.records = record;
                return document(&self.text, record, line);
            }
        }
    }

    fn broken(&self, reason: &'static str) -> TransferError {
        TransferError::Array { line: self.line, records: self.records, reason }
    }
}

/// Finds where an object ends: its brackets are closed, outside strings.
#[derive(Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Nesting {
    /// Takes in the next byte; whether the object ends with it.
    fn ends_with(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_string => self.escaped = true,
            b'"' => self.in_string = !self.in_string,
            b'{' | b'[' if !self.in_string => self.depth += 1,
            b'}' | b']' if !self.in_string => {
                self.depth -= 1;
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

const NOT_AN_OBJECT: &str = "is no JSON object, so it is no document";

/// The document of a record's text, which began on `line`.
fn document(text: &[u8], record: u64, line: u64) -> Result<Value, TransferError> {
    let refused = |reason: String| TransferError::Record { record, line, reason };
    if text.len() > RECORD_BYTES_MAX {
        return Err(refused(format!("has more than {RECORD_BYTES_MAX} bytes, which is the limit of a document")));
    }
    match serde_json::from_slice(text) {
        Ok(document @ Value::Object(_)) => Ok(document),
        Ok(_) => Err(refused(NOT_AN_OBJECT.to_owned())),
        Err(error) => {
            let why = plain_words(error.to_string());
            Err(refused(format!("is not valid JSON: {why}, counting from where the record begins")))
        }
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}
