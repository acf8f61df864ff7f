//! The files of the repository, as git knows them.
//!
//! Owns reading. Must never look at what git ignores, nor judge.

use super::source::{self, Source};
use crate::failure::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Every file that is tracked, or would be after `git add`.
#[derive(Debug, Default)]
pub struct Tree {
    /// Paths from the root, with `/`.
    pub paths: BTreeSet<String>,
    /// The text of those that are text.
    pub texts: BTreeMap<String, String>,
}

impl Tree {
    /// Reads the repository at `root`.
    pub fn read(root: &Path) -> Result<Self, Failure> {
        let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let line = format!("git {}", arguments.join(" "));
        let output = Command::new("git").args(arguments).current_dir(root).output();
        let output = output.map_err(|source| Failure::CannotRun { command: line.clone(), source })?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Failure::Unreadable { what: format!("the answer of `{line}`"), reason });
        }
        let mut tree = Self::default();
        for path in String::from_utf8_lossy(&output.stdout).split('\0').filter(|path| root.join(path).is_file()) {
            tree.paths.insert(path.to_owned());
            // What is no text has no style.
            if let Ok(text) = std::fs::read_to_string(root.join(path)) {
                tree.texts.insert(path.to_owned(), text);
            }
        }
        Ok(tree)
    }

    /// The text at `path`, where there is one.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// The file at `path` as a TOML table.
    pub fn toml(&self, path: &str) -> Result<toml::Table, Failure> {
        let unreadable = |reason: String| Failure::Unreadable { what: path.into(), reason };
        let text = self.text(path).ok_or_else(|| unreadable("it is not in the repository".into()))?;
        text.parse().map_err(|error: toml::de::Error| unreadable(error.to_string()))
    }

    /// Whether `path` is a file or a folder here.
    pub fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        path.is_empty() || self.paths.contains(path) || self.paths.iter().any(|other| other.starts_with(&folder))
    }

    /// The Rust files.
    pub fn sources(&self) -> Vec<Source> {
        let rust = self.texts.iter().filter(|(path, _)| path.ends_with(".rs"));
        source::all(rust.map(|(path, text)| (path.as_str(), text.as_str())))
    }

    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let texts: BTreeMap<String, String> =
            files.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
        Self { paths: texts.keys().cloned().collect(), texts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_count_as_there_when_a_file_is_in_them() {
        let tree = Tree::of(&[("docs/a.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/") && tree.has("docs/a.md"));
        assert!(!tree.has("doc") && !tree.has("docs/b.md"));
    }

    #[test]
    fn a_broken_table_names_its_file() {
        let error = Tree::of(&[("deny.toml", "[licenses")]).toml("deny.toml").unwrap_err().to_string();
        assert!(error.starts_with("deny.toml cannot be used"), "{error}");
    }
}
