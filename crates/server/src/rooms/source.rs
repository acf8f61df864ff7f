//! Changes in collections that are mapped to rooms, read from the log by cursor (step 8 of the life of a change):
//! whichever dialect a change came through, and however often the reader was interrupted, each is told once.
//! When there is more than pages could use, the rest is told as one.

use super::{Event, Item, Reason, Rooms, Scope, changed};
use crate::error::ServerError;
use crate::hub::{Hub, Space};
use crate::store::{Encoder, Head, Row, Scan, Scanned};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use syncline_core::model::{CollectionName, Kind, Lsn, RoomName, SpaceName};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// Changes that are read together.
const ROWS: usize = 1_000;
/// Text that is passed over at once: only its place and its id are wanted.
const BYTES: usize = 16 << 20;
/// Changes of a room that are told one by one within [`WINDOW`]; more are told as one.
const SINGLE: usize = 64;
const WINDOW: Duration = Duration::from_millis(250);
/// After trouble with the store.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Which rooms are told of which collection.
type Mapping = BTreeMap<CollectionName, Vec<RoomName>>;

/// What is told of one document.
struct ItemChange {
    collection: CollectionName,
    reason: Reason,
    id: String,
}

/// Follows the log of every space that is in use, until the hub closes.
pub async fn follow(rooms: Arc<Rooms>, hub: Arc<Hub>) {
    let mapping = Arc::new(mapping(&rooms));
    if mapping.is_empty() {
        return;
    }
    let (mut in_use, mut closing) = (hub.spaces_in_use(), hub.closing());
    let mut followed = HashSet::<SpaceName>::new();
    loop {
        in_use.mark_unchanged();
        for space in hub.open_spaces() {
            if followed.insert(space.name().clone()) {
                let reader = Reader { rooms: Arc::clone(&rooms), mapping: Arc::clone(&mapping), space };
                tokio::spawn(reader.run(hub.closing()));
            }
        }
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            changed = in_use.changed() => if changed.is_err() { return },
        }
    }
}

fn mapping(rooms: &Rooms) -> Mapping {
    let mut mapping = Mapping::new();
    for (room, rule) in &rooms.options.rooms {
        for collection in &rule.collections {
            mapping.entry(collection.clone()).or_default().push(room.clone());
        }
    }
    mapping
}

struct Reader {
    rooms: Arc<Rooms>,
    mapping: Arc<Mapping>,
    space: Arc<Space>,
}

impl Reader {
    async fn run(self, mut closing: watch::Receiver<bool>) {
        let collections: BTreeSet<CollectionName> = self.mapping.keys().cloned().collect();
        let mut heads = self.space.watch();
        let mut after = self.space.opened_at();
        loop {
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => return,
                woken = heads.wait_for(|_| self.space.may_have_news(Some(&collections), after)) => {
                    if woken.is_err() { return }
                }
            }
            let window = Instant::now() + WINDOW;
            match self.round(&collections, after).await {
                Ok((upto, crowded)) => {
                    after = upto;
                    if crowded {
                        sleep_until(window).await;
                    }
                }
                Err(error) if error.kind() == Kind::Resync => {
                    after = self.space.head().last_change;
                    self.all_changed().await;
                }
                Err(error) => {
                    tracing::warn!(space = %self.space.name(), %error, "changes are told to rooms later");
                    sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    /// Tells what came after a position; returns up to where, and whether there was more than is told one by one.
    async fn round(&self, all: &BTreeSet<CollectionName>, after: Lsn) -> Result<(Lsn, bool), ServerError> {
        if !self.anybody() {
            // What is not told to anybody needs no reading.
            return Ok((self.space.head().last_change.max(after), false));
        }
        let found = Arc::new(Mutex::new(Vec::new()));
        let scan = Scan::Log { after, collections: Some(all.clone()), max_rows: ROWS, max_bytes: BYTES };
        let encoder = Box::new(ItemChanges(Arc::clone(&found)));
        let scanned = self.space.read(scan, encoder).await?.scanned().await?;
        let found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        let mut by_room: BTreeMap<&RoomName, Vec<&ItemChange>> = BTreeMap::new();
        for told in &found {
            for room in self.mapping.get(&told.collection).into_iter().flatten() {
                by_room.entry(room).or_default().push(told);
            }
        }
        let mut crowded = false;
        for (room, told) in by_room {
            crowded |= told.len() > SINGLE;
            self.tell(room, &told).await;
        }
        Ok((scanned.upto.max(after), crowded))
    }

    fn anybody(&self) -> bool {
        // A page of another worker may be listening, or one in a room that is refreshed with one of these.
        let elsewhere = self.rooms.link.as_ref().is_some_and(crate::redis::Link::is_up);
        elsewhere || self.rooms.members.any_in(self.space.name(), self.rooms.options.rooms.keys())
    }

    async fn tell(&self, room: &RoomName, told: &[&ItemChange]) {
        if told.len() <= SINGLE {
            for one in told {
                self.emit(room, one.reason, Item::Text(one.id.clone()), Value::Null).await;
            }
            return;
        }
        let reason = told[0].reason;
        let same = told.iter().all(|one| one.reason == reason);
        let reason = if same { reason } else { Reason::Updated };
        self.emit(room, reason, Item::Unknown, json!({ "changes": told.len() })).await;
    }

    /// The log no longer says what.
    async fn all_changed(&self) {
        let rooms: BTreeSet<&RoomName> = self.mapping.values().flatten().collect();
        for room in rooms {
            self.emit(room, Reason::Updated, Item::Unknown, Value::Null).await;
        }
    }

    async fn emit(&self, room: &RoomName, reason: Reason, id: Item, data: Value) {
        let event = Event {
            space: self.space.name().clone(),
            name: changed(room),
            scope: Scope::Room(room.clone()),
            reason,
            id,
            data,
            epoch: Some(self.space.head().epoch),
        };
        self.rooms.emit_in_turn(event).await;
    }
}

/// Keeps what is told and writes nothing.
struct ItemChanges(Arc<Mutex<Vec<ItemChange>>>);

impl Encoder for ItemChanges {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, _out: &mut Vec<u8>) -> bool {
        let reason = match (row.live, row.created == row.lsn) {
            (true, true) => Reason::Added,
            (true, false) => Reason::Updated,
            (false, _) => Reason::Deleted,
        };
        if let Ok(collection) = CollectionName::new(row.collection) {
            let told = ItemChange { collection, reason, id: row.id.to_owned() };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        }
        true
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}
