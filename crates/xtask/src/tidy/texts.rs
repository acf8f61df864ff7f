//! Rules about every text: nothing of one machine, no unfinished work, no dead links.
//!
//! Owns the forbidden words. Must never look into Rust code: `marks` does.

use super::Violation;
use super::marks::UNFINISHED_WORDS;
use super::scan;
use super::tree::Tree;

/// Paths and hosts that mean something only where they were written. Put together here, so that
/// this file does not hold them itself.
const OF_ONE_MACHINE: [&str; 7] = [
    concat!("/", "work/"),
    concat!("/", "home/"),
    concat!("/", "root/"),
    concat!("../", "shared"),
    concat!("index.", "crates.io"),
    concat!("registry.", "npmjs.org"),
    concat!("deb.", "debian.org"),
];

/// Files with code that Rust's own rules do not read.
const OTHER_CODE: [&str; 10] = [".css", ".html", ".js", ".json", ".mjs", ".sh", ".sql", ".toml", ".ts", ".yml"];

/// The project builds, tests and reads the same everywhere.
pub fn of_one_machine(tree: &Tree) -> Vec<Violation> {
    lines(tree, |_| true)
        .flat_map(|(path, line, text)| {
            let found = OF_ONE_MACHINE.iter().filter(move |forbidden| stands_alone(text, forbidden));
            found.map(move |forbidden| {
                let advice =
                    format!("`{forbidden}` belongs to one machine: use a path inside the repository, or a name");
                Violation::new(path, line, "machine", advice)
            })
        })
        .collect()
}

/// A path in the middle of a longer relative path or address is another path.
fn stands_alone(text: &str, forbidden: &str) -> bool {
    text.match_indices(forbidden).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !forbidden.starts_with('/') || before.is_none_or(|c| !(c.is_alphanumeric() || "_-.~}".contains(c)))
    })
}

/// Marks of unfinished work outside of Rust.
pub fn unfinished_elsewhere(tree: &Tree) -> Vec<Violation> {
    lines(tree, |path| OTHER_CODE.iter().any(|ending| path.ends_with(ending)))
        .flat_map(|(path, line, text)| {
            let found = UNFINISHED_WORDS.iter().filter(move |mark| scan::has_word(text, mark));
            found.map(move |mark| {
                let advice = format!("`{mark}` marks unfinished work: finish it, or take it out");
                Violation::new(path, line, "unfinished", advice)
            })
        })
        .collect()
}

/// A link inside the repository leads to a file or folder of it.
pub fn links_resolve(tree: &Tree) -> Vec<Violation> {
    let mut fenced = false;
    lines(tree, |path| path.ends_with(".md"))
        .flat_map(|(path, line, text)| {
            fenced = (line > 1 && fenced) ^ text.trim_start().starts_with("```");
            let targets = if fenced { Vec::new() } else { link_targets(text) };
            let dead = targets.into_iter().filter(|target| !tree.has(&place(path, target)));
            dead.map(|target| Violation::new(path, line, "link", format!("`{target}` is not in the repository")))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Where the links of a line lead, addresses of the net left out.
fn link_targets(text: &str) -> Vec<&str> {
    let outside_code = text.split('`').step_by(2);
    let targets =
        outside_code.flat_map(|text| text.split("](").skip(1)).filter_map(|rest| rest.split([')', ' ', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains(':')).collect()
}

/// The path from the root that `target` means inside of `file`.
fn place(file: &str, target: &str) -> String {
    let mut parts: Vec<&str> = if target.starts_with('/') { Vec::new() } else { file.split('/').collect() };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            // Above the root there is nothing to find.
            ".." if parts.pop().is_none() => parts.push(".."),
            ".." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The lines of chosen texts: path, number from 1, text.
fn lines<'a>(tree: &'a Tree, chosen: impl Fn(&str) -> bool + 'a) -> impl Iterator<Item = (&'a str, usize, &'a str)> {
    let texts = tree.texts.iter().filter(move |(path, _)| chosen(path));
    texts.flat_map(|(path, text)| text.lines().enumerate().map(move |(index, line)| (path.as_str(), index + 1, line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_one_machine_are_found() {
        let own = concat!("see /", "work/x\nsee ../", "shared/y\nhttps://example.org/", "home/z\nsrc/", "root/a\n");
        let found = of_one_machine(&Tree::of(&[("a.md", own)]));
        assert_eq!(found.iter().map(|violation| violation.line).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn unfinished_work_is_found_in_scripts_and_tables() {
        let tree = Tree::of(&[("a.sh", "# TODO: more\n"), ("a.md", "no TODO marks\n"), ("b.toml", "# fine\n")]);
        assert_eq!(unfinished_elsewhere(&tree).len(), 1);
    }

    #[test]
    fn dead_links_are_found() {
        let text =
            "[a](../README.md) [b](gone.md#x) [c](https://x.y/z) [d](#here) `[e](f)`\n```\n[g](h)\n```\n[i](/docs)\n";
        let found = links_resolve(&Tree::of(&[("README.md", ""), ("docs/a.md", text)]));
        assert_eq!(found, [Violation::new("docs/a.md", 1, "link", "`gone.md` is not in the repository")]);
    }

    #[test]
    fn a_link_out_of_the_repository_is_dead() {
        assert_eq!(links_resolve(&Tree::of(&[("a.md", "[up](../../b.md)\n")])).len(), 1);
    }
}
