//! The rules of collections. What counts is what the database says in the commit that they are for; reading a rule costs
//! more than comparing its text with the one that was read before.

use super::trouble::Failure;
use crate::store::rules::RuleBook;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use syncline_core::hub::Touch;
use syncline_core::model::{CollectionName, CollectionRule, Demands, SpaceName};
use tokio_postgres::Row;

/// Rules that were read.
#[derive(Default)]
pub(super) struct Rules(Mutex<Known>);

#[derive(Default)]
struct Known {
    texts: BTreeMap<String, String>,
    book: RuleBook,
}

impl Rules {
    /// The rules of the touched collections, which are in `rows` as key and value where there are some.
    pub fn touched(
        &self,
        space: &SpaceName,
        touch: &Touch,
        rows: &[Row],
    ) -> Result<BTreeMap<CollectionName, Arc<Demands>>, Failure> {
        let mut now = BTreeMap::<&str, &str>::new();
        for row in rows {
            now.insert(row.try_get(0)?, row.try_get(1)?);
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { texts, book } = &mut *known;
        for name in &touch.collections {
            let key = CollectionRule::key(space, name);
            let text = now.get(key.as_str()).copied();
            if texts.get(&key).map(String::as_str) == text {
                continue;
            }
            book.put(key.clone(), text);
            match text {
                Some(text) => drop(texts.insert(key, text.to_owned())),
                None => drop(texts.remove(&key)),
            }
        }
        Ok(book.touched(space, touch))
    }
}
