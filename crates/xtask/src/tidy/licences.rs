//! Rules about what may be built in: licences, advisories and origins, as deny.toml has them.
//!
//! Owns the reading of licence expressions. Must never hold a list of its own: deny.toml is the
//! one place.

use super::Violation;
use crate::cargo::Package;
use std::collections::BTreeSet;
use toml::{Table, Value};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Every locked package may be used under licences of the allow-list.
pub fn accepted(deny: &Table, packages: &[Package]) -> Vec<Violation> {
    let allowed: BTreeSet<&str> = list(deny, "licenses", "allow").iter().filter_map(Value::as_str).collect();
    let unacceptable = packages.iter().filter_map(|package| {
        let what = match &package.license {
            None => "states no licence".to_owned(),
            Some(license) if !allows(license, &allowed) => format!("is `{license}`, which [licenses] does not allow"),
            Some(_) => return None,
        };
        let advice = format!("`{}` {} {what}: replace it, or allow it with the reason", package.name, package.version);
        Some(Violation::new("deny.toml", 1, "licence", advice))
    });
    unacceptable.collect()
}

/// Accepted advisories are listed, each with its reason; an empty list says that there are none.
pub fn advisories_listed(deny: &Table) -> Vec<Violation> {
    let violation = |advice: &str| Violation::new("deny.toml", 1, "advisory", advice);
    if deny.get("advisories").and_then(|table| table.get("ignore")).and_then(Value::as_array).is_none() {
        return vec![violation("add `ignore = []` to [advisories]: the list of accepted advisories")];
    }
    let filled = |entry: &Value, key| entry.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let bare =
        list(deny, "advisories", "ignore").iter().filter(|entry| !(filled(entry, "id") && filled(entry, "reason")));
    bare.map(|entry| violation(&format!("write {entry} as {{ id = \"…\", reason = \"…\" }}"))).collect()
}

/// Every package comes from crates.io or stands in this repository.
pub fn from_crates_io(packages: &[Package]) -> Vec<Violation> {
    let elsewhere = packages.iter().filter_map(|package| {
        let source = package.source.as_deref().filter(|source| *source != CRATES_IO)?;
        let advice = format!("`{}` comes from {source}: use a release on crates.io", package.name);
        Some(Violation::new("Cargo.lock", 1, "origin", advice))
    });
    elsewhere.collect()
}

fn list<'a>(table: &'a Table, section: &str, key: &str) -> &'a [Value] {
    let value = table.get(section).and_then(|section| section.get(key)).and_then(Value::as_array);
    value.map_or(&[], Vec::as_slice)
}

/// Whether an SPDX expression can be satisfied with `allowed`. AND binds tighter than OR; a slash
/// is an old way to write OR; `A WITH B` is a licence of its own.
fn allows(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "_WITH_");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    either(&mut rest, allowed) && rest.is_empty()
}

fn either(rest: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut accepted = both(rest, allowed);
    while take(rest, "OR") {
        accepted |= both(rest, allowed);
    }
    accepted
}

fn both(rest: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut accepted = one(rest, allowed);
    while take(rest, "AND") {
        accepted &= one(rest, allowed);
    }
    accepted
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    if take(rest, "(") {
        let accepted = either(rest, allowed);
        return take(rest, ")") && accepted;
    }
    let Some((licence, after)) = rest.split_first() else { return false };
    *rest = after;
    allowed.contains(licence.replace("_WITH_", " WITH ").as_str())
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    let found = rest.first() == Some(&word);
    if found {
        *rest = &rest[1..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(license: Option<&str>, source: Option<&str>) -> Package {
        let license = license.map(String::from);
        Package { name: "p".into(), license, source: source.map(String::from), ..Package::default() }
    }

    #[test]
    fn expressions_are_weighed_as_spdx_means_them() {
        let allowed = BTreeSet::from(["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]);
        for good in ["MIT", "GPL-3.0 OR MIT", "Unlicense/MIT", "(MIT OR X) AND ISC", "Apache-2.0 WITH LLVM-exception"] {
            assert!(allows(good, &allowed), "{good}");
        }
        for bad in
            ["GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", "MIT AND (X OR Y)", "", "(MIT", "MIT MIT", "X OR MIT AND Y"]
        {
            assert!(!allows(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn a_licence_outside_of_the_list_is_found() {
        let deny: Table = "[licenses]\nallow = [\"MIT\"]\n".parse().unwrap();
        let packages = [package(Some("MIT"), None), package(Some("AGPL-3.0"), None), package(None, None)];
        assert_eq!(accepted(&deny, &packages).len(), 2);
    }

    #[test]
    fn advisories_need_a_list_and_reasons() {
        let found = |text: &str| advisories_listed(&text.parse().unwrap()).len();
        assert_eq!(found("[licenses]\n"), 1);
        assert_eq!(found("[advisories]\nignore = []\n"), 0);
        assert_eq!(found("[advisories]\nignore = [\"RUSTSEC-2020-0001\", { id = \"a\", reason = \"b\" }]\n"), 1);
    }

    #[test]
    fn a_package_from_elsewhere_is_found() {
        let packages =
            [package(None, None), package(None, Some(CRATES_IO)), package(None, Some("git+https://example.org/p"))];
        assert_eq!(from_crates_io(&packages).len(), 1);
    }
}
