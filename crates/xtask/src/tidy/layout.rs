//! Rules about the outside of code: headers, sizes, names.
//!
//! Owns the limits. Must never look at what code does.

use super::Violation;
use super::scan::{self, Body};
use super::source::Source;
use super::tree::Tree;

/// Lines of a file, tests left out.
const FILE_LINES: usize = 500;
/// Lines of a file of tests.
const TEST_FILE_LINES: usize = 700;
/// Lines of a function, from `fn` to its last brace.
const FUNCTION_LINES: usize = 70;
/// Names that say nothing of what is inside.
const NAMELESS: [&str; 7] = ["common", "helper", "helpers", "manager", "managers", "util", "utils"];

/// Every file says first what it is for.
pub fn opens_with_a_header(source: &Source) -> Vec<Violation> {
    if source.text.starts_with("//!") {
        return Vec::new();
    }
    let advice = "open the file with `//!`: what it owns, what it must never do, its step in the life of a change";
    vec![Violation::new(&source.path, 1, "header", advice)]
}

/// One idea fits into one file.
pub fn file_fits(source: &Source) -> Vec<Violation> {
    let (lines, limit) = match source.is_test_file() {
        true => (source.text.lines().count(), TEST_FILE_LINES),
        false => (source.lines_without_tests(), FILE_LINES),
    };
    if lines <= limit {
        return Vec::new();
    }
    let advice = format!("{lines} lines, the limit is {limit}: split the file by idea");
    vec![Violation::new(&source.path, 1, "file-length", advice)]
}

/// A function fits on a screen.
pub fn functions_fit(source: &Source) -> Vec<Violation> {
    scan::words(&source.code, "fn").filter_map(|at| function_fits(source, at)).collect()
}

fn function_fits(source: &Source, at: usize) -> Option<Violation> {
    let rest = source.code[at + 2..].trim_start();
    let name = &rest[..rest.find(|c| !scan::is_word(c))?];
    let Body::Block { end } = scan::body(&source.code, at) else { return None };
    let (first, last) = (source.line_of(at), source.line_of(end));
    let lines = last - first + 1;
    if name.is_empty() || lines <= FUNCTION_LINES {
        return None;
    }
    let advice = format!("`{name}` has {lines} lines, the limit is {FUNCTION_LINES}: give its parts names");
    Some(Violation::new(&source.path, first, "function-length", advice))
}

/// A thing without a home has no owner.
pub fn names_have_an_owner(tree: &Tree) -> Vec<Violation> {
    tree.paths.iter().filter_map(|path| nameless_part(path).map(|part| nameless(path, part))).collect()
}

fn nameless_part(path: &str) -> Option<&str> {
    path.split('/').map(|part| part.split('.').next().unwrap_or(part)).find(|part| NAMELESS.contains(part))
}

fn nameless(path: &str, part: &str) -> Violation {
    Violation::new(
        path,
        0,
        "name",
        format!("`{part}` says nothing: name it after what it owns, or move it to its user"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_header_is_found() {
        assert_eq!(opens_with_a_header(&Source::new("a.rs", "use x;\n")).len(), 1);
        assert!(opens_with_a_header(&Source::new("a.rs", "//! What it owns.\n")).is_empty());
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_do_not_count() {
        let long = "const A: u8 = 1;\n".repeat(FILE_LINES);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "fn f() {}\n".repeat(600));
        assert!(file_fits(&Source::new("src/a.rs", &format!("{long}{tests}"))).is_empty());
        assert_eq!(file_fits(&Source::new("src/a.rs", &format!("{long}fn a() {{}}\n"))).len(), 1);
        assert!(file_fits(&Source::new("tests/a.rs", &format!("{long}fn a() {{}}\n"))).is_empty());
        assert_eq!(file_fits(&Source::new("tests/a.rs", &long.repeat(2))).len(), 1);
    }

    #[test]
    fn a_long_function_is_found_by_name() {
        let function =
            |lines: usize| format!("type F = fn(u8);\nfn long(\n) {{\n{}}}\n", "    a('}');\n".repeat(lines));
        let found = functions_fit(&Source::new("a.rs", &function(FUNCTION_LINES - 2)));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
        assert!(found[0].advice.starts_with("`long` has 71 lines"));
        assert!(functions_fit(&Source::new("a.rs", &function(FUNCTION_LINES - 3))).is_empty());
    }

    #[test]
    fn nameless_files_and_folders_are_found() {
        let tree = Tree::of(&[("src/utils.rs", ""), ("tests/common/mod.rs", ""), ("src/commonplace.rs", "")]);
        let found: Vec<String> = names_have_an_owner(&tree).into_iter().map(|v| v.path).collect();
        assert_eq!(found, ["src/utils.rs", "tests/common/mod.rs"]);
    }
}
