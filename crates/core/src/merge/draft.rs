//! A version being changed: its fields as a map, and the bookkeeping of who wrote what when.

use crate::model::{Body, Fields, Mark, Meta, Stamp, Value, Version};
use serde_json::value::RawValue;

/// Births and removals of one id are few; a flood of removals must not grow its bookkeeping.
const MAX_BURIED: usize = 16;

/// The working copy of one document.
pub(super) struct Draft {
    pub fields: Fields,
    pub meta: Meta,
    /// Whether anything differs from the version it was made from.
    pub touched: bool,
    /// Whether a field was taken away.
    pub shrunk: bool,
    /// Whether the name of a field that is gone was forgotten.
    pub unnamed: bool,
}

impl Draft {
    /// Starts from what is stored; `None`: from nothing.
    pub fn of(current: Option<&Version>) -> Draft {
        match current {
            Some(version) => Draft {
                fields: version.body.fields(),
                meta: version.meta.clone(),
                touched: false,
                shrunk: false,
                unnamed: false,
            },
            None => Draft {
                fields: Fields::default(),
                meta: Meta::default(),
                touched: false,
                shrunk: false,
                unnamed: false,
            },
        }
    }

    /// When and by whom a field got its present value, or its absence.
    pub fn mark(&self, field: &str) -> Mark {
        match self.meta.fields.get(field) {
            Some(mark) => *mark,
            None if self.fields.get(field).is_some() => self.meta.whole,
            None => Mark { stamp: self.meta.floor, ..Mark::default() },
        }
    }

    /// Whether a value written at `stamp` beats what the field holds now.
    pub fn beats(&self, field: &str, value: Option<&RawValue>, stamp: Stamp) -> bool {
        let mark = self.mark(field);
        let text = |v: Option<&RawValue>| v.map(|v| v.get().to_owned());
        stamp > mark.stamp
            || (stamp == mark.stamp && stamp > self.meta.floor && text(value) > text(self.fields.get(field)))
    }

    /// Writes a field, or with `None` takes it away.
    pub fn write(&mut self, field: &str, value: Option<Value>, mark: Mark) {
        match value {
            Some(value) => self.fields.set(field, value),
            None => self.take_away(field),
        }
        self.meta.fields.insert(field.to_owned(), mark);
        self.touched = true;
    }

    /// Takes a field away, whoever wrote it.
    pub fn take_away(&mut self, field: &str) {
        self.shrunk |= self.fields.remove(field).is_some();
    }

    /// Notes an insert or replacement.
    pub fn bear(&mut self, stamp: Stamp) {
        if stamp > self.meta.born {
            self.meta.born = stamp;
            self.touched = true;
        }
    }

    /// Notes a removal.
    pub fn remove(&mut self, mark: Mark) {
        let meta = &mut self.meta;
        if meta.removed.is_some_and(|old| mark.stamp <= old.stamp) {
            self.touched |= meta.removed.is_some_and(|old| mark.stamp < old.stamp) && meta.buried.insert(mark.stamp);
        } else {
            meta.buried.extend(meta.removed.map(|old| old.stamp));
            meta.removed = Some(mark);
            self.touched = true;
        }
        if meta.buried.len() > MAX_BURIED {
            meta.buried.pop_first();
        }
    }

    /// Everything not newer than `stamp` is gone for good.
    pub fn raise_floor(&mut self, stamp: Stamp) {
        if stamp <= self.meta.floor {
            return;
        }
        self.meta.floor = stamp;
        self.touched = true;
        let meta = &self.meta;
        let newer = |name: &str| meta.fields.get(name).map_or(meta.whole.stamp, |mark| mark.stamp) > stamp;
        let before = self.fields.len();
        self.fields.retain(|name| name == "_id" || newer(name));
        self.shrunk |= self.fields.len() < before;
        self.unnamed |= self.fields.len() < before;
    }

    /// Brings the bookkeeping to its one normal form.
    pub fn settle(&mut self) {
        let born = self.meta.born;
        let removals = self.meta.removed.iter().map(|mark| mark.stamp).chain(self.meta.buried.iter().copied());
        if let Some(before_birth) = removals.filter(|stamp| *stamp < born).max() {
            self.raise_floor(before_birth);
        }
        self.meta.buried.retain(|stamp| *stamp > born);
        let Draft { fields, meta, .. } = self;
        let (floor, before) = (meta.floor, meta.fields.len());
        meta.fields.retain(|name, mark| mark.stamp > floor || fields.get(name).is_some());
        self.unnamed |= self.meta.fields.len() < before;
        self.compact();
    }

    /// When one write stands behind every present field, it is the `whole` and nothing is listed.
    fn compact(&mut self) {
        let mut marks = self.fields.iter().filter(|(name, _)| *name != "_id").map(|(name, _)| self.mark(name));
        let Some(first) = marks.next() else { return };
        if !marks.all(|mark| mark == first) {
            return;
        }
        let fields = &self.fields;
        self.meta.whole = first;
        self.meta.fields.retain(|name, _| fields.get(name).is_none());
    }

    /// The text afterwards.
    pub fn body(&self) -> Body {
        self.fields.to_body()
    }
}
