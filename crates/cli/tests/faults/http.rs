//! As much of HTTP/1.1 as a client needs, over plain sockets: one request on one connection. A reply
//! counts only when all of it arrived, so that a cut one is seen as cut.

use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Silence after which a client gives up, as the WiseJSON client does.
const SILENCE: Duration = Duration::from_secs(15);

/// What goes over the wire.
pub struct Request<'a> {
    pub method: &'a str,
    /// With its query.
    pub path: &'a str,
    pub token: &'a str,
    /// Sent in chunks and without a length, as Node does it.
    pub body: Option<&'a [u8]>,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Reply {
    /// The body of an answer that must be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// Sends and reads the whole reply.
pub fn send(address: &str, request: &Request<'_>) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_nodelay(true)?;
    stream.write_all(&encode(address, request))?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    // Both ends may have closed already.
    let _ = stream.shutdown(Shutdown::Both);
    decode(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the reply was cut"))
}

fn encode(address: &str, request: &Request<'_>) -> Vec<u8> {
    let Request { method, path, token, body } = request;
    let mut bytes = format!(
        "{method} {path} HTTP/1.1\r\nAccept: application/json\r\nAuthorization: Bearer {token}\r\n\
         Host: {address}\r\nConnection: close\r\n"
    )
    .into_bytes();
    match body {
        None => bytes.extend(b"\r\n"),
        Some(body) => {
            bytes.extend(b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
            for chunk in body.chunks(16 * 1024) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        }
    }
    bytes
}

/// `None`: not all of it is there.
pub fn decode(bytes: &[u8]) -> Option<Reply> {
    let end = find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let rest = &bytes[end + 4..];
    let body = match (header(&head, "content-length"), header(&head, "transfer-encoding")) {
        (Some(length), _) => rest.get(..length.parse().ok()?)?.to_vec(),
        (None, Some("chunked")) => dechunk(rest)?.0,
        (None, _) => rest.to_vec(),
    };
    Some(Reply { status, body })
}

/// A header's value in a head of small letters.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name).map(|(_, value)| value.trim())
}

/// The content of a chunked body and how many bytes it took; `None`: not all of it is there.
pub fn dechunk(mut rest: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (all, mut body) = (rest.len(), Vec::new());
    loop {
        let end = find(rest, b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        let chunk = rest.get(end + 2..end + 2 + size)?;
        rest = rest.get(end + 2 + size + 2..)?;
        body.extend(chunk);
        if size == 0 {
            return Some((body, all - rest.len()));
        }
    }
}

/// Where `part` begins; an empty one is found at once.
pub fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    (0..=bytes.len()).find(|at| bytes[*at..].starts_with(part))
}
