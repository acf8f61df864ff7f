//! One round with a node: its packet is committed, then the log is read for it, then the hub's packet gets
//! its number, then it is sent. Only one at a time for each node, or two replies would count the same news.

use super::super::own::{is_open, late_conflicts};
use super::arrival::Arrival;
use super::rows::{Catch, Net, Reader, Told};
use crate::app::App;
use crate::error::ServerError;
use crate::hub::{Share, Space};
use crate::nodes::Desk;
use crate::store::{ConflictRow, Scan};
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::hub::{Reply, Taken};
use syncline_core::model::{Author, Dispatch, LateConflicts, Lsn, Packet, Reached, Settled};
use syncline_core::wire::exchange::{Header, put_packet};
use tokio::sync::MutexGuard;
use tokio::time::timeout;

/// Pages that are looked through for one packet: behind a row filter they may hold nothing for the node.
const READS_MAX: usize = 50;

/// The horizon can pass a round by; then it is read once more.
pub(super) const TRIES_MAX: usize = 3;

/// Where a round takes place.
#[derive(Clone, Copy)]
pub(super) struct Round<'a> {
    pub app: &'a App,
    pub space: &'a Space,
    pub desk: &'a Arc<Desk>,
}

/// What the next packet for the node holds.
pub(super) struct Next {
    pub told: Told,
    pub upto: Lsn,
    pub more: bool,
    /// Documents that were passed because no packet can hold them.
    pub unsendable: u64,
}

impl Next {
    /// Nothing, up to the end of the log as it was.
    fn nothing(upto: Lsn) -> Next {
        Next { told: Told::default(), upto, more: false, unsendable: 0 }
    }
}

