//! A bad network between clients and the hub. It understands just enough of HTTP to know where a
//! request ends, so that a fault hits a whole request: a reply that is lost *after* the hub has
//! committed, a request that arrives twice, one that arrives in part. Of a WebSocket it knows only that it is one, and ends
//! it in the middle.

use crate::http::{dechunk, find, header};
use fastrand::Rng;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A WebSocket brings so many times as much as a reply before it is cut.
const LONG_REPLIES: usize = 32;

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives and is answered.
    Pass,
    /// It arrives late.
    Delay(Duration),
    /// The connection is closed before anything reaches the hub.
    Refuse,
    /// The hub gets only the first half of it.
    CutRequest,
    /// The hub answers; the client gets at most so many bytes of it.
    CutReply(usize),
    /// The hub gets it twice, one after the other; the client gets the second answer.
    Duplicate,
}

/// Chances in a hundred; the rest passes.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub delay: u32,
    pub refuse: u32,
    pub cut_request: u32,
    pub cut_reply: u32,
    pub duplicate: u32,
    /// A cut reply has fewer bytes than this.
    pub cut_within_bytes: usize,
    /// A request is late by less than this.
    pub late_within_ms: u64,
}

impl Weather {
    /// Everything passes.
    pub const CALM: Weather = Weather {
        delay: 0,
        refuse: 0,
        cut_request: 0,
        cut_reply: 0,
        duplicate: 0,
        cut_within_bytes: 300,
        late_within_ms: 30,
    };
    /// Every fault, often.
    pub const STORM: Weather =
        Weather { delay: 10, refuse: 8, cut_request: 8, cut_reply: 18, duplicate: 14, ..Weather::CALM };

    /// After how many bytes to its client a WebSocket ends.
    fn lasts(&self, rng: &mut Rng) -> usize {
        if self.cut_reply == 0 { usize::MAX } else { rng.usize(0..self.cut_within_bytes * LONG_REPLIES) }
    }

    fn draw(&self, rng: &mut Rng) -> Fate {
        let mut number = rng.u32(0..100);
        let mut below = |chance: u32| {
            let hit = number < chance;
            number = number.wrapping_sub(chance);
            hit
        };
        if below(self.delay) {
            Fate::Delay(Duration::from_millis(rng.u64(1..self.late_within_ms)))
        } else if below(self.refuse) {
            Fate::Refuse
        } else if below(self.cut_request) {
            Fate::CutRequest
        } else if below(self.cut_reply) {
            Fate::CutReply(rng.usize(0..self.cut_within_bytes))
        } else if below(self.duplicate) {
            Fate::Duplicate
        } else {
            Fate::Pass
        }
    }
}

/// A push whose answer the client waits for in vain. When this is dropped, its connection is closed.
pub struct Held {
    reached: Receiver<()>,
    _release: Sender<()>,
}

impl Held {
    /// Waits until the hub has answered the push. The client gets nothing of the answer.
    pub fn reached(&self) {
        self.reached.recv_timeout(crate::eventually::DEADLINE).expect("a push comes through the proxy");
    }
}

/// Waits for the next POST whose text holds `with`.
struct Hold {
    with: String,
    tell: Sender<()>,
    released: Receiver<()>,
}

struct Shared {
    upstream: Mutex<String>,
    weather: Mutex<(Weather, Rng)>,
    hold: Mutex<Option<Hold>>,
    /// Every push that reached the hub whole.
    pushes: Mutex<Vec<Vec<u8>>>,
    ended: AtomicBool,
    faults: AtomicUsize,
}

/// A listening proxy; dropping it closes the door.
pub struct Proxy {
    /// `host:port`, for as long as it lives.
    pub address: String,
    shared: Arc<Shared>,
}

