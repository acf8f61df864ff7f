//! Changes that reach a waiting device at once: over a WebSocket, and over HTTP where that is blocked.

use crate::world::{Device, Hub, PATIENCE, TOKEN};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use syncline::sync::SyncOptions;

/// No timer of such a device fires within a test: only the wait at the hub can bring the news.
fn slow(url: &str) -> SyncOptions {
    SyncOptions { sync_interval_ms: Some(3_600_000), ..SyncOptions::new(url, TOKEN) }
}

/// Time from a write on one device to the news on another, median of 20.
fn delay(hub: &Hub, options: SyncOptions) -> Duration {
    let (ada, bob) = (Device::idle(hub), Device::idle(hub));
    let (ready_ada, ready_bob) = (ada.hear("sync:success"), bob.hear("sync:success"));
    ada.enable(slow(hub.url()));
    bob.enable(options);
    ready_ada.recv_timeout(PATIENCE).unwrap();
    ready_bob.recv_timeout(PATIENCE).unwrap();
    let news = bob.hear("sync:pull_success");
    let mut delays: Vec<Duration> = (0..20)
        .map(|n| {
            let written = Instant::now();
            ada.notes.insert(json!({"n": n})).unwrap();
            news.recv_timeout(PATIENCE).unwrap();
            written.elapsed()
        })
        .collect();
    delays.sort();
    delays[10]
}

/// Live connections at the hub.
fn lines(hub: &Hub) -> u32 {
    let mut connection = TcpStream::connect(hub.url().trim_start_matches("http://")).unwrap();
    connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n").unwrap();
    let mut metrics = String::new();
    connection.read_to_string(&mut metrics).unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix("syncline_live_connections "));
    line.map_or(0, |count| count.trim().parse().unwrap())
}

#[test]
fn a_change_reaches_a_waiting_device_over_a_line_that_stays_open() {
    let hub = Hub::start();
    let delay = delay(&hub, slow(hub.url()));
    println!("write here to news there, median of 20, WebSocket: {delay:?}");
    assert!(delay < Duration::from_secs(2), "{delay:?}");
}

#[test]
fn a_device_holds_one_line_while_it_listens_and_closes_it_when_it_stops() {
    let hub = Hub::start();
    let ada = Device::idle(&hub);
    let ready = ada.hear("sync:success");
    ada.enable(slow(hub.url()));
    ready.recv_timeout(PATIENCE).unwrap();
    until("a line opens", || lines(&hub) == 1);
    ada.sync.disable();
    until("it is closed", || lines(&hub) == 0);

    let plain = SyncOptions { use_web_sockets: false, ..slow(hub.url()) };
    ada.enable(plain);
    ready.recv_timeout(PATIENCE).unwrap();
    ada.notes.insert(json!({"n": 1})).unwrap();
    ready.recv_timeout(PATIENCE).unwrap();
    assert_eq!(lines(&hub), 0, "the application wants none");
}

#[test]
fn where_websockets_are_blocked_pulls_wait_over_http() {
    let hub = Hub::start();
    let gate = Gate::before(&hub);
    let delay = delay(&hub, slow(&gate.url));
    println!("write here to news there, median of 20, WebSockets blocked: {delay:?}");
    assert!(delay < Duration::from_secs(2), "{delay:?}");
    assert_eq!(gate.blocked.load(Ordering::SeqCst), 1, "a blocked line is not tried again and again");
}

#[test]
fn a_device_comes_back_to_a_hub_that_was_started_again() {
    let hub = Hub::start();
    let ada = Device::idle(&hub);
    let ready = ada.hear("sync:success");
    ada.enable(SyncOptions { sync_interval_ms: Some(100), ..SyncOptions::new(hub.url(), TOKEN) });
    ready.recv_timeout(PATIENCE).unwrap();
    until("a line opens", || lines(&hub) == 1);
    let hub = hub.stop().start_again();
    until("a line opens again", || lines(&hub) == 1);
}

fn until(what: &str, came: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !came() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// A proxy that lets no WebSocket through.
struct Gate {
    url: String,
    blocked: Arc<AtomicUsize>,
}

impl Gate {
    fn before(hub: &Hub) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (hub, blocked) = (hub.url().trim_start_matches("http://").to_owned(), Arc::new(AtomicUsize::new(0)));
        let count = blocked.clone();
        std::thread::spawn(move || {
            for device in listener.incoming() {
                let (device, hub, count) = (device.unwrap(), hub.clone(), count.clone());
                std::thread::spawn(move || pass(device, &hub, &count));
            }
        });
        Gate { url, blocked }
    }
}

fn pass(mut device: TcpStream, hub: &str, blocked: &AtomicUsize) {
    let mut begin = [0; 14];
    if device.read_exact(&mut begin).is_err() {
        return;
    }
    if &begin == b"GET /sync/live" {
        blocked.fetch_add(1, Ordering::SeqCst);
        // Whether the refusal is read, the test sees.
        let _ = device.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return;
    }
    let mut line = TcpStream::connect(hub).unwrap();
    line.write_all(&begin).unwrap();
    let (mut from_hub, mut to_device) = (line.try_clone().unwrap(), device.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut from_hub, &mut to_device));
    // An end of either side ends both.
    let _ = std::io::copy(&mut device, &mut line);
    let _ = line.shutdown(std::net::Shutdown::Both);
}
