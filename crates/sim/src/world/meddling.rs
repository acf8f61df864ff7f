//! Batches that were composed anew between two attempts: the hub gets the same ops in another batch, and its answer to
//! that one goes nowhere.

use super::bug::Bug;
use super::network::Fate;
use super::trouble::Troubles;
use super::{Happening, World};
use serde_json::{Value, json};
use syncline_core::session::{Request, RequestId};

/// Of so many pushes one was composed otherwise before.
const PUSHES_PER_OTHER: u32 = 4;

impl World {
    /// Before a push arrives, some of its ops may have arrived in another batch.
    pub(super) fn meddle(&mut self, device: usize, life: u32, id: RequestId, (request, fate): (&Request, Fate)) {
        let (Request::Push(batch), Some(Troubles { dice, .. })) = (request, &mut self.troubles) else { return };
        let planted = self.bug == Some(Bug::TransactionSplit);
        if !planted && (self.healed || dice.u32(0..PUSHES_PER_OTHER) > 0) {
            return;
        }
        let mut push: Value = serde_json::from_str(&batch.body).expect("a push is JSON");
        let ops = push["ops"].as_array_mut().expect("a push has ops");
        let cuts = cuts(ops, self.bug == Some(Bug::TransactionSplit));
        let Some(cut) = cuts.get(dice.usize(..cuts.len().max(1))).copied() else { return };
        ops.truncate(cut);
        push["batchId"] = json!(format!("other-{}", dice.u64(..)));
        let mut other = batch.clone();
        (other.body, other.ops) = (push.to_string(), cut);
        self.note(format!(
            "(fault) device {device} has sent the first {cut} of these ops in another batch before: {push}"
        ));
        let ghost = Fate { lost: true, repeated: false, ..fate };
        let arrives = Happening::Arrive { device, life, id, request: Request::Push(other), fate: ghost };
        self.schedule(fate.there_ms, arrives);
    }
}

/// How many ops a part of a batch may hold: whole transactions, or with a bug only parts of them.
fn cuts(ops: &[Value], within: bool) -> Vec<usize> {
    let joined = |n: &usize| *n < ops.len() && ops[n - 1]["txn"].is_u64() && ops[n - 1]["txn"] == ops[*n]["txn"];
    (1..=ops.len()).filter(|n| joined(n) == within).collect()
}