impl Proxy {
    /// The fates of requests follow from `seed`, in the order in which requests arrive.
    pub fn start(upstream: &str, seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream.to_owned()),
            weather: Mutex::new((Weather::CALM, Rng::with_seed(seed))),
            hold: Mutex::new(None),
            pushes: Mutex::new(Vec::new()),
            ended: AtomicBool::new(false),
            faults: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A broken connection is what a proxy like this one is for.
                thread::spawn(move || drop(serve(&shared, client)));
            }
        });
        Proxy { address, shared }
    }

    /// From now on.
    pub fn weather(&self, weather: Weather) {
        self.shared.weather.lock().unwrap().0 = weather;
    }

    /// Where the hub listens now.
    pub fn lead_to(&self, upstream: &str) {
        upstream.clone_into(&mut self.shared.upstream.lock().unwrap());
    }

    /// The next push is answered by the hub and by nobody else: its connection stays silent.
    pub fn hold_next_push(&self) -> Held {
        self.hold_next_push_with("")
    }

    /// The same for the next push whose text holds `with`.
    pub fn hold_next_push_with(&self, with: &str) -> Held {
        let (tell, reached) = channel();
        let (release, released) = channel();
        *self.shared.hold.lock().unwrap() = Some(Hold { with: with.to_owned(), tell, released });
        Held { reached, _release: release }
    }

    /// Delivers every push once more, in a strange order, long after it was answered. Returns how many.
    pub fn echo_every_push(&self) -> usize {
        let mut pushes = self.shared.pushes.lock().unwrap().clone();
        self.shared.weather.lock().unwrap().1.shuffle(&mut pushes);
        for push in &pushes {
            deliver(&self.shared, push, &mut io::sink(), usize::MAX).unwrap();
        }
        pushes.len()
    }

    /// How many pushes have reached the hub whole.
    pub fn pushes(&self) -> usize {
        self.shared.pushes.lock().unwrap().len()
    }

    /// How many requests did not simply pass.
    pub fn faults(&self) -> usize {
        self.shared.faults.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the accepting thread; when that fails it has ended already.
        drop(TcpStream::connect(&self.address));
    }
}

/// The method of a request and a little more.
const LINE_BYTES: usize = 8;

/// One request, one reply, then the connection is closed.
fn serve(shared: &Shared, mut client: TcpStream) -> io::Result<()> {
    let Some(request) = read_request(&mut client)? else { return Ok(()) };
    if request.starts_with(b"POST")
        && let Some(Hold { tell, released, .. }) =
            shared.hold.lock().unwrap().take_if(|hold| find(&request, hold.with.as_bytes()).is_some())
    {
        forward(shared, &request, &mut io::sink(), usize::MAX)?;
        // Both fail only when the test has let go already, and that is what is waited for.
        let _ = tell.send(());
        let _ = released.recv();
        return client.shutdown(Shutdown::Both);
    }
    let fate = {
        let (weather, rng) = &mut *shared.weather.lock().unwrap();
        match weather.draw(rng) {
            // What a poll of a live connection brings is gone with its first answer, and no network asks twice.
            Fate::Duplicate if find(&request, b" /socket.io").is_some_and(|at| at < LINE_BYTES) => Fate::Pass,
            fate => fate,
        }
    };
    if fate != Fate::Pass {
        shared.faults.fetch_add(1, Ordering::SeqCst);
    }
    if asks_for_websocket(&request) {
        return tunnel(shared, &request, client, fate);
    }
    match fate {
        Fate::Pass => forward(shared, &request, &mut client, usize::MAX)?,
        Fate::Delay(time) => {
            thread::sleep(time); // sleep: lateness is the fault
            forward(shared, &request, &mut client, usize::MAX)?;
        }
        Fate::Refuse => {}
        Fate::CutRequest => {
            let mut hub = connect(shared)?;
            hub.write_all(&request[..request.len() / 2])?;
            hub.shutdown(Shutdown::Both)?;
        }
        Fate::CutReply(bytes) => forward(shared, &request, &mut client, bytes)?,
        Fate::Duplicate => {
            forward(shared, &request, &mut io::sink(), usize::MAX)?;
            forward(shared, &request, &mut client, usize::MAX)?;
        }
    }
    client.shutdown(Shutdown::Both)
}

