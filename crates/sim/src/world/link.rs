//! One end of a live connection without a socket: Engine.IO by polling, through the hub's real router, as far as a client
//! of event sync speaks it. Nothing here waits: whoever reads looks whether something has come.

use super::door::{Answered, Door};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const PATH: &str = "/socket.io/?EIO=4&transport=polling";
/// Between two packets of one body.
const SEPARATOR: char = '\u{1e}';

/// An open connection.
pub struct Link {
    path: String,
    poll: JoinHandle<Answered>,
    sent: u64,
}

/// What came over it.
pub enum Heard {
    /// The hub has taken the connection in.
    Welcome,
    /// An event with its first argument.
    Event(String, Value),
    /// The answer to the message with this number.
    Answer(u64, Value),
    /// The connection is over.
    End,
}

impl Link {
    /// Comes in with a token; `None`: the hub does not open a connection.
    pub fn open(door: &Door, token: &str) -> Option<Link> {
        let (status, text) = door.get("", PATH);
        let opened: Value = serde_json::from_str(text.strip_prefix('0')?).ok().filter(|_| status == 200)?;
        let path = format!("{PATH}&sid={}", opened["sid"].as_str()?);
        let (status, _) = door.post_to(&path, "", &format!("40{}", json!({ "token": token })));
        let poll = door.begin_get(&path);
        (status == 200).then_some(Link { path, poll, sent: 0 })
    }

    /// Sends an event without asking for an answer.
    pub fn emit(&self, door: &Door, event: &str, payload: &Value) -> bool {
        door.post_to(&self.path, "", &format!("42{}", json!([event, payload]))).0 == 200
    }

    /// Sends an event that is to be answered under the number that is returned; `None`: it is not taken.
    pub fn ask(&mut self, door: &Door, event: &str, payload: &Value) -> Option<u64> {
        self.sent += 1;
        let (status, _) = door.post_to(&self.path, "", &format!("42{}{}", self.sent, json!([event, payload])));
        (status == 200).then_some(self.sent)
    }

    /// What has come since somebody looked.
    pub fn read(&mut self, door: &Door) -> Vec<Heard> {
        if !self.poll.is_finished() {
            return Vec::new();
        }
        let next = door.begin_get(&self.path);
        let Ok((200, body)) = door.end_get(std::mem::replace(&mut self.poll, next)) else { return vec![Heard::End] };
        let mut heard = Vec::new();
        for packet in body.split(SEPARATOR) {
            match (packet.get(..1), packet.get(..2)) {
                (Some("2"), _) => {
                    door.post_to(&self.path, "", "3");
                }
                (_, Some("40")) => heard.push(Heard::Welcome),
                (_, Some("42")) => {
                    let words: Value = serde_json::from_str(&packet[2..]).unwrap_or_default();
                    heard.push(Heard::Event(words[0].as_str().unwrap_or_default().to_owned(), words[1].clone()));
                }
                (_, Some("43")) => {
                    let from = packet.find('[').unwrap_or(packet.len());
                    let words: Value = serde_json::from_str(&packet[from..]).unwrap_or_default();
                    heard.push(Heard::Answer(packet[2..from].parse().unwrap_or_default(), words[0].clone()));
                }
                (_, Some("41" | "44")) | (Some("1"), _) => heard.push(Heard::End),
                _ => {}
            }
        }
        heard
    }

    /// The client goes; `politely`: it says so.
    pub fn close(self, door: &Door, politely: bool) {
        self.poll.abort();
        if politely {
            door.post_to(&self.path, "", "1");
        }
    }
}
