//! From lists of events to commits (steps 3 to 7 of the life of a change). A list is answered once all of it is
//! durable, and soon: what a client adds meanwhile it forgets with the answer.
//!
//! A client whose list is refused sends it again for ever, with everything that comes after. So only what a repeat
//! heals is refused; what can never be applied is set aside, and the client hears why by an `error` event.

use super::bundle::Echo;
use super::client::Client;
use super::mail::{COLLECTIONS_MAX, Events};
use super::pages::{Open, go_together};
use super::run::{NAMED_MAX, Run};
use crate::auth::{Access, Grant};
use crate::error::ServerError;
use crate::events::SyncEvent;
use crate::hub::Pushed;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use syncline_core::hub::{DocKey, Fate, LiveTaken, Reply, is_rule_code};
use syncline_core::live::PATTERNS_MAX;
use syncline_core::model::{LiveBatch, LiveEdit, LiveEvent, Lsn, Rejection};
use syncline_core::wire::live::{Place, Received};
use tokio::time::Instant;

/// Bytes of a list after which its events are committed.
const BYTES_PER_COMMIT: usize = 4 << 20;
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
    /// What the events take in memory, about.
    bytes: usize,
    patterns: usize,
}

impl Sifted {
    fn is_full(&self) -> bool {
        self.events.len() >= NAMED_MAX || self.bytes >= BYTES_PER_COMMIT || self.patterns >= PATTERNS_MAX
    }
}

/// What is being taken in, of lists that came together.
#[derive(Default)]
struct Intake {
    /// What the client had when they came.
    served: Lsn,
    sifted: Sifted,
    causes: Causes,
    /// Whether the client may know of all documents that are there.
    reads: bool,
    /// Which of them its events may find.
    open: Open,
}

/// Why events were set aside.
#[derive(Default)]
struct Causes {
    told: Vec<String>,
    untold: usize,
}

impl Causes {
    fn add(&mut self, cause: String) {
        if self.told.len() < CAUSES_TOLD { self.told.push(cause) } else { self.untold += 1 }
    }
}

/// Why an event was set aside, for somebody who may not read everything: who else has a value, and what else a document holds, is
/// not told.
fn without_facts(why: &Rejection) -> String {
    if !is_rule_code(&why.code) {
        return why.reason.clone();
    }
    format!("an event was set aside because its document would break a rule of its collection (`{}`)", why.code)
}

/// Why a list was not taken in.
enum Untaken {
    NoList(String),
    Uncommitted(ServerError),
}

impl Client {
    /// Reads, commits and answers lists that came together.
    pub(super) async fn take_in(&mut self, lists: Vec<Events>) {
        // All of them came over the client's connection.
        let grant = lists.first().and_then(|_| self.line.as_ref()?.caller.grant.clone());
        let Some(grant) = grant else {
            return lists.into_iter().for_each(|list| list.answer(Err("Authentication token required".to_owned())));
        };
        if let Err(error) = self.app.tokens.check_again(&grant) {
            lists.into_iter().for_each(|list| list.answer(Err(error.to_string())));
            return self.dismiss(&error);
        }
        let served = self.reading.as_ref().map_or(Lsn::ZERO, super::due::Reading::served);
        let open = Open { rows: grant.write_rows(), readable: grant.read_rows() };
        let reads = grant.check_access(Access::Read).is_ok() && open.is_all();
        let intake = Intake { served, reads, open, ..Intake::default() };
        let (mut intake, mut good, mut outcome) = (intake, Vec::new(), Ok(()));
        for list in lists {
            if outcome.is_ok() {
                match self.take(&list.text, &grant, &mut intake).await {
                    Ok(()) => {}
                    Err(Untaken::NoList(why)) => {
                        list.answer(Err(why));
                        continue;
                    }
                    // Nothing may overtake what could not be committed.
                    Err(Untaken::Uncommitted(error)) => outcome = Err(error),
                }
            }
            good.push(list);
        }
        if outcome.is_ok() {
            outcome = self.commit(&mut intake).await;
        }
        if outcome.is_err() {
            self.previous = None;
        }
        if let Some(reading) = &mut self.reading {
            reading.tell_again(&self.doubles.take());
        }
        let outcome = outcome.map_err(|error| error.to_string());
        good.into_iter().for_each(|list| list.answer(outcome.clone()));
        let Causes { told, untold } = intake.causes;
        told.iter().for_each(|cause| self.tell(cause));
        if untold > 0 {
            self.tell(&format!("{untold} more events were set aside; the quarantine names each"));
        }
    }

