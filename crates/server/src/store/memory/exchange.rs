//! Registered nodes of a space in memory: who they are, how far their exchange has come, what they hold.

use super::space::{Registered, Space};
use crate::store::StoreError;
use std::collections::BTreeMap;
use syncline_core::hub::DocKey;
use syncline_core::model::{Holding, NodeId, Registration, Traffic};

impl Space {
    pub fn register(&mut self, registration: Registration, before: Option<&Registration>) -> Result<bool, StoreError> {
        let head = self.head.lsn;
        if self.registered.get(&registration.id).map(|known| &known.registration) != before {
            return Ok(false);
        }
        let same_code = |other: &&Registered| other.registration.code == registration.code;
        if let Some(other) = self.registered.values().find(same_code).map(|other| &other.registration)
            && other.id != registration.id
        {
            return Err(StoreError::CodeTaken { code: registration.code, id: other.id.clone() });
        }
        self.node(&registration.id);
        match self.registered.get_mut(&registration.id) {
            Some(known) => {
                if known.registration.plan != registration.plan {
                    known.traffic.fill_otherwise(head);
                }
                known.registration = registration;
            }
            None => {
                let fresh = Registered { traffic: Traffic::new(head), held: BTreeMap::new(), registration };
                self.registered.insert(fresh.registration.id.clone(), fresh);
            }
        }
        Ok(true)
    }

    pub fn registered(&self, node: Option<&NodeId>) -> Vec<(Registration, Traffic)> {
        let mut found: Vec<_> = (self.registered.iter())
            .filter(|(id, _)| node.is_none_or(|node| node == *id))
            .map(|(_, known)| (known.registration.clone(), known.traffic.clone()))
            .collect();
        found.sort_by(|(a, _), (b, _)| a.code.cmp(&b.code));
        found
    }

    pub fn held(&self, node: &NodeId, docs: Vec<DocKey>) -> Vec<Holding> {
        let Some(known) = self.registered.get(node) else { return Vec::new() };
        let holding = |key: DocKey| {
            let (since, gone) = *known.held.get(&key)?;
            Some(Holding { collection: key.0, id: key.1, since, gone })
        };
        docs.into_iter().filter_map(holding).collect()
    }

    pub fn write_traffic(&mut self, node: &NodeId, traffic: Traffic) {
        if let Some(known) = self.registered.get_mut(node) {
            known.held.retain(|_, (_, gone)| gone.is_none_or(|gone| gone > traffic.known.upto));
            known.traffic = traffic;
        }
    }

    pub fn write_held(&mut self, node: &NodeId, holding: Holding) {
        let Some(known) = self.registered.get_mut(node) else { return };
        let Holding { collection, id, since, gone } = holding;
        let slot = known.held.entry((collection, id)).or_insert((since, gone));
        *slot = (if slot.1.is_some() && gone.is_none() { since } else { slot.0.min(since) }, gone);
    }
}
