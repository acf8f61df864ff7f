//! What one space or one token may take of what all share, so that whoever floods the hub waits in its own queue.

use crate::error::ServerError;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts what each holds; who holds nothing is not known.
#[derive(Debug)]
pub(crate) struct Shares<K> {
    most: usize,
    what: &'static str,
    limit: &'static str,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

/// A piece of somebody's share; given back when dropped.
#[derive(Debug)]
pub(crate) struct Piece<K: Eq + Hash> {
    of: K,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    /// Everybody may hold so many; a refusal says `what` there is too much of, and by which `limit`.
    pub(crate) fn new(most: usize, what: &'static str, limit: &'static str) -> Shares<K> {
        Shares { most, what, limit, held: Arc::default() }
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// [`ServerError::Overloaded`].
    pub(crate) fn take(&self, of: &K) -> Result<Piece<K>, ServerError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.get(of).copied().unwrap_or_default();
        if count >= self.most {
            return Err(ServerError::Overloaded { what: self.what, limit: self.limit });
        }
        held.insert(of.clone(), count + 1);
        Ok(Piece { of: of.clone(), held: Arc::clone(&self.held) })
    }
}

impl<K: Eq + Hash> Drop for Piece<K> {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get_mut(&self.of) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(held.remove(&self.of)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_share_and_gets_back_what_was_given_up() {
        let shares = Shares::new(2, "it works on as many requests of the space as it may", "limits.space_requests");
        let pieces = [shares.take(&"a").unwrap(), shares.take(&"a").unwrap()];
        let refused = shares.take(&"a").unwrap_err().to_string();
        assert!(refused.contains("limits.space_requests"), "{refused}");
        let other = shares.take(&"b").unwrap();
        drop(pieces);
        assert_eq!(shares.held.lock().unwrap().len(), 1, "who holds nothing is forgotten");
        drop((shares.take(&"a").unwrap(), other));
        assert!(shares.held.lock().unwrap().is_empty());
    }
}
