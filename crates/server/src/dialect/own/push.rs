//! Ops in, receipts out.

use super::super::Asked;
use super::super::body::Held;
use crate::answer;
use crate::auth::{Access, Grant};
use crate::error::ServerError;
use axum::response::Response;
use syncline_core::hub::Reply;
use syncline_core::model::{Malformed, NodeId, Op, OpKey, OwnBatch, Poison, Rejection, Step};
use syncline_core::wire::own::{PushReply, PushRequest, decode_push};

/// `POST …/sync/push` with a `node` in the body.
pub(in super::super) async fn push(asked: Asked, body: Held) -> Result<Response, ServerError> {
    let mut gone = None;
    loop {
        let batch = read(&asked, &body, gone.take()).await?;
        let node = batch.node.clone();
        let pushed = asked.space.push_own(batch, body.share()).await?;
        return match pushed.reply {
            Reply::Own { author, receipts } => Ok(answer::json(&PushReply {
                status: "ok".to_owned(),
                // Where pages end: receipts that name no change of their own are passed by the next page.
                server_lsn: pushed.head.last_change,
                epoch: pushed.head.epoch,
                author,
                receipts,
                page: None,
            })),
            Reply::NodeTaken { owner } if asked.app.tokens.accepts(&owner) => {
                Err(asked.grant.node_taken(&node, &owner))
            }
            Reply::NodeTaken { owner } => {
                gone = Some(owner);
                continue;
            }
            Reply::BatchReused => Err(ServerError::Taken {
                code: "batch_reused",
                reason: "this batch id was used before with other content; send the ops under a new batch id"
                    .to_owned(),
            }),
            _ => Err(ServerError::Bug("an own push got another's answer".to_owned())),
        };
    }
}

/// The push in the body, within the grant and the limits. `gone`: the node's token, which is no longer accepted.
async fn read(asked: &Asked, body: &Held, gone: Option<NodeId>) -> Result<OwnBatch, ServerError> {
    let limits = asked.app.options.settings.limits;
    let grant = asked.grant.clone();
    let read = move |text: &[u8]| {
        let mut push = decode_push(text, &limits)?;
        push.batch.claim = grant.claim(gone);
        push.batch.rows = grant.write_rows();
        push.batch.readable = grant.check_access(Access::Read).is_ok().then(|| grant.read_rows());
        set_aside_forbidden(&grant, &mut push.batch.steps, text)?;
        Ok(push)
    };
    let push = body.parse(read).await?;
    asked.grant.check_node(&push.batch.node)?;
    let known = asked.space.head().epoch;
    if push.epoch.as_ref().is_some_and(|epoch| !epoch.as_str().is_empty() && *epoch != known) {
        return Err(asked.space.resync("the ops were made on another history"));
    }
    if push.batch.steps.len() > limits.batch_ops {
        return Err(ServerError::TooMuch {
            code: "batch_too_large",
            what: format!("a push of {} ops", push.batch.steps.len()),
            limit: "limits.batch_ops",
            value: limits.batch_ops,
            advice: "send smaller batches",
        });
    }
    Ok(push.batch)
}

/// An op outside the token's collections is rejected by its receipt and holds up nothing else.
fn set_aside_forbidden(grant: &Grant, steps: &mut [Step], text: &[u8]) -> Result<(), ServerError> {
    let refused = |step: &Step| match step {
        Step::Edit(Op { collection, .. }) | Step::Clear { collection, .. } => grant.check_collection(collection).err(),
        Step::Poison(_) => None,
    };
    if !steps.iter().any(|step| refused(step).is_some()) {
        return Ok(());
    }
    let sent: PushRequest<'_> = serde_json::from_slice(text).map_err(|e| Malformed::json("push", e))?;
    for (step, raw) in steps.iter_mut().zip(sent.ops) {
        let Some(refusal) = refused(step) else { continue };
        let (seq, txn, collection, id) = match step {
            Step::Edit(Op { key: OpKey::Seq(seq), txn, collection, id, .. }) => {
                (*seq, *txn, collection, Some(id.clone()))
            }
            Step::Clear { seq, txn, collection, .. } => (*seq, *txn, collection, None),
            Step::Edit(_) | Step::Poison(_) => continue,
        };
        let collection = Some(collection.clone());
        let rejection = Rejection { code: refusal.code().to_owned(), reason: refusal.to_string() };
        *step = Step::Poison(Poison { seq, txn, collection, id, raw: raw.get().to_owned(), rejection });
    }
    Ok(())
}
