//! What became of an op. Stored with the op's effect, so that a repeat gets the first answer.

use super::{Lsn, Seq};
use serde::{Deserialize, Serialize};

/// What the hub did with an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It took effect as written; nobody else had changed the document meanwhile.
    Applied,
    /// It met a concurrent edit: at least one field of it took effect, others' fields may stand beside it.
    Merged,
    /// It met a concurrent edit and lost: nothing of it is visible. The loser is in the conflict ledger.
    Superseded,
    /// It can never be applied; it is in quarantine with the reason.
    Rejected,
    /// It had been decided before, but the first receipt is past its retention.
    Duplicate,
}

/// Why an op was set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// A short, stable word, e.g. `unknown_document`.
    pub code: String,
    /// A sentence that names the thing, the rule and the next step.
    pub reason: String,
}

impl Rejection {
    /// The code for an op whose number stood for another op: two databases are one node. The op is neither applied nor
    /// set aside; a node of another name may push it.
    pub const NUMBER_REUSED: &str = "number_reused";

    /// Whether the op is refused only under its number.
    #[must_use]
    pub fn is_for_its_number(&self) -> bool {
        self.code == Rejection::NUMBER_REUSED
    }
}

/// What became of one op.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The op's number in its node's outbox.
    pub seq: Seq,
    /// What the hub did with it.
    pub result: Verdict,
    /// The change that carries its effect, or the one that superseded it; 0 when rejected.
    pub lsn: Lsn,
    /// Why, when rejected.
    #[serde(flatten, skip_serializing_if = "Option::is_none", default)]
    pub rejection: Option<Rejection>,
    /// Digest of the op, so that the hub notices when its number comes back for another one. Kept with the receipt;
    /// clients are not told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<u32>,
}
