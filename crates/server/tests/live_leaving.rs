//! Who comes to the door and is gone before it is through.
#![allow(clippy::unwrap_used)] // a failed step is a failed test

mod support;

use serde_json::json;
use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::ADMIN;
use support::socket::{Client, LONG};
use syncline_core::model::NodeId;
use syncline_server::app::App;
use syncline_server::auth::{DeclaredToken, TokenSpec, Tokens};
use syncline_server::hub::Hub;
use syncline_server::meters::Meters;
use syncline_server::socket::{Incoming, Line, Listener};
use syncline_server::store::MemoryStore;
use syncline_server::{Options, router};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// Lets nobody through before it is told to, and keeps who is in.
struct Porter {
    came: Mutex<Sender<()>>,
    through: Mutex<Receiver<()>>,
    inside: Arc<Mutex<HashSet<String>>>,
}

impl Listener for Porter {
    fn enter(&self, line: &Arc<Line>) {
        self.inside.lock().unwrap().insert(line.sid.to_string());
        self.came.lock().unwrap().send(()).unwrap();
        let through = self.through.lock().unwrap();
        tokio::task::block_in_place(|| through.recv_timeout(LONG)).unwrap();
    }

    fn hear<'a>(&self, _line: &Arc<Line>, incoming: Incoming<'a>) -> Option<Incoming<'a>> {
        Some(incoming)
    }

    fn leave(&self, line: &Arc<Line>) {
        self.inside.lock().unwrap().remove(&line.sid.to_string());
    }
}

/// Whether there is a connection of this id.
async fn is_known(addr: &str, sid: &str) -> bool {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    !answer.contains("Session ID unknown")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_that_ends_while_it_is_let_in_has_left() {
    let ((came, has_come), (let_in, through)) = (channel(), channel());
    let inside = Arc::<Mutex<HashSet<String>>>::default();
    let porter = Porter { came: came.into(), through: through.into(), inside: Arc::clone(&inside) };
    let (store, meters) = (Arc::new(MemoryStore::default()), Arc::new(Meters::default()));
    let admin = TokenSpec::admin(NodeId::new("admin").unwrap());
    let options =
        Options { tokens: vec![DeclaredToken { secret: ADMIN.to_owned(), spec: admin }], ..Options::default() };
    let hub = Hub::new(store.clone(), options.settings, Arc::clone(&meters));
    hub.create_space(&options.default_space).await.unwrap();
    let tokens = Tokens::open(store, &options.tokens).await.unwrap();
    let app = App::new(hub, tokens, options, meters, |_| Arc::new(porter));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router(app)).await });

    let mut client = Client::open(&addr).await;
    client.send_raw(&format!("40{}", json!({ "token": ADMIN }))).await;
    tokio::task::spawn_blocking(move || has_come.recv_timeout(LONG).unwrap()).await.unwrap();
    let sid = inside.lock().unwrap().iter().next().unwrap().clone();
    drop(client);
    timeout(LONG, async { while is_known(&addr, &sid).await {} }).await.expect("the connection has ended");
    let_in.send(()).unwrap();

    let left = async {
        while !inside.lock().unwrap().is_empty() {
            sleep(Duration::from_millis(10)).await; // sleep: between two looks
        }
    };
    timeout(LONG, left).await.expect("it has left");
}
