//! What a comparison has found.

use serde::Serialize;
use syncline_core::model::{CollectionName, DocId, Lsn};

/// Differences that are named; more are only counted.
const NAMED_MAX: usize = 10_000;

/// How a document differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The hub has it and the database does not.
    Missing,
    /// The database has it and the hub does not.
    Extra,
    /// The texts or versions are not the same.
    Different,
}

impl Kind {
    /// For tables.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Missing => "missing here",
            Kind::Extra => "not at the hub",
            Kind::Different => "different",
        }
    }
}

/// A document that differs.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Where.
    pub collection: CollectionName,
    /// Which.
    pub id: DocId,
    /// How.
    pub kind: Kind,
    /// The version that the database takes for the hub's.
    pub here: Option<Lsn>,
    /// The hub's.
    pub hub: Option<Lsn>,
}

/// What a comparison has come to.
#[derive(Debug, Default, Serialize)]
pub struct Compared {
    /// Up to where the database has read.
    pub lsn: Lsn,
    /// Documents of the hub that were compared.
    pub documents: u64,
    /// Documents that have changed since, and were not compared.
    pub unread: u64,
    /// Documents that were sent to be compared one by one: those whose ranges differ.
    pub sent: u64,
    /// Documents that differed and were put right.
    pub repaired: u64,
    /// Edits that waited, were sent after a repair, and were set aside.
    pub set_aside: u64,
    /// Documents that differ.
    pub differing: u64,
    /// Which they are: at most 10,000.
    pub differences: Vec<Difference>,
}

impl Compared {
    /// One more document that differs.
    pub fn add(&mut self, difference: Difference) {
        self.differing += 1;
        if self.differences.len() < NAMED_MAX {
            self.differences.push(difference);
        }
    }
}
