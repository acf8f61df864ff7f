//! The rows of the log as a commit writes them.

use super::mark as commit;
use super::pipeline::{Param, Pipeline, long, text};
use crate::store::columns::{LIVE, REMOVED, RETURN, TICKET, flags, int};
use crate::store::lost;
use std::borrow::Cow;
use syncline_core::hub::{Change, Entry};
use syncline_core::model::{Lsn, Mark, Meta, SpaceName};
use tokio_postgres::types::{ToSql, Type};

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
        let params = vec![text(space.as_str()), long(commit.lsn), long(commit.drawn)];
        let mut columns = Columns { params, ..Columns::default() };
        columns.longs("lsn", self.lsn);
        columns.longs("kind", self.kind);
        columns.longs("author", self.author);
        columns.longs("at", self.at);
        columns.longs("stamp", self.stamp);
        columns.longs("created", self.created);
        columns.longs("born", self.born);
        columns.longs("flags", self.flags);
        columns.longs("expires", self.expires);
        columns.texts("collection", self.collection);
        columns.texts("id", self.id);
        columns.texts("meta", self.meta);
        columns.texts("body", self.body);
        columns.send(pipeline);
    }
}

/// Columns on their way. One that says the same of every row travels once: most do, and each value in an array is packed,
/// unpacked and put beside its neighbours on its own.
#[derive(Default)]
struct Columns<'a> {
    params: Vec<Param<'a>>,
    /// Their names.
    into: Vec<&'static str>,
    /// What is stored in them.
    values: Vec<String>,
    /// Names and places of those that are different from row to row.
    names: Vec<&'static str>,
    arrays: Vec<String>,
}

impl<'a> Columns<'a> {
    fn longs<T: ToSql + PartialEq + Sync + Send + 'a>(&mut self, name: &'static str, values: Vec<T>) {
        self.add(name, values, (Type::INT8, Type::INT8_ARRAY));
    }

    fn texts<T: ToSql + PartialEq + Sync + Send + 'a>(&mut self, name: &'static str, values: Vec<T>) {
        self.add(name, values, (Type::TEXT, Type::TEXT_ARRAY));
    }

    fn add<T>(&mut self, name: &'static str, mut values: Vec<T>, (one, many): (Type, Type))
    where
        T: ToSql + PartialEq + Sync + Send + 'a,
    {
        let place = format!("${}", self.params.len() + 1);
        self.into.push(name);
        // The position is what the rows are told apart by, and the mark is put to.
        let is_same = name != "lsn" && values.windows(2).all(|pair| pair[0] == pair[1]);
        match values.pop() {
            Some(value) if is_same => {
                self.values.push(place);
                self.params.push((Box::new(value), one));
            }
            last => {
                values.extend(last);
                self.values.push(format!("t.{name}"));
                self.names.push(name);
                self.arrays.push(place);
                self.params.push((Box::new(values), many));
            }
        }
    }

    fn send(self, pipeline: &mut Pipeline<'a>) {
        let Columns { params, into, values, names, arrays } = self;
        let (into, values, names, arrays) = (into.join(", "), values.join(", "), names.join(", "), arrays.join(", "));
        let sql = format!(
            "INSERT INTO syncline.log (space, mark, {into})
            SELECT $1, CASE t.lsn WHEN $2 THEN $3 END, {values} FROM unnest({arrays}) AS t ({names})"
        );
        pipeline.send(sql, params);
    }
}
