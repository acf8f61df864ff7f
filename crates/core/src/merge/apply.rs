//! What becomes of one edit on one document.

use super::draft::Draft;
use super::losses::{Loss, Losses, Values};
use crate::model::Strategy;
use crate::model::{Author, Base, Body, Edit, Fields, Lsn, Mark, Meta, Stamp, Verdict, Version};
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// Who made an edit, when and knowing what; and the change it would become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// Who.
    pub author: Author,
    /// When.
    pub stamp: Stamp,
    /// Knowing what.
    pub base: Base,
    /// The LSN that the edit's change would take.
    pub lsn: Lsn,
}

/// What one edit made of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The version afterwards; `None`: nothing changed, not even out of sight.
    pub version: Option<Version>,
    /// What the author is told.
    pub verdict: Verdict,
    /// Concurrent edits that lost by this.
    pub losses: Vec<Loss>,
}

/// Decides an edit on the current version (`None`: the id has never been seen).
#[must_use]
pub fn apply(current: Option<&Version>, edit: &Edit, party: Party, rule: Strategy) -> Merged {
    if let (None, Edit::Insert(body)) = (current, edit) {
        return born(body, party);
    }
    let met = current.and_then(|current| met(current, party));
    if let (Some(current), Some(winner), Strategy::ServerWins) = (current, met, rule) {
        return refused(current, edit, party, winner);
    }
    let must_win = met.is_some() && rule == Strategy::ClientWins;
    let party = Party { stamp: effective_stamp(current, party, must_win), ..party };
    Applying { current, party, met, draft: Draft::of(current), losses: Losses::default(), took: false }.run(edit, rule)
}

/// Who changed the document since the version that the author of the edit knew: the last one, or, where
/// the author has edited it since then unseeing, whoever wrote what still stands in it.
fn met(current: &Version, party: Party) -> Option<Author> {
    if current.lsn <= party.base.lsn() {
        return None;
    }
    if current.author != party.author {
        return Some(current.author);
    }
    current.meta.marks().filter(|mark| party.missed(*mark)).max().map(|mark| mark.author)
}

/// The common case, without taking the text apart.
fn born(body: &Body, party: Party) -> Merged {
    let meta = Meta::inserted(party.mark());
    let version = Version { lsn: party.lsn, author: party.author, body: body.clone(), meta };
    Merged { version: Some(version), verdict: Verdict::Applied, losses: Vec::new() }
}

/// Under server-wins a concurrent edit changes nothing.
fn refused(current: &Version, edit: &Edit, party: Party, winner: Author) -> Merged {
    let winning = if current.meta.is_live() { document(&current.body) } else { Values::Removal };
    let losing = edit_values(edit);
    let loss = Loss { winner, loser: party.author, losing, winning };
    Merged { version: None, verdict: Verdict::Superseded, losses: vec![loss] }
}

/// One node's own ops take effect in their order, whatever a clamped clock or a won conflict did to
/// the stamps of its earlier ones. (Devices behind one foreign key have no common order.)
fn effective_stamp(current: Option<&Version>, party: Party, must_win: bool) -> Stamp {
    let Some(current) = current else { return party.stamp };
    let meta = &current.meta;
    if must_win {
        return party.stamp.max(meta.stamp().next());
    }
    if matches!(party.base, Base::ReadUpTo(_)) {
        return party.stamp;
    }
    meta.marks()
        .filter(|mark| mark.author == party.author)
        .fold(party.stamp, |stamp, mark| stamp.max(mark.stamp.next()))
}

impl Party {
    fn mark(self) -> Mark {
        Mark { stamp: self.stamp, lsn: self.lsn, author: self.author }
    }

    /// Whether an earlier write is somebody else's and was not known when the edit was made.
    fn missed(self, mark: Mark) -> bool {
        mark.author != self.author && mark.lsn > self.base.lsn()
    }
}

struct Applying<'a> {
    current: Option<&'a Version>,
    party: Party,
    /// Whose concurrent change the edit meets.
    met: Option<Author>,
    draft: Draft,
    losses: Losses,
    /// Whether some part of the edit took effect.
    took: bool,
}

