//! Rules about single lines of Rust: unfinished work, unwraps, skipped tests, sleeps.
//!
//! Owns the words that may not stand there. Must never guess at types: the words are enough.

use super::Violation;
use super::scan;
use super::source::Source;

/// Macros that stand for work to do.
const UNFINISHED_MACROS: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
/// Words that stand for it in comments.
pub const UNFINISHED_WORDS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Work is finished before it is committed.
pub fn unfinished(source: &Source) -> Vec<Violation> {
    let advice = |mark: &str| format!("`{mark}` marks unfinished work: finish it, or take it out");
    let found = |line, text: &str, marks: &[&str]| -> Vec<Violation> {
        let marks = marks.iter().filter(|mark| scan::has_word(text, mark));
        marks.map(|mark| Violation::new(&source.path, line, "unfinished", advice(mark))).collect()
    };
    let macros = source.code_lines().flat_map(|(line, text)| found(line, text, &UNFINISHED_MACROS));
    macros.chain(source.comment_lines().flat_map(|(line, text)| found(line, text, &UNFINISHED_WORDS))).collect()
}

/// Bad input is an error, a broken invariant says which.
pub fn unwraps(source: &Source) -> Vec<Violation> {
    let found = source.code_lines().filter(|(line, text)| text.contains(".unwrap()") && !source.is_test(*line));
    let advice = "return an error, or `expect` with the invariant that makes it impossible";
    found.map(|(line, _)| Violation::new(&source.path, line, "unwrap", advice)).collect()
}

/// A test that does not run protects nothing.
pub fn skipped_tests(source: &Source) -> Vec<Violation> {
    let in_code = source.code_lines().filter(|(_, text)| text.contains("#[ignore"));
    let in_docs = source.comment_lines().filter(|(_, text)| {
        let text = text.trim_start_matches(['/', '!', ' ']);
        text.strip_prefix("```").is_some_and(|language| scan::has_word(language, "ignore"))
    });
    let advice = "let the test run: fix it, or delete it";
    in_code.chain(in_docs).map(|(line, _)| Violation::new(&source.path, line, "skipped-test", advice)).collect()
}

/// Tests wait for what they need, not for time to pass.
pub fn sleeps_in_tests(source: &Source) -> Vec<Violation> {
    let sleeps = source.code_lines().zip(source.comments.lines());
    let found =
        sleeps.filter(|((line, code), comment)| source.is_test(*line) && calls_sleep(code) && !gives_reason(comment));
    let advice = "wait for the event itself; where time is the subject, say so on this line: `// sleep: reason`";
    found.map(|((line, _), _)| Violation::new(&source.path, line, "sleep", advice)).collect()
}

/// A call of a free function; `clock.sleep(…)` is a method of virtual time, and `fn` defines.
fn calls_sleep(code: &str) -> bool {
    let calls = ["sleep(", "sleep_until("].into_iter().flat_map(|call| scan::words(code, call));
    calls.into_iter().any(|at| {
        let before = code[..at].trim_end();
        !before.ends_with('.') && !before.ends_with("fn")
    })
}

fn gives_reason(comment: &str) -> bool {
    comment.split_once("// sleep:").is_some_and(|(_, reason)| !reason.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&Source) -> Vec<Violation>, path: &str, text: &str) -> Vec<usize> {
        rule(&Source::new(path, text)).iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn marks_of_unfinished_work_are_found_outside_strings() {
        let text = "todo!();\n// a TODO\nlet a = \"TODO\";\n/* FIXME */ dbg!(a);\nlet todo = 1;\n";
        assert_eq!(lines(unfinished, "a.rs", text), [1, 4, 2, 4]);
    }

    #[test]
    fn unwraps_are_found_outside_tests() {
        let text = "a.unwrap();\na.unwrap_or(b);\n// a.unwrap()\n#[cfg(test)]\nmod tests {\n a.unwrap();\n}\n";
        assert_eq!(lines(unwraps, "src/a.rs", text), [1]);
        assert_eq!(lines(unwraps, "tests/a.rs", "a.unwrap();\n"), Vec::<usize>::new());
    }

    #[test]
    fn skipped_tests_are_found() {
        let text = "#[ignore]\n#[ignore = \"slow\"]\n/// ```ignore\n/// ```\n// ignore this\n";
        assert_eq!(lines(skipped_tests, "a.rs", text), [1, 2, 3]);
    }

    #[test]
    fn sleeps_without_a_reason_are_found_in_tests_only() {
        let text = "thread::sleep(d);\ntokio::time::sleep(d).await; // sleep: the expiry is the subject\n\
                    sleep(d);\nclock.sleep(d);\nfn sleep() {}\nsleep(d); // sleep:\n";
        assert_eq!(lines(sleeps_in_tests, "tests/a.rs", text), [1, 3, 6]);
        assert_eq!(lines(sleeps_in_tests, "src/a.rs", text), Vec::<usize>::new());
    }
}