    /// Reads a list, and commits now and then, however long it is.
    async fn take(&mut self, list: &Arc<str>, grant: &Grant, intake: &mut Intake) -> Result<(), Untaken> {
        let (text, mut place) = (self.unread(list), Some(Place::default()));
        let limits = self.app.options.settings.limits;
        while let Some(from) = place {
            let piece = self.circle.toil.read(&text, from, &self.node, limits).await.map_err(Untaken::NoList)?;
            place = piece.rest;
            let sifted = self.sift(piece.received, &text, grant, &mut intake.sifted).await;
            sifted.map_err(Untaken::Uncommitted)?;
            if intake.sifted.is_full() {
                self.commit(intake).await.map_err(Untaken::Uncommitted)?;
            }
        }
        self.past.end();
        self.past.heard();
        self.previous = Some((Arc::clone(list), Instant::now()));
        Ok(())
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
    ///
    /// # Errors
    /// Those of the store, where it is to say what a delivery was: taken for a change, a late report would undo newer ones.
    async fn sift(
        &mut self,
        heard: Vec<Received>,
        text: &str,
        grant: &Grant,
        sifted: &mut Sifted,
    ) -> Result<(), ServerError> {
        let now = Instant::now();
        let keeps = self.app.options.event_storage.is_some();
        for one in heard {
            if self.echoes.knows(&one.event.key) || sifted.keys.contains(&one.event.key) {
                continue;
            }
            if self.is_echo(&one, now).await? {
                self.echoes.note(one.event.key);
                continue;
            }
            let (mut event, place) = (one.event, one.place);
            self.past.forget(&event);
            forbid(&mut event, grant);
            self.listen_to(&event, grant);
            let crosses = self.crosses(&event, now);
            if !crosses {
                self.echoes.forget(&event);
            }
            sifted.crosses |= crosses;
            sifted.keys.insert(event.key);
            sifted.bytes += place.len();
            sifted.patterns += event.patterns();
            if keeps && !matches!(event.edit, LiveEdit::Unusable(_)) {
                match SyncEvent::of(&text[place], &event, &self.node, self.circle.space.now()) {
                    Some(kept) => sifted.stored.push(kept),
                    None => set_aside(&mut event, no_value()),
                }
            }
            sifted.events.push(event);
        }
        Ok(())
    }

    async fn is_echo(&mut self, received: &Received, now: Instant) -> Result<bool, ServerError> {
        if let Some(mark) = &received.mark {
            self.doubles.reports();
            if let Some(collection) = &received.event.collection {
                self.echoes.begin(mark, collection);
            }
            self.landed(&Echo::Removal(mark.number), now);
            return Ok(true);
        }
        let LiveEvent { edit: LiveEdit::Insert { id, .. }, collection: Some(collection), .. } = &received.event else {
            return Ok(false);
        };
        let Some(digest) = received.digest else { return Ok(false) };
        let key = (collection.clone(), id.clone());
        if self.echoes.take(&key, digest) {
            self.landed(&Echo::Insert(key, digest), now);
            return Ok(true);
        }
        self.past.holds(&self.circle, self.author, &key, digest).await
    }

    /// An echo came: perhaps the one that the next message waits for.
    fn landed(&mut self, echo: &Echo, now: Instant) {
        if let (Some(reached), Some(reading)) = (self.runway.echoed(echo, now), &mut self.reading) {
            reading.confirm(reached);
        }
    }

    /// A client has events of a collection that it did not list when it was added since.
    fn listen_to(&mut self, event: &LiveEvent, grant: &Grant) {
        if let (Some(name), false) = (&event.collection, matches!(event.edit, LiveEdit::Unusable(_)))
            && !self.wanted.contains(name)
            && self.wanted.len() < COLLECTIONS_MAX
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
            self.runway.holds(key, now) || self.reading.as_ref().is_some_and(|reading| reading.holds(key))
        };
        (event.unresolved().is_some() && self.runway.is_busy(now))
            || event.names().any(|id| under_way(&(name.clone(), id.clone())))
    }