impl Applying<'_> {
    fn run(mut self, edit: &Edit, rule: Strategy) -> Merged {
        match edit {
            Edit::Insert(body) => {
                self.draft.bear(self.party.stamp);
                self.set_all(&body.fields());
            }
            Edit::Update { set, unset } => self.update(set, unset),
            Edit::Replace { body, changed } if self.met.is_some() && rule == Strategy::Merge => {
                let (set, unset) = reduced(body, changed);
                self.draft.bear(self.party.stamp);
                self.update(&set, &unset);
            }
            Edit::Replace { body, .. } => self.replace(&body.fields()),
            Edit::Remove => self.remove(),
        }
        self.draft.settle();
        self.finish(edit)
    }

    fn update(&mut self, set: &Fields, unset: &BTreeSet<String>) {
        self.set_all(set);
        for field in unset {
            self.contest(field, None);
        }
    }

    fn set_all(&mut self, set: &Fields) {
        for (field, value) in set.iter() {
            self.contest(field, Some(value));
        }
    }

    /// One field of the edit against what is stored.
    fn contest(&mut self, field: &str, value: Option<&RawValue>) {
        if field == "_id" {
            // The id is the document's place, not one of its values.
            if let (None, Some(id)) = (self.draft.fields.get(field), value) {
                self.draft.fields.set(field, id.to_owned());
            }
            return;
        }
        let mark = self.draft.mark(field);
        let stored = self.draft.fields.get(field);
        let differs = stored.map(RawValue::get) != value.map(RawValue::get);
        if self.draft.beats(field, value, self.party.stamp) {
            if differs && self.party.missed(mark) {
                self.losses.theirs(field, mark.author, stored, value);
            }
            self.draft.write(field, value.map(ToOwned::to_owned), self.party.mark());
            self.took = true;
        } else if differs {
            self.losses.mine(field, mark.author, value, stored);
        }
    }

    fn replace(&mut self, fields: &Fields) {
        self.draft.bear(self.party.stamp);
        self.set_all(fields);
        let stamp = self.party.stamp;
        let gone = |draft: &Draft, name: &str| fields.get(name).is_none() && draft.mark(name).stamp <= stamp;
        for (name, value) in self.draft.fields.iter().filter(|(name, _)| gone(&self.draft, name)) {
            let mark = self.draft.mark(name);
            if self.party.missed(mark) {
                self.losses.theirs(name, mark.author, Some(value), None);
            }
        }
        self.drop_replaced(fields);
        self.took |= fields.is_empty();
    }

    /// Takes away what the replacement does not name; its own fields at the same stamp stay.
    fn drop_replaced(&mut self, own: &Fields) {
        let stamp = self.party.stamp;
        if stamp <= self.draft.meta.floor {
            return;
        }
        let draft = &self.draft;
        let goes: Vec<String> = (draft.fields.iter())
            .filter(|(name, _)| *name != "_id" && own.get(name).is_none() && draft.mark(name).stamp <= stamp)
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in goes {
            self.draft.take_away(&name);
            self.draft.meta.fields.remove(&name);
            self.draft.unnamed = true;
        }
        self.draft.meta.floor = stamp;
        self.draft.touched = true;
    }

    fn remove(&mut self) {
        let was_live = self.current.is_some_and(|c| c.meta.is_live());
        self.draft.remove(self.party.mark());
        self.took = self.draft.touched && !self.draft.meta.is_live();
        let Some(current) = self.current else { return };
        let me = self.party.author;
        if self.draft.meta.is_live() {
            let (winner, winning) = (current.author, document(&current.body));
            self.losses.whole(Loss { winner, loser: me, losing: Values::Removal, winning });
        } else if let (true, Some(loser)) = (was_live, self.met) {
            let losing = document(&current.body);
            self.losses.whole(Loss { winner: me, loser, losing, winning: Values::Removal });
        }
    }

    /// Visibility, verdict and the version.
    fn finish(mut self, edit: &Edit) -> Merged {
        let was_live = self.current.is_some_and(|c| c.meta.is_live());
        let is_live = self.draft.meta.is_live();
        if is_live && !was_live {
            self.draft.meta.again = self.current.is_some_and(|c| c.meta.created > Lsn::ZERO);
            self.draft.meta.created = self.party.lsn;
        } else if is_live {
            self.draft.meta.again |= self.draft.shrunk;
        }
        // Of a document behind the horizon not even the fields are known that it had.
        let forgotten = self.current.is_some_and(|c| c.meta.created > Lsn::ZERO && c.meta.born == Stamp::ZERO);
        if self.draft.unnamed || (forgotten && is_live) {
            self.draft.meta.shrunk = self.party.lsn;
        }
        let buried = !is_live && *edit != Edit::Remove;
        if let (Some(removed), false) = (self.draft.meta.removed, *edit == Edit::Remove) {
            self.against_removal(edit, removed, is_live && !was_live);
        }
        let lost = self.losses.any_of(self.party.author);
        let verdict = match (self.took && !buried, self.met.is_some() || lost) {
            (true, false) => Verdict::Applied,
            (true, true) => Verdict::Merged,
            (false, _) if lost || buried => Verdict::Superseded,
            (false, _) => Verdict::Applied,
        };
        let Applying { party, draft, losses, .. } = self;
        let version = draft.touched.then(|| Version {
            lsn: party.lsn,
            author: party.author,
            body: draft.body(),
            meta: draft.meta,
        });
        Merged { version, verdict, losses: losses.into_list(party.author) }
    }

    /// An edit met a removal: one of the two loses whole.
    fn against_removal(&mut self, edit: &Edit, removed: Mark, revived: bool) {
        let me = self.party.author;
        if !self.draft.meta.is_live() {
            let (winner, losing) = (removed.author, edit_values(edit));
            self.losses.whole(Loss { winner, loser: me, losing, winning: Values::Removal });
        } else if revived && self.party.missed(removed) {
            let (loser, winning) = (removed.author, edit_values(edit));
            self.losses.whole(Loss { winner: me, loser, losing: Values::Removal, winning });
        }
    }
}

/// A replacement as the fields that it changed.
fn reduced(body: &Body, changed: &BTreeSet<String>) -> (Fields, BTreeSet<String>) {
    let fields = body.fields();
    let set = fields.iter().filter(|(name, _)| changed.contains(*name)).map(|(n, v)| (n, v.to_owned())).collect();
    let unset = changed.iter().filter(|name| fields.get(name).is_none()).cloned().collect();
    (set, unset)
}

fn document(body: &Body) -> Values {
    Values::Document(body.text().to_owned())
}

/// What an edit wanted, for the ledger.
fn edit_values(edit: &Edit) -> Values {
    match edit {
        Edit::Insert(body) | Edit::Replace { body, .. } => document(body),
        Edit::Update { set, unset } => {
            let mut fields = set.clone();
            for name in unset {
                fields.set(name, RawValue::NULL.to_owned());
            }
            Values::Fields(fields.to_text())
        }
        Edit::Remove => Values::Removal,
    }
}
