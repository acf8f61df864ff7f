//! What workers tell each other through the database (step 7 of the life of a change): that a space's log has grown. A
//! connection of its own listens; while there is none, or a pooler in between keeps it from listening, others are told
//! to look from time to time. Nobody waits for it.

use super::Url;
use super::trouble::words;
use crate::store::Heard;
use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use syncline_core::model::{Lsn, SpaceName};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{interval, sleep, timeout};
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Error, Notification};

const CHANNEL: &str = "syncline";
/// Between two looks while nobody can be heard.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two looks while all is well, and two signs of life.
const LOOK_SOMETIMES: Duration = Duration::from_secs(10);
/// What a worker says in another session is heard within this, or a pooler in between keeps messages back.
const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// Then it is tried again after this.
const DEAF_PAUSE: Duration = Duration::from_secs(30);
/// After word of commits; what is committed meanwhile is told as one.
const TOGETHER: Duration = Duration::from_millis(1);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Hints that wait for this worker; further ones are as good as those.
const QUEUE: usize = 256;

/// Why nobody can be heard.
enum Unheard {
    NoConnection,
    Broken(Error),
    /// Something in between keeps messages back.
    Deaf,
}

impl From<Error> for Unheard {
    fn from(error: Error) -> Unheard {
        Unheard::Broken(error)
    }
}

/// Tells and hears.
pub(super) struct Messenger {
    url: Url,
    origin: String,
    started: AtomicBool,
    stopped: watch::Sender<bool>,
    /// Commits to tell of; without a space, of records.
    due: Mutex<BTreeMap<Option<SpaceName>, Lsn>>,
    wake: Notify,
}

