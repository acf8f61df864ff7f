//! What one space or one token may take of what all share, so that whoever floods the hub waits in its own queue.
//! Counts requests, polls, and bytes of bodies.

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
    size: usize,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    /// Everybody may hold so many; a refusal says `what` there is too much of, and by which `limit`.
    pub(crate) fn new(most: usize, what: &'static str, limit: &'static str) -> Shares<K> {
        Shares { most, what, limit, held: Arc::default() }
    }

    /// Takes one.
    ///
    /// # Errors
    /// [`ServerError::Overloaded`].
    pub(crate) fn take(&self, of: &K) -> Result<Piece<K>, ServerError> {
        self.take_many(of, 1)
    }

    /// Takes a piece of a size.
    ///
    /// # Errors
    /// [`ServerError::Overloaded`].
    pub(crate) fn take_many(&self, of: &K, size: usize) -> Result<Piece<K>, ServerError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.get(of).copied().unwrap_or_default().saturating_add(size);
        if count > self.most {
            return Err(ServerError::Overloaded { what: self.what, limit: self.limit });
        }
        held.insert(of.clone(), count);
        Ok(Piece { of: of.clone(), size, held: Arc::clone(&self.held) })
    }
}

impl<K: Eq + Hash> Drop for Piece<K> {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.get_mut(&self.of) {
            Some(count) if *count > self.size => *count -= self.size,
            _ => drop(held.remove(&self.of)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_add_up_to_a_share() {
        let shares = Shares::new(100, "bodies of the space take as much memory as they may", "limits.space_body_bytes");
        let pieces = [shares.take_many(&"a", 60).unwrap(), shares.take_many(&"a", 40).unwrap()];
        assert!(shares.take_many(&"a", 1).is_err() && shares.take_many(&"b", 101).is_err());
        let [large, small] = pieces;
        drop(large);
        drop(shares.take_many(&"a", 60).unwrap());
        drop(small);
        assert!(shares.held.lock().unwrap().is_empty());
    }

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
