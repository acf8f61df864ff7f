//! The client's HTTP: a bearer key, JSON, chunked bodies.

use crate::support::{Hub, Reply};
use serde_json::Value;
use std::sync::Arc;

/// Where a client sends its requests, and with which key.
#[derive(Clone)]
pub struct Wire {
    pub hub: Arc<Hub>,
    pub key: String,
    pub base: String,
}

impl Wire {
    pub fn new(hub: &Arc<Hub>, key: &str, base: &str) -> Wire {
        Wire { hub: Arc::clone(hub), key: key.to_owned(), base: base.to_owned() }
    }

    pub async fn get(&self, path: &str) -> Reply {
        let bearer = format!("Bearer {}", self.key);
        let headers = [("accept", "application/json"), ("authorization", bearer.as_str())];
        self.hub.send("GET", &format!("{}{path}", self.base), &headers, b"").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_text(path, body.to_string().as_bytes()).await
    }

    pub async fn post_text(&self, path: &str, body: &[u8]) -> Reply {
        let head = format!(
            "POST {}{path} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\naccept: application/json\r\n\
             authorization: Bearer {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
            self.base, self.key
        );
        let mut bytes = head.into_bytes();
        for chunk in body.chunks(60_000) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        self.hub.send_bytes(&bytes).await
    }
}

/// What the client makes of a reply: JSON, or the sentence of its error event.
pub fn parsed(reply: &Reply) -> Result<Value, String> {
    if reply.status >= 400 {
        let error = reply.json()["error"].as_str().map(ToOwned::to_owned);
        return Err(error.unwrap_or_else(|| "[object Object]".to_owned()));
    }
    Ok(if reply.body.is_empty() { Value::Null } else { reply.json() })
}
