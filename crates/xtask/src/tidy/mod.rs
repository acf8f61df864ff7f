//! `cargo xtask tidy`: the style rules of the project, as tests.
//!
//! Owns the list of rules and how a broken one is reported. Must never change a file. Each rule is
//! one function with a test that shows it at work; the whole is also a test, so that a plain
//! `cargo test` sees it.

mod arrows;
mod core_bans;
mod dependencies;
mod imports;
mod layout;
mod licences;
mod marks;
mod modules;
mod scan;
mod source;
mod texts;
mod tree;

use crate::cargo;
use crate::failure::Failure;
use source::Source;
use std::fmt;
use std::path::Path;
use tree::Tree;

/// What `--help` prints.
pub const HELP: &str = "\
Check the style rules: files, functions and names, marks of unfinished work, sleeps in tests, the
arrows between crates and modules, what the core must not use, texts and links, dependencies and
their licences.

Usage: cargo xtask tidy

Each broken rule is one line: path:line: rule: what to do
";

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    path: String,
    /// From 1; also 1 where the file as a whole is meant.
    line: usize,
    rule: &'static str,
    advice: String,
}

impl Violation {
    fn new(path: &str, line: usize, rule: &'static str, advice: impl Into<String>) -> Self {
        Self { path: path.into(), line, rule, advice: advice.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.advice)
    }
}

/// Prints every broken rule.
pub fn run() -> Result<(), Failure> {
    let violations = check(cargo::root())?;
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => Ok(()),
        broken => Err(Failure::Untidy(broken)),
    }
}

/// Rules about one Rust file.
const SOURCE_RULES: &[fn(&Source) -> Vec<Violation>] = &[
    layout::opens_with_a_header,
    layout::file_fits,
    layout::functions_fit,
    marks::unfinished,
    marks::unwraps,
    marks::skipped_tests,
    marks::sleeps_in_tests,
    core_bans::outside_world,
];

/// Rules about all files together.
const TREE_RULES: &[fn(&Tree) -> Vec<Violation>] =
    &[layout::names_have_an_owner, texts::of_one_machine, texts::unfinished_elsewhere, texts::links_resolve];

/// Every broken rule below `root`, in the order of paths.
fn check(root: &Path) -> Result<Vec<Violation>, Failure> {
    let tree = Tree::read(root)?;
    let packages = cargo::packages()?;
    let sources = tree.sources();
    let mut violations: Vec<Violation> = Vec::new();
    violations.extend(sources.iter().flat_map(|source| SOURCE_RULES.iter().flat_map(|rule| rule(source))));
    violations.extend(TREE_RULES.iter().flat_map(|rule| rule(&tree)));
    violations.extend(arrows::between_crates(&packages));
    for (folder, imports) in modules::imports_by_crate(&sources) {
        violations.extend(arrows::without_cycles(&imports));
        if folder == "crates/core" {
            violations.extend(arrows::inside_core(&imports));
        }
    }
    let manifest = tree.toml("Cargo.toml")?;
    violations.extend(dependencies::have_a_reason(&manifest, tree.text("ARCHITECTURE.md")));
    violations.extend(dependencies::are_used(&manifest, &packages, &sources));
    let deny = tree.toml("deny.toml")?;
    violations.extend(licences::accepted(&deny, &packages));
    violations.extend(licences::advisories_listed(&deny));
    violations.extend(licences::from_crates_io(&packages));
    violations.sort();
    violations.dedup();
    Ok(violations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let violations = check(cargo::root()).unwrap();
        let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "{} broken rules:\n{}", lines.len(), lines.join("\n"));
    }

    #[test]
    fn a_violation_reads_as_a_place_a_rule_and_an_advice() {
        let violation = Violation::new("a/b.rs", 7, "unwrap", "say why");
        assert_eq!(violation.to_string(), "a/b.rs:7: unwrap: say why");
    }
}
