//! A Socket.IO client in a few lines: Engine.IO 4 over a WebSocket, one packet a frame, without any of the
//! healing that real clients do.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(20);

pub struct Client {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    acks: i64,
    /// Events that came while something else was waited for.
    pub waiting: VecDeque<(String, Value)>,
    answers: VecDeque<(i64, Value)>,
}

/// What a server says.
#[derive(Debug, PartialEq)]
pub enum Packet {
    Event(String, Value),
    Answer(i64, Value),
    Connected,
    Refused(String),
    /// Of Socket.IO (`41`).
    Disconnect,
    /// Of Engine.IO or below.
    Closed,
}

impl Client {
    pub fn over(ws: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Client {
        Client { ws, acks: 0, waiting: VecDeque::new(), answers: VecDeque::new() }
    }

    /// Opens the transport only.
    pub async fn open(addr: &str) -> Client {
        let (ws, _) = connect_async(format!("ws://{addr}/socket.io/?EIO=4&transport=websocket")).await.unwrap();
        let mut client = Client::over(ws);
        assert!(client.frame().await.unwrap().starts_with("0{"), "an open packet");
        client
    }

    /// Makes a WebSocket of a session over long polling.
    pub async fn upgrade(addr: &str, sid: &str) -> Client {
        let path = format!("ws://{addr}/socket.io/?EIO=4&transport=websocket&sid={sid}");
        let mut client = Client::over(connect_async(path).await.unwrap().0);
        client.probe().await;
        client.send_raw("5").await;
        client
    }

    /// Finds out that a WebSocket works for a session over long polling.
    pub async fn probe(&mut self) {
        self.send_raw("2probe").await;
        assert_eq!(self.frame().await.unwrap(), "3probe");
    }

    /// Connects with an auth payload and tells what the server said to it.
    pub async fn greet(addr: &str, auth: &Value) -> (Client, Packet) {
        let mut client = Client::open(addr).await;
        client.send_raw(&if auth.is_null() { "40".to_owned() } else { format!("40{auth}") }).await;
        let said = client.packet().await;
        (client, said)
    }

    /// An accepted connection.
    pub async fn connect(addr: &str, token: &str) -> Client {
        let (client, said) = Client::greet(addr, &json!({ "token": token })).await;
        assert_eq!(said, Packet::Connected);
        client
    }

    pub async fn send_raw(&mut self, frame: &str) {
        // A hub that refuses early may close before everything is written: what it says tells.
        drop(self.ws.send(Message::text(frame)).await);
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.ws.send(Message::binary(bytes.to_vec())).await.unwrap();
    }

    /// Sends a frame whatever its first byte and its content are.
    pub async fn send_frame(&mut self, first: u8, content: &[u8]) {
        let length = u16::try_from(content.len()).unwrap();
        // The mask is nought.
        let frame = [&[first, 0x80 | 126][..], &length.to_be_bytes(), &[0; 4], content].concat();
        tokio::io::AsyncWriteExt::write_all(self.ws.get_mut(), &frame).await.unwrap();
    }

    /// The code and the reason of the goodbye, whatever comes before it.
    pub async fn goodbye(&mut self) -> (u16, String) {
        loop {
            match timeout(LONG, self.ws.next()).await.expect("the server says goodbye") {
                Some(Ok(Message::Close(Some(close)))) => return (close.code.into(), close.reason.to_string()),
                Some(Ok(Message::Close(None)) | Err(_)) | None => panic!("the connection ends without a reason"),
                Some(Ok(_)) => {}
            }
        }
    }

    pub async fn emit(&mut self, event: &str, payload: &Value) {
        self.send_raw(&format!("42{}", json!([event, payload]))).await;
    }

    /// Emits without waiting for the answer, and tells the number that it will have.
    pub async fn ask(&mut self, event: &str, payload: &Value) -> i64 {
        self.acks += 1;
        self.send_raw(&format!("42{}{}", self.acks, json!([event, payload]))).await;
        self.acks
    }

    /// The answer with this number.
    pub async fn answer(&mut self, number: i64) -> Value {
        loop {
            if let Some(at) = self.answers.iter().position(|(n, _)| *n == number) {
                return self.answers.remove(at).unwrap().1;
            }
            match self.packet().await {
                Packet::Answer(n, value) => self.answers.push_back((n, value)),
                Packet::Event(name, value) => self.waiting.push_back((name, value)),
                other => panic!("{other:?} instead of answer {number}"),
            }
        }
    }

    pub async fn call(&mut self, event: &str, payload: &Value) -> Value {
        let number = self.ask(event, payload).await;
        self.answer(number).await
    }

    /// The next event.
    pub async fn event(&mut self) -> (String, Value) {
        // Signs of life alone are not what is waited for.
        timeout(LONG, self.any_event()).await.expect("an event")
    }

    async fn any_event(&mut self) -> (String, Value) {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return event;
            }
            match self.packet().await {
                Packet::Answer(n, value) => self.answers.push_back((n, value)),
                Packet::Event(name, value) => return (name, value),
                other => panic!("{other:?} instead of an event"),
            }
        }
    }

    /// Takes in the next packet; `false`: the connection has ended.
    pub async fn any(&mut self) -> bool {
        self.packet().await != Packet::Closed
    }

    /// The next event, if one comes within a time.
    pub async fn event_within(&mut self, time: Duration) -> Option<(String, Value)> {
        timeout(time, self.event()).await.ok()
    }

    pub async fn packet(&mut self) -> Packet {
        loop {
            let Some(frame) = self.frame().await else { return Packet::Closed };
            let (kind, rest) = frame.split_at(frame.len().min(2));
            return match kind {
                "2" => {
                    self.send_raw("3").await;
                    continue;
                }
                "1" => Packet::Closed,
                "40" => Packet::Connected,
                "41" => Packet::Disconnect,
                "44" => {
                    let said: Value = serde_json::from_str(rest).unwrap();
                    Packet::Refused(said["message"].as_str().unwrap().to_owned())
                }
                "42" => {
                    let mut said: Vec<Value> = serde_json::from_str(rest).unwrap();
                    assert_eq!(said.len(), 2, "{rest}");
                    let payload = said.pop().unwrap();
                    Packet::Event(said[0].as_str().unwrap().to_owned(), payload)
                }
                "43" => {
                    let at = rest.find('[').unwrap();
                    let said: Vec<Value> = serde_json::from_str(&rest[at..]).unwrap();
                    assert_eq!(said.len(), 1, "{rest}");
                    Packet::Answer(rest[..at].parse().unwrap(), said[0].clone())
                }
                other => panic!("a packet of kind {other}: {rest}"),
            };
        }
    }

    /// The next text frame; `None`: the connection has ended.
    async fn frame(&mut self) -> Option<String> {
        loop {
            match timeout(LONG, self.ws.next()).await.expect("the server says something") {
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }
}
