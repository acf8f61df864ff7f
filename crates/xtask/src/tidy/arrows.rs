//! Who may depend on whom: between crates, inside the core, and never in a circle.
//!
//! Owns the table of arrows that ARCHITECTURE.md draws. Must never find imports itself.

use super::Violation;
use super::modules::{Import, Module};
use crate::cargo::Package;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The members of the workspace and what each may depend on.
const CRATES: [(&str, &[&str]); 10] = [
    ("syncline-core", &[]),
    ("syncline-postgres", &[]),
    ("syncline", &["syncline-core"]),
    ("syncline-server", &["syncline-core", "syncline-postgres"]),
    ("syncline-attach", &["syncline-core", "syncline-postgres"]),
    ("syncline-cli", &["syncline", "syncline-attach", "syncline-core", "syncline-server"]),
    ("syncline-sim", &["syncline", "syncline-core", "syncline-server"]),
    ("syncline-bench", &["syncline", "syncline-attach", "syncline-core", "syncline-server"]),
    ("syncline-registry", &["syncline-core", "syncline-server"]),
    ("xtask", &[]),
];

/// The modules of the core and what each may import.
const CORE: [(&str, &[&str]); 7] = [
    ("model", &["filter", "live"]),
    ("filter", &[]),
    ("live", &[]),
    ("merge", &["model"]),
    ("session", &["model", "merge"]),
    ("hub", &["model", "filter", "live", "merge"]),
    ("wire", &["model", "live"]),
];

/// Members depend on each other as drawn, also for their tests.
pub fn between_crates(packages: &[Package]) -> Vec<Violation> {
    let members: Vec<&Package> = packages.iter().filter(|package| package.source.is_none()).collect();
    members.iter().flat_map(|member| crate_arrows(member, &members)).collect()
}

fn crate_arrows(member: &Package, members: &[&Package]) -> Vec<Violation> {
    let Some((_, allowed)) = CRATES.iter().find(|(name, _)| *name == member.name) else {
        let advice =
            format!("`{}` is not in the table of crates: add it in xtask's arrows.rs and ARCHITECTURE.md", member.name);
        return vec![Violation::new("Cargo.toml", 1, "arrows", advice)];
    };
    let needed = member.dependencies.iter().filter(|name| members.iter().any(|other| other.name == **name));
    let wrong: BTreeSet<&String> = needed.filter(|name| !allowed.contains(&name.as_str())).collect();
    let violation = |name| {
        let advice = format!("`{}` must not depend on `{name}`: move the code along the arrows", member.name);
        Violation::new("Cargo.toml", 1, "arrows", advice)
    };
    wrong.into_iter().map(violation).collect()
}

/// The modules of the core know only those below them.
pub fn inside_core(imports: &[Import]) -> Vec<Violation> {
    let wrong = imports.iter().filter(|import| {
        import.from.len() == 1
            && CORE.iter().any(|(name, allowed)| *name == import.from[0] && !allowed.contains(&import.to[0].as_str()))
    });
    let violation = |import: &Import| {
        let advice =
            format!("`{}` must not import `{}`: what both need belongs below both", import.from[0], import.to[0]);
        Violation::new(&import.path, import.line, "arrows", advice)
    };
    wrong.map(violation).collect()
}

/// No module needs itself by way of others.
pub fn without_cycles(imports: &[Import]) -> Vec<Violation> {
    let mut arrows: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    for import in imports {
        arrows.entry(&import.from).or_default().insert(&import.to);
    }
    let mut known: BTreeSet<&Module> = BTreeSet::new();
    let mut violations = Vec::new();
    for import in imports {
        if known.contains(&import.from) {
            continue;
        }
        if let Some(cycle) = way_back(&arrows, import) {
            let names: Vec<String> = cycle.iter().map(|module| module.join("::")).collect();
            let advice = format!("imports in a circle: {}: move what they share below them", names.join(" → "));
            violations.push(Violation::new(&import.path, import.line, "cycle", advice));
            known.extend(cycle);
        }
    }
    violations
}

/// The shortest circle that starts with `import`.
fn way_back<'a>(arrows: &BTreeMap<&'a Module, BTreeSet<&'a Module>>, import: &'a Import) -> Option<Vec<&'a Module>> {
    let mut reached_from: BTreeMap<&Module, &Module> = BTreeMap::from([(&import.to, &import.from)]);
    let mut queue = VecDeque::from([&import.to]);
    while let Some(module) = queue.pop_front() {
        if *module == import.from {
            let mut cycle = vec![module];
            let mut at = reached_from[module];
            while *at != import.from {
                cycle.push(at);
                at = reached_from[at];
            }
            cycle.push(at);
            cycle.reverse();
            return Some(cycle);
        }
        for next in arrows.get(module).into_iter().flatten() {
            if !reached_from.contains_key(next) {
                reached_from.insert(next, module);
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::modules::tests::imports_of;
    use super::*;

    fn member(name: &str, dependencies: &[&str]) -> Package {
        let dependencies = dependencies.iter().map(ToString::to_string).collect();
        Package { name: name.into(), dependencies, ..Package::default() }
    }

    #[test]
    fn an_arrow_that_is_not_drawn_is_found() {
        let packages = [
            member("syncline-core", &["serde"]),
            member("syncline-server", &["syncline", "syncline-core"]),
            member("syncline", &[]),
        ];
        let found = between_crates(&packages);
        assert_eq!(found.len(), 1);
        assert!(found[0].advice.starts_with("`syncline-server` must not depend on `syncline`"));
    }

    #[test]
    fn a_new_crate_needs_its_place_in_the_table() {
        assert!(between_crates(&[member("syncline-extra", &[])])[0].advice.contains("`syncline-extra`"));
    }

    #[test]
    fn the_parts_of_the_core_stay_apart() {
        let files =
            [("hub/mod.rs", "use crate::model::Lsn;\nuse crate::wire::Page;"), ("model.rs", ""), ("wire.rs", "")];
        let found = inside_core(&imports_of(&files));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, &found[0].advice[..30]), (2, "`hub` must not import `wire`: "));
    }

    #[test]
    fn a_circle_of_modules_is_named_once() {
        let files = [
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use crate::c::C;"),
            ("c.rs", "use super::a::A;"),
            ("d.rs", "use crate::a::A;"),
        ];
        let found = without_cycles(&imports_of(&files));
        assert_eq!(found.len(), 1);
        assert!(found[0].advice.contains("a → b → c → a"), "{}", found[0]);
    }

    #[test]
    fn a_tree_of_modules_has_no_circle() {
        assert!(
            without_cycles(&imports_of(&[
                ("a.rs", "use crate::b::B; use crate::c;"),
                ("b.rs", "use crate::c;"),
                ("c.rs", "")
            ]))
            .is_empty()
        );
    }
}
