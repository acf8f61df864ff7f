//! The modules of each crate and which of them import which.
//!
//! Owns the resolution of paths to modules, through re-exports. Must never say what is allowed:
//! `arrows` does. Imports of tests are left out. A module and what is inside of it are one unit:
//! only siblings import each other.

use super::imports;
use super::source::Source;
use std::collections::{BTreeMap, BTreeSet};

/// A module by its path inside the crate; the root is empty.
pub type Module = Vec<String>;

/// Module `from` needs its sibling `to` (or something inside of it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The file that says so.
    pub path: String,
    /// In this line.
    pub line: usize,
    /// The importing module, cut at the level of the sibling.
    pub from: Module,
    /// The imported one.
    pub to: Module,
}

/// The imports between sibling modules, by the folder of the crate.
pub fn imports_by_crate(sources: &[Source]) -> BTreeMap<&str, Vec<Import>> {
    let mut crates: BTreeMap<&str, Vec<(Module, &Source)>> = BTreeMap::new();
    for source in sources {
        if let Some((folder, file)) = source.path.split_once("/src/") {
            crates.entry(folder).or_default().push((module_of(file), source));
        }
    }
    crates.into_iter().map(|(folder, files)| (folder, imports(&files))).collect()
}

fn module_of(file: &str) -> Module {
    let mut parts: Module = file.trim_end_matches(".rs").split('/').map(String::from).collect();
    if parts.last().is_some_and(|last| ["lib", "main", "mod"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

fn imports(files: &[(Module, &Source)]) -> Vec<Import> {
    let names = Names::of(files);
    let mut found = Vec::new();
    for (module, source) in files {
        for (line, path) in imports::inside(source).into_iter().filter(|(line, _)| !source.is_test(*line)) {
            let Some(path) = names.in_full(module, path) else { continue };
            let target = names.resolve(path);
            let shared = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if shared < module.len() && shared < target.len() {
                let (from, to) = (module[..=shared].to_vec(), target[..=shared].to_vec());
                found.push(Import { path: source.path.clone(), line, from, to });
            }
        }
    }
    found
}

/// What names mean inside one crate.
struct Names {
    modules: BTreeSet<Module>,
    /// What a module takes in by `use`, so that others can name it there.
    taken_in: BTreeMap<(Module, String), Module>,
}

impl Names {
    fn of(files: &[(Module, &Source)]) -> Self {
        let modules: BTreeSet<Module> = files.iter().map(|(module, _)| module.clone()).collect();
        let mut names = Self { modules, taken_in: BTreeMap::new() };
        for (module, source) in files {
            for (_, path) in imports::uses(source).into_iter().filter(|(line, _)| !source.is_test(*line)) {
                let (name, target) = (path.last().cloned(), names.in_full(module, path));
                if let (Some(name), Some(target)) = (name, target) {
                    names.taken_in.insert((module.clone(), name), target);
                }
            }
        }
        names
    }

    /// A path that `module` names, from the root of the crate; `None` for those of other crates.
    fn in_full(&self, module: &Module, path: Module) -> Option<Module> {
        let head = path.first()?.as_str();
        let above = path.iter().take_while(|part| *part == "super").count();
        match head {
            "crate" => Some(path[1..].to_vec()),
            "super" => Some([&module[..module.len().saturating_sub(above)], &path[above..]].concat()),
            "self" => Some([module, &path[1..]].concat()),
            // Anything else means a child where there is one.
            _ => Some([&module[..], &path].concat()).filter(|path| self.modules.contains(&path[..=module.len()])),
        }
    }

    /// The module that a path leads to.
    fn resolve(&self, mut path: Module) -> Module {
        // A bound on the length of chains of re-exports, against two that name each other.
        for _ in 0..8 {
            let depth = (0..=path.len()).rev().find(|depth| self.modules.contains(&path[..*depth])).unwrap_or(0);
            let Some(name) = path.get(depth) else { return path };
            match self.taken_in.get(&(path[..depth].to_vec(), name.clone())) {
                Some(target) if *target != path => path = [&target[..], &path[depth + 1..]].concat(),
                _ => return path[..depth].to_vec(),
            }
        }
        Vec::new()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The imports of a crate whose files stand in `c/src`.
    pub fn imports_of(files: &[(&str, &str)]) -> Vec<Import> {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(&format!("c/src/{path}"), text)).collect();
        imports_by_crate(&sources).remove("c").unwrap()
    }

    fn arrows(files: &[(&str, &str)]) -> Vec<String> {
        let name = |module: &Module| module.join("::");
        imports_of(files).iter().map(|import| format!("{} -> {}", name(&import.from), name(&import.to))).collect()
    }

    #[test]
    fn imports_are_seen_between_siblings_at_every_depth() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a/mod.rs", "mod x; mod y;"),
            ("a/x.rs", "use super::y::Y;\nuse crate::b::B;"),
            ("a/y.rs", "use super::super::b;"),
            ("b.rs", "fn f() {}"),
        ];
        assert_eq!(arrows(&files), ["a -> b", "a::x -> a::y", "a -> b"]);
    }

    #[test]
    fn a_name_leads_to_the_module_that_it_comes_from() {
        let files = [
            ("lib.rs", "mod a; mod b;\npub use a::Thing;"),
            ("a.rs", "pub struct Thing;"),
            ("b.rs", "use crate::Thing;"),
        ];
        assert_eq!(arrows(&files), ["b -> a"]);
    }

    #[test]
    fn a_name_of_its_own_is_not_taken_for_one_from_elsewhere() {
        let files = [
            ("a.rs", "pub struct Thing;\nfn f() -> crate::b::Thing { todo() }"),
            ("b.rs", "pub struct Thing;"),
            ("c.rs", "use crate::a::Thing;"),
        ];
        assert_eq!(arrows(&files), ["a -> b", "c -> a"]);
    }

    #[test]
    fn parents_strangers_and_tests_are_no_siblings() {
        let files = [
            ("lib.rs", "mod a; mod serde;"),
            ("a.rs", "use serde::Serialize;\nuse super::Root;\n#[cfg(test)]\nmod tests { use crate::serde::X; }"),
            ("serde.rs", ""),
        ];
        assert_eq!(arrows(&files), Vec::<String>::new());
    }
}
