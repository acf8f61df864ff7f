//! What a hub has kept aside, for a person: rows of the ledger and of the quarantine are shown, and what becomes of one
//! is pushed like any other change. Decides nothing; the same for the admin API and for a command on the data directory.

use crate::error::ServerError;
use crate::hub::Hub;
use crate::store::{ConflictRow, Json, ListQuery, QuarantineRow};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;
use syncline_core::hub::{Mended, Reply};
use syncline_core::model::{CollectionName, DocId, Fields, Lsn, Mend, MendAct, SpaceName, Version};

/// A conflict, beside what stands today.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConflictView {
    /// The row of the ledger.
    pub conflict: ConflictRow,
    /// The document as it stands; absent where it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub now: Option<Json>,
    /// Where the two sides differ, by the names of the fields.
    pub fields: Vec<FieldDifference>,
}

/// One field of a conflict. A side that does not have it has no value here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FieldDifference {
    /// Its name.
    pub field: String,
    /// What was lost.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub lost: Option<Json>,
    /// What won.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub won: Option<Json>,
    /// What stands today.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub now: Option<Json>,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MendReceipt {
    /// The row's number.
    pub n: u64,
    /// `applied` or `discarded`.
    pub result: String,
    /// The change that carries the effect; 0: it was so already, or nothing was changed.
    pub lsn: Lsn,
    /// It was done before, and nothing changed by it now.
    pub repeated: bool,
}

/// A `null` that stands there is a value; what is not there has none.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(value).map(Some)
}

/// One row of the ledger, field by field.
///
/// # Errors
/// [`ServerError::NotFound`]; those of the store.
pub async fn conflict(hub: &Hub, space: &SpaceName, n: u64) -> Result<ConflictView, ServerError> {
    let conflict = conflict_row(hub, space, n).await?;
    let key = place(&conflict.collection, &conflict.id)?;
    let standing = hub.store().documents(space, vec![key]).await?.into_iter().map(|(_, version)| version);
    let now = standing.filter(|version| version.meta.is_live()).last();
    let fields = differences(&conflict, now.as_ref());
    let now = now.and_then(|version| serde_json::from_str(version.body.text()).ok());
    Ok(ConflictView { conflict, now, fields })
}

/// Makes the losing side of a conflict a change on top of what stands. The second time it only tells the first.
///
/// # Errors
/// [`ServerError::NotFound`]; [`ServerError::Unfit`] where the document is gone for good; those of a push.
pub async fn restore(hub: &Hub, space: &SpaceName, n: u64) -> Result<MendReceipt, ServerError> {
    let row = conflict_row(hub, space, n).await?;
    let (collection, id) = place(&row.collection, &row.id)?;
    match mend(hub, space, n, MendAct::Restore { collection, id }).await? {
        Mended::Unknown => Err(no_conflict(space, n)),
        other => answer(n, other),
    }
}

/// One row of the quarantine. Of one that has left it, the refusal says how.
///
/// # Errors
/// [`ServerError::NotFound`]; those of the store.
pub async fn quarantined(hub: &Hub, space: &SpaceName, n: u64) -> Result<QuarantineRow, ServerError> {
    match aside(hub, space, n).await {
        Err(ServerError::NotFound(_)) if has_mended(hub, space).await? => {
            Err(ServerError::NotFound(match mend(hub, space, n, MendAct::Ask).await? {
                Mended::Done { lsn, .. } => {
                    format!("op {n} is not in the quarantine any more: it was retried, as change {lsn}")
                }
                Mended::Discarded { .. } => format!("op {n} is not in the quarantine any more: it was discarded"),
                Mended::Settled => {
                    let since = "so long ago that its receipt is gone (`retention.receipts`)";
                    format!("op {n} is not in the quarantine any more: it was retried or discarded {since}")
                }
                Mended::Unknown | Mended::Refused(_) => return Err(not_aside(space, n)),
            }))
        }
        found => found,
    }
}

async fn aside(hub: &Hub, space: &SpaceName, n: u64) -> Result<QuarantineRow, ServerError> {
    let row = hub.store().quarantine(space, only(n)).await?.pop().filter(|row| row.n == n);
    row.ok_or_else(|| not_aside(space, n))
}

/// Tries an op of the quarantine again on what stands now, as it was set aside or as it was mended: the text of an op in
/// any dialect's form.
///
/// # Errors
/// [`ServerError::NotFound`]; [`ServerError::Taken`] for one that was discarded; [`ServerError::Unfit`] where it still
/// cannot be applied; those of a push.
pub async fn retry(hub: &Hub, space: &SpaceName, n: u64, mended: Option<&str>) -> Result<MendReceipt, ServerError> {
    let act = match aside(hub, space, n).await {
        Ok(row) => {
            let collection = row.collection.as_deref().map(CollectionName::new).transpose()?;
            let id = row.id.as_deref().map(DocId::new).transpose()?;
            let text = mended.unwrap_or(&row.op);
            let read =
                syncline_core::wire::aside::read(text, (collection.as_ref(), id.as_ref()), &hub.settings().limits);
            let op = read.map_err(|why| still_refused(n, &why.reason))?;
            MendAct::Retry { collection: op.collection, id: op.id, edit: op.edit }
        }
        // To ask would make the quarantine a node of a space where nobody has ever used it.
        Err(error @ ServerError::NotFound(_)) if !has_mended(hub, space).await? => return Err(error),
        Err(ServerError::NotFound(_)) => MendAct::Ask,
        Err(error) => return Err(error),
    };
    match mend(hub, space, n, act).await? {
        Mended::Unknown => Err(not_aside(space, n)),
        Mended::Discarded { .. } => Err(ServerError::Taken {
            code: "discarded",
            reason: format!("op {n} was discarded; if it is wanted after all, write its document anew"),
        }),
        other => answer(n, other),
    }
}

