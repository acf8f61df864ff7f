//! What stands before several workers: each connection goes to the next one of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A balancer without any wits; it ends when it is dropped.
pub struct Front {
    pub addr: String,
    accepting: JoinHandle<()>,
}

impl Front {
    pub async fn before(workers: Vec<String>) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let accepting = tokio::spawn(async move {
            let turn = AtomicUsize::new(0);
            while let Ok((mut client, _)) = listener.accept().await {
                let worker = workers[turn.fetch_add(1, Ordering::Relaxed) % workers.len()].clone();
                tokio::spawn(async move {
                    // A worker that is gone is a connection that closes.
                    if let Ok(mut worker) = TcpStream::connect(worker).await {
                        let _either_may_leave = copy_bidirectional(&mut client, &mut worker).await;
                    }
                });
            }
        });
        Front { addr, accepting }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
