//! What collections demand of their documents (step 5 of the life of a change): an edit is refused whose result, after
//! the merge, would break a rule. Each dialect treats that like any other op that cannot be applied, so nothing behind
//! it waits and nothing of it is lost.
//!
//! Who has a unique value is known of the documents that were loaded. Of all others the store is asked: an edit that
//! needs to know goes on as if nobody had the value, the question is noted, and the whole decision is taken again with
//! the answer.

use super::loaded::DocKey;
use super::progress::Progress;
use crate::model::{Body, Demands, DocId, Fields, Rejection, UniqueKey, UniqueValue, Version};

/// Another document has the value.
const UNIQUE: &str = "unique_violation";
/// The document does not fit the schema.
const SCHEMA: &str = "schema_violation";
/// The document is larger than its collection allows.
const SIZE: &str = "size_violation";
/// The document is larger than the hub allows.
const TOO_LARGE: &str = "document_too_large";

/// Of a value or a breach, what a sentence shows.
const SHOWN_CHARS: usize = 80;

/// Whether an op with this code was refused because of a rule of its collection.
#[must_use]
pub fn is_rule_code(code: &str) -> bool {
    [UNIQUE, SCHEMA, SIZE].contains(&code)
}

/// What the rules of its collection say of a document that is there, by itself.
#[must_use]
pub fn breaches(demands: &Demands, key: &DocKey, body: &Body) -> Vec<Rejection> {
    let fields = body.fields();
    let long = |unique: &UniqueKey| Some(too_long(key, unique, unique.value(&fields).err()?.bytes));
    let long = demands.rule.unique.iter().filter_map(long);
    check_size(demands, key, None, body)
        .err()
        .into_iter()
        .chain(check_schema(demands, key, body).err())
        .chain(long)
        .collect()
}

impl Progress {
    /// Whether a version may stand, after the one that stands now.
    pub(super) fn check_rules(&mut self, key: &DocKey, after: &Version) -> Result<(), Rejection> {
        if !after.meta.is_live() {
            return Ok(());
        }
        let Some(demands) = self.loaded.rules.get(&key.0).filter(|demands| demands.rule.can_refuse()) else {
            return Ok(());
        };
        let before = self.loaded.docs.get(key).filter(|version| version.meta.is_live());
        let before = before.map(|version| version.body.clone());
        check_size(demands, key, before.as_ref(), &after.body)?;
        check_schema(demands, key, &after.body)?;
        let keys: Vec<UniqueKey> = demands.rule.unique.iter().cloned().collect();
        // What is over holds no value: it takes none, and whoever prolongs it takes them anew.
        if keys.is_empty() || self.is_past(&after.body) {
            return Ok(());
        }
        let before = before.filter(|body| !self.is_past(body));
        let (was, now) = (before.map(|body| body.fields()), after.body.fields());
        for unique in keys {
            let value = unique.value(&now).map_err(|long| too_long(key, &unique, long.bytes))?;
            let Some(value) = value else { continue };
            // What shares a value since before the rule may be edited: only who newly takes one is refused.
            if was.as_ref().is_some_and(|was| unique.value(was).ok().flatten().as_ref() == Some(&value)) {
                continue;
            }
            let wanted = UniqueValue { collection: key.0.clone(), key: unique, value };
            if let Some(holder) = self.holder(&wanted, &key.1)? {
                return Err(shared(key, (&wanted.key, &now), &holder));
            }
        }
        Ok(())
    }

    /// Who other than this document has a value.
    fn holder(&mut self, wanted: &UniqueValue, me: &DocId) -> Result<Option<DocId>, Rejection> {
        let stands =
            |id: &&DocId| self.loaded.docs.get(&wanted.at(id)).is_some_and(|version| !self.is_past(&version.body));
        if let Some(holder) = self.index.holders(wanted).filter(|id| *id != me).find(stands) {
            return Ok(Some(holder.clone()));
        }
        let Some(known) = self.loaded.holders.get(wanted) else {
            if self.loaded.last_look {
                return Err(undecided(wanted, me));
            }
            self.writes.asks.insert(wanted.clone());
            return Ok(None);
        };
        // Of those that were loaded, the index above knows what they have by now.
        Ok(known.iter().find(|id| !self.loaded.docs.contains_key(&wanted.at(id))).cloned())
    }
}

