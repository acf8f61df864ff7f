//! What a space in memory may forget.

use super::space::Space;
use crate::store::{Trim, Trimmed};
use std::collections::{BTreeMap, BTreeSet};
use syncline_core::hub::Entry;
use syncline_core::model::{Author, Lsn, Millis};

impl Space {
    pub fn trim(&mut self, trim: Trim) -> Trimmed {
        let horizon = trim.horizon.min(self.head.last_change).max(self.head.horizon);
        self.head.horizon = horizon;
        let mut trimmed = Trimmed::default();
        let heard = self.registered.values().map(|known| known.traffic.heard()).min();
        self.buried.retain(|lsn, _| heard.is_some_and(|heard| heard < *lsn));
        let until: BTreeMap<Lsn, Lsn> = self.befores.iter().map(|(after, before)| (*before, *after)).collect();
        let (heads, buried) = (&mut self.heads, &mut self.buried);
        self.log.retain(|lsn, (_, entry)| {
            let Entry::Change(change) = entry else {
                trimmed.changes += u64::from(*lsn <= horizon);
                return *lsn > horizon;
            };
            let key = (change.collection.clone(), change.id.clone());
            let newest = heads.get(&key) == Some(lsn);
            // A reader at the horizon still stands on what was superseded behind it.
            let stands = change.version.meta.is_live() && until.get(lsn).is_none_or(|after| *after > horizon);
            if *lsn > horizon || stands {
                return true;
            }
            if newest {
                heads.remove(&key);
                trimmed.tombstones += 1;
                if heard.is_some_and(|heard| heard < *lsn) {
                    buried.insert(*lsn, (key, change.version.author));
                }
            } else {
                trimmed.changes += 1;
            }
            false
        });
        self.befores.retain(|_, before| self.log.contains_key(before));
        let before = self.batches.len() + self.seen.len() + self.receipts.len();
        self.batches.retain(|_, (at, _)| *at >= trim.receipts_before);
        self.seen.retain(|_, at| *at >= trim.receipts_before);
        let forgotten = &mut self.forgotten;
        self.receipts.retain(|(author, seq), (at, _)| {
            let kept = *at >= trim.receipts_before;
            if !kept {
                forgotten.entry(*author).or_default().remember([*seq]);
            }
            kept
        });
        let listed = (self.ledger.len(), self.quarantine.len());
        self.ledger.retain(|row| row.at >= trim.ledger_before);
        let oldest = self.ledger.first().map_or(u64::MAX, |row| row.n);
        self.late.retain(|n, _| *n >= oldest);
        self.quarantine.retain(|row| row.at >= trim.quarantine_before);
        trimmed.conflicts = (listed.0 - self.ledger.len()) as u64;
        trimmed.quarantined = (listed.1 - self.quarantine.len()) as u64;
        self.count_kept();
        trimmed.clients = self.trim_clients(trim.clients_before);
        trimmed.receipts = (before - self.batches.len() - self.seen.len() - self.receipts.len()) as u64;
        trimmed
    }

    /// Clients of event sync that nothing names.
    fn trim_clients(&mut self, before: Millis) -> u64 {
        let mut named: BTreeSet<Author> = self.buried.values().map(|(_, author)| *author).collect();
        for (_, entry) in self.log.values() {
            match entry {
                Entry::Change(change) => {
                    named.insert(change.version.author);
                    named.extend(change.version.meta.marks().map(|mark| mark.author));
                }
                Entry::Ticket(ticket) => drop(named.insert(ticket.author)),
                Entry::Return(back) => drop(named.insert(back.author)),
            }
        }
        let listed: BTreeSet<&str> =
            self.ledger.iter().flat_map(|row| [row.winner.as_str(), row.loser.as_str()]).collect();
        let all = self.nodes.len();
        self.nodes.retain(|node, row| {
            let client = node.is_live() && row.last_seq == 0 && row.owner.is_none();
            !client || row.seen_at >= before || named.contains(&row.author) || listed.contains(node.as_str())
        });
        (all - self.nodes.len()) as u64
    }
}
