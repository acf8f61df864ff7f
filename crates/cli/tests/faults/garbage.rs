//! Strangers that talk nonsense, half a sentence, or one letter at a time do not disturb a client.

use crate::eventually::eventually;
use crate::history::{Log, converged};
use crate::http;
use crate::hub::{Hub, TOKEN};
use crate::load::{Load, Patience};
use fastrand::Rng;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Connections that stay half open during the whole test.
const LORIS: usize = 60;

#[test]
fn nonsense_over_raw_sockets_disturbs_nobody() {
    let home = tempfile::tempdir().unwrap();
    let hub = Hub::start(&home.path().join("hub"));
    let load = Load::start(&hub.address, 2, 21, Patience::None);
    let mut rng = Rng::with_seed(21);

    let mut loris: Vec<TcpStream> = (0..LORIS).map(|_| TcpStream::connect(&hub.address).unwrap()).collect();
    for (number, stream) in loris.iter_mut().enumerate() {
        let whole = push_of(&hub.address, "Content-Length: 100000", "{\"ops\":[");
        stream.write_all(&whole[..number * whole.len() / LORIS]).unwrap();
    }
    for round in 0..30 {
        for (nonsense, least, most) in conversations(&hub.address, &mut rng) {
            let said = say(&hub.address, &nonsense);
            let shown = String::from_utf8_lossy(&nonsense[..nonsense.len().min(80)]).into_owned();
            // No reply at all is as good as a refusal.
            if let Some(reply) = http::decode(&said) {
                assert!((least..=most).contains(&reply.status), "round {round}, {shown:?}: {reply:?}");
            }
        }
        for stream in &mut loris {
            // The hub may have had enough of this one.
            let _ = stream.write_all(b"x");
        }
    }

    let enough = load.receipts() + 50;
    eventually("nodes go on getting receipts", || (load.receipts() > enough).then_some(()));
    let sent = load.finish();
    assert!(sent.iter().all(|op| op.answer != crate::history::Answer::None), "no push of a client failed");
    Log::read(&hub.address).judge(&sent);
    converged(&hub.address, &[]);
    assert_eq!(hub.get("/health/live").status, 200);
    let log = hub.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// What is said, and the range of statuses that may answer it.
fn conversations(address: &str, rng: &mut Rng) -> Vec<(Vec<u8>, u16, u16)> {
    let length = rng.usize(1..4_000);
    let noise: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
    let mut noisy_body = push_of(address, &format!("Content-Length: {}", noise.len()), "");
    noisy_body.extend(&noise);
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let node = r#"{"node":"stranger","batchId":"b","ops":"#;
    vec![
        (noise, 400, 499),
        (noisy_body, 400, 499),
        (b"GET / HTTP/9.9\r\n\r\n".to_vec(), 400, 599),
        (b"\r\n\r\n\r\n".to_vec(), 400, 499),
        (b"GET /sync/pull HTTP/1.1\r\nHost: x\r\nno colon here\r\n\r\n".to_vec(), 400, 499),
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000)).into_bytes(), 400, 499),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(5_000)).into_bytes(), 400, 499),
        (push_of(address, "Content-Length: -1", "{}"), 400, 499),
        (push_of(address, "Content-Length: 5\r\nContent-Length: 9", "{}"), 400, 499),
        (push_of(address, "Content-Length: 5000", "{\"node\":\"stranger\""), 400, 499),
        (push_of(address, "Transfer-Encoding: chunked", "zz\r\n{}\r\n0\r\n\r\n"), 400, 499),
        (push_of(address, "Transfer-Encoding: chunked", "ffffffffffffffffff\r\n{}"), 400, 499),
        (push_of(address, "Content-Encoding: gzip\r\nContent-Length: 2", "{}"), 400, 499),
        (sized_push(address, &deep), 400, 499),
        (sized_push(address, &format!("{node}{deep}}}")), 400, 499),
        (sized_push(address, &format!("{node}[{{\"seq\":1e999}}]}}")), 400, 499),
        (sized_push(address, &format!("{node}{{}}}}")), 400, 499),
        (sized_push(address, "\"\u{0}\""), 400, 499),
    ]
}

fn sized_push(address: &str, body: &str) -> Vec<u8> {
    push_of(address, &format!("Content-Length: {}", body.len()), body)
}

fn push_of(address: &str, header: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /sync/push HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\
         Content-Type: application/json\r\n{header}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Says it, hangs up, and listens to whatever comes.
fn say(address: &str, nonsense: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut heard = Vec::new();
    // The hub may hang up before everything is said, which also cuts its answer.
    if stream.write_all(nonsense).is_ok() && stream.shutdown(Shutdown::Write).is_ok() {
        let _ = stream.read_to_end(&mut heard);
    }
    heard
}