/// Passes bytes on in both directions, as they come, until one side ends or the network does it.
fn tunnel(shared: &Shared, request: &[u8], client: TcpStream, fate: Fate) -> io::Result<()> {
    let lasts = {
        let (weather, rng) = &mut *shared.weather.lock().unwrap();
        weather.lasts(rng)
    };
    let (asked, bytes) = match fate {
        Fate::Refuse => return client.shutdown(Shutdown::Both),
        Fate::CutRequest => (&request[..request.len() / 2], 0),
        Fate::CutReply(bytes) => (request, bytes),
        Fate::Delay(time) => {
            thread::sleep(time); // sleep: lateness is the fault
            (request, lasts)
        }
        Fate::Pass | Fate::Duplicate => (request, lasts),
    };
    let mut hub = connect(shared)?;
    hub.write_all(asked)?;
    let (mut from, mut to) = (client.try_clone()?, hub.try_clone()?);
    thread::spawn(move || {
        // However it ends, the other direction is to end as well.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let passed = io::copy(&mut (&hub).take(bytes as u64), &mut &client);
    if passed.as_ref().is_ok_and(|passed| *passed == bytes as u64) {
        shared.faults.fetch_add(1, Ordering::SeqCst);
    }
    // Both fail only where the other side was quicker.
    let _ = hub.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
    passed.map(drop)
}

fn connect(shared: &Shared) -> io::Result<TcpStream> {
    let upstream = shared.upstream.lock().unwrap().clone();
    TcpStream::connect(upstream)
}

fn forward(shared: &Shared, request: &[u8], client: &mut dyn Write, bytes: usize) -> io::Result<()> {
    if request.starts_with(b"POST") {
        shared.pushes.lock().unwrap().push(request.to_vec());
    }
    deliver(shared, request, client, bytes)
}

/// Passes the request on and at most `bytes` of the reply back, as they come.
fn deliver(shared: &Shared, request: &[u8], client: &mut dyn Write, mut bytes: usize) -> io::Result<()> {
    let mut hub = connect(shared)?;
    hub.write_all(request)?;
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = hub.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let part = read.min(bytes);
        bytes -= part;
        client.write_all(&buffer[..part])?;
        if bytes == 0 {
            return Ok(());
        }
    }
}

/// The whole request, asking for the connection to be closed after the reply; `None`: the client left.
fn read_request(client: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    loop {
        if let Some(request) = complete(&bytes) {
            return Ok(Some(request));
        }
        let read = client.read(&mut buffer)?;
        if read == 0 {
            return Ok(None);
        }
        bytes.extend(&buffer[..read]);
    }
}

fn asks_for_websocket(request: &[u8]) -> bool {
    let head = find(request, b"\r\n\r\n").map(|end| String::from_utf8_lossy(&request[..end]).to_lowercase());
    head.is_some_and(|head| header(&head, "upgrade") == Some("websocket"))
}

fn complete(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = find(bytes, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    if asks_for_websocket(bytes) {
        return Some(bytes.to_vec());
    }
    let body = &bytes[end + 4..];
    let whole = match (header(&head, "content-length"), header(&head, "transfer-encoding")) {
        (Some(length), _) => body.len() >= length.parse().ok()?,
        (None, Some("chunked")) => dechunk(body).is_some(),
        (None, _) => true,
    };
    let kept = String::from_utf8_lossy(&bytes[..end]);
    let lines: Vec<&str> = kept.split("\r\n").filter(|line| !line.to_lowercase().starts_with("connection:")).collect();
    let mut request = lines.join("\r\n").into_bytes();
    request.extend(b"\r\nConnection: close\r\n\r\n");
    request.extend(body);
    whole.then_some(request)
}