impl Round<'_> {
    /// Takes a packet and answers with the hub's own.
    ///
    /// # Errors
    /// [`ServerError::UnknownNode`], those of a push, or those of the store.
    pub async fn run(self, arrival: Arrival) -> Result<Vec<u8>, ServerError> {
        let mut turn = self.turn().await?;
        let Arrival { header, packet, body } = arrival;
        let mut packet = Packet { settled: turn.take(), ..packet };
        let mut share = body.into_share();
        for _ in 0..TRIES_MAX {
            let again = repeat_of(&packet);
            let taken = self.take(std::mem::replace(&mut packet, again), std::mem::take(&mut share)).await?;
            let next = match taken.quiet {
                Some(upto) => Next::nothing(upto),
                None => match self.next(taken.author, taken.reached, header.whole_objects).await {
                    Err(ServerError::Resync { .. }) => continue,
                    next => next?,
                },
            };
            let Some(number) = self.number(&next, taken.reached, taken.issued, &mut turn).await? else { continue };
            // What an earlier plan gives must not be sent: another worker may have changed the plan meanwhile.
            if !self.app.nodes.stands(self.space.name(), self.desk).await? {
                return Err(overtaken());
            }
            let conflicts = self.lost(header.conflicts_after, taken.author).await?;
            let reply = Header {
                sender_node_id: header.recipient_node_id.clone(),
                recipient_node_id: header.sender_node_id.clone(),
                packet_no: number,
                ack_packet_no: taken.ack,
                schema_version: header.schema_version.clone(),
                has_more: next.more,
                rejected: taken.refused,
                conflicts,
                ..Header::default()
            };
            return Ok(envelope(&reply, &next.told));
        }
        Err(overtaken())
    }

    /// What the node lost after it was accepted, for one that asks, in its types and rows.
    async fn lost(&self, after: Option<u64>, author: Author) -> Result<Option<LateConflicts>, ServerError> {
        let Some(after) = after else { return Ok(None) };
        let types = self.desk.registration.plan.types.as_ref();
        let open = |row: &ConflictRow| {
            types.is_none_or(|types| types.iter().any(|name| name.as_str() == row.collection))
                && is_open(&self.desk.readable, row, true)
        };
        late_conflicts(self.app, self.space, (author, after), open).await
    }

    /// Waits until no other packet of the node is in work. Few may wait: who waits holds a request's slot, and
    /// one node must not take those of all.
    ///
    /// # Errors
    /// [`ServerError::Overloaded`], also when the node's plan was changed meanwhile.
    pub async fn turn(&self) -> Result<MutexGuard<'_, Option<Settled>>, ServerError> {
        let turn = match self.desk.turn.try_lock() {
            Ok(turn) => turn,
            Err(_) => self.wait().await?,
        };
        if self.desk.is_over() { Err(overtaken()) } else { Ok(turn) }
    }

    async fn wait(&self) -> Result<MutexGuard<'_, Option<Settled>>, ServerError> {
        let _place = self.desk.places.try_acquire().map_err(|_| ServerError::Overloaded {
            what: "too many packets of the node wait for the one in work",
            limit: "limits.node_packets",
        })?;
        let longest = self.app.options.settings.bounds.request_timeout;
        timeout(longest, self.desk.turn.lock()).await.map_err(|_| ServerError::Overloaded {
            what: "another packet of the node takes too long",
            limit: "limits.request_timeout",
        })
    }

    /// Commits a packet.
    ///
    /// # Errors
    /// [`ServerError::UnknownNode`], or those of a push.
    pub async fn take(&self, packet: Packet, share: Share) -> Result<Taken, ServerError> {
        let (node, ack) = (packet.node.clone(), packet.ack);
        match self.space.push_packet(packet, share).await?.reply {
            Reply::Packet(taken) => {
                if ack > taken.issued {
                    tracing::warn!(%node, ack, issued = taken.issued, "a node acknowledges a packet that it was never \
                        sent; if the hub was restored from a backup, see `spec/exchange.md`");
                }
                Ok(taken)
            }
            other => Err(self.unexpected(&other)),
        }
    }

    /// Reads what is there for the node.
    ///
    /// # Errors
    /// [`ServerError::Resync`] when the log no longer reaches back to its cursor, or those of the store.
    pub async fn next(&self, author: Author, reached: Reached, whole_objects: bool) -> Result<Next, ServerError> {
        let mut after = reached.cursor;
        for _ in 0..READS_MAX {
            let next = self.page(author, reached, whole_objects, after).await?;
            self.app.meters.unsendable.increment(next.unsendable);
            if next.told.count > 0 || !next.more {
                return Ok(next);
            }
            after = next.upto;
        }
        Ok(Next { told: Told::default(), upto: after, more: true, unsendable: 0 })
    }

    /// What one page of the log holds for the node; `after`: where it begins.
    ///
    /// # Errors
    /// As [`Round::next`].
    pub async fn page(
        &self,
        author: Author,
        reached: Reached,
        whole_objects: bool,
        after: Lsn,
    ) -> Result<Next, ServerError> {
        let reader = Reader { desk: self.desk, reached, whole_objects };
        let (catch, upto, more) = self.read(author, reached, after).await?;
        let keys = reader.to_look_up(&catch.rows);
        let held = match keys.is_empty() {
            true => Vec::new(),
            false => self.app.hub.store().held(self.space.name(), &self.desk.registration.id, keys).await?,
        };
        let told = reader.tell(&catch.rows, held, upto);
        Ok(Next { told, upto, more, unsendable: catch.unsendable })
    }

    async fn read(&self, author: Author, reached: Reached, after: Lsn) -> Result<(Catch, Lsn, bool), ServerError> {
        let limits = &self.app.options.settings.limits;
        let plan = self.desk.registration.plan.types.as_ref();
        let scan = Scan::Packet {
            after,
            author,
            fill: reached.fill.map_or(Lsn::ZERO, |fill| fill.start),
            own: false,
            collections: plan.or(self.app.options.exchange.types.as_ref()).cloned(),
            max_rows: limits.page_changes,
            max_bytes: limits.page_bytes,
        };
        let catch = Arc::new(Mutex::new(Catch::default()));
        let net = Net { desk: Arc::clone(self.desk), fill: reached.fill, catch: Arc::clone(&catch), lost: Vec::new() };
        let scanned = self.space.read(scan, Box::new(net)).await?.scanned().await?;
        let catch = std::mem::take(&mut *catch.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((catch, scanned.upto, scanned.more))
    }

    /// The number of the packet: a new one when it holds something, durable before it is sent. `None`: the
    /// node's reading has moved meanwhile.
    ///
    /// # Errors
    /// [`ServerError::UnknownNode`], or those of a push.
    pub async fn number(
        &self,
        next: &Next,
        from: Reached,
        issued: u64,
        settled: &mut Option<Settled>,
    ) -> Result<Option<u64>, ServerError> {
        if next.told.count == 0 {
            *settled = Some(Settled { from, upto: next.upto, last: !next.more });
            return Ok(Some(issued));
        }
        let node = self.desk.registration.id.clone();
        let dispatch = Dispatch { node, from, upto: next.upto, last: !next.more, held: next.told.held.clone() };
        match self.space.dispatch(dispatch).await?.reply {
            Reply::Dispatched { number } => Ok(Some(number)),
            Reply::Moved => Ok(None),
            other => Err(self.unexpected(&other)),
        }
    }

    fn unexpected(&self, reply: &Reply) -> ServerError {
        match reply {
            Reply::UnknownNode => {
                ServerError::UnknownNode { node: self.desk.registration.id.clone(), space: self.space.name().clone() }
            }
            other => ServerError::Bug(format!("a packet got another's answer: {other:?}")),
        }
    }
}

/// What was committed is known by its key: a second try needs no entities.
fn repeat_of(packet: &Packet) -> Packet {
    Packet {
        node: packet.node.clone(),
        number: packet.number,
        ack: packet.ack,
        key: packet.key,
        settled: None,
        readable: Arc::clone(&packet.readable),
        writable: Arc::clone(&packet.writable),
        whole_objects: packet.whole_objects,
        entities: Vec::new(),
    }
}

/// The packet as text.
pub(super) fn envelope(header: &Header, told: &Told) -> Vec<u8> {
    let mut out = Vec::with_capacity(told.entities.len() + 512);
    put_packet(&mut out, header, &told.entities);
    out
}

/// The refusal of a round that others passed by too often.
pub(super) fn overtaken() -> ServerError {
    ServerError::Overloaded { what: "the node's plan or the log's horizon moved", limit: "limits.request_timeout" }
}
