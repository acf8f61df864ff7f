//! What sync writes: pulled pages beside raw upserts of the same rows, and parts of a snapshot.

use super::{open, per_second, raw, scope};
use crate::documents::{document, id};
use crate::report::{Goal, median, pair, single};
use serde_json::value::RawValue;
use std::error::Error;
use std::time::Instant;
use syncline::{Database, Replica};
use syncline_core::model::{Author, CollectionName, DocId, Epoch, Lsn, Mark, Meta, Millis, Stamp, Strategy, Views};
use syncline_core::session::interface::Write;
use syncline_core::wire::own::{Page, PageEdit, PageOp, SnapshotHead};

/// Documents of a page, and of a part of a snapshot.
const PAGE: usize = 1_000;
/// Pages of one round.
const PAGES: usize = 20;
/// A time that no document passes.
const LOADED_AT: Millis = Millis(1_700_000_000_000);

/// Figures of one round, in documents per second.
struct Round {
    new: f64,
    changed: f64,
    parts: f64,
}

pub(super) fn compare(rounds: usize) -> Result<bool, Box<dyn Error>> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        theirs.push(round_of_raw()?);
        ours.push(round()?);
    }
    let figures = |rounds: &[Round], figure: fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<f64>>();
    let (new, changed) = (figures(&ours, |round| round.new), figures(&ours, |round| round.changed));
    let met = single("pulled pages of 1,000 new documents", "docs/s", median(new.clone()), Goal::AtLeast(50_000.0));
    pair("  beside upserts of the same rows", "docs/s", &new, &figures(&theirs, |round| round.new), Goal::Open);
    let raw_changed = figures(&theirs, |round| round.changed);
    pair("pulled pages of 1,000 changed documents", "docs/s", &changed, &raw_changed, Goal::Open);
    let (parts, raw_parts) = (figures(&ours, |round| round.parts), figures(&theirs, |round| round.parts));
    pair("parts of a snapshot, 1,000 documents each", "docs/s", &parts, &raw_parts, Goal::Open);
    Ok(met)
}

fn round() -> Result<Round, Box<dyn Error>> {
    let (pages, changes) = (pages(0)?, pages(1)?);
    let dir = tempfile::tempdir()?;
    let (_db, replica) = joined(dir.path())?;
    replica.carry_out(&scope()?, Write::SnapshotBegin { scope: scope()?, head: head()? })?;
    replica.carry_out(&scope()?, Write::SnapshotFinish)?;
    let (new, changed) = (pull(&replica, pages.clone())?, pull(&replica, changes)?);

    let dir = tempfile::tempdir()?;
    let (_db, replica) = joined(dir.path())?;
    replica.carry_out(&scope()?, Write::SnapshotBegin { scope: scope()?, head: head()? })?;
    let began = Instant::now();
    for page in pages {
        replica.carry_out(&scope()?, Write::SnapshotPart(page.ops))?;
    }
    Ok(Round { new, changed, parts: per_second(PAGE * PAGES, began) })
}

fn pull(replica: &Replica, pages: Vec<Page>) -> Result<f64, Box<dyn Error>> {
    let began = Instant::now();
    for page in pages {
        replica.carry_out(&scope()?, Write::Page { scope: scope()?, page })?;
    }
    Ok(per_second(PAGE * PAGES, began))
}

fn round_of_raw() -> Result<Round, Box<dyn Error>> {
    let texts = |version| (0..(PAGE * PAGES) as u64).map(|n| document(n, version)).collect::<Vec<String>>();
    let dir = tempfile::tempdir()?;
    let mut connection = raw::open(dir.path())?;
    let mut timed = |texts: &[String]| -> rusqlite::Result<f64> {
        let began = Instant::now();
        raw::fill(&mut connection, texts, PAGE)?;
        Ok(per_second(texts.len(), began))
    };
    let (new, changed) = (timed(&texts(0))?, timed(&texts(1))?);
    Ok(Round { new, changed, parts: new })
}

fn joined(dir: &std::path::Path) -> Result<(Database, Replica), Box<dyn Error>> {
    let db = open(dir)?;
    let replica = db.replica();
    replica.join(&scope()?, Strategy::LastWriteWins)?;
    Ok((db, replica))
}

fn head() -> Result<SnapshotHead, Box<dyn Error>> {
    Ok(SnapshotHead { server_lsn: Lsn(1), epoch: Epoch::new("bench")?, views: Views::new(), at: None })
}

/// Every document once, in its version: 0 by one insert, later ones with who wrote which field.
fn pages(version: u64) -> Result<Vec<Page>, Box<dyn Error>> {
    let collection = CollectionName::new("docs")?;
    let mut lsn = 2 + version * (PAGE * PAGES) as u64;
    let mut pages = Vec::new();
    for first in (0..(PAGE * PAGES) as u64).step_by(PAGE) {
        let mut ops = Vec::with_capacity(PAGE);
        for n in first..first + PAGE as u64 {
            let mark = Mark { stamp: Stamp::at(Millis(LOADED_AT.0 + lsn)), lsn: Lsn(lsn), author: Author(2) };
            ops.push(PageOp {
                op: PageEdit::Put,
                lsn: mark.lsn,
                collection: collection.clone(),
                id: DocId::new(id(n))?,
                stamp: mark.stamp,
                author: mark.author,
                meta: (version > 0).then(|| written_by_field(mark)),
                doc: Some(RawValue::from_string(document(n, version))?),
            });
            lsn += 1;
        }
        pages.push(Page {
            server_lsn: Lsn(lsn - 1),
            epoch: Epoch::new("bench")?,
            has_more: true,
            views: Views::new(),
            ops,
            conflicts: None,
            receipt: None,
        });
    }
    Ok(pages)
}

/// The meta of a document three of whose fields were changed after its insert.
fn written_by_field(mark: Mark) -> Meta {
    let fields = ["state", "rank", "mark"].map(|name| (name.to_owned(), mark));
    let whole = Mark { stamp: Stamp::at(LOADED_AT), lsn: Lsn(1), author: Author(3) };
    Meta { fields: fields.into(), ..Meta::inserted(whole) }
}
