//! The rows of the log as a commit writes them.

use super::mark as commit;
use super::pipeline::{Pipeline, long, longs, text, texts};
use crate::store::columns::{LIVE, REMOVED, RETURN, TICKET, flags, int};
use crate::store::lost;
use std::borrow::Cow;
use syncline_core::hub::{Change, Entry};
use syncline_core::model::{Lsn, Mark, Meta, SpaceName};

/// Rows of the log, column by column.
#[derive(Default)]
pub(super) struct LogRows<'a> {
    lsn: Vec<i64>,
    kind: Vec<i64>,
    author: Vec<i64>,
    at: Vec<i64>,
    stamp: Vec<i64>,
    created: Vec<i64>,
    born: Vec<Option<i64>>,
    flags: Vec<i64>,
    expires: Vec<Option<i64>>,
    collection: Vec<&'a str>,
    id: Vec<&'a str>,
    meta: Vec<Option<String>>,
    body: Vec<Cow<'a, str>>,
}

impl<'a> LogRows<'a> {
    /// Takes up an entry.
    pub fn add(&mut self, entry: &'a Entry, at: i64) {
        match entry {
            Entry::Change(change) => self.add_change(change, at),
            Entry::Ticket(ticket) => {
                let body = serde_json::to_string(ticket).expect("a ticket serializes");
                self.add_plain((ticket.lsn, TICKET), i64::from(ticket.author.0), at);
                self.name(ticket.collection.as_str(), "", None, body.into());
            }
            Entry::Return(back) => {
                self.add_plain((back.lsn, RETURN), i64::from(back.author.0), at);
                self.name(back.collection.as_str(), back.id.as_str(), None, lost(back).into());
            }
        }
    }

    fn add_change(&mut self, change: &'a Change, at: i64) {
        let (version, facts) = (&change.version, &change.facts);
        let meta = &version.meta;
        let mark = Mark { stamp: meta.stamp(), lsn: version.lsn, author: version.author };
        let meta_text =
            (*meta != Meta::inserted(mark)).then(|| serde_json::to_string(meta).expect("a meta serializes"));
        self.lsn.push(int(version.lsn.0));
        self.kind.push(if meta.is_live() { LIVE } else { REMOVED });
        self.author.push(i64::from(version.author.0));
        self.at.push(at);
        self.stamp.push(int(mark.stamp.0));
        self.created.push(int(meta.created.0));
        self.born.push((meta.born != mark.stamp).then(|| int(meta.born.0)));
        self.flags.push(flags(facts.times, meta));
        self.expires.push(facts.expires.map(|at| int(at.0)));
        self.name(change.collection.as_str(), change.id.as_str(), meta_text, version.body.text().into());
    }

    fn add_plain(&mut self, (lsn, kind): (Lsn, i64), author: i64, at: i64) {
        self.lsn.push(int(lsn.0));
        self.kind.push(kind);
        self.author.push(author);
        self.at.push(at);
        self.stamp.push(0);
        self.created.push(0);
        self.born.push(None);
        self.flags.push(0);
        self.expires.push(None);
    }

    fn name(&mut self, collection: &'a str, id: &'a str, meta: Option<String>, body: Cow<'a, str>) {
        self.collection.push(collection);
        self.id.push(id);
        self.meta.push(meta);
        self.body.push(body);
    }

    /// Sends all of them; the last one bears the commit's mark.
    pub fn send(self, pipeline: &mut Pipeline<'a>, space: &'a SpaceName, commit: commit::Mark) {
        let sql = "INSERT INTO syncline.log (space, lsn, kind, author, at, stamp, created, born, flags, expires,
                collection, id, meta, body, mark)
            SELECT $1, t.*, CASE t.lsn WHEN $15 THEN $16 END FROM unnest($2::BIGINT[], $3::BIGINT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[],
                $7::BIGINT[], $8::BIGINT[], $9::BIGINT[], $10::BIGINT[], $11::TEXT[], $12::TEXT[], $13::TEXT[],
                $14::TEXT[])
                AS t (lsn)";
        let params = vec![
            text(space.as_str()),
            longs(self.lsn),
            longs(self.kind),
            longs(self.author),
            longs(self.at),
            longs(self.stamp),
            longs(self.created),
            longs(self.born),
            longs(self.flags),
            longs(self.expires),
            texts(self.collection),
            texts(self.id),
            texts(self.meta),
            texts(self.body),
            long(commit.lsn),
            long(commit.drawn),
        ];
        pipeline.send(sql, params);
    }
}