    /// Commits what was sifted, in its order. Events whose query is over a whole collection come after the commit
    /// of those before them: what they mean is looked for in what is committed, at once for those that go together.
    async fn commit(&mut self, intake: &mut Intake) -> Result<(), ServerError> {
        let Sifted { events, stored, crosses, .. } = std::mem::take(&mut intake.sifted);
        if let Some(storage) = self.app.options.event_storage.as_ref().filter(|_| !stored.is_empty()) {
            storage.0.save_events(stored).await?;
        }
        let mut run = Run::default();
        let mut events = events.into_iter().peekable();
        while let Some(event) = events.next() {
            let mut looked_for = vec![event];
            if looked_for[0].unresolved().is_some() {
                while let Some(next) = events.next_if(|next| go_together(&looked_for[0], next)) {
                    looked_for.push(next);
                }
                self.push(run.take(), crosses, intake).await?;
                self.circle.toil.resolve(&self.circle.space, &mut looked_for, &intake.open).await?;
            }
            for event in looked_for {
                if run.add(event) {
                    self.push(run.take(), crosses, intake).await?;
                }
            }
        }
        self.push(run.take(), crosses, intake).await
    }

    async fn push(&mut self, events: Vec<LiveEvent>, crosses: bool, intake: &mut Intake) -> Result<(), ServerError> {
        if events.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = events.iter().map(|event| event.key).collect();
        let (rows, readable) = (Arc::clone(&intake.open.rows), Arc::clone(&intake.open.readable));
        let batch = LiveBatch { node: self.node.clone(), served: intake.served, rows, readable, events };
        let Pushed { head, reply } = self.push_patiently(batch).await?;
        let untold = std::mem::take(&mut self.untold);
        let Reply::Live(LiveTaken { author, fates, written, returned, twice }) = reply else {
            return Err(ServerError::Bug(format!("a live client got another's answer: {reply:?}")));
        };
        self.author = Some(author);
        self.doubles.add(twice);
        keys.into_iter().for_each(|key| self.echoes.note(key));
        let mut elsewhere = false;
        for fate in fates {
            match fate {
                // Where it was taken in, nobody here knows, nor what was on its way to the client then.
                Fate::Duplicate => elsewhere = true,
                Fate::SetAside(why) => intake.causes.add(if intake.reads { why.reason } else { without_facts(&why) }),
                Fate::Applied { .. } | Fate::Unchanged | Fate::Superseded | Fate::Stale | Fate::NoMatch => {}
            }
        }
        if let Some(reading) = &mut self.reading {
            if elsewhere {
                reading.was_elsewhere(head.lsn);
            }
            let owed = reading.give_back(returned);
            if untold || owed {
                reading.owe(head.lsn);
            }
            if untold {
                reading.redo(head.lsn);
                reading.doubt_rows(head.lsn);
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
    async fn push_patiently(&mut self, batch: LiveBatch) -> Result<Pushed, ServerError> {
        let mut tries = 1;
        loop {
            let pushed = self.circle.space.push_live(batch.clone(), None).await;
            self.untold |= pushed.is_err();
            match pushed {
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
        set_aside(event, Rejection { code: error.code().to_owned(), reason: error.to_string() });
    }
}

fn set_aside(event: &mut LiveEvent, why: Rejection) {
    if let LiveEdit::Insert { body, .. } = &event.edit {
        event.raw = body.text().to_owned();
    }
    event.edit = LiveEdit::Unusable(why);
}

/// Events are kept by the application as well as by the log, or by neither.
fn no_value() -> Rejection {
    let reason = "the application's storage takes only numbers and text that every reader of JSON can read";
    Rejection { code: "malformed_element".to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_read_nothing_is_told_the_rule_and_no_document() {
        let why = |code: &str| Rejection { code: code.to_owned(), reason: "document `ann` has it".to_owned() };
        assert!(!without_facts(&why("unique_violation")).contains("ann"));
        assert!(without_facts(&why("unique_violation")).contains("unique_violation"));
        assert!(without_facts(&why("malformed_json")).contains("ann"), "its own words");
    }
}
