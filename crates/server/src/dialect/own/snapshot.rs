//! Every live document, as lines, from one consistent state.

use super::super::Asked;
use super::encode::SnapshotEncoder;
use super::reader::{Reader, position, ranges};
use crate::answer;
use crate::error::ServerError;
use crate::hub::Reading;
use crate::store::Scan;
use axum::body::Body;
use axum::response::Response;

pub(super) const LINES: &str = "application/x-ndjson";

/// `GET …/sync/snapshot?node=…`; with `ranges=…` only the documents in these.
pub(in super::super) async fn snapshot(asked: Asked) -> Result<Response, ServerError> {
    let reader = Reader::of(&asked)?;
    let after = position(&asked, "after")?;
    let scan = Scan::Snapshot {
        collections: reader.collections,
        after,
        expired_by: Some(asked.space.now()),
        max_rows: usize::MAX,
        max_bytes: usize::MAX,
    };
    let encoder = SnapshotEncoder::new(reader.rows, reader.views, ranges(&asked)?);
    let reading = asked.space.read(scan, Box::new(encoder)).await?;
    asked.app.meters.snapshots.increment(1);
    Ok(match reading {
        Reading::Whole(bytes, _) => answer::with_type(Body::from(bytes), LINES),
        Reading::Parts(parts) => answer::with_type(Body::from_stream(parts.into_stream(asked.slot)), LINES),
    })
}