/// Drops an op of the quarantine. The second time it only tells the first.
///
/// # Errors
/// [`ServerError::NotFound`]; [`ServerError::Taken`] for one that was retried; those of a push.
pub async fn discard(hub: &Hub, space: &SpaceName, n: u64) -> Result<MendReceipt, ServerError> {
    match aside(hub, space, n).await {
        Err(error @ ServerError::NotFound(_)) if !has_mended(hub, space).await? => return Err(error),
        Ok(_) | Err(_) => {}
    }
    match mend(hub, space, n, MendAct::Discard).await? {
        Mended::Unknown => Err(not_aside(space, n)),
        Mended::Done { lsn, .. } => Err(ServerError::Taken {
            code: "retried",
            reason: format!("op {n} was retried already, as change {lsn}; nothing is left to discard"),
        }),
        other => answer(n, other),
    }
}

/// Whether a row of the quarantine was ever decided about in this space.
async fn has_mended(hub: &Hub, space: &SpaceName) -> Result<bool, ServerError> {
    let quarantine = MendAct::Ask.author();
    Ok(hub.store().nodes(space).await?.iter().any(|row| row.node == quarantine.as_str()))
}

async fn mend(hub: &Hub, space: &SpaceName, n: u64, act: MendAct) -> Result<Mended, ServerError> {
    match hub.space(space).await?.mend(Mend { n, act }).await?.reply {
        Reply::Mended(mended) => Ok(mended),
        other => Err(ServerError::Bug(format!("a person got another's answer: {other:?}"))),
    }
}

fn answer(n: u64, mended: Mended) -> Result<MendReceipt, ServerError> {
    let receipt = |result: &str, lsn, repeated| Ok(MendReceipt { n, result: result.to_owned(), lsn, repeated });
    match mended {
        Mended::Done { lsn, repeated } => receipt("applied", lsn, repeated),
        Mended::Discarded { repeated } => receipt("discarded", Lsn::ZERO, repeated),
        Mended::Settled => Err(ServerError::Taken {
            code: "settled",
            reason: format!(
                "op {n} was retried or discarded so long ago that its receipt is gone (`retention.receipts`)"
            ),
        }),
        Mended::Refused(why) => Err(still_refused(n, &why.reason)),
        Mended::Unknown => Err(ServerError::NotFound(format!("row {n} does not exist"))),
    }
}

async fn conflict_row(hub: &Hub, space: &SpaceName, n: u64) -> Result<ConflictRow, ServerError> {
    let row = hub.store().conflicts(space, only(n)).await?.pop().filter(|row| row.n == n);
    row.ok_or_else(|| no_conflict(space, n))
}

/// The newest row up to a number: it, where it is there.
fn only(n: u64) -> ListQuery {
    ListQuery { before: n.checked_add(1), limit: 1, ..ListQuery::default() }
}

fn place(collection: &str, id: &str) -> Result<(CollectionName, DocId), ServerError> {
    Ok((CollectionName::new(collection)?, DocId::new(id)?))
}

/// Fields in which the two sides differ, in the order of their names.
fn differences(row: &ConflictRow, now: Option<&Version>) -> Vec<FieldDifference> {
    let (lost, won) = (fields(&row.losing), fields(&row.winning));
    let now = now.map(|version| version.body.fields()).unwrap_or_default();
    let names: BTreeSet<&str> = if row.losing_kind == "fields" && row.winning_kind != "fields" {
        lost.iter().map(|(name, _)| name).collect()
    } else {
        lost.iter().chain(won.iter()).map(|(name, _)| name).collect()
    };
    let value = |fields: &Fields, name: &str| fields.get(name).map(Json::of);
    let difference = |name: &str| FieldDifference {
        field: name.to_owned(),
        lost: value(&lost, name),
        won: value(&won, name),
        now: value(&now, name),
    };
    let all = names.into_iter().filter(|name| *name != "_id").map(difference);
    all.filter(|field| field.lost != field.won).collect()
}

/// A removal has none.
fn fields(side: &Json) -> Fields {
    serde_json::from_str(side.text()).unwrap_or_default()
}

fn no_conflict(space: &SpaceName, n: u64) -> ServerError {
    ServerError::NotFound(format!(
        "conflict {n} is not in the ledger of space `{space}`: there never was one, or its time is over \
         (`retention.ledger`); list them with `syncline conflicts`"
    ))
}

fn not_aside(space: &SpaceName, n: u64) -> ServerError {
    ServerError::NotFound(format!(
        "op {n} is not in the quarantine of space `{space}`: there never was one, or its time is over \
         (`retention.quarantine`); list them with `syncline quarantine`"
    ))
}

fn still_refused(n: u64, reason: &str) -> ServerError {
    ServerError::Unfit { code: "still_refused", reason: format!("op {n} stays in quarantine: {reason}") }
}
