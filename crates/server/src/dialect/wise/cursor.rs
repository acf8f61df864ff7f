//! What a foreign cursor stands for. Such a client takes the number of a push reply for its cursor;
//! the hub then finds the ticket of that push, which says what its holder really has.

use super::super::Asked;
use super::super::query::malformed;
use super::StreamKey;
use super::rows::position;
use crate::error::ServerError;
use crate::hub::Reading;
use crate::store::{Encoder, Head, Row, Scan, Scanned};
use syncline_core::hub::Ticket;
use syncline_core::model::{Lsn, Millis};
use syncline_core::wire::wise::Holding;

/// A cursor, understood.
#[derive(Clone, Debug)]
pub(super) struct Position {
    /// The number that the client came with; 0 when it is not one of this log's.
    pub cursor: Lsn,
    /// Whether it is the number of a push reply to this token.
    pub ticket: bool,
    /// What its holder has.
    pub holding: Holding,
}

/// Any JSON number: clients send back literally what they were given, by whatever server. One that was given under another
/// view of the collection starts anew.
pub(super) fn read(asked: &Asked, key: &StreamKey) -> Result<Lsn, ServerError> {
    let text = asked.query.get("since_lsn").unwrap_or_default();
    let number: f64 = text.parse().map_err(|_| malformed("since_lsn", text, "a number"))?;
    if !number.is_finite() {
        return Err(malformed("since_lsn", text, "a number"));
    }
    Ok(position(number, key.view.as_ref()))
}

/// Finds out what the cursor stands for. One that is ahead of the log or behind its horizon starts
/// anew. A number that others were given says nothing about who comes with it now: it was counted
/// out, and is a position like any other.
pub(super) async fn resolve(asked: &Asked, key: &StreamKey, sent: Lsn) -> Result<Position, ServerError> {
    let head = asked.space.head_for(sent).await?;
    let anew = Position { cursor: Lsn::ZERO, ticket: false, holding: Holding::default() };
    if sent == Lsn::ZERO || sent > head.lsn {
        return Ok(anew);
    }
    let owned = |ticket: &Ticket| ticket.collection == key.collection && ticket.node == key.node;
    let ticket = ticket(asked, sent).await?.filter(owned);
    let Some(ticket) = ticket else {
        let forgotten = sent <= head.horizon && sent != head.last_change;
        let after = if forgotten { Lsn::ZERO } else { sent };
        return Ok(Position { cursor: sent, ticket: false, holding: Holding { after, ..Holding::default() } });
    };
    let after = if ticket.from < head.horizon { Lsn::ZERO } else { ticket.from };
    let holding = Holding { after, own: ticket.own, sure_since: sure_since(asked) };
    Ok(Position { cursor: sent, ticket: true, holding })
}

/// No removal that could have taken away what was made after this time is forgotten.
fn sure_since(asked: &Asked) -> Millis {
    let settings = &asked.app.options.settings;
    let kept = u64::try_from(settings.retention.log.as_millis()).unwrap_or(u64::MAX);
    // A removal may bear a time that is ahead of the hub's.
    Millis(settings.clock.now().0.saturating_sub(kept).saturating_add(settings.limits.clock_drift_ms))
}

async fn ticket(asked: &Asked, lsn: Lsn) -> Result<Option<Ticket>, ServerError> {
    let Reading::Whole(text, scanned) = asked.space.read(Scan::Ticket { lsn }, Box::new(Verbatim)).await? else {
        return Err(ServerError::Bug(format!("the ticket {lsn} does not fit into one chunk")));
    };
    if scanned.rows == 0 || text.is_empty() {
        return Ok(None);
    }
    let read = serde_json::from_slice(&text);
    read.map(Some).map_err(|e| ServerError::Bug(format!("the ticket {lsn} cannot be read: {e}")))
}

/// The row's text as it is.
struct Verbatim;

impl Encoder for Verbatim {
    fn begin(&mut self, _head: &Head, _out: &mut Vec<u8>) {}

    fn row(&mut self, row: &Row<'_>, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(row.body.as_bytes());
        true
    }

    fn end(&mut self, _scanned: &Scanned, _out: &mut Vec<u8>) {}
}
