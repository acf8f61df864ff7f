//! Something of objects, or of rows, by their types and by what names them in these.

use foldhash::{HashMap, HashMapExt};

/// By type and name.
#[derive(Clone, Debug)]
pub(crate) struct Named<T>(HashMap<String, HashMap<String, T>>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named(HashMap::new())
    }
}

impl<T> Named<T> {
    pub(crate) fn get(&self, kind: &str, name: &str) -> Option<&T> {
        self.0.get(kind)?.get(name)
    }

    pub(crate) fn contains(&self, kind: &str, name: &str) -> bool {
        self.get(kind, name).is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.values().map(HashMap::len).sum()
    }

    pub(crate) fn insert(&mut self, kind: &str, name: String, what: T) {
        self.of(kind).insert(name, what);
    }

    /// All of a type.
    pub(crate) fn of(&mut self, kind: &str) -> &mut HashMap<String, T> {
        if !self.0.contains_key(kind) {
            self.0.insert(kind.to_owned(), HashMap::new());
        }
        self.0.get_mut(kind).expect("it was put there")
    }
}
