//! One blocking Socket.IO client over a WebSocket, for writers.

use super::frames;
use std::io::{Error, Read, Result, Write};
use std::net::TcpStream;

/// A connected client.
pub(super) struct Socket {
    stream: TcpStream,
    bytes: Vec<u8>,
    token: String,
}

impl Socket {
    /// Connects and shows the token.
    ///
    /// # Errors
    /// When nobody listens, or the server refuses.
    pub fn open(port: u16, token: &str) -> Result<Socket> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.write_all(frames::UPGRADE.as_bytes())?;
        let mut socket = Socket { stream, bytes: Vec::new(), token: token.to_owned() };
        while head_end(&socket.bytes).is_none() {
            socket.fill()?;
        }
        let end = head_end(&socket.bytes).unwrap_or_default();
        if !socket.bytes.starts_with(b"HTTP/1.1 101") {
            return Err(Error::other(format!("no WebSocket: {}", String::from_utf8_lossy(&socket.bytes[..end]))));
        }
        socket.bytes.drain(..end);
        match socket.next()? {
            connected if connected.starts_with("40") => Ok(socket),
            other => Err(Error::other(format!("refused: {other}"))),
        }
    }

    /// A second handle that reads the same connection.
    ///
    /// # Errors
    /// When the system has no handle left.
    pub fn reader(&self) -> Result<Socket> {
        Ok(Socket { stream: self.stream.try_clone()?, bytes: self.bytes.clone(), token: self.token.clone() })
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn send(&mut self, packet: &str) -> Result<()> {
        self.stream.write_all(&frames::text(packet))
    }

    /// The next packet that is no part of the handshake and no ping.
    ///
    /// # Errors
    /// When the connection is broken or closed.
    pub fn next(&mut self) -> Result<String> {
        loop {
            let Some(frame) = frames::first(&self.bytes) else {
                self.fill()?;
                continue;
            };
            let packet: Vec<u8> = self.bytes.drain(..frame.end).skip(frame.begin).collect();
            if frame.opcode == 8 {
                return Err(Error::other("the server closed the connection"));
            }
            match frames::answer(&packet, &self.token) {
                Some(answer) => self.send(&answer)?,
                None => return Ok(String::from_utf8_lossy(&packet).into_owned()),
            }
        }
    }

    /// Ends the connection for every handle.
    pub fn close(&self) {
        drop(self.stream.shutdown(std::net::Shutdown::Both));
    }

    fn fill(&mut self) -> Result<()> {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece)? {
            0 => Err(Error::other("the connection ended")),
            length => {
                self.bytes.extend_from_slice(&piece[..length]);
                Ok(())
            }
        }
    }
}

/// Where the head of an HTTP answer ends.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}
