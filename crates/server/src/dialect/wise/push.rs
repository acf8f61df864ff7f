//! Ops of a foreign client, in one commit.

use super::super::Asked;
use super::super::body::Held;
use super::readers::Sender;
use super::{StreamKey, rows};
use crate::answer;
use crate::error::ServerError;
use axum::response::Response;
use syncline_core::hub::Reply;
use syncline_core::model::{ForeignBatch, ForeignEdit};
use syncline_core::wire::wise::{Shape, decode_push};

/// `POST …/sync/push` without a `node`.
///
/// # Errors
/// A malformed push (nothing of it is applied), outside the grant, or those of the store.
pub async fn push(asked: Asked, body: Held) -> Result<Response, ServerError> {
    let key = StreamKey::of(&asked)?;
    let readers = &asked.foreign.readers;
    let Sender { served, own, sole, cleared } = readers.sender(&key, asked.space.head().lsn, asked.arrived);
    let (collection, limits) = (key.collection.clone(), asked.app.options.settings.limits);
    let push = body.parse(move |text| Ok(decode_push(text, &collection, &limits)?)).await?;
    asked.foreign.lists.echoed(&key, &push.echoes);
    let clears = push.ops.iter().any(|op| op.txn.is_none() && matches!(op.edit, ForeignEdit::Clear));
    let batch = ForeignBatch {
        node: key.node.clone(),
        collection: key.collection.clone(),
        batch: push.batch,
        // The dialect promises success to every repeat of a batch id, whatever it holds.
        digest: 0,
        ops: push.ops,
        served,
        own,
        sole,
        cleared,
        numbered: push.shape == Shape::Object,
        rows: asked.grant.write_rows(),
    };
    let pushed = asked.space.push_foreign(batch, body.into_share()).await?;
    match pushed.reply {
        Reply::Foreign { lsn, fresh } => {
            if clears {
                readers.cleared(&key);
            }
            if let Some(wrote) = fresh {
                readers.pushed(&key, wrote);
            }
            Ok(answer::json_text(
                format!(r#"{{"status":"ok","server_lsn":{}}}"#, rows::number(lsn, key.view.as_ref())).into_bytes(),
            ))
        }
        _ => Err(ServerError::Bug("a foreign push got another client's answer".to_owned())),
    }
}
