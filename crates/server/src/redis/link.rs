//! The connection to Redis and what keeps it: one that listens, one that publishes, both taken up again after any
//! trouble. What is said and heard meanwhile is lost, and those who use the link are told when it is back.

use super::refusals::{Refusals, Refused};
use super::trouble::told;
use super::{Emission, node, python};
use crate::meters::Meters;
use crate::options::{RedisAddress, RedisOptions};
use bytes::Bytes;
use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{ConnectionAddr, IntoConnectionInfo, Msg, Pipeline, RedisError, RedisResult};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, sleep, timeout};

/// Longest wait for a connection, a reply or a sign of life.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Between two signs of life of the connection that only listens.
const PING_EVERY: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Messages that are published together.
const TOGETHER: usize = 256;

/// The hub's own channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Where a space's log stands.
    Hints,
    /// Events for rooms, with their envelopes.
    Rooms,
    /// How many are in which room.
    Presence,
}

/// A message that came.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// On a channel of the hub's own: from another worker, from this one, or from anybody.
    Own(Channel, Bytes),
    /// From an emitter of another back end.
    Foreign(Emission),
}

/// For those who publish. Cheap to clone.
#[derive(Clone)]
pub struct Link {
    out: mpsc::Sender<(Channel, Bytes)>,
    up: Arc<watch::Sender<bool>>,
    origin: Arc<str>,
    meters: Arc<Meters>,
}

/// The other end of a [`Link`], which somebody has to run.
pub struct Runner {
    options: RedisOptions,
    event_bytes: usize,
    out: mpsc::Receiver<(Channel, Bytes)>,
    link: Link,
    refusals: Arc<Refusals>,
}

impl Link {
    /// Connects nothing yet; that is [`Runner::run`]. `event_bytes`: what pages may be told at once.
    #[must_use]
    pub fn new(options: RedisOptions, event_bytes: usize, meters: Arc<Meters>) -> (Link, Runner) {
        let (send, out) = mpsc::channel(options.queued_messages.max(1));
        // Process and chance: numbers of processes come again.
        let origin = format!("{}-{}", std::process::id(), uuid::Uuid::new_v4().simple()).into();
        let link = Link { out: send, up: Arc::new(watch::channel(false).0), origin, meters: Arc::clone(&meters) };
        let refusals = Arc::new(Refusals::new(meters));
        (link.clone(), Runner { options, event_bytes, out, link, refusals })
    }

    /// Who this worker is among those at one Redis: no other message has it.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether Redis is there.
    #[must_use]
    pub fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Becomes true when Redis is there (again).
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }

    /// Publishes when there is time; drops the message while Redis is away, or too far behind.
    pub fn publish(&self, channel: Channel, payload: Bytes) {
        if !self.is_up() || self.out.try_send((channel, payload)).is_err() {
            self.meters.redis_dropped.increment(1);
        }
    }
}

/// Both connections.
struct Connected {
    publish: MultiplexedConnection,
    sink: PubSubSink,
    messages: PubSubStream,
}

impl Runner {
    /// The end for those who publish.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// What was not understood is noted here.
    #[must_use]
    pub fn refusals(&self) -> Arc<Refusals> {
        Arc::clone(&self.refusals)
    }

