//! A way to PostgreSQL that loses what passes, at the moment that a test names.

use super::postgres::Postgres;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;

/// What is lost of a connection.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// The server never hears what is sent from now on.
    Requests,
    /// It does what it is told, and nobody hears that it has.
    Answers,
}

/// A socket file that leads to the server's.
pub struct Gate {
    dir: TempDir,
    losses: broadcast::Sender<Loss>,
}

const SOCKET: &str = ".s.PGSQL.5432";

impl Gate {
    pub fn before(server: &Postgres) -> Gate {
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
        let (beyond, losses) = (server.socket_dir().join(SOCKET), broadcast::Sender::new(4));
        let gate = Gate { dir, losses: losses.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&beyond).await.unwrap();
                tokio::spawn(pass(client, server, losses.subscribe()));
            }
        });
        gate
    }

    /// Where a database of the server is by this way.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://syncline@/{database}?host={}", self.dir.path().display())
    }

    /// All connections that are open now end like this.
    pub fn lose(&self, loss: Loss) {
        self.losses.send(loss).unwrap();
    }
}

async fn pass(mut client: UnixStream, mut server: UnixStream, mut losses: broadcast::Receiver<Loss>) {
    let loss = tokio::select! {
        _either_has_left = copy_bidirectional(&mut client, &mut server) => return,
        loss = losses.recv() => loss,
    };
    match loss {
        Ok(Loss::Requests) => {
            drop(server);
            let _until_something_is_sent = client.read(&mut [0]).await;
        }
        Ok(Loss::Answers) => swallow(client, server).await,
        Err(_) => {}
    }
}

/// Until the server says that it waits for the next transaction.
async fn swallow(mut client: UnixStream, mut server: UnixStream) {
    const IDLE: &[u8] = b"Z\0\0\0\x05I";
    let (mut sent, mut said, mut heard) = (vec![0; 64 << 10], vec![0; 64 << 10], Vec::new());
    while !heard.windows(IDLE.len()).any(|bytes| bytes == IDLE) {
        tokio::select! {
            Ok(n @ 1..) = client.read(&mut sent) => server.write_all(&sent[..n]).await.unwrap(),
            Ok(n @ 1..) = server.read(&mut said) => heard.extend_from_slice(&said[..n]),
            else => return,
        }
    }
}
