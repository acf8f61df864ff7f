//! What workers tell each other through Redis or their store (step 7 of the life of a change): that a space's log has grown, what
//! pages are to be told, and how many are where. A hint carries no data: who hears it reads the log from where it
//! was, and does so as well when Redis comes back.

use crate::auth::Tokens;
use crate::hub::{Hub, Space};
use crate::redis::{Channel, Link, Refused, Runner, Taken};
use crate::rooms::{Rooms, say_presence};
use crate::store::Heard;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use syncline_core::model::{Epoch, Lsn, SpaceName};
use tokio::sync::{Notify, watch};

/// Between two looks into the store: whoever can publish hints must not keep it busy.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// A space's log has grown.
#[derive(Serialize, Deserialize)]
struct Hint {
    space: SpaceName,
    lsn: Lsn,
    epoch: Epoch,
    origin: String,
}

/// Spaces whose log is to be looked at, and where a look found it last.
#[derive(Default)]
struct Looks {
    due: Mutex<BTreeSet<SpaceName>>,
    wake: Notify,
}

/// Takes up the link, until the hub closes.
pub(crate) fn start(runner: Runner, hub: &Arc<Hub>, rooms: &Arc<Rooms>) {
    let looks = Arc::<Looks>::default();
    let link = runner.link().clone();
    tokio::spawn(say_presence(Arc::clone(rooms), hub.closing()));
    tokio::spawn(look(Arc::clone(hub), Arc::clone(&looks), hub.closing()));
    // From before the link is taken up: Redis may be there before the task is.
    let up = link.watch();
    tokio::spawn(greet(Arc::clone(hub), link.clone(), up, Arc::clone(&looks)));
    tokio::spawn(hint_all(Arc::clone(hub), link.clone()));
    let (hub, rooms, refusals) = (Arc::clone(hub), Arc::clone(rooms), runner.refusals());
    let closing = hub.closing();
    tokio::spawn(runner.run(closing, move |taken| {
        if let Err(refused) = take(taken, &hub, &rooms, &link, &looks) {
            refusals.note(&refused);
        }
    }));
}

/// Listens to others that share the store, where there can be any, until the hub closes.
pub(crate) fn listen(hub: &Arc<Hub>, tokens: &Arc<Tokens>) {
    let Some(mut news) = hub.store().listen() else { return };
    let looks = Arc::<Looks>::default();
    tokio::spawn(look(Arc::clone(hub), Arc::clone(&looks), hub.closing()));
    let (hub, tokens, mut closing) = (Arc::clone(hub), Arc::clone(tokens), hub.closing());
    tokio::spawn(async move {
        loop {
            let heard = tokio::select! {
                _ = closing.wait_for(|closing| *closing) => return,
                heard = news.recv() => heard,
            };
            match heard {
                Some(Heard::Space(space)) if hub.opened(&space).is_some() => looks.ask(space),
                Some(Heard::Space(_)) => {}
                Some(Heard::Records) => read_tokens(&tokens).await,
                Some(Heard::Anything) => {
                    hub.open_spaces().iter().for_each(|space| looks.ask(space.name().clone()));
                    read_tokens(&tokens).await;
                }
                None => return,
            }
        }
    });
}

async fn read_tokens(tokens: &Tokens) {
    if let Err(error) = tokens.read_again().await {
        tracing::warn!(%error, "tokens that others have changed are read with the next hint");
    }
}

fn take(taken: Taken, hub: &Hub, rooms: &Rooms, link: &Link, looks: &Looks) -> Result<(), Refused> {
    match taken {
        Taken::Own(Channel::Hints, payload) => hear_hint(&payload, hub, link, looks),
        Taken::Own(Channel::Rooms, payload) => {
            rooms.hear_notice(&payload, |space| hub.opened(space).map(|space| space.head().epoch))
        }
        Taken::Own(Channel::Presence, payload) => rooms.hear_presence(&payload),
        Taken::Foreign(emission) => rooms.hear_emission(emission),
    }
}

fn hear_hint(payload: &[u8], hub: &Hub, link: &Link, looks: &Looks) -> Result<(), Refused> {
    let hint: Hint = serde_json::from_slice(payload)
        .map_err(|error| Refused::new("hint_malformed", format!("it does not say where a log stands: {error}")))?;
    if hint.origin == link.origin() {
        return Ok(());
    }
    let Some(space) = hub.opened(&hint.space) else { return Ok(()) };
    let head = space.head();
    // Another history is another hub's.
    if head.epoch == hint.epoch && head.lsn < hint.lsn {
        looks.ask(hint.space);
    }
    Ok(())
}

impl Looks {
    fn ask(&self, space: SpaceName) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).insert(space);
        self.wake.notify_one();
    }
}

/// Looks where logs stand, each at most once at a time.
async fn look(hub: Arc<Hub>, looks: Arc<Looks>, mut closing: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            () = looks.wake.notified() => {}
        }
        let due = std::mem::take(&mut *looks.due.lock().unwrap_or_else(PoisonError::into_inner));
        for name in due {
            let Some(space) = hub.opened(&name) else { continue };
            if let Err(error) = space.refresh().await {
                tracing::warn!(space = %name, %error, "where the log stands is looked up with the next hint");
            }
            hub.note_set_back(&space);
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// When Redis is there (again), both sides may have missed hints.
async fn greet(hub: Arc<Hub>, link: Link, mut up: watch::Receiver<bool>, looks: Arc<Looks>) {
    let mut closing = hub.closing();
    loop {
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            changed = up.changed() => if changed.is_err() { return },
        }
        if *up.borrow_and_update() {
            for space in hub.open_spaces() {
                hint(&space, &link);
                looks.ask(space.name().clone());
            }
        }
    }
}

/// Publishes a hint after every commit of every space that is in use.
async fn hint_all(hub: Arc<Hub>, link: Link) {
    let (mut in_use, mut closing) = (hub.spaces_in_use(), hub.closing());
    let mut hinted = HashSet::<SpaceName>::new();
    loop {
        in_use.mark_unchanged();
        for space in hub.open_spaces() {
            if hinted.insert(space.name().clone()) {
                tokio::spawn(hint_one(space, link.clone(), hub.closing()));
            }
        }
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            changed = in_use.changed() => if changed.is_err() { return },
        }
    }
}

async fn hint_one(space: Arc<Space>, link: Link, mut closing: watch::Receiver<bool>) {
    let mut heads = space.watch();
    let mut last = space.opened_at();
    loop {
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            woken = heads.wait_for(|_| space.committed() > last) => if woken.is_err() { return },
        }
        last = space.committed();
        hint(&space, &link);
    }
}

fn hint(space: &Space, link: &Link) {
    let head = space.head();
    let hint = Hint { space: space.name().clone(), lsn: head.lsn, epoch: head.epoch, origin: link.origin().to_owned() };
    link.publish(Channel::Hints, serde_json::to_vec(&hint).expect("a hint serializes").into());
}