impl Messenger {
    pub fn new(url: Url) -> Messenger {
        Messenger {
            url,
            origin: uuid::Uuid::new_v4().simple().to_string(),
            started: AtomicBool::new(false),
            stopped: watch::channel(false).0,
            due: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Tells of a commit, soon. Does nothing where nobody listens.
    pub fn tell(&self, space: &SpaceName, lsn: Lsn) {
        self.tell_soon(Some(space.clone()), lsn);
    }

    /// Tells that records have changed.
    pub fn tell_of_records(&self) {
        self.tell_soon(None, Lsn::ZERO);
    }

    fn tell_soon(&self, space: Option<SpaceName>, lsn: Lsn) {
        if self.started.load(Ordering::Acquire) {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            let known = due.entry(space).or_default();
            *known = lsn.max(*known);
            self.wake.notify_one();
        }
    }

    /// Begins, once.
    pub fn start(self: Arc<Self>, connect_timeout: Duration) -> Option<mpsc::Receiver<Heard>> {
        if self.started.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (heard, out) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let mut stopped = self.stopped.subscribe();
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => {}
                () = self.run(heard, connect_timeout) => {}
            }
        });
        Some(out)
    }

    /// Ends it.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    async fn run(&self, heard: mpsc::Sender<Heard>, connect_timeout: Duration) {
        const LOOKED_AT: &str = "other workers cannot be heard; logs are looked at every second meanwhile";
        let (mut pause, mut deaf) = (PAUSE_MIN, false);
        while !heard.is_closed() {
            match timeout(connect_timeout, self.connect()).await.unwrap_or(Err(Unheard::NoConnection)) {
                Ok((client, messages)) => {
                    tracing::debug!("workers hear of each other through the database");
                    let error = self.converse(&client, messages, &heard).await;
                    tracing::warn!(error, "{LOOKED_AT}");
                    (pause, deaf) = (PAUSE_MIN, false);
                }
                Err(Unheard::Deaf) => {
                    if !std::mem::replace(&mut deaf, true) {
                        let error = "a pooler in transaction mode keeps NOTIFY back";
                        tracing::warn!(error, next = "workers hear of each other at once by Redis", "{LOOKED_AT}");
                    }
                    pause = DEAF_PAUSE;
                }
                Err(Unheard::NoConnection) => tracing::debug!("no connection in time to hear other workers by"),
                Err(Unheard::Broken(error)) => {
                    tracing::debug!(error = words(&error), "no connection to hear others by")
                }
            }
            self.look_meanwhile(&heard, pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Until it is time for another attempt.
    async fn look_meanwhile(&self, heard: &mpsc::Sender<Heard>, pause: Duration) {
        let mut looks = interval(LOOK_EVERY);
        let looking = async {
            loop {
                looks.tick().await;
                say(heard, Heard::Anything);
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = looking => {}
        }
    }

    /// A connection by which this worker hears what is said elsewhere.
    async fn connect(&self) -> Result<(Client, mpsc::Receiver<Notification>), Unheard> {
        let (client, mut connection) = self.url.config().connect(self.url.connector()).await?;
        let (out, mut messages) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let mut said = poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = said.next().await {
                if let AsyncMessage::Notification(message) = message {
                    // A full queue holds a hint for whoever reads it.
                    let _dropped = out.try_send(message);
                }
            }
        });
        client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
        let word = format!("{} hears", self.origin);
        self.say_from_elsewhere(&word).await?;
        let own = async {
            while let Some(message) = messages.recv().await {
                if message.payload() == word {
                    return Ok(());
                }
            }
            Err(Unheard::NoConnection)
        };
        timeout(HEARD_WITHIN, own).await.unwrap_or(Err(Unheard::Deaf))?;
        Ok((client, messages))
    }

    /// Says a word in a session that does not listen. One that listens hears its own word before its transaction ends,
    /// also where a pooler then gives the session to others.
    async fn say_from_elsewhere(&self, word: &str) -> Result<(), Error> {
        let (client, connection) = self.url.config().connect(self.url.connector()).await?;
        tokio::spawn(connection);
        let sql = "SELECT pg_notify($1, $2)";
        client.query_typed(sql, &[(&CHANNEL, Type::TEXT), (&word, Type::TEXT)]).await.map(drop)
    }

    /// Tells and hears until the connection ends; returns why.
    async fn converse(
        &self,
        client: &Client,
        mut messages: mpsc::Receiver<Notification>,
        heard: &mpsc::Sender<Heard>,
    ) -> String {
        // What was committed before the connection listened was told to nobody here.
        let mut looks = interval(LOOK_SOMETIMES);
        loop {
            let done = tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => {
                        self.hear(&message, heard);
                        Ok(())
                    }
                    None => return "the connection was closed".to_owned(),
                },
                () = self.wake.notified() => self.tell_all(client).await,
                _ = looks.tick() => {
                    say(heard, Heard::Anything);
                    client.batch_execute("").await
                }
            };
            if let Err(error) = done {
                return words(&error);
            }
        }
    }

    /// The first is told at once. Nobody waits for the disk: a hint that a crash takes with it is missed by nobody.
    async fn tell_all(&self, client: &Client) -> Result<(), Error> {
        let due = std::mem::take(&mut *self.due.lock().unwrap_or_else(PoisonError::into_inner));
        let name = |space: &Option<SpaceName>| space.as_ref().map(ToString::to_string).unwrap_or_default();
        let said: Vec<String> =
            due.iter().map(|(space, lsn)| format!("{} {lsn} {}", self.origin, name(space))).collect();
        let sql = "SELECT set_config('synchronous_commit', 'off', TRUE), pg_notify($1, said)
            FROM unnest($2::TEXT[]) AS t (said)";
        client.query_typed(sql, &[(&CHANNEL, Type::TEXT), (&said, Type::TEXT_ARRAY)]).await?;
        sleep(TOGETHER).await;
        Ok(())
    }

    /// Whoever may connect to the database can say anything: it only makes this worker look.
    fn hear(&self, message: &Notification, heard: &mpsc::Sender<Heard>) {
        let mut words = message.payload().splitn(3, ' ');
        let (origin, space) = (words.next(), words.nth(1));
        match space.map(SpaceName::new) {
            _ if origin == Some(self.origin.as_str()) => {}
            Some(Ok(space)) => say(heard, Heard::Space(space)),
            Some(Err(_)) if space == Some("") => say(heard, Heard::Records),
            Some(Err(_)) | None => {}
        }
    }
}

/// What does not fit says no more than what is there.
fn say(heard: &mpsc::Sender<Heard>, what: Heard) {
    let _full = heard.try_send(what);
}