    /// Keeps the link until `closing` is true. `take` gets every message and must not wait.
    pub async fn run(mut self, mut closing: watch::Receiver<bool>, take: impl Fn(Taken) + Send) {
        let mut pause = PAUSE_MIN;
        let mut is_told = false;
        loop {
            let tried = tokio::select! {
                _ = closing.wait_for(|closing| *closing) => return,
                tried = timeout(PATIENCE, self.connect()) => tried,
            };
            let error = match tried {
                Ok(Ok(connected)) => {
                    (pause, is_told) = (PAUSE_MIN, false);
                    tracing::info!(redis = self.options.shown(), "Redis is there");
                    self.change(true);
                    let ended = tokio::select! {
                        _ = closing.wait_for(|closing| *closing) => None,
                        error = self.serve(connected, &take) => Some(error),
                    };
                    self.change(false);
                    let Some(error) = ended else { return };
                    error
                }
                Ok(Err(error)) => error,
                Err(_) => RedisError::from((redis::ErrorKind::Io, "it does not answer")),
            };
            if !std::mem::replace(&mut is_told, true) {
                let redis = self.options.shown();
                let error = told(&error);
                tracing::warn!(redis, %error, "Redis is away; this worker goes on by itself and tries again");
            }
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => return,
                () = sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// What was queued for a Redis that went away is old news.
    fn change(&mut self, up: bool) {
        self.link.meters.redis_up.set(f64::from(u8::from(up)));
        self.link.up.send_replace(up);
        while !up && self.out.try_recv().is_ok() {
            self.link.meters.redis_dropped.increment(1);
        }
    }

    async fn connect(&self) -> RedisResult<Connected> {
        let client = connection(&self.options)?;
        let publish = client.get_multiplexed_async_connection().await?;
        let (mut sink, messages) = client.get_async_pubsub().await?.split();
        for channel in [Channel::Hints, Channel::Rooms, Channel::Presence] {
            sink.subscribe(self.name(channel)).await?;
        }
        if let Some(channel) = &self.options.python_channel {
            sink.subscribe(channel).await?;
        }
        if let Some(prefix) = &self.options.node_channel {
            sink.psubscribe(format!("{}#*", escaped(prefix))).await?;
        }
        Ok(Connected { publish, sink, messages })
    }

    fn name(&self, channel: Channel) -> String {
        let part = match channel {
            Channel::Hints => "hints",
            Channel::Rooms => "rooms",
            Channel::Presence => "presence",
        };
        format!("{}:{part}", self.options.channel)
    }

    /// Until something fails.
    async fn serve(&mut self, connected: Connected, take: &(impl Fn(Taken) + Send)) -> RedisError {
        let Connected { publish, sink, mut messages } = connected;
        let names = Names::of(self);
        let (meters, refusals) = (Arc::clone(&self.link.meters), Arc::clone(&self.refusals));
        let listen = async {
            while let Some(message) = messages.next().await {
                meters.redis_received.increment(1);
                match names.read(&message) {
                    Ok(Some(taken)) => take(taken),
                    Ok(None) => {}
                    Err(refused) => refusals.note(&refused),
                }
            }
            RedisError::from((redis::ErrorKind::Io, "the connection has ended"))
        };
        tokio::select! {
            error = listen => error,
            error = send(&mut self.out, publish, &names, &meters) => error,
            error = stay_alive(sink) => error,
        }
    }
}

/// Where it is and who comes; connects nowhere yet.
pub(super) fn connection(options: &RedisOptions) -> RedisResult<redis::Client> {
    let address = match &options.address {
        RedisAddress::Tcp(host, port) => ConnectionAddr::Tcp(host.clone(), *port),
        RedisAddress::Unix(path) => ConnectionAddr::Unix(path.clone()),
    };
    let info = address.into_connection_info()?;
    let mut settings = info.redis_settings().clone().set_db(options.db);
    if let Some(username) = &options.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = &options.password {
        settings = settings.set_password(password);
    }
    redis::Client::open(info.set_redis_settings(settings))
}

/// Publishes what is queued, many at a time.
async fn send(
    out: &mut mpsc::Receiver<(Channel, Bytes)>,
    mut publish: MultiplexedConnection,
    names: &Names,
    meters: &Meters,
) -> RedisError {
    let mut batch = Vec::with_capacity(TOGETHER);
    loop {
        if out.recv_many(&mut batch, TOGETHER).await == 0 {
            return std::future::pending().await;
        }
        let count = batch.len() as u64;
        let mut pipeline = Pipeline::with_capacity(batch.len());
        for (channel, payload) in batch.drain(..) {
            pipeline.cmd("PUBLISH").arg(names.of_channel(channel)).arg(&payload[..]).ignore();
        }
        match timeout(PATIENCE, pipeline.query_async::<()>(&mut publish)).await {
            Ok(Ok(())) => meters.redis_published.increment(count),
            Ok(Err(error)) => return error,
            Err(_) => return RedisError::from((redis::ErrorKind::Io, "a message was not taken in time")),
        }
    }
}

/// A connection that only listens does not notice by itself that nobody is there any more.
async fn stay_alive(mut sink: PubSubSink) -> RedisError {
    let mut tick = interval(PING_EVERY);
    loop {
        tick.tick().await;
        match timeout(PATIENCE, sink.ping::<redis::Value>()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return error,
            Err(_) => return RedisError::from((redis::ErrorKind::Io, "it gives no sign of life")),
        }
    }
}

/// What stands around an event: names of rooms, an envelope. The event itself may be spelled at twice its size, as bytes in
/// base64 are.
const AROUND_EVENT_BYTES: usize = 64 << 10;

/// What a worker says of all its rooms.
const PRESENCE_BYTES_MAX: usize = 4 << 20;

/// The channels by name.
struct Names {
    /// Bytes of a message with an event.
    most: usize,
    own: [(Channel, String); 3],
    python: Option<String>,
    node: Option<String>,
}

impl Names {
    fn of(runner: &Runner) -> Names {
        let own = [Channel::Hints, Channel::Rooms, Channel::Presence].map(|channel| (channel, runner.name(channel)));
        Names {
            most: runner.event_bytes * 2 + AROUND_EVENT_BYTES,
            own,
            python: runner.options.python_channel.clone(),
            node: runner.options.node_channel.clone(),
        }
    }

    fn of_channel(&self, channel: Channel) -> &str {
        self.own.iter().find(|(own, _)| *own == channel).map_or("", |(_, name)| name)
    }

    fn read(&self, message: &Msg) -> Result<Option<Taken>, Refused> {
        let (name, payload) = (message.get_channel_name(), message.get_payload_bytes());
        let presence = self.of_channel(Channel::Presence) == name;
        let most = if presence { self.most.max(PRESENCE_BYTES_MAX) } else { self.most };
        if payload.len() > most {
            let why = format!("its {} bytes are over {most}, what a message on this channel may have", payload.len());
            return Err(Refused::new("message_too_large", why));
        }
        if message.from_pattern() {
            let Some(prefix) = &self.node else { return Ok(None) };
            return Ok(node::read(prefix, name.as_bytes(), payload)?.map(Taken::Foreign));
        }
        if let Some((channel, _)) = self.own.iter().find(|(_, own)| own == name) {
            return Ok(Some(Taken::Own(*channel, Bytes::copy_from_slice(payload))));
        }
        match &self.python {
            Some(python) if python == name => Ok(python::read(payload)?.map(Taken::Foreign)),
            _ => Ok(None),
        }
    }
}

/// In a pattern, these have a meaning of their own.
fn escaped(prefix: &str) -> String {
    prefix.chars().fold(String::new(), |mut text, c| {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            text.push('\\');
        }
        text.push(c);
        text
    })
}