impl Progress {
    /// Whether a document's own time is over: nobody is shown it any more.
    fn is_past(&self, body: &Body) -> bool {
        body.facts().expires.is_some_and(|at| at <= self.moment.now)
    }
}

/// What is too large already may shrink.
fn check_size(
    demands: &Demands,
    (collection, id): &DocKey,
    before: Option<&Body>,
    after: &Body,
) -> Result<(), Rejection> {
    let bytes = after.text().len();
    let grows = before.is_none_or(|before| bytes > before.text().len());
    if let Some(most) = demands.rule.max_bytes.filter(|most| bytes as u64 > *most && grows) {
        let reason = format!(
            "document `{id}` in `{collection}` has {bytes} bytes; the rule of the collection allows {most} \
             (`max_bytes`); make it smaller, or split it"
        );
        return Err(Rejection { code: SIZE.to_owned(), reason });
    }
    Ok(())
}

fn check_schema(demands: &Demands, (collection, id): &DocKey, after: &Body) -> Result<(), Rejection> {
    if let Some(breach) = demands.shape.as_ref().and_then(|shape| shape.breach(after.text())) {
        let reason = format!(
            "document `{id}` does not fit the schema of `{collection}` (rule `schema`): {breach}; change it so that \
             it fits"
        );
        return Err(Rejection { code: SCHEMA.to_owned(), reason });
    }
    Ok(())
}

/// What is wrong with a document that has, or would have, the value of another one.
#[must_use]
pub fn shared((collection, id): &DocKey, (key, fields): (&UniqueKey, &Fields), holder: &DocId) -> Rejection {
    let value = key.shown(fields);
    let mut shown: String = value.chars().take(SHOWN_CHARS).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    let reason = format!(
        "document `{id}` cannot have {shown} in {key}: it is unique in `{collection}` (rule `unique`), and document \
         `{holder}` has it; choose another value, or change `{holder}` first"
    );
    Rejection { code: UNIQUE.to_owned(), reason }
}

/// The same for somebody who may not know of other documents.
pub(super) fn unnamed((collection, id): &DocKey, why: Rejection) -> Rejection {
    if why.code != UNIQUE {
        return why;
    }
    let reason = format!(
        "document `{id}` cannot have one of its values: it is unique in `{collection}` (rule `unique`), and another document \
         has it, or it is too long for that; choose another value"
    );
    Rejection { reason, ..why }
}

/// The same for somebody who may not read the document that stands: what an edit would make of it tells of its other
/// fields, and of its size.
pub(super) fn unread((collection, id): &DocKey, why: Rejection) -> Rejection {
    let rule = match why.code.as_str() {
        SCHEMA => "would not fit the schema of its collection (rule `schema`)",
        SIZE => "would be larger than its collection allows (rule `max_bytes`)",
        TOO_LARGE => "would be larger than the hub allows (`limits.document_bytes`)",
        _ => return why,
    };
    let reason = format!(
        "with this edit document `{id}` in `{collection}` {rule}; the token may not read it, so no more is said; ask \
         somebody who may"
    );
    Rejection { reason, ..why }
}

/// The reason of a refusal that came when its op was sent first, for somebody who may see less than whoever sent it then.
pub(super) fn retold(why: Rejection) -> Rejection {
    let reason = match why.code.as_str() {
        UNIQUE | SCHEMA | SIZE | TOO_LARGE => format!(
            "the op was refused when it came first, because of a rule of its collection or a limit (`{}`); change it, or \
             ask whoever administers the hub for its quarantine",
            why.code
        ),
        _ => return why,
    };
    Rejection { reason, ..why }
}

fn too_long((collection, id): &DocKey, key: &UniqueKey, bytes: usize) -> Rejection {
    let reason = format!(
        "the value of {key} in document `{id}` has {bytes} bytes; a value that is unique in `{collection}` (rule \
         `unique`) may have {}",
        UniqueKey::VALUE_BYTES_MAX
    );
    Rejection { code: UNIQUE.to_owned(), reason }
}

fn undecided(wanted: &UniqueValue, me: &DocId) -> Rejection {
    let reason = format!(
        "too many values of {} in `{}` (rule `unique`) depend on each other in one push; send `{me}` again with fewer \
         others",
        wanted.key, wanted.collection
    );
    Rejection { code: UNIQUE.to_owned(), reason }
}

#[cfg(test)]
mod tests;
