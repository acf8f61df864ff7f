//! The way of a live client to its hub: long polling, each of whose requests may meet another fault, or a WebSocket, which
//! brings everything at once until it breaks. Knows packets as text, and not what they say.

use crate::http::{self, Request};
use crate::hub::TOKEN;
use serde_json::Value;
use std::io;
use std::net::TcpStream;
use std::time::Duration;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

const PATH: &str = "/socket.io/?EIO=4&transport";
/// Between two packets of one body.
const SEPARATOR: char = '\u{1e}';
/// After which a WebSocket counts as lost; a hub gives a sign of life more often.
const SILENCE: Duration = Duration::from_secs(40);

/// How a client comes.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    Polling,
    WebSocket,
}

/// A connection that the hub has opened.
pub enum Way {
    /// The path of its requests.
    Polling {
        address: String,
        path: String,
    },
    WebSocket(Box<WebSocket<TcpStream>>),
}

impl Way {
    /// Opens one, for somebody whom a balancer leads to the same worker for as long as it lasts.
    pub fn open(transport: Transport, address: &str, who: &str) -> io::Result<Way> {
        match transport {
            Transport::Polling => {
                let path = format!("{PATH}=polling&who={who}");
                let opened = ask(address, "GET", &path, None)?;
                let opened: Value = serde_json::from_str(opened.strip_prefix('0').ok_or_else(lost)?)?;
                let path = format!("{path}&sid={}", opened["sid"].as_str().ok_or_else(lost)?);
                Ok(Way::Polling { address: address.to_owned(), path })
            }
            Transport::WebSocket => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(SILENCE))?;
                stream.set_nodelay(true)?;
                let url = format!("ws://{address}{PATH}=websocket&who={who}");
                let (socket, _) = client(url, stream).map_err(io::Error::other)?;
                let mut way = Way::WebSocket(Box::new(socket));
                let opened = way.read()?;
                if opened.first().is_some_and(|packet| packet.starts_with('0')) { Ok(way) } else { Err(lost()) }
            }
        }
    }

    /// Sends a packet.
    pub fn send(&mut self, packet: &str) -> io::Result<()> {
        match self {
            Way::Polling { address, path } => ask(address, "POST", path, Some(packet.as_bytes())).map(drop),
            Way::WebSocket(socket) => socket.send(Message::text(packet)).map_err(io::Error::other),
        }
    }

    /// Waits for packets.
    pub fn read(&mut self) -> io::Result<Vec<String>> {
        match self {
            Way::Polling { address, path } => {
                let body = ask(address, "GET", path, None)?;
                Ok(body.split(SEPARATOR).map(str::to_owned).collect())
            }
            Way::WebSocket(socket) => match socket.read().map_err(io::Error::other)? {
                Message::Text(text) => Ok(vec![text.to_string()]),
                Message::Close(_) => Err(lost()),
                _ => Ok(Vec::new()),
            },
        }
    }
}

fn ask(address: &str, method: &str, path: &str, body: Option<&[u8]>) -> io::Result<String> {
    let reply = http::send(address, &Request { method, path, token: TOKEN, body })?;
    if reply.status != 200 {
        return Err(lost());
    }
    String::from_utf8(reply.body).map_err(|_| lost())
}

/// The end of a connection.
pub fn lost() -> io::Error {
    io::Error::other("the connection is lost")
}
