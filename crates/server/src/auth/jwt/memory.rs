//! Tokens that were accepted, so that each is checked once. Bounded by number and by bytes: a grant holds its claims and the
//! filters that they were filled into.

use super::super::grant::Grant;
use std::collections::HashMap;

/// Grants that are remembered.
const GRANTS_MAX: usize = 10_000;
/// Bytes that all of them may take, as far as they are counted.
const BYTES_MAX: usize = 64 << 20;
/// What a grant takes beside its texts.
const GRANT_BYTES: usize = 1 << 10;
/// A filter that was read takes about so many times the bytes of its text.
const READ_BYTES: usize = 8;

/// The grants of accepted tokens, by the hashes of these.
#[derive(Default)]
pub(super) struct Accepted {
    /// Since the last time that room was made.
    new: Generation,
    /// Before. What is asked for moves on; the rest goes when room is made again.
    old: Generation,
}

#[derive(Default)]
struct Generation {
    grants: HashMap<[u8; 32], Grant>,
    bytes: usize,
}

impl Accepted {
    pub(super) fn get(&mut self, hash: &[u8; 32]) -> Option<Grant> {
        if let Some(grant) = self.new.grants.get(hash) {
            return Some(grant.clone());
        }
        let grant = self.old.grants.remove(hash)?;
        self.put(*hash, grant.clone());
        Some(grant)
    }

    pub(super) fn put(&mut self, hash: [u8; 32], grant: Grant) {
        let bytes = GRANT_BYTES + grant.text_bytes() * READ_BYTES;
        if self.new.grants.len() >= GRANTS_MAX / 2 || self.new.bytes + bytes > BYTES_MAX / 2 {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.bytes += bytes;
        self.new.grants.insert(hash, grant);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::grant::Proof;
    use super::*;
    use crate::auth::TokenSpec;
    use serde_json::json;

    fn grant(filter_bytes: usize) -> Grant {
        let rows = json!({"tasks": {"owner": "x".repeat(filter_bytes)}});
        let spec: TokenSpec = serde_json::from_value(json!({"name": "anna", "rows": rows})).unwrap();
        Grant::new(Proof::Signed { key: [0; 32] }, spec).unwrap()
    }

    fn hash(n: usize) -> [u8; 32] {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_le_bytes());
        hash
    }

    #[test]
    fn grants_are_forgotten_by_their_number_and_by_their_bytes_and_those_in_use_last() {
        for (filter_bytes, most) in [(10, GRANTS_MAX), (100_000, BYTES_MAX / 100_000)] {
            let (mut accepted, large) = (Accepted::default(), grant(filter_bytes));
            for n in 0..3 * most {
                accepted.put(hash(n + 1), large.clone());
                assert!(accepted.get(&hash(1)).is_some(), "whoever comes all the time stays");
            }
            let kept = accepted.new.grants.len() + accepted.old.grants.len();
            assert!(kept <= most && kept > 1, "{kept} of {filter_bytes} bytes");
            assert!(accepted.new.bytes + accepted.old.bytes <= BYTES_MAX);
            assert!(accepted.get(&hash(2)).is_none());
        }
    }
}
