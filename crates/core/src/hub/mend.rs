//! What a person decided about a kept row (step 5 of the life of a change): it becomes an op of the hub on top of what
//! stands now, so that it meets nobody and wins, and travels to every reader like any other. One effect for each row,
//! however often it is asked for.

use super::decide::Mended;
use super::loaded::KeptLoss;
use super::progress::{Attempt, Progress, unknown_document};
use crate::merge::Values;
use crate::model::{
    Base, Body, CollectionName, DocId, Edit, Fields, Lsn, Mend, MendAct, Millis, NodeId, Receipt, Rejection, Seq,
    Stamp, Verdict, Version,
};
use std::collections::BTreeSet;

/// The code of the receipt of an op that nobody wants any more.
const DISCARDED: &str = "discarded";

/// The field by which foreign devices tell which of two versions is newer.
const UPDATED_AT: &str = "updatedAt";

impl Progress {
    /// Decides about one row.
    pub(super) fn mend(&mut self, mend: &Mend) -> Mended {
        match &mend.act {
            MendAct::Restore { .. } => self.restore(mend),
            MendAct::Retry { edit, .. } => self.retry(mend, edit),
            MendAct::Discard => self.discard(mend.n),
            MendAct::Ask => self.became(mend.n).unwrap_or(Mended::Unknown),
        }
    }

    fn restore(&mut self, mend: &Mend) -> Mended {
        let Some(KeptLoss { losing, winning, restored }) = self.loaded.ledger.get(&mend.n).cloned() else {
            return Mended::Unknown;
        };
        if let Some(lsn) = restored {
            return Mended::Done { lsn, repeated: true };
        }
        match self.on_top(mend, &losing_edit(&losing, &winning)) {
            Ok(lsn) => {
                self.writes.restored.insert(mend.n, lsn);
                let restored = Some(lsn);
                self.loaded.ledger.insert(mend.n, KeptLoss { losing, winning, restored });
                Mended::Done { lsn, repeated: false }
            }
            Err(why) => Mended::Refused(why),
        }
    }

    fn retry(&mut self, mend: &Mend, edit: &Edit) -> Mended {
        if !self.loaded.quarantine.contains(&mend.n) {
            return self.became(mend.n).unwrap_or(Mended::Unknown);
        }
        if let (Edit::Insert(_), Some((collection, id))) = (edit, mend.act.place())
            && self.loaded.docs.get(&(collection.clone(), id.clone())).is_some_and(|version| version.meta.is_live())
        {
            return Mended::Refused(stands_already(collection, id));
        }
        match self.on_top(mend, edit) {
            Ok(lsn) => {
                self.release(Receipt {
                    seq: Seq(mend.n),
                    result: Verdict::Applied,
                    lsn,
                    rejection: None,
                    digest: None,
                });
                Mended::Done { lsn, repeated: false }
            }
            Err(why) => Mended::Refused(why),
        }
    }

    fn discard(&mut self, n: u64) -> Mended {
        if !self.loaded.quarantine.contains(&n) {
            return self.became(n).unwrap_or(Mended::Unknown);
        }
        let rejection = Rejection { code: DISCARDED.to_owned(), reason: "a person has discarded it".to_owned() };
        self.release(Receipt {
            seq: Seq(n),
            result: Verdict::Rejected,
            lsn: Lsn::ZERO,
            rejection: Some(rejection),
            digest: None,
        });
        Mended::Discarded { repeated: false }
    }

    /// Of a row that has left the quarantine: how.
    fn became(&self, n: u64) -> Option<Mended> {
        let receipt = self.repeat(&NodeId::of_quarantine(), Seq(n))?;
        Some(match receipt.result {
            Verdict::Rejected => Mended::Discarded { repeated: true },
            Verdict::Duplicate => Mended::Settled,
            Verdict::Applied | Verdict::Merged | Verdict::Superseded => {
                Mended::Done { lsn: receipt.lsn, repeated: true }
            }
        })
    }

    /// The row goes, and its receipt says how.
    fn release(&mut self, receipt: Receipt) {
        let (node, n) = (NodeId::of_quarantine(), receipt.seq.0);
        self.loaded.quarantine.remove(&n);
        self.loaded.receipts.insert((node.clone(), receipt.seq), receipt.clone());
        self.writes.released.insert(n);
        self.writes.receipts.entry(node).or_default().push(receipt);
    }

