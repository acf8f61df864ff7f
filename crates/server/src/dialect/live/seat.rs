//! What a connection hands in, on the task that reads it: nothing here waits.

use super::Live;
use super::client::Client;
use super::mail::{COLLECTIONS_MAX, Events, Mail, Mailbox, Share};
use crate::hub::Space;
use crate::socket::{Ack, Incoming, Line, Listener, Sid};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, MutexGuard, PoisonError};
use syncline_core::model::{CollectionName, NodeId};

/// `client:info` as JSON text: as many collections with the longest names.
const INFO_BYTES_MAX: usize = 256 << 10;

/// A connection that has said whose it is.
#[derive(Clone)]
pub(super) struct Seat {
    client: NodeId,
    mailbox: Mailbox,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    client_id: Value,
    #[serde(default)]
    collections: Value,
}

impl Listener for Live {
    fn enter(&self, _line: &Arc<Line>) {}

    fn hear<'a>(&self, line: &Arc<Line>, incoming: Incoming<'a>) -> Option<Incoming<'a>> {
        match (incoming.event, &line.caller.grant) {
            ("client:info" | "client:sync", None) => refuse(line, incoming.ack, "Authentication token required"),
            ("client:info", Some(_)) => self.info(line, incoming.payload.get()),
            ("client:sync", Some(_)) => self.sync(line, incoming.payload.get(), incoming.ack),
            _ => return Some(incoming),
        }
        None
    }

    fn leave(&self, line: &Arc<Line>) {
        if let Some(seat) = self.seats().remove(&line.sid) {
            // A client whose task has ended needs no goodbye.
            let _ = seat.mailbox.send(Mail::Gone { sid: line.sid });
        }
    }
}

impl Live {
    fn info(&self, line: &Arc<Line>, payload: &str) {
        if payload.len() > INFO_BYTES_MAX {
            return tell(
                line,
                &format!("client:info is over the limit of {INFO_BYTES_MAX} bytes; list fewer collections"),
            );
        }
        let info: Result<Info, _> = serde_json::from_str(payload);
        let client = info.as_ref().ok().and_then(|info| NodeId::of_live(info.client_id.as_str()?).ok());
        let (Ok(info), Some(client)) = (info, client) else {
            return tell(line, "client:info needs a `clientId`: text of 1 to 120 visible ASCII characters");
        };
        let share = match self.share_at_seat(line, &client, payload.len()) {
            Ok(share) => share,
            Err(why) => return tell(line, why),
        };
        let listed = info.collections.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut collections = BTreeSet::new();
        for name in listed.iter().take(COLLECTIONS_MAX) {
            match CollectionName::new(name.as_str().unwrap_or_default()) {
                Ok(name) => drop(collections.insert(name)),
                Err(why) => tell(line, &format!("a collection of client:info is left out: {why}")),
            }
        }
        let Some(mailbox) =
            self.send(&line.caller.space, &client, Mail::Here { line: Arc::clone(line), collections, _share: share })
        else {
            return;
        };
        self.seats().insert(line.sid, Seat { client, mailbox });
    }

    /// A connection is one client's, and repeats of what it said first wait like its lists.
    fn share_at_seat(&self, line: &Line, client: &NodeId, bytes: usize) -> Result<Option<Share>, &'static str> {
        match self.seats().get(&line.sid) {
            None => Ok(None),
            Some(seat) if seat.client != *client => {
                Err("this connection is another client's; open one for each `clientId`")
            }
            Some(seat) => seat.mailbox.share_of(bytes).map(Some).ok_or("the hub is busy; send client:info again later"),
        }
    }

    fn sync(&self, line: &Arc<Line>, payload: &str, ack: Ack) {
        let seat = self.seats().get(&line.sid).cloned();
        let Some(Seat { client, mailbox }) = seat else { return refuse(line, ack, "Client not registered") };
        let Some(share) = mailbox.share_of(payload.len()) else {
            return refuse(line, ack, "the hub is busy; send it again later");
        };
        let events = Events { line: Arc::clone(line), text: payload.into(), ack, _share: share };
        self.send(&line.caller.space, &client, Mail::Events(events));
    }

    fn send(&self, space: &Arc<Space>, client: &NodeId, mail: Mail) -> Option<Mailbox> {
        let circle = self.circle(space);
        circle.send(client, mail, |app| Client::start(&circle, client.clone(), app))
    }

    fn seats(&self) -> MutexGuard<'_, HashMap<Sid, Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse(line: &Line, ack: Ack, why: &str) {
    // A client that cannot be told finds out by itself.
    let _ = line.answer(ack, &json!({ "success": false, "error": why }));
}

fn tell(line: &Line, why: &str) {
    let _ = line.emit("error", &json!({ "message": why }));
}
