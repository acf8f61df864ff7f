//! What concurrent edits lost, gathered while an edit is applied. Both sides' values are kept.

use crate::model::{Author, Fields};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Values of a concurrent edit that lost, and those that won.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Who won.
    pub winner: Author,
    /// Who lost.
    pub loser: Author,
    /// What was lost.
    pub losing: Values,
    /// What stands instead.
    pub winning: Values,
}

/// One side of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Values of single fields, as a JSON object. A field that this side did not have is left out, and known by its name
    /// on the other side; one that a whole edit took away, where there is no other side, is null.
    Fields(String),
    /// A whole document.
    Document(String),
    /// The removal of the document.
    Removal,
}

/// Losing and winning values of single fields.
#[derive(Default)]
struct Contest {
    losing: Fields,
    winning: Fields,
}

/// Losses of one edit: field by field against each other author, and of whole documents.
#[derive(Default)]
pub(super) struct Losses {
    mine: BTreeMap<Author, Contest>,
    theirs: BTreeMap<Author, Contest>,
    whole: Vec<Loss>,
}

impl Losses {
    /// A field of the edit lost against a stored value.
    pub fn mine(&mut self, field: &str, winner: Author, losing: Option<&RawValue>, winning: Option<&RawValue>) {
        self.mine.entry(winner).or_default().note(field, losing, winning);
    }

    /// A stored value of somebody else lost against the edit.
    pub fn theirs(&mut self, field: &str, loser: Author, losing: Option<&RawValue>, winning: Option<&RawValue>) {
        self.theirs.entry(loser).or_default().note(field, losing, winning);
    }

    /// Something else than single fields was lost.
    pub fn whole(&mut self, loss: Loss) {
        self.whole.push(loss);
    }

    /// Whether the edit itself lost anything.
    pub fn any_of(&self, author: Author) -> bool {
        !self.mine.is_empty() || self.whole.iter().any(|loss| loss.loser == author)
    }

    /// All losses; `me` made the edit.
    pub fn into_list(self, me: Author) -> Vec<Loss> {
        let mut list = self.whole;
        list.extend(self.mine.into_iter().map(|(winner, contest)| contest.into_loss(winner, me)));
        list.extend(self.theirs.into_iter().map(|(loser, contest)| contest.into_loss(me, loser)));
        list
    }
}

impl Contest {
    fn note(&mut self, field: &str, losing: Option<&RawValue>, winning: Option<&RawValue>) {
        for (side, value) in [(&mut self.losing, losing), (&mut self.winning, winning)] {
            if let Some(value) = value {
                side.set(field, value.to_owned());
            }
        }
    }

    fn into_loss(self, winner: Author, loser: Author) -> Loss {
        let text = |fields: Fields| Values::Fields(fields.to_text());
        Loss { winner, loser, losing: text(self.losing), winning: text(self.winning) }
    }
}