    /// Applies an edit as one that knows everything that stands, and is later than all of it.
    fn on_top(&mut self, mend: &Mend, edit: &Edit) -> Result<Lsn, Rejection> {
        let (collection, id) = mend.act.place().expect("only acts on a document come here");
        let key = (collection.clone(), id.clone());
        let current = self.loaded.docs.get(&key);
        let unborn = current.is_none_or(|version| version.meta.born == Stamp::ZERO);
        if unborn && matches!(edit, Edit::Update { .. }) {
            return Err(unknown_document(collection, id));
        }
        if *edit == Edit::Remove && current.is_none_or(|version| !version.meta.is_live()) {
            return Ok(Lsn::ZERO);
        }
        let now = Stamp::at(self.moment.now);
        let (base, stamp) =
            current.map_or((Lsn::ZERO, now), |version| (version.lsn, now.max(version.meta.stamp().next())));
        let author = self.author(&mend.act.author());
        let edit = &anew(edit, current, stamp);
        let attempt = Attempt { key, edit, author, base: Base::At(base), stamp, strategy: None, committed: Millis(0) };
        self.apply(attempt).map(|(_, lsn)| lsn)
    }
}

/// Why a document is not made that somebody has made meanwhile: what stands would be gone without a trace.
fn stands_already(collection: &CollectionName, id: &DocId) -> Rejection {
    Rejection {
        code: "document_stands".to_owned(),
        reason: format!(
            "document `{id}` stands in `{collection}` by now; discard the op, or retry it as a `replace` or `update` \
             (`--op`) where its values are still wanted"
        ),
    }
}

/// The edit with a time of today where the document says when it was changed: foreign devices go by that, and would
/// ignore one that is older than what they have.
fn anew(edit: &Edit, current: Option<&Version>, stamp: Stamp) -> Edit {
    let stands = current.and_then(|version| version.body.facts().updated_at);
    let later = stands.map_or(Millis(0), |time| Millis(time.0 + 1));
    let now = stamp.millis().max(later).max(current.map_or(Millis(0), |version| version.meta.committed));
    let timed = |fields: Fields| {
        let says =
            fields.get(UPDATED_AT).and_then(|raw| Millis::parse(&serde_json::from_str::<String>(raw.get()).ok()?));
        (says.is_some(), fields)
    };
    let dated = |mut fields: Fields| {
        let text = serde_json::value::to_raw_value(&now.iso()).expect("text serializes");
        fields.set(UPDATED_AT, text);
        fields
    };
    let body = |body: &Body| match timed(body.fields()) {
        (true, fields) => dated(fields).to_body(),
        (false, _) => body.clone(),
    };
    match edit {
        Edit::Insert(document) => Edit::Insert(body(document)),
        Edit::Replace { body: document, changed } => Edit::Replace { body: body(document), changed: changed.clone() },
        Edit::Update { set, unset } => {
            let (says, set) = timed(set.clone());
            let stands = current.is_some_and(|version| timed(version.body.fields()).0);
            let set = if says || (stands && set.get(UPDATED_AT).is_none()) { dated(set) } else { set };
            Edit::Update { set, unset: unset.iter().filter(|name| *name != UPDATED_AT).cloned().collect() }
        }
        Edit::Remove => Edit::Remove,
    }
}

