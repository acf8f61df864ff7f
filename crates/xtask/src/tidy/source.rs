//! A Rust file, taken apart far enough for the rules: code, comments, and which lines are tests.
//!
//! Owns that view. Must never parse more of Rust than it needs: strings and comments are blanked
//! out, so that plain text search over the rest is sound.

use super::scan;
use std::collections::BTreeSet;

/// One Rust file. `code` and `comments` have the length and the lines of `text`.
#[derive(Debug)]
pub struct Source {
    /// From the root of the repository.
    pub path: String,
    /// As it stands.
    pub text: String,
    /// Without comments and the insides of literals.
    pub code: String,
    /// Nothing but comments.
    pub comments: String,
    /// By line: does it belong to tests?
    tests: Vec<bool>,
}

/// Takes files apart, given as (path, text).
pub fn all<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Source> {
    let mut sources: Vec<Source> = files.map(|(path, text)| Source::new(path, text)).collect();
    let outside: BTreeSet<String> = sources.iter().flat_map(Source::test_files).collect();
    for source in sources.iter_mut().filter(|source| outside.contains(&source.path)) {
        source.tests.fill(true);
    }
    sources
}

impl Source {
    /// Takes one file apart.
    pub fn new(path: &str, text: &str) -> Self {
        let (code, comments) = scan::split(text);
        let mut source = Self { path: path.into(), text: text.into(), code, comments, tests: Vec::new() };
        source.tests = vec![source.is_test_file(); source.text.lines().count()];
        for (first, last) in source.test_items().iter().map(|item| item.lines) {
            source.tests[first - 1..last].fill(true);
        }
        source
    }

    /// Lines of code with their numbers from 1.
    pub fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Lines of comments with their numbers from 1.
    pub fn comment_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.comments.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Whether the line (from 1) belongs to tests.
    pub fn is_test(&self, line: usize) -> bool {
        self.tests.get(line - 1).copied().unwrap_or(false)
    }

    /// Whether the file holds nothing but tests.
    pub fn is_test_file(&self) -> bool {
        let mut parts = self.path.trim_end_matches(".rs").split('/');
        parts.any(|part| part == "tests") || self.code.contains("#![cfg(test)]")
    }

    /// How many lines are not tests.
    pub fn lines_without_tests(&self) -> usize {
        self.tests.iter().filter(|test| !**test).count()
    }

    /// Files that this one declares as test modules (`#[cfg(test)] mod name;`).
    fn test_files(&self) -> Vec<String> {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let folder = match file.trim_end_matches(".rs") {
            "lib" | "main" | "mod" => folder.to_owned(),
            stem => format!("{folder}/{stem}"),
        };
        let modules = self.test_items().into_iter().filter_map(|item| item.module);
        modules.flat_map(|name| [format!("{folder}/{name}.rs"), format!("{folder}/{name}/mod.rs")]).collect()
    }

    fn test_items(&self) -> Vec<TestItem> {
        let starts = self.code.match_indices("#[cfg(").map(|(at, _)| at);
        starts.filter_map(|at| self.test_item(at)).collect()
    }

    /// The item behind the attribute at `at`, where that attribute makes it a test.
    fn test_item(&self, at: usize) -> Option<TestItem> {
        let attribute_end = scan::closing(&self.code, at + 1)?;
        let attribute = &self.code[at..attribute_end];
        if !["#[cfg(test)", "#[cfg(all(test"].iter().any(|start| attribute.starts_with(start)) {
            return None;
        }
        let (end, external) = match scan::body(&self.code, attribute_end + 1) {
            scan::Body::Block { end } => (end, false),
            scan::Body::Declared { end } => (end, true),
        };
        let item = &self.code[attribute_end + 1..end];
        let module = item.rsplit_once("mod ").filter(|_| external).map(|(_, name)| name.trim().to_owned());
        Some(TestItem { lines: (self.line_of(at), self.line_of(end)), module })
    }

    /// The line (from 1) of a position.
    pub fn line_of(&self, position: usize) -> usize {
        let before = &self.code.as_bytes()[..position.min(self.code.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        line.min(self.text.lines().count().max(1))
    }
}

/// Something that is compiled for tests only.
struct TestItem {
    /// First and last line.
    lines: (usize, usize),
    /// The module's name, where its text is in another file.
    module: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_module_does_not_count_as_code() {
        let source = Source::new("src/a.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n");
        let tests: Vec<bool> = (1..=6).map(|line| source.is_test(line)).collect();
        assert_eq!(tests, [false, true, true, true, true, false]);
        assert_eq!(source.lines_without_tests(), 2);
    }

    #[test]
    fn a_test_module_in_another_file_is_known_as_such() {
        let sources =
            all([("src/a.rs", "#[cfg(test)]\nmod proofs;\n"), ("src/a/proofs.rs", "fn f() {}\n")].into_iter());
        assert!(sources[1].is_test(1));
        assert!(!Source::new("src/a/proofs.rs", "fn f() {}\n").is_test(1));
    }

    #[test]
    fn everything_below_tests_is_a_test() {
        assert!(Source::new("crates/x/tests/push.rs", "fn f() {}\n").is_test(1));
        assert!(Source::new("src/hub/tests.rs", "fn f() {}\n").is_test(1));
        assert!(!Source::new("src/contests.rs", "fn f() {}\n").is_test(1));
    }
}
