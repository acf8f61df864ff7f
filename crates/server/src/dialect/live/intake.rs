//! From lists of events to commits (steps 3 to 7 of the life of a change). A list is answered once all of it is
//! durable, and soon: what a client adds meanwhile it forgets with the answer.
//!
//! A client whose list is refused sends it again for ever, with everything that comes after. So only what a repeat
//! heals is refused; what can never be applied is set aside, and the client hears why by an `error` event.

use super::client::Client;
use super::flight::Runway;
use super::mail::Events;
use super::pages::meant;
use super::parcel::Echo;
use crate::auth::{Access, Grant};
use crate::error::ServerError;
use crate::events::SyncEvent;
use crate::hub::Pushed;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use syncline_core::hub::{DocKey, Fate, LiveTaken, Reply};
use syncline_core::model::{Limits, LiveBatch, LiveEdit, LiveEvent, Lsn, NodeId, Rejection};
use syncline_core::wire::{self, live::Received};
use tokio::time::Instant;

/// Longer lists are read beside the tasks that serve connections.
const BIG_BYTES: usize = 64 << 10;
/// Events in one commit, so that others get their turn.
const EVENTS_PER_COMMIT: usize = 1_000;
/// How often a commit is tried that found no room, and how long is waited before.
const TRIES: u32 = 4;
const TRY_DELAY: Duration = Duration::from_millis(100);
/// Causes that one list's client is told of.
const CAUSES_TOLD: usize = 3;

/// Events that are to be committed, in order.
#[derive(Default)]
struct Sifted {
    events: Vec<LiveEvent>,
    keys: HashSet<[u8; 16]>,
    /// The same for an application's own storage.
    stored: Vec<SyncEvent>,
    /// Whether one changes what is on its way to the client.
    crosses: bool,
}

impl Client {
    /// Reads, commits and answers lists that came together.
    pub(super) async fn take_in(&mut self, lists: Vec<Events>) {
        let Some(first) = lists.first() else { return };
        let Some(grant) = first.line.caller.grant.clone() else { return };
        if let Err(error) = self.app.tokens.check_again(&grant) {
            lists.into_iter().for_each(|list| answer(list, Err(error.to_string())));
            return self.dismiss(&error);
        }
        let served = self.reading.as_ref().map_or(Lsn::ZERO, super::due::Reading::served);
        let (mut sifted, mut good) = (Sifted::default(), Vec::new());
        for list in lists {
            let text = self.unread(&list.text);
            self.previous = Some((Arc::clone(&list.text), Instant::now()));
            let kept = self.app.options.event_storage.is_some().then(|| text.clone());
            match read(text, self.node.clone(), self.app.options.settings.limits).await {
                Ok(heard) => {
                    self.sift(heard, kept.as_deref(), &grant, &mut sifted).await;
                    good.push(list);
                }
                Err(why) => answer(list, Err(why)),
            }
        }
        let mut causes = Vec::new();
        let outcome = self.commit(sifted, served, &mut causes).await.map_err(|error| error.to_string());
        if outcome.is_err() {
            self.previous = None;
        }
        good.into_iter().for_each(|list| answer(list, outcome.clone()));
        let untold = causes.len().saturating_sub(CAUSES_TOLD);
        for cause in causes.iter().take(CAUSES_TOLD) {
            self.tell(cause);
        }
        if untold > 0 {
            self.tell(&format!("{untold} more events were set aside; the quarantine names each"));
        }
    }

    /// A client sends its whole list with each change until it is answered, and nothing of it is read twice: a list
    /// that begins as the last one did is read from there on.
    fn unread(&self, text: &Arc<str>) -> Arc<str> {
        let begun = self.previous.as_ref().and_then(|(previous, _)| previous.strip_suffix(']'));
        match begun.and_then(|begun| text.strip_prefix(begun)).map(|rest| (rest, rest.strip_prefix(','))) {
            Some(("]", _)) => "[]".into(),
            Some((_, Some(rest))) if begun.is_some_and(|begun| begun.len() > 1) => format!("[{rest}").into(),
            _ => Arc::clone(text),
        }
    }

    /// Takes out what is known already and what merely reports a delivery.
    async fn sift(&mut self, heard: Vec<Received>, text: Option<&str>, grant: &Grant, sifted: &mut Sifted) {
        let now = Instant::now();
        let mut raw: Vec<Value> = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        for (n, one) in heard.into_iter().enumerate() {
            if self.echoes.knows(&one.event.key) || sifted.keys.contains(&one.event.key) {
                continue;
            }
            if self.is_echo(&one, now).await {
                self.echoes.note(one.event.key);
                continue;
            }
            let mut event = one.event;
            self.past.forget(&event);
            forbid(&mut event, grant);
            self.listen_to(&event, grant);
            sifted.crosses |= self.crosses(&event, now);
            sifted.keys.insert(event.key);
            if let (Some(raw), false) = (raw.get_mut(n), matches!(event.edit, LiveEdit::Unusable(_))) {
                sifted.stored.extend(serde_json::from_value::<SyncEvent>(raw.take()));
            }
            sifted.events.push(event);
        }
    }

    async fn is_echo(&mut self, received: &Received, now: Instant) -> bool {
        if let Some(mark) = received.mark {
            self.landed(&Echo::Removal(mark), now);
            return true;
        }
        let LiveEvent { edit: LiveEdit::Insert { id, .. }, collection: Some(collection), .. } = &received.event else {
            return false;
        };
        let Some(digest) = received.digest else { return false };
        let key = (collection.clone(), id.clone());
        if self.echoes.take(&key, digest) {
            self.landed(&Echo::Insert(key, digest), now);
            return true;
        }
        self.past.holds(&self.circle, self.author, &key, digest).await
    }