/// The edit that brings the losing side back.
fn losing_edit(losing: &Values, winning: &Values) -> Edit {
    match losing {
        Values::Removal => Edit::Remove,
        Values::Document(text) => Edit::Replace { body: Body::trusted(text.as_str()), changed: BTreeSet::new() },
        Values::Fields(text) => {
            let set = Body::trusted(text.as_str()).fields();
            // What the losing side did not have is known by its name on the other side.
            let unset = match winning {
                Values::Fields(text) => {
                    let won = Body::trusted(text.as_str()).fields();
                    won.iter().map(|(name, _)| name.to_owned()).filter(|name| set.get(name).is_none()).collect()
                }
                Values::Document(_) | Values::Removal => BTreeSet::new(),
            };
            Edit::Update { set, unset }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AuthorState, Decision, Entry, Loaded, Moment, Reply, decide};
    use super::*;
    use crate::model::{Author, CollectionName, DocId, Intake, Limits, Mark, Meta};

    const NOW: Millis = Millis(1_000);

    fn place() -> (CollectionName, DocId) {
        (CollectionName::new("notes").unwrap(), DocId::new("x").unwrap())
    }

    fn restore() -> Intake {
        let (collection, id) = place();
        Intake::Mend(Mend { n: 7, act: MendAct::Restore { collection, id } })
    }

    fn retry(edit: Edit) -> Intake {
        let (collection, id) = place();
        Intake::Mend(Mend { n: 7, act: MendAct::Retry { collection, id, edit } })
    }

    /// A space with one document, written by a device whose clock runs ahead.
    fn holding(text: &str, removed: bool) -> Loaded {
        let mark = Mark { stamp: Stamp::at(Millis(NOW.0 + 500)), lsn: Lsn(3), author: Author(1) };
        let later = Mark { stamp: mark.stamp.next(), ..mark };
        let meta = Meta { removed: removed.then_some(later), ..Meta::inserted(mark) };
        let version = Version { lsn: Lsn(3), author: Author(1), body: Body::trusted(text), meta };
        let known = |author| AuthorState { author: Author(author), ..AuthorState::default() };
        Loaded {
            head: Lsn(3),
            docs: [(place(), version)].into(),
            nodes: [(NodeId::of_ledger(), known(8)), (NodeId::of_quarantine(), known(9))].into(),
            ..Loaded::default()
        }
    }

    fn lost(losing: Values, winning: Values, mut loaded: Loaded) -> Loaded {
        loaded.ledger.insert(7, KeptLoss { losing, winning, restored: None });
        loaded
    }

    fn run(loaded: Loaded, group: &[Intake]) -> (Vec<Mended>, Decision) {
        let decision = decide(loaded, group, Moment { now: NOW, limits: Limits::default() });
        let said = decision.replies.iter().map(|reply| match reply {
            Reply::Mended(mended) => mended.clone(),
            other => panic!("{other:?}"),
        });
        (said.collect(), decision)
    }

    /// The last change: its text, or that it is a removal.
    fn stands(decision: &Decision) -> String {
        match decision.writes.entries.last().unwrap() {
            Entry::Change(change) if change.version.meta.is_live() => change.version.body.text().to_owned(),
            _ => "removed".to_owned(),
        }
    }

    fn fields(text: &str) -> Values {
        Values::Fields(text.to_owned())
    }

    #[test]
    fn a_losing_side_comes_back_once_on_top_of_what_stands() {
        let document = Values::Document(r#"{"_id":"x","a":1}"#.to_owned());
        for (losing, winning, removed, expected) in [
            (fields(r#"{"a":1.50}"#), fields(r#"{"a":9}"#), false, r#"{"_id":"x","a":1.50,"b":2}"#),
            (fields(r#"{"a":null}"#), fields(r#"{"a":9,"b":2}"#), false, r#"{"_id":"x","a":null}"#),
            (fields(r#"{"a":1}"#), Values::Removal, true, r#"{"_id":"x","a":1,"b":2}"#),
            (document.clone(), Values::Removal, true, r#"{"_id":"x","a":1}"#),
            (document, fields("{}"), false, r#"{"_id":"x","a":1}"#),
            (Values::Removal, fields("{}"), false, "removed"),
        ] {
            let kept = lost(losing, winning, holding(r#"{"_id":"x","a":9,"b":2}"#, removed));

            let (said, decision) = run(kept, &[restore(), restore()]);

            let done = |repeated| Mended::Done { lsn: Lsn(4), repeated };
            assert_eq!(said, [done(false), done(true)]);
            assert_eq!(stands(&decision), expected);
            assert_eq!(decision.writes.restored, [(7, Lsn(4))].into());
            assert!(decision.writes.conflicts.is_empty(), "it knows everything that stands");
        }
    }

    #[test]
    fn what_comes_back_bears_a_time_that_foreign_devices_take_for_newer() {
        let old = r#""updatedAt":"1970-01-01T00:00:00.100Z""#;
        let losing = [
            Values::Fields(format!("{{\"a\":1,{old}}}")),
            Values::Document(format!("{{\"_id\":\"x\",\"a\":1,{old}}}")),
        ];
        for losing in losing {
            let newer = holding(r#"{"_id":"x","a":9,"updatedAt":"1970-01-01T00:00:07.000Z"}"#, false);
            let (_, decision) = run(lost(losing, fields("{}"), newer), &[restore()]);
            let expected = r#"{"_id":"x","a":1,"updatedAt":"1970-01-01T00:00:07.001Z"}"#;
            assert_eq!(stands(&decision), expected);
        }
        let plain = holding(r#"{"_id":"x","a":9,"updatedAt":"yesterday"}"#, false);
        let (_, decision) = run(lost(fields(r#"{"a":1}"#), fields("{}"), plain), &[restore()]);
        assert_eq!(stands(&decision), r#"{"_id":"x","a":1,"updatedAt":"yesterday"}"#, "no time of the dialect's");
    }

    #[test]
    fn a_field_of_a_document_that_is_forgotten_cannot_come_back_alone() {
        let kept = lost(fields(r#"{"a":1}"#), Values::Removal, Loaded { head: Lsn(3), ..Loaded::default() });
        let (said, decision) = run(kept, &[restore()]);
        assert!(matches!(&said[..], [Mended::Refused(why)] if why.code == "unknown_document"), "{said:?}");
        assert!(decision.writes.restored.is_empty() && decision.writes.entries.is_empty());
        assert_eq!(run(Loaded::default(), &[restore()]).0, [Mended::Unknown]);
    }

    #[test]
    fn a_retried_op_leaves_the_quarantine_and_a_refused_one_stays() {
        let edit = Edit::Update { set: Body::trusted(r#"{"a":1}"#).fields(), unset: BTreeSet::new() };
        let mut kept = holding(r#"{"_id":"x","a":9}"#, false);
        kept.quarantine.insert(7);
        let (said, decision) = run(kept.clone(), &[retry(edit.clone()), retry(edit.clone())]);
        let done = |repeated| Mended::Done { lsn: Lsn(4), repeated };
        assert_eq!(said, [done(false), done(true)]);
        assert_eq!((stands(&decision).as_str(), &decision.writes.released), (r#"{"_id":"x","a":1}"#, &[7].into()));

        kept.docs.clear();
        let (said, decision) = run(kept, &[retry(edit)]);
        assert!(matches!(&said[..], [Mended::Refused(_)]), "{said:?}");
        assert!(decision.writes.released.is_empty() && decision.writes.receipts.is_empty());
    }

    #[test]
    fn an_insert_is_not_retried_over_a_document_that_somebody_has_made_meanwhile() {
        let insert = Edit::Insert(Body::trusted(r#"{"_id":"x","a":1}"#));
        let mut kept = holding(r#"{"_id":"x","a":9}"#, false);
        kept.quarantine.insert(7);
        let (said, decision) = run(kept.clone(), &[retry(insert.clone())]);
        assert!(matches!(&said[..], [Mended::Refused(why)] if why.code == "document_stands"), "{said:?}");
        assert!(decision.writes.entries.is_empty() && decision.writes.released.is_empty());

        let mut removed = holding(r#"{"_id":"x","a":9}"#, true);
        removed.quarantine.insert(7);
        assert_eq!(run(removed, &[retry(insert)]).0, [Mended::Done { lsn: Lsn(4), repeated: false }]);
    }

    #[test]
    fn a_discarded_op_is_not_retried_and_nothing_is_said_of_a_row_that_never_was() {
        let act = |act| Intake::Mend(Mend { n: 7, act });
        let mut kept = holding(r#"{"_id":"x"}"#, false);
        assert_eq!(run(kept.clone(), &[act(MendAct::Discard)]).0, [Mended::Unknown]);
        kept.quarantine.insert(7);
        let group = [act(MendAct::Discard), act(MendAct::Discard), retry(Edit::Remove), act(MendAct::Ask)];
        let (said, decision) = run(kept, &group);
        let again = Mended::Discarded { repeated: true };
        assert_eq!(said, [Mended::Discarded { repeated: false }, again.clone(), again.clone(), again]);
        assert!(decision.writes.entries.is_empty());
    }
}
