//! Follows the quotes of a CSV file, because the parser takes the end of a file inside quotes for the
//! end of a cell, and so a forgotten quote for a short table.

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
    ended: bool,
}

impl Default for Quotes {
    fn default() -> Self {
        Quotes { place: Place::default(), line: 1, opened_line: 1, ended: false }
    }
}

impl Quotes {
    /// The next bytes of the file; none: it has ended.
    pub(super) fn pass(&mut self, bytes: &[u8]) {
        self.ended = bytes.is_empty();
        for byte in bytes {
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
            self.line += u64::from(*byte == b'\n');
        }
    }

    /// What is wrong when the file has ended inside quotes.
    pub(super) fn unclosed(&self) -> Option<String> {
        let open = self.ended && self.place == Place::Quoted;
        open.then(|| format!("the quote that opens a cell in line {} is never closed", self.opened_line))
    }
}
