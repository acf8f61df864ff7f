//! Pages of changes, at once or when there are some.

use super::super::Asked;
use super::super::query::malformed;
use super::encode::PageEncoder;
use super::late;
use super::reader::{Reader, position};
use crate::answer;
use crate::app::Slot;
use crate::error::ServerError;
use crate::hub::Reading;
use crate::store::{Scan, Scanned};
use axum::body::Body;
use axum::response::Response;
use std::sync::Arc;
use std::time::Duration;
use syncline_core::model::{Lsn, NodeId};
use tokio::time::{Instant, timeout_at};

/// `GET …/sync/pull?node=…`
pub(in super::super) async fn pull(mut asked: Asked) -> Result<Response, ServerError> {
    let reader = Reader::of(&asked)?;
    let limits = &asked.app.options.settings.limits;
    let limit = asked.query.read("limit", limits.page_changes, "a whole number, 1 or more")?;
    if limit == 0 {
        return Err(malformed("limit", "0", "a whole number, 1 or more"));
    }
    let (max_rows, max_bytes) = (limit.min(limits.page_changes), limits.page_bytes);
    let until = Instant::now() + wait(&asked)?;
    let mut after = position(&asked, "since_lsn")?;
    check_position(&asked, after).await?;
    asked.space.meet(&reader.node).await?;
    // Where a node with packets stands, packets alone say.
    let noted = asked.query.get("packet").is_none() && speaks_for(&asked, &reader.node);
    if noted {
        asked.space.note_cursor(&reader.node, after);
    }

    let mut heads = asked.space.watch();
    loop {
        heads.mark_unchanged();
        let collections = reader.collections.clone();
        let scan = Scan::Log { after, collections, max_rows, max_bytes };
        let late = if noted { late::conflicts(&asked, &reader.node).await? } else { None };
        let tells = late.as_ref().is_some_and(|late| !late.rows.is_empty());
        let author = asked.space.author(&reader.node);
        let encoder = PageEncoder::new(author, Arc::clone(&reader.rows), reader.views.clone()).telling(late);
        let encoder = Box::new(encoder);
        let page = asked.space.read(scan, encoder).await?;
        // News count from what this page has seen: a change that was committed since is news already.
        let (handed, seen) = match &page {
            Reading::Whole(_, Scanned { rows, more, upto }) => {
                let upto = after.max(*upto);
                (Some(upto), (*rows == 0 && !more).then_some(upto))
            }
            Reading::Parts(_) => (None, None),
        };
        match seen {
            Some(seen) if !tells && news(&mut asked, &reader, &mut heads, seen, until).await? => after = seen,
            _ => {
                asked.app.meters.pages.increment(1);
                if let Some(upto) = handed.filter(|_| noted) {
                    asked.space.note_handed(&reader.node, upto);
                }
                return Ok(answer(page, asked.slot));
            }
        }
    }
}

/// Whether what the reader has is what the node has: whoever pulls in the name of somebody else's node is
/// served, but says nothing about it.
fn speaks_for(asked: &Asked, node: &NodeId) -> bool {
    let owner = asked.space.owner(node);
    owner.is_none_or(|owner| asked.grant.speaks_for(&owner) || !asked.app.tokens.accepts(&owner))
}

/// Waits for changes in the reader's collections, without a slot or a store connection.
/// `false`: the time is over, or the hub goes down.
async fn news(
    asked: &mut Asked,
    reader: &Reader,
    heads: &mut tokio::sync::watch::Receiver<crate::store::Head>,
    seen: Lsn,
    until: Instant,
) -> Result<bool, ServerError> {
    if until <= Instant::now() {
        return Ok(false);
    }
    let waiting = asked.app.waiting_slot(asked.space.name())?;
    let working = std::mem::replace(&mut asked.slot, waiting);
    drop(working);
    asked.app.meters.waiting_polls.increment(1.0);
    let collections = reader.collections.as_ref();
    let space = Arc::clone(&asked.space);
    let mut leaving = asked.app.hub.leaving();
    let came = tokio::select! {
        woken = timeout_at(until, heads.wait_for(|_| space.may_have_news(collections, seen))) => {
            matches!(woken, Ok(Ok(_)))
        }
        _ = leaving.wait_for(|leaving| *leaving) => false,
    };
    asked.app.meters.waiting_polls.decrement(1.0);
    asked.slot = asked.app.turn().await?;
    // Tokens are removed and expire while their polls wait.
    asked.app.tokens.check_again(&asked.grant)?;
    Ok(came)
}

fn wait(asked: &Asked) -> Result<Duration, ServerError> {
    let rule = "seconds, 0 or more";
    let seconds: f64 = asked.query.read("wait", 0.0, rule)?;
    let longest = asked.app.options.settings.bounds.wait;
    if seconds.is_nan() || seconds < 0.0 {
        return Err(malformed("wait", &seconds.to_string(), rule));
    }
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(longest).min(longest))
}

/// A cursor that this history cannot have handed out, or that it has forgotten.
async fn check_position(asked: &Asked, after: Lsn) -> Result<(), ServerError> {
    let head = asked.space.head_for(after).await?;
    if after > head.lsn {
        return Err(asked.space.resync(format!("position {after} is ahead of the log, which ends at {}", head.lsn)));
    }
    if after < head.horizon {
        let horizon = head.horizon;
        return Err(asked.space.resync(format!("position {after} is behind the horizon {horizon}")));
    }
    Ok(())
}

fn answer(page: Reading, slot: Slot) -> Response {
    match page {
        Reading::Whole(bytes, _) => answer::json_text(bytes),
        Reading::Parts(parts) => answer::with_type(Body::from_stream(parts.into_stream(slot)), "application/json"),
    }
}
