//! What the application is told, with the names and payloads that the seeds give them.

use crate::model::{BatchId, CollectionName, DocId, Lsn, Millis, NodeId, Verdict};
use serde_json::{Value, json};

/// One event of a session.
#[derive(Clone, Debug, PartialEq)]
pub enum SyncEvent {
    /// A cycle begins at this cursor.
    Start {
        /// The cursor.
        lsn: Lsn,
    },
    /// The first full load begins.
    InitialStart,
    /// Part of the first full load is stored.
    InitialProgress {
        /// Documents so far.
        documents_loaded: u64,
    },
    /// The first full load is complete.
    InitialComplete {
        /// Documents in all.
        documents_loaded: u64,
        /// The cursor now.
        lsn: Lsn,
    },
    /// Changes of others were applied.
    PullSuccess {
        /// How many.
        pulled: u64,
        /// The cursor now.
        lsn: Lsn,
    },
    /// A batch was receipted.
    PushSuccess {
        /// Its ops.
        pushed: u64,
        /// Its name.
        batch_id: BatchId,
        /// The head of the hub's log, for information: not a cursor.
        lsn: Lsn,
    },
    /// The hub answered while nothing else happened.
    HeartbeatSuccess,
    /// A cycle is complete.
    Success {
        /// The cursor now.
        lsn: Lsn,
        /// Whether anything was pulled or pushed.
        activity_detected: bool,
    },
    /// A cycle failed, or a part of it was refused; it will be repeated.
    Error {
        /// The one collection that is concerned while others go on; `None`: the whole session.
        collection: Option<CollectionName>,
        /// What failed and what happens next.
        message: String,
        /// The cause in the words of whoever reported it.
        original_error: String,
    },
    /// A concurrent edit was decided.
    Conflict(Conflict),
    /// Something could not be applied and was set aside.
    Quarantine(Quarantined),
    /// Another database had the node id of this one, which goes on under a new one.
    NodeRenamed(Renamed),
}

/// A replica that became a new node, because another database is the one that it was: a copy, or itself before it went
/// back to a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// Who it was.
    pub before: NodeId,
    /// Who it is now.
    pub now: NodeId,
}

/// A concurrent edit that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Where.
    pub collection: CollectionName,
    /// Which document.
    pub id: DocId,
    /// What became of the local edit.
    pub result: Verdict,
    /// The change that stands now.
    pub lsn: Lsn,
}

/// Something that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// When.
    pub quarantined_at: Millis,
    /// Where.
    pub collection: CollectionName,
    /// The op or the change as JSON.
    pub operation: Value,
    /// Why.
    pub message: String,
}

impl SyncEvent {
    /// Every name under which applications can listen.
    pub const NAMES: [&str; 12] = [
        "sync:start",
        "sync:success",
        "sync:error",
        "sync:initial_start",
        "sync:initial_progress",
        "sync:initial_complete",
        "sync:pull_success",
        "sync:push_success",
        "sync:heartbeat_success",
        "sync:conflict",
        "sync:quarantine",
        "sync:node_renamed",
    ];

    /// The name under which applications listen.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            SyncEvent::Start { .. } => "sync:start",
            SyncEvent::InitialStart => "sync:initial_start",
            SyncEvent::InitialProgress { .. } => "sync:initial_progress",
            SyncEvent::InitialComplete { .. } => "sync:initial_complete",
            SyncEvent::PullSuccess { .. } => "sync:pull_success",
            SyncEvent::PushSuccess { .. } => "sync:push_success",
            SyncEvent::HeartbeatSuccess => "sync:heartbeat_success",
            SyncEvent::Success { .. } => "sync:success",
            SyncEvent::Error { .. } => "sync:error",
            SyncEvent::Conflict(_) => "sync:conflict",
            SyncEvent::Quarantine(_) => "sync:quarantine",
            SyncEvent::NodeRenamed(_) => "sync:node_renamed",
        }
    }

    /// What is said, as JSON.
    #[must_use]
    pub fn payload(&self) -> Value {
        match self {
            SyncEvent::Start { lsn } => json!({ "lsn": lsn }),
            SyncEvent::InitialStart | SyncEvent::HeartbeatSuccess => json!({}),
            SyncEvent::InitialProgress { documents_loaded } => json!({ "documentsLoaded": documents_loaded }),
            SyncEvent::InitialComplete { documents_loaded, lsn } => {
                json!({ "documentsLoaded": documents_loaded, "lsn": lsn })
            }
            SyncEvent::PullSuccess { pulled, lsn } => json!({ "pulled": pulled, "lsn": lsn }),
            SyncEvent::PushSuccess { pushed, batch_id, lsn } => {
                json!({ "pushed": pushed, "batchId": batch_id, "lsn": lsn })
            }
            SyncEvent::Success { lsn, activity_detected } => {
                json!({ "type": "full_cycle_complete", "lsn": lsn, "activityDetected": activity_detected })
            }
            SyncEvent::Error { collection: None, message, original_error } => {
                json!({ "message": message, "originalError": original_error })
            }
            SyncEvent::Error { collection, message, original_error } => {
                json!({ "collection": collection, "message": message, "originalError": original_error })
            }
            SyncEvent::Conflict(c) => {
                json!({ "collection": c.collection, "docId": c.id, "result": c.result, "lsn": c.lsn })
            }
            SyncEvent::Quarantine(q) => json!({
                "quarantinedAt": q.quarantined_at.iso(),
                "collection": q.collection,
                "operation": q.operation,
                "error": { "message": q.message },
            }),
            SyncEvent::NodeRenamed(r) => json!({ "before": r.before, "node": r.now }),
        }
    }

    /// The collection it is about; `None`: the whole session.
    #[must_use]
    pub fn collection(&self) -> Option<&CollectionName> {
        match self {
            SyncEvent::Conflict(c) => Some(&c.collection),
            SyncEvent::Quarantine(q) => Some(&q.collection),
            SyncEvent::Error { collection, .. } => collection.as_ref(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_the_names_of_the_seeds() {
        let batch_id = BatchId::new("b1").unwrap();
        let push = SyncEvent::PushSuccess { pushed: 2, batch_id, lsn: Lsn(7) };
        assert_eq!(push.name(), "sync:push_success");
        assert_eq!(push.payload().to_string(), r#"{"pushed":2,"batchId":"b1","lsn":7}"#);

        let done = SyncEvent::Success { lsn: Lsn(7), activity_detected: true };
        assert_eq!(done.payload().to_string(), r#"{"type":"full_cycle_complete","lsn":7,"activityDetected":true}"#);

        let aside = SyncEvent::Quarantine(Quarantined {
            quarantined_at: Millis(0),
            collection: CollectionName::new("users").unwrap(),
            operation: json!({"op": "put"}),
            message: "unique index `email`".into(),
        });
        assert_eq!(
            aside.payload()["quarantinedAt"],
            "1970-01-01T00:00:00.000Z",
            "a time as the seeds' clients print it"
        );
        assert_eq!(aside.payload()["error"]["message"], "unique index `email`");
    }
}
