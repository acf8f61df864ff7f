//! What tokens saw of a collection before they were changed: who tells a reader what it no longer sees must know what it may
//! have. Of tokens of the hub's own and of declared ones the store keeps it ([`former`](super::former)). Of signed ones, whoever
//! serves them knows what it has seen itself, in memory only: their claims are others' to change, with any request.

use super::former::{Earlier, VIEWS_MAX};
use super::grant::Grant;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use syncline_core::model::{CollectionName, Lsn, NodeId, SpaceName};

/// Tokens and collections of which they are.
const PLACES_MAX: usize = 4_096;

/// The views of all tokens.
#[derive(Debug, Default)]
pub struct EarlierViews(Mutex<BTreeMap<Place, Vec<Earlier>>>);

type Place = (SpaceName, CollectionName, NodeId);

impl EarlierViews {
    /// Notes what a token sees of a collection now, and tells what it saw before.
    pub fn note(&self, grant: &Grant, space: &SpaceName, collection: &CollectionName, head: Lsn) -> Vec<Earlier> {
        let place = (space.clone(), collection.clone(), grant.token_name().clone());
        let view = grant.views().get(collection);
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= PLACES_MAX && !places.contains_key(&place) {
            places.clear();
        }
        let views = places.entry(place).or_default();
        if views.last().is_none_or(|last| last.view.as_ref() != view) {
            views.retain(|earlier| earlier.view.as_ref() != view);
            if let Some(last) = views.last_mut() {
                last.until = head;
            }
            views.push(Earlier { view: view.cloned(), rows: grant.read_rows(), until: Lsn(u64::MAX) });
            let over = views.len().saturating_sub(VIEWS_MAX);
            views.drain(..over);
        }
        let kept = grant.formers.iter().filter_map(|former| former.of(space, collection));
        let kept = kept.filter(|earlier| earlier.view.as_ref() != view);
        views[..views.len() - 1].iter().cloned().chain(kept).collect()
    }
}
