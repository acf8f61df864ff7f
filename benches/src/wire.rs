//! A plain blocking HTTP/1.1 client: the least that a load driver needs, so that it costs little
//! beside the server it measures.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;

/// How much of a body's beginning is kept: enough for the header of a packet.
const HEAD_BYTES: usize = 256;

/// One kept-alive connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
    token: String,
}

/// What came back.
pub struct Answer {
    /// The first 256 bytes of the body.
    pub head: Vec<u8>,
    /// The last 512 bytes of the body.
    pub tail: Vec<u8>,
}

impl Connection {
    /// Connects to a server on this machine.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open(port: u16, token: &str) -> Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream: BufReader::with_capacity(256 << 10, stream), token: token.to_owned() })
    }

    /// Sends one request and hands the body to `sink` piece by piece.
    ///
    /// # Errors
    /// When the connection breaks or the status is not 2xx.
    pub fn request(&mut self, method: &str, path: &str, body: &str, sink: impl FnMut(&[u8])) -> Result<Answer> {
        self.send(method, path, body)?;
        self.receive(sink).map_err(|error| Error::other(format!("{method} {path}: {error}")))
    }

    /// Sends one request, whose answer is taken later.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn send(&mut self, method: &str, path: &str, body: &str) -> Result<()> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        let out = self.stream.get_mut();
        out.write_all(head.as_bytes())?;
        out.write_all(body.as_bytes())
    }

    /// Takes the answer to what was sent, its body piece by piece.
    ///
    /// # Errors
    /// When the connection breaks or the status is not 2xx; [`ErrorKind::ResourceBusy`] asks to come again.
    pub fn receive(&mut self, mut sink: impl FnMut(&[u8])) -> Result<Answer> {
        let (status, length) = self.read_head()?;
        let mut answer = Answer { head: Vec::new(), tail: Vec::new() };
        let mut take = |piece: &[u8]| {
            if answer.head.is_empty() {
                answer.head.extend_from_slice(&piece[..piece.len().min(HEAD_BYTES)]);
            }
            answer.tail.extend_from_slice(&piece[piece.len().saturating_sub(512)..]);
            let surplus = answer.tail.len().saturating_sub(512);
            answer.tail.drain(..surplus);
            sink(piece);
        };
        match length {
            Some(length) => self.read_exactly(length, &mut take)?,
            None => self.read_chunks(&mut take)?,
        }
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let text = String::from_utf8_lossy(&answer.tail).into_owned();
        let kind = if status == 503 { ErrorKind::ResourceBusy } else { ErrorKind::Other };
        Err(Error::new(kind, format!("status {status}: {text}")))
    }

    fn read_head(&mut self) -> Result<(u16, Option<usize>)> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or(ErrorKind::InvalidData)?;
        let mut length = None;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok((status, length));
            }
            let (name, value) = line.split_once(':').unwrap_or((line.as_str(), ""));
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn read_exactly(&mut self, mut left: usize, take: &mut impl FnMut(&[u8])) -> Result<()> {
        while left > 0 {
            let piece = self.stream.fill_buf()?;
            if piece.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let used = piece.len().min(left);
            take(&piece[..used]);
            self.stream.consume(used);
            left -= used;
        }
        Ok(())
    }

    fn read_chunks(&mut self, take: &mut impl FnMut(&[u8])) -> Result<()> {
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).map_err(|_| ErrorKind::InvalidData)?;
            self.read_exactly(size, take)?;
            let mut end = [0; 2];
            self.stream.read_exact(&mut end)?;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

/// Counts a text in a body that arrives in pieces.
pub struct Counter {
    needle: &'static [u8],
    rest: Vec<u8>,
    /// How often it was seen.
    pub seen: u64,
}

impl Counter {
    /// Counts `needle`.
    #[must_use]
    pub fn of(needle: &'static str) -> Counter {
        Counter { needle: needle.as_bytes(), rest: Vec::new(), seen: 0 }
    }

    /// Takes the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        self.rest.extend_from_slice(&piece[..piece.len().min(self.needle.len() - 1)]);
        self.seen += count(&self.rest, self.needle) + count(piece, self.needle);
        let keep = piece.len().min(self.needle.len() - 1);
        self.rest = piece[piece.len() - keep..].to_vec();
    }
}

fn count(text: &[u8], needle: &[u8]) -> u64 {
    let first = needle[0];
    let mut seen = 0;
    let mut at = 0;
    while let Some(next) = text[at..].iter().position(|byte| *byte == first) {
        at += next;
        seen += u64::from(text[at..].starts_with(needle));
        at += 1;
    }
    seen
}

/// The number behind `"server_lsn":`, at the end of a body or else at its beginning.
#[must_use]
pub fn server_lsn(answer: &Answer) -> Option<u64> {
    let number = |piece: &[u8]| number_behind(piece, "\"server_lsn\":");
    number(&answer.tail).or_else(|| number(&answer.head))
}

/// The number behind the last `name` in a piece of JSON.
#[must_use]
pub fn number_behind(piece: &[u8], name: &str) -> Option<u64> {
    let text = String::from_utf8_lossy(piece);
    let at = text.rfind(name)? + name.len();
    text[at..].chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}
