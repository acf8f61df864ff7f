//! A backup of the hub, streamed to whoever administers it.

use super::asked::Admin;
use crate::answer;
use crate::app::App;
use crate::error::ServerError;
use crate::store::StoreError;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures_util::{StreamExt, stream};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pieces between the disk and the connection.
const PIECES_AHEAD: usize = 4;

/// Lines of JSON with the files' bytes between them. One that fails says so in its last line: only a manifest makes a backup whole.
/// To cut the connection behind that line could take it away again before it is written.
pub(in crate::http) async fn take(admin: Admin, State(app): State<Arc<App>>) -> Result<Response, ServerError> {
    admin.query(&[])?;
    let (out, mut pieces) = mpsc::channel(PIECES_AHEAD);
    let store = Arc::clone(app.hub.store());
    let work = tokio::spawn(async move { store.hand_out(out).await });
    let Some(first) = pieces.recv().await else {
        let ended = work.await.map_err(|error| ServerError::Bug(format!("a backup ended: {error}")))?;
        return Err(ended.err().map_or_else(|| ServerError::Bug("a backup was empty".into()), ServerError::Store));
    };
    let rest = stream::unfold(Some((Some(first), pieces, work)), |state| async move {
        let (first, mut pieces, work) = state?;
        let next = match first {
            Some(first) => Some(first),
            None => pieces.recv().await,
        };
        match next {
            Some(piece) => Some((Ok(piece), Some((None, pieces, work)))),
            None => {
                let broken = |source| StoreError::Engine { action: "making a backup", source: Box::new(source) };
                let done = work.await.map_err(broken);
                if let Ok(Err(error)) = &done {
                    tracing::error!(%error, "a backup was cut");
                }
                Some((Err(done.err()?), None))
            }
        }
    });
    Ok(answer::with_type(Body::from_stream(rest.fuse()), "application/octet-stream"))
}
