//! One client: what comes from it and what goes to it, on one task, so that nothing about it is shared. The task
//! waits for the client to come back for a while before it ends.

use super::bundle::Bundle;
use super::circle::Circle;
use super::doubles::Doubles;
use super::due::Reading;
use super::echoes::Echoes;
use super::flight::Runway;
use super::mail::{Mail, Mailbox};
use super::past::Past;
use super::places::Place;
use super::position::Reached;
use crate::app::App;
use crate::error::ServerError;
use crate::socket::{Line, Unsent};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use syncline_core::model::{Author, CollectionName, Lsn, NodeId};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How long what is known of a client is kept in memory after it has left.
pub(super) const KEPT_AFTER: Duration = Duration::from_secs(10 * 60);
/// How long a list is kept to know the beginning of the next one by it.
const GROWING_LASTS: Duration = Duration::from_secs(1);
/// Between two notes of a client's place.
const NOTE_EVERY: Duration = Duration::from_secs(5);
/// After a connection had no room, or the store refused to be read.
const RETRY_DELAY: Duration = Duration::from_millis(50);
/// What a connection hears whose client has come by another one.
const OVERTAKEN: &str = "Client not registered: another connection came with its id since";

pub(super) struct Client {
    pub(super) app: Arc<App>,
    pub(super) circle: Arc<Circle>,
    pub(super) node: NodeId,
    pub(super) author: Option<Author>,
    pub(super) line: Option<Arc<Line>>,
    /// What the client listens to.
    pub(super) wanted: BTreeSet<CollectionName>,
    pub(super) reading: Option<Reading>,
    pub(super) runway: Runway,
    pub(super) echoes: Echoes,
    pub(super) past: Past,
    pub(super) doubles: Doubles,
    /// Whether a message was under way when the connection ended.
    pub(super) aborted: bool,
    /// Whether a commit failed that may take effect all the same: a repeat does not say what became of its events.
    pub(super) untold: bool,
    /// The list that was taken in last, and when.
    pub(super) previous: Option<(Arc<str>, Instant)>,
    pub(super) news: Option<watch::Receiver<Lsn>>,
    /// Without a connection, its task ends then.
    pub(super) kept_until: Instant,
    noted_at: Instant,
    /// Whether the last note of its place says that it is being filled.
    noted_fill: bool,
    pub(super) retry_at: Option<Instant>,
}

/// Why a client's task goes on.
enum Woken {
    Mail(Mail),
    News,
    Late,
}

impl Client {
    /// Starts the task of a client.
    pub(super) fn start(circle: &Arc<Circle>, node: NodeId, app: Arc<App>) -> Mailbox {
        let lists = app.options.live.queued_messages.max(1);
        let bytes = app.options.settings.bounds.inflight_body_bytes;
        let (mailbox, mail) = Mailbox::open(lists, Arc::clone(&app.body_bytes), bytes);
        let now = Instant::now();
        let client = Client {
            author: circle.space.author(&node),
            circle: Arc::clone(circle),
            app,
            node,
            line: None,
            wanted: BTreeSet::new(),
            reading: None,
            runway: Runway::default(),
            echoes: Echoes::default(),
            past: Past::default(),
            doubles: Doubles::default(),
            aborted: false,
            untold: false,
            previous: None,
            news: None,
            kept_until: now + KEPT_AFTER,
            noted_at: now,
            noted_fill: false,
            retry_at: None,
        };
        tokio::spawn(client.run(mail));
        mailbox
    }

    async fn run(mut self, mut mail: UnboundedReceiver<Mail>) {
        let mut leaving = self.app.hub.leaving();
        loop {
            let deadline = self.deadline();
            let ready = self.runway.is_free() && self.retry_at.is_none();
            let woken = tokio::select! {
                biased;
                _ = leaving.wait_for(|leaving| *leaving) => None,
                first = mail.recv() => first.map(Woken::Mail),
                () = changed(&mut self.news), if ready => Some(Woken::News),
                () = sleep_until(deadline) => Some(Woken::Late),
            };
            match woken {
                None => break,
                Some(Woken::Mail(first)) => self.read_mail(first, &mut mail).await,
                Some(Woken::News) => {}
                Some(Woken::Late) if self.line.is_some() => self.late(),
                Some(Woken::Late) => {
                    if self.circle.leave(&self.node, || mail.is_empty()) {
                        break;
                    }
                }
            }
            self.deliver().await;
        }
        self.note_place(true);
        self.set_line(None);
    }

    fn deadline(&self) -> Instant {
        let Some(_) = &self.line else { return self.kept_until };
        let far = Instant::now() + KEPT_AFTER;
        let growing = self.previous.as_ref().map(|(_, at)| *at + GROWING_LASTS);
        [self.runway.deadline(), self.retry_at, growing].into_iter().flatten().min().unwrap_or(far)
    }

