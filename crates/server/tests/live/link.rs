//! A link between a client and the hub that can die without a word, as one does when a laptop sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub struct Link {
    pub addr: String,
    dead: Arc<AtomicBool>,
}

impl Link {
    pub async fn to(hub: &str) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Link { addr: listener.local_addr().unwrap().to_string(), dead: Arc::default() };
        let (hub, dead) = (hub.to_owned(), Arc::clone(&link.dead));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (from_client, to_client) = client.into_split();
                let (from_hub, to_hub) = TcpStream::connect(&hub).await.unwrap().into_split();
                tokio::spawn(carry(from_client, to_hub, Arc::clone(&dead)));
                tokio::spawn(carry(from_hub, to_client, Arc::clone(&dead)));
            }
        });
        link
    }

    /// From now on all bytes vanish, in both directions, and nothing is closed.
    pub fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }
}

async fn carry(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, dead: Arc<AtomicBool>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let vanishes = dead.load(Ordering::SeqCst);
        if !vanishes && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    if dead.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
}
