//! The paths that a file names.
//!
//! Owns finding them in the code, in `use` lines and elsewhere. Must never resolve them: that takes
//! the other files too, see `modules`.

use super::scan;
use super::source::Source;

/// Every path that starts with `head::`, without that head, with its line.
pub fn heads(source: &Source, head: &str) -> Vec<(usize, Vec<String>)> {
    let start = format!("{head}::");
    let all = scan::words(&source.code, &start).filter(|at| {
        let before = source.code[..*at].trim_end();
        // `pub(in crate::a)` shows something to a module, it takes nothing from it.
        !before.ends_with("::") && !before.ends_with("(in")
    });
    all.flat_map(|at| {
        let line = source.line_of(at);
        scan::paths(&source.code, at + start.len()).into_iter().map(move |path| (line, path))
    })
    .collect()
}

/// Every path into the own crate, with its head and its line.
pub fn inside(source: &Source) -> Vec<(usize, Vec<String>)> {
    let with_head = |head: &'static str| {
        heads(source, head).into_iter().map(move |(line, path)| (line, [vec![head.to_owned()], path].concat()))
    };
    ["crate", "super", "self"].into_iter().flat_map(with_head).collect()
}

/// Every path of a `use` line as written, with its line.
pub fn uses(source: &Source) -> Vec<(usize, Vec<String>)> {
    let all = scan::words(&source.code, "use").filter(|at| source.code[at + 3..].starts_with(' '));
    all.flat_map(|at| {
        let line = source.line_of(at);
        scan::paths(&source.code, at + 3).into_iter().map(move |path| (line, path))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_wherever_they_stand() {
        let text = "use crate::a::{B, c::D};\npub(in crate::x) fn f() -> crate::e::F {}\nuse b::crate_::g;\n";
        let source = Source::new("src/lib.rs", text);
        let found: Vec<String> =
            heads(&source, "crate").iter().map(|(l, path)| format!("{l} {}", path.join("::"))).collect();
        assert_eq!(found, ["1 a::B", "1 a::c::D", "2 e::F"]);
    }

    #[test]
    fn use_lines_are_found_with_their_heads() {
        let found = uses(&Source::new("src/lib.rs", "pub use a::{B, C};\nlet used = 1;\n"));
        assert_eq!(found.iter().map(|(_, path)| path.join("::")).collect::<Vec<_>>(), ["a::B", "a::C"]);
    }
}
