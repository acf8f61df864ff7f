//! How kinds, facts and positions stand in the columns of an engine with tables.

use super::RecordKind;
use syncline_core::model::{Meta, TimeFields};

/// A live document.
pub(super) const LIVE: i64 = 0;
/// A removed document: its last text with the removal in its meta.
pub(super) const REMOVED: i64 = 1;
/// A ticket.
pub(super) const TICKET: i64 = 2;
/// A return.
pub(super) const RETURN: i64 = 3;

/// A removed document of which only the place is left, for registered nodes that have not heard of the removal.
pub(super) const BURIED: i64 = 4;

/// Flag: `createdAt` is among the fields.
const CREATED_AT: i64 = 1;
/// Flag: `updatedAt` is among the fields.
const UPDATED_AT: i64 = 2;
/// Flag: see `Meta::is_eventful`.
pub(super) const EVENTFUL: i64 = 4;

/// Flag: `expireAt` or `ttl` is among the fields.
const LIFETIME: i64 = 8;

/// The flags of a version.
pub(super) fn flags(times: TimeFields, meta: &Meta) -> i64 {
    let TimeFields { created_at, updated_at, lifetime } = times;
    let times = [(created_at, CREATED_AT), (updated_at, UPDATED_AT), (lifetime, LIFETIME)];
    let set = times.into_iter().chain([(meta.is_eventful(), EVENTFUL)]);
    set.filter(|(is, _)| *is).map(|(_, flag)| flag).sum()
}

/// What the flags of a version tell of its fields.
pub(super) fn times(flags: i64) -> TimeFields {
    let has = |flag| flags & flag != 0;
    TimeFields { created_at: has(CREATED_AT), updated_at: has(UPDATED_AT), lifetime: has(LIFETIME) }
}

/// A count or position as the signed integer of an engine. Positions stay below 2^53.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Back again.
pub(super) fn nat(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// The name of a kind of record.
pub(super) fn record_kind(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Token => "token",
        RecordKind::Collection => "collection",
        RecordKind::Filled => "filled",
        RecordKind::Setting => "setting",
        RecordKind::Declared => "declared",
    }
}
