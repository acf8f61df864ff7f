//! Many subscribers on one thread: they join, count what reaches them and how long it took, and keep
//! their connections alive.

use super::{frames, socket::head_end};
use crate::hub::TOKEN;
use std::collections::HashSet;
use std::io::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// How many connect at the same time.
const OPENING: usize = 50;
/// The field of a change that says when it was due, in nanoseconds of the run's clock.
const DUE: &[u8] = b"\"due\":";
/// Without a further delivery for so long, nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a subscriber says once it is connected; `{n}` is its number.
pub(super) type Hello = &'static str;

/// Subscribers that are connected.
pub(super) struct Crowd {
    tally: Arc<Tally>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<Vec<u32>>,
    size: usize,
}

#[derive(Default)]
struct Tally {
    delivered: AtomicUsize,
    broken: AtomicUsize,
}

/// What reached the crowd.
pub(super) struct Heard {
    /// Microseconds from the moment a change was due until a subscriber had read it, sorted.
    pub latencies_us: Vec<u32>,
    /// Subscribers whose connection ended.
    pub broken: usize,
}

impl Crowd {
    /// Connects `size` subscribers, spread over the servers.
    ///
    /// # Errors
    /// When one cannot connect.
    pub fn gather(ports: &[u16], size: usize, hello: Hello, clock: Instant) -> Result<Crowd> {
        let (tally, (stop, stopped)) = (Arc::new(Tally::default()), watch::channel(false));
        let (ready, joined) = std::sync::mpsc::channel();
        let (ports, shared) = (ports.to_vec(), tally.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async move {
                let (latencies, mut collected) = mpsc::unbounded_channel();
                let mut opening = JoinSet::new();
                let mut members = JoinSet::new();
                for n in 0..size {
                    if opening.len() == OPENING {
                        admit(opening.join_next().await, &mut members, &shared, &stopped, &latencies, clock, &ready);
                    }
                    let port = ports[n % ports.len()];
                    opening.spawn(async move { join(port, &hello.replace("{n}", &n.to_string())).await });
                }
                while !opening.is_empty() {
                    admit(opening.join_next().await, &mut members, &shared, &stopped, &latencies, clock, &ready);
                }
                drop((latencies, ready));
                while members.join_next().await.is_some() {}
                let mut all = Vec::new();
                while let Some(some) = collected.recv().await {
                    all.extend::<Vec<u32>>(some);
                }
                all
            })
        });
        joined.iter().try_for_each(|member: Result<()>| member)?;
        Ok(Crowd { tally, stop, thread, size })
    }

    /// How many deliveries there were.
    pub fn delivered(&self) -> usize {
        self.tally.delivered.load(Ordering::Relaxed)
    }

    /// Waits until each of `changes` has reached everybody, or until nothing comes any more.
    pub fn wait_for(&self, changes: usize) {
        let (mut before, mut since) = (self.delivered(), Instant::now());
        while self.delivered() < changes * self.size && since.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
            if self.delivered() != before {
                (before, since) = (self.delivered(), Instant::now());
            }
        }
    }

    /// Sends everybody home.
    pub fn leave(self) -> Heard {
        self.stop.send_replace(true);
        let mut latencies_us = self.thread.join().unwrap_or_default();
        latencies_us.sort_unstable();
        Heard { latencies_us, broken: self.tally.broken.load(Ordering::Relaxed) }
    }
}

type Opened = Option<std::result::Result<Result<Member>, tokio::task::JoinError>>;

fn admit(
    opened: Opened,
    members: &mut JoinSet<()>,
    tally: &Arc<Tally>,
    stopped: &watch::Receiver<bool>,
    latencies: &mpsc::UnboundedSender<Vec<u32>>,
    clock: Instant,
    ready: &std::sync::mpsc::Sender<Result<()>>,
) {
    match opened {
        Some(Ok(Ok(member))) => {
            members.spawn(member.listen(tally.clone(), stopped.clone(), latencies.clone(), clock));
            drop(ready.send(Ok(())));
        }
        Some(Ok(Err(error))) => drop(ready.send(Err(error))),
        Some(Err(_)) | None => drop(ready.send(Err(Error::other("a subscriber panicked")))),
    }
}

/// One connected subscriber.
struct Member {
    stream: TcpStream,
    bytes: Vec<u8>,
    /// When the changes that it knows were due; no two at the same time.
    known: HashSet<u64>,
}

async fn join(port: u16, hello: &str) -> Result<Member> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    stream.write_all(frames::UPGRADE.as_bytes()).await?;
    let mut member = Member { stream, bytes: Vec::with_capacity(2048), known: HashSet::new() };
    while head_end(&member.bytes).is_none() {
        member.fill().await?;
    }
    member.bytes.drain(..head_end(&member.bytes).unwrap_or_default());
    loop {
        let Some(frame) = frames::first(&member.bytes) else {
            member.fill().await?;
            continue;
        };
        let packet: Vec<u8> = member.bytes.drain(..frame.end).skip(frame.begin).collect();
        if packet.starts_with(b"40") {
            member.stream.write_all(&frames::text(hello)).await?;
            return Ok(member);
        }
        let answer = frames::answer(&packet, TOKEN)
            .ok_or_else(|| Error::other(format!("refused: {}", String::from_utf8_lossy(&packet))))?;
        member.stream.write_all(&frames::text(&answer)).await?;
    }
}

impl Member {
    async fn fill(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.bytes).await? {
            0 => Err(Error::other("the connection ended")),
            _ => Ok(()),
        }
    }

    async fn listen(
        mut self,
        tally: Arc<Tally>,
        mut stopped: watch::Receiver<bool>,
        latencies: mpsc::UnboundedSender<Vec<u32>>,
        clock: Instant,
    ) {
        let mut heard = Vec::new();
        loop {
            tokio::select! {
                more = self.fill() => {
                    if more.is_err() || self.read_frames(&tally, &mut heard, clock).await.is_err() {
                        tally.broken.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                }
                _ = stopped.changed() => break,
            }
        }
        drop(latencies.send(heard));
    }

    async fn read_frames(&mut self, tally: &Tally, heard: &mut Vec<u32>, clock: Instant) -> Result<()> {
        let now = u64::try_from(clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut at = 0;
        while let Some(frame) = frames::first(&self.bytes[at..]) {
            let packet = &self.bytes[at + frame.begin..at + frame.end];
            if frame.opcode == 8 {
                return Err(Error::other("the server closed the connection"));
            }
            if let Some(answer) = frames::answer(packet, TOKEN) {
                let answer = frames::text(&answer);
                self.stream.write_all(&answer).await?;
            } else {
                for due in dues(packet).filter(|due| *due != 0) {
                    if self.known.insert(due) {
                        heard.push(u32::try_from(now.saturating_sub(due) / 1_000).unwrap_or(u32::MAX));
                        tally.delivered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            at += frame.end;
        }
        self.bytes.drain(..at);
        Ok(())
    }
}

/// The numbers behind every `"due":` of a packet.
fn dues(packet: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let mut rest = packet;
    std::iter::from_fn(move || {
        let at = rest.windows(DUE.len()).position(|six| six == DUE)? + DUE.len();
        rest = &rest[at..];
        Some(rest.iter().take_while(|byte| byte.is_ascii_digit()).fold(0, |n, byte| n * 10 + u64::from(byte - b'0')))
    })
}
