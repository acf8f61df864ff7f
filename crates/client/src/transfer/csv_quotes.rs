//! Follows the quotes and rows of a CSV file, because the parser takes the end of a file inside quotes for the
//! end of a cell, and so a forgotten quote for a short table; and because it miscounts lines that end as on Windows.

use std::collections::VecDeque;

/// What programs on Windows begin a text with.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Where in the file the reader is, as far as quotes matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    CellStart,
    /// A cell without quotes, or after its closing quote: quotes mean nothing here.
    Plain,
    Quoted,
    /// Behind a quote inside quotes: it closes the cell, or is the first half of a doubled one.
    Closing,
}

/// The quotes of a file so far.
#[derive(Debug)]
pub(super) struct Quotes {
    place: Place,
    line: u64,
    opened_line: u64,
    /// How much of a byte order mark has passed; it belongs to no row.
    mark: usize,
    within_row: bool,
    /// Where rows begin that the parser has not handed out: few, because it reads little ahead.
    row_lines: VecDeque<u64>,
    ended: bool,
}

impl Default for Quotes {
    fn default() -> Self {
        let (place, row_lines) = (Place::default(), VecDeque::new());
        Quotes { place, line: 1, opened_line: 1, mark: 0, within_row: false, row_lines, ended: false }
    }
}

impl Quotes {
    /// The next bytes of the file; none: it has ended.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        self.ended = bytes.is_empty();
        for byte in bytes {
            if BYTE_ORDER_MARK.as_bytes().get(self.mark) == Some(byte) {
                self.mark += 1;
                continue;
            }
            self.mark = BYTE_ORDER_MARK.len();
            if !self.within_row && !matches!(byte, b'\r' | b'\n') {
                self.within_row = true;
                self.row_lines.push_back(self.line);
            }
            self.place = match (self.place, byte) {
                (Place::CellStart, b'"') => {
                    self.opened_line = self.line;
                    Place::Quoted
                }
                (Place::Quoted, b'"') => Place::Closing,
                (Place::Closing, b'"') | (Place::Quoted, _) => Place::Quoted,
                (_, b',' | b'\r' | b'\n') => Place::CellStart,
                _ => Place::Plain,
            };
            self.within_row &= self.place == Place::Quoted || !matches!(byte, b'\r' | b'\n');
            self.line += u64::from(*byte == b'\n');
        }
    }

    /// The line in which the next row begins. The parser's own count leaves out what stands before a row: blank lines,
    /// and half of a line end of two characters.
    pub(super) fn next_row(&mut self) -> Option<u64> {
        self.row_lines.pop_front()
    }

    /// What is wrong when the file has ended inside quotes.
    pub(super) fn unclosed(&self) -> Option<String> {
        let open = self.ended && self.place == Place::Quoted;
        open.then(|| format!("the quote that opens a cell in line {} is never closed", self.opened_line))
    }
}