    /// An echo came: perhaps the one that the next message waits for.
    fn landed(&mut self, echo: &Echo, now: Instant) {
        if let (Some(reached), Some(reading)) = (self.runway.echoed(echo, now), &mut self.reading) {
            reading.reach(reached);
        }
    }

    /// A client has events of a collection that it did not list when it was added since.
    fn listen_to(&mut self, event: &LiveEvent, grant: &Grant) {
        if let (Some(name), false) = (&event.collection, matches!(event.edit, LiveEdit::Unusable(_)))
            && !self.wanted.contains(name)
            && grant.check_access(Access::Read).is_ok()
        {
            self.subscribe(name);
        }
    }

    fn crosses(&self, event: &LiveEvent, now: Instant) -> bool {
        if self.past.is_doubtful(now) {
            return true;
        }
        let Some(name) = &event.collection else { return false };
        let under_way = |key: &DocKey| {
            self.runway.carries(key, now) || self.reading.as_ref().is_some_and(|reading| reading.holds(key))
        };
        (event.unresolved().is_some() && !Runway::is_free(&self.runway))
            || event.names().any(|id| under_way(&(name.clone(), id.clone())))
    }

    /// Commits events in their order. An event whose query is over a whole collection comes after the commit of
    /// those before it: what it means is looked for in what is committed.
    async fn commit(&mut self, sifted: Sifted, served: Lsn, causes: &mut Vec<String>) -> Result<(), ServerError> {
        if let Some(storage) = self.app.options.event_storage.as_ref().filter(|_| !sifted.stored.is_empty()) {
            storage.0.save_events(sifted.stored).await?;
        }
        let mut run = Vec::new();
        for mut event in sifted.events {
            if let Some((collection, query)) = event.unresolved() {
                self.push(std::mem::take(&mut run), served, sifted.crosses, causes).await?;
                let _turn = self.app.turn().await?;
                let found = meant(&self.circle.space, collection, query).await?;
                event.resolve(found);
            }
            run.push(event);
            if run.len() >= EVENTS_PER_COMMIT {
                self.push(std::mem::take(&mut run), served, sifted.crosses, causes).await?;
            }
        }
        self.push(run, served, sifted.crosses, causes).await
    }

    async fn push(
        &mut self,
        events: Vec<LiveEvent>,
        served: Lsn,
        crosses: bool,
        causes: &mut Vec<String>,
    ) -> Result<(), ServerError> {
        if events.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = events.iter().map(|event| event.key).collect();
        let batch = LiveBatch { node: self.node.clone(), served, events };
        let Pushed { head, reply } = self.push_patiently(batch).await?;
        let Reply::Live(LiveTaken { author, fates, written, returned }) = reply else {
            return Err(ServerError::Bug(format!("a live client got another's answer: {reply:?}")));
        };
        self.author = Some(author);
        keys.into_iter().for_each(|key| self.echoes.note(key));
        causes.extend(fates.into_iter().filter_map(|fate| match fate {
            Fate::SetAside(why) => Some(why.reason),
            Fate::Applied { .. }
            | Fate::Unchanged
            | Fate::Superseded
            | Fate::Stale
            | Fate::NoMatch
            | Fate::Duplicate => None,
        }));
        if let Some(reading) = &mut self.reading {
            if !returned.is_empty() {
                reading.owe(head.lsn);
            }
            if let Some((_, last)) = written {
                reading.wrote(last);
                if crosses {
                    reading.redo(last);
                }
            }
        }
        Ok(())
    }

    /// A refusal makes the client wait for its next change or its timer: what passes soon is waited for here.
    async fn push_patiently(&self, batch: LiveBatch) -> Result<Pushed, ServerError> {
        let mut tries = 1;
        loop {
            match self.circle.space.push_live(batch.clone(), None).await {
                Err(ServerError::Overloaded { .. }) if tries < TRIES => {
                    tokio::time::sleep(TRY_DELAY * tries).await;
                    tries += 1;
                }
                other => return other,
            }
        }
    }
}

/// What the token does not allow can never be applied.
fn forbid(event: &mut LiveEvent, grant: &Grant) {
    let allowed = grant.check_access(Access::Write);
    let allowed = allowed.and_then(|()| event.collection.as_ref().map_or(Ok(()), |name| grant.check_collection(name)));
    if let Err(error) = allowed {
        let why = Rejection { code: error.code().to_owned(), reason: error.to_string() };
        if let LiveEdit::Insert { body, .. } = &event.edit {
            event.raw = body.text().to_owned();
        }
        event.edit = LiveEdit::Unusable(why);
    }
}

/// Whether an event is allowed is asked after the echoes are taken out: who may only read echoes as well.
async fn read(text: Arc<str>, client: NodeId, limits: Limits) -> Result<Vec<Received>, String> {
    let big = text.len() >= BIG_BYTES;
    let work = move || wire::live::read(&text, client.as_str(), &limits, |_| Ok(())).map_err(|error| error.to_string());
    if !big {
        return work();
    }
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err("the list cannot be read".to_owned()))
}

/// The client's process ends when an answer is not an object.
fn answer(list: Events, outcome: Result<(), String>) {
    let said = match outcome {
        Ok(()) => json!({ "success": true }),
        Err(why) => json!({ "success": false, "error": why }),
    };
    // A client that cannot be answered sends the list again, and repeats are known.
    let _ = list.line.answer(list.ack, &said);
}
