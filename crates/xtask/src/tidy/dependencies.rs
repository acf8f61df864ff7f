//! Rules about what the project leans on: each dependency has a reason and a user.
//!
//! Owns the comparison of Cargo.toml with ARCHITECTURE.md and with the code. Must never judge
//! licences: `licences` does.

use super::Violation;
use super::scan;
use super::source::Source;
use crate::cargo::{self, Package};
use std::collections::BTreeSet;

/// ARCHITECTURE.md says of each dependency why it and not another.
pub fn have_a_reason(manifest: &toml::Table, architecture: Option<&str>) -> Vec<Violation> {
    let Some(architecture) = architecture else {
        let advice =
            "write it: the map, the invariants, and one line for each dependency, saying why it and not another";
        return vec![Violation::new("ARCHITECTURE.md", 1, "dependency", advice)];
    };
    let named = |name: &str| architecture.contains(&format!("`{name}`"));
    let silent = foreign(manifest).into_iter().filter(|name| !named(name));
    let advice = |name| format!("add a line that names `{name}` (in backticks) and says why it and not another");
    silent.map(|name| Violation::new("ARCHITECTURE.md", 1, "dependency", advice(name))).collect()
}

/// What stands in the workspace is used by a member, and what a member asks for stands in its code.
pub fn are_used(manifest: &toml::Table, packages: &[Package], sources: &[Source]) -> Vec<Violation> {
    let members: Vec<&Package> = packages.iter().filter(|package| package.source.is_none()).collect();
    let asked_for: BTreeSet<&str> = members.iter().flat_map(|m| m.dependencies.iter().map(String::as_str)).collect();
    let idle = foreign(manifest).into_iter().filter(|name| !asked_for.contains(name));
    let advice = |name| format!("no member depends on `{name}`: take it out of [workspace.dependencies]");
    let idle = idle.map(|name| Violation::new("Cargo.toml", 1, "dependency", advice(name)));
    idle.chain(members.iter().flat_map(|member| unmentioned(member, sources))).collect()
}

fn unmentioned(member: &Package, sources: &[Source]) -> Vec<Violation> {
    let folder = member.folder.strip_prefix(cargo::root()).unwrap_or(&member.folder).to_string_lossy().into_owned();
    let own: Vec<&Source> = sources.iter().filter(|source| source.path.starts_with(&format!("{folder}/"))).collect();
    let mentioned = |name: &str| {
        let name = name.replace('-', "_");
        own.iter().any(|source| scan::has_word(&source.code, &name) || scan::has_word(&source.comments, &name))
    };
    let names: BTreeSet<&String> = member.dependencies.iter().filter(|name| !mentioned(name)).collect();
    let violation = |name| {
        let advice = format!("no file of `{}` mentions `{name}`: take it out", member.name);
        Violation::new(&format!("{folder}/Cargo.toml"), 1, "dependency", advice)
    };
    names.into_iter().map(violation).collect()
}

/// The dependencies of the workspace that are not its own crates.
fn foreign(manifest: &toml::Table) -> Vec<&str> {
    let all = manifest.get("workspace").and_then(|w| w.get("dependencies")).and_then(toml::Value::as_table);
    let foreign = all.into_iter().flatten().filter(|(_, value)| value.get("path").is_none());
    foreign.map(|(name, _)| name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> toml::Table {
        "[workspace.dependencies]\nserde = \"1\"\ntower-http = { version = \"1\" }\nown = { path = \"crates/own\" }\n"
            .parse()
            .unwrap()
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let found = have_a_reason(&manifest(), Some("- `serde`: the format of everything; not tower-http\n"));
        assert_eq!(found.len(), 1);
        assert!(found[0].advice.contains("`tower-http`"));
    }

    #[test]
    fn a_missing_document_is_one_broken_rule() {
        assert_eq!(have_a_reason(&manifest(), None).len(), 1);
    }

    #[test]
    fn a_dependency_without_a_user_is_found() {
        let dependencies = vec!["serde".into(), "csv".into()];
        let member =
            Package { name: "m".into(), folder: cargo::root().join("crates/m"), dependencies, ..Package::default() };
        let source = Source::new("crates/m/src/lib.rs", "use serde::Serialize;\n");
        let found: Vec<String> = are_used(&manifest(), &[member], &[source]).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "Cargo.toml:1: dependency: no member depends on `tower-http`: take it out of [workspace.dependencies]",
                "crates/m/Cargo.toml:1: dependency: no file of `m` mentions `csv`: take it out",
            ]
        );
    }
}