    fn late(&mut self) {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
        }
        if self.previous.as_ref().is_some_and(|(_, at)| *at + GROWING_LASTS <= now) {
            self.previous = None;
        }
        if let Some(reached) = self.runway.give_up(now) {
            self.assume(reached, now);
        }
    }

    /// A message counts as arrived.
    fn assume(&mut self, reached: Reached, now: Instant) {
        // A connection that lives so long has answered a ping that was sent behind the message.
        let live = &self.app.options.live;
        let until = now + live.ping_interval + live.ping_timeout;
        if let Some(reading) = &mut self.reading {
            reading.assume(reached, until);
        }
    }

    /// Takes what has come; lists that wait together are committed together.
    async fn read_mail(&mut self, first: Mail, mail: &mut UnboundedReceiver<Mail>) {
        let mut lists = Vec::new();
        let mut next = Some(first);
        while let Some(one) = next {
            match one {
                // Its rights are those of its own token: it cannot speak for the client any more.
                Mail::Events(events) if !self.is_at(events.line.sid) => {
                    events.answer(Err(OVERTAKEN.to_owned()));
                }
                Mail::Events(events) => lists.push(events),
                Mail::Here { line, collections, _share } => {
                    self.take_in(std::mem::take(&mut lists)).await;
                    self.come(line, collections).await;
                }
                Mail::Gone { sid } => {
                    self.take_in(std::mem::take(&mut lists)).await;
                    if self.is_at(sid) {
                        self.go();
                        self.circle.places.hand_over().await;
                    }
                }
                Mail::Forget => self.kept_until = Instant::now(),
            }
            next = mail.try_recv().ok();
        }
        self.take_in(lists).await;
    }

    /// Sends what is due, unless a message is under way.
    async fn deliver(&mut self) {
        let Some(line) = self.line.clone() else { return };
        if !self.runway.is_free() || self.retry_at.is_some() {
            return;
        }
        self.retry_at = self.runway.rests_until(line.sent_at(), Instant::now());
        if self.retry_at.is_some() {
            return;
        }
        if let Some(news) = &mut self.news {
            news.mark_unchanged();
        }
        if let Err(error) = self.may_read(&line) {
            return self.dismiss(&error);
        }
        let Some(reading) = &mut self.reading else { return };
        let next = match reading.next(&self.circle, self.author).await {
            Err(ServerError::Resync { .. }) => self.catch_up().await,
            next => next,
        };
        match next {
            Ok(None) => {}
            Ok(Some((bundle, reached))) => match line.hand(&bundle.message) {
                Ok(()) => self.note_sent(bundle, reached),
                // Of its end a connection tells by itself.
                Err(Unsent::Full | Unsent::Gone) => self.put_off(),
            },
            Err(error) => {
                tracing::warn!(client = %self.node, %error, "a live client waits for the store");
                self.put_off();
            }
        }
        self.note_place(false);
    }

    /// The log has been trimmed beyond where the client is here.
    async fn catch_up(&mut self) -> Result<Option<(Arc<Bundle>, Reached)>, ServerError> {
        let Some(reading) = &mut self.reading else { return Ok(None) };
        let known = self.circle.places.find(&self.node, (&self.wanted, reading.views())).await?;
        let head = self.circle.space.head();
        reading.catch_up(known, (head.lsn, head.horizon));
        reading.next(&self.circle, self.author).await
    }

    fn note_sent(&mut self, bundle: Arc<Bundle>, reached: Reached) {
        let now = Instant::now();
        let Some(reached) = self.runway.send(bundle, reached, now) else { return };
        self.assume(reached, now);
        if self.reading.as_ref().is_some_and(|reading| !reading.is_done(&self.circle)) {
            self.retry_at = self.runway.rests_until(None, now);
        }
    }

    fn may_read(&self, line: &Line) -> Result<(), ServerError> {
        match &line.caller.grant {
            Some(grant) => self.app.tokens.check_again(grant),
            None => Err(ServerError::Unauthorized { reason: "there is none" }),
        }
    }

    /// What is due stays due.
    fn put_off(&mut self) {
        if let Some(reading) = &mut self.reading {
            reading.rewind();
        }
        self.retry_at = Some(Instant::now() + RETRY_DELAY);
    }

    pub(super) fn tell(&self, why: &str) {
        if let Some(line) = &self.line {
            // What a client is told is also in the quarantine.
            let _ = line.emit("error", &json!({ "message": why }));
        }
    }

    pub(super) fn note_place(&mut self, now: bool) {
        let Some((reading, place)) = self.reading.as_ref().and_then(|reading| Some((reading, reading.place()?))) else {
            return;
        };
        let turned = self.noted_fill != matches!(place, Place::FilledSince(_));
        if now || turned || self.noted_at.elapsed() >= NOTE_EVERY {
            self.noted_at = Instant::now();
            let (places, seen) = (&self.circle.places, (&self.wanted, reading.views()));
            places.note(&self.node, seen, place);
            if turned {
                self.noted_fill = !self.noted_fill;
                places.forget_other(&self.node, seen, place);
            }
        }
    }
}

/// Waits for changes; for ever where nobody listens.
async fn changed(news: &mut Option<watch::Receiver<Lsn>>) {
    let open = match news {
        Some(news) => news.changed().await.is_ok(),
        None => false,
    };
    if !open {
        std::future::pending().await
    }
}
