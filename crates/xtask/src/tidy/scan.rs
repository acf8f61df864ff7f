//! Reading Rust as characters: literals, comments, brackets, words, paths.
//!
//! Owns the few facts of Rust's grammar that the rules need. Must never know a rule.

/// Splits `text` into its code and its comments, each blanked out where the other is; the insides
/// of literals are in neither.
pub fn split(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let (mut code, mut comments) = (blank(bytes), blank(bytes));
    let mut at = 0;
    while at < bytes.len() {
        let end = match piece(text, at) {
            Piece::Code => {
                code[at] = bytes[at];
                at + 1
            }
            Piece::Literal(end) => end,
            Piece::Comment(end) => {
                comments[at..end].copy_from_slice(&bytes[at..end]);
                end
            }
        };
        at = end;
    }
    let whole = |bytes| String::from_utf8(bytes).expect("pieces end where characters end");
    (whole(code), whole(comments))
}

fn blank(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }).collect()
}

/// What starts at a position, and where it ends.
enum Piece {
    Code,
    Literal(usize),
    Comment(usize),
}

fn piece(text: &str, at: usize) -> Piece {
    let rest = &text.as_bytes()[at..];
    match rest {
        [b'/', b'/', ..] => Piece::Comment(at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())),
        [b'/', b'*', ..] => Piece::Comment(at + block_comment(rest)),
        [b'"', ..] => Piece::Literal(at + quoted(rest, b'"')),
        [b'\'', b'\\', ..] => Piece::Literal(at + quoted(rest, b'\'')),
        [b'\'', ..] => character(text, at),
        [b'r', b'"' | b'#', ..] if raw_may_start(text, at) => raw(text, at),
        _ => Piece::Code,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A character in quotes, or the tick of a lifetime.
fn character(text: &str, at: usize) -> Piece {
    let mut after = text[at + 1..].chars();
    match (after.next(), after.next()) {
        (Some(inside), Some('\'')) => Piece::Literal(at + 2 + inside.len_utf8()),
        _ => Piece::Code,
    }
}

/// An `r` inside a word starts nothing, but `br` and `cr` are prefixes too.
fn raw_may_start(text: &str, at: usize) -> bool {
    let before = text[..at].trim_end_matches(['b', 'c']);
    at - before.len() <= 1 && !before.ends_with(is_word)
}

fn raw(text: &str, at: usize) -> Piece {
    let hashes = text[at + 1..].bytes().take_while(|byte| *byte == b'#').count();
    let inside = at + 1 + hashes;
    if text.as_bytes().get(inside) != Some(&b'"') {
        return Piece::Code;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let length = text[inside + 1..].find(&close).map_or(text.len() - inside - 1, |found| found + close.len());
    Piece::Literal(inside + 1 + length)
}

/// Whether a character can be part of an identifier.
pub fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether `word` stands in `text` as a word of its own.
pub fn has_word(text: &str, word: &str) -> bool {
    words(text, word).next().is_some()
}

/// Where `word` stands in `text` as a word of its own.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let starts = !word.starts_with(is_word) || !text[..*at].ends_with(is_word);
        let ends = !word.ends_with(is_word) || !text[at + word.len()..].starts_with(is_word);
        starts && ends
    })
}

/// The bracket that closes the one at `open`.
pub fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in code[open..].bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return Some(open + offset);
        }
    }
    None
}

/// What ends an item.
pub enum Body {
    /// A block in braces.
    Block {
        /// Its last brace.
        end: usize,
    },
    /// A semicolon.
    Declared {
        /// Where that stands.
        end: usize,
    },
}

/// What ends the item that starts at `from`.
pub fn body(code: &str, from: usize) -> Body {
    let mut at = from;
    while let Some(byte) = code.as_bytes().get(at) {
        match byte {
            b';' => return Body::Declared { end: at },
            b'{' => return Body::Block { end: closing(code, at).unwrap_or(code.len()) },
            b'(' | b'[' => at = closing(code, at).unwrap_or(code.len()),
            _ => {}
        }
        at += 1;
    }
    Body::Declared { end: code.len() }
}

/// Every path that the text at `from` names: one for `a::b`, two for `{a, b::c}`, none for others.
/// Renames (`as`) and wildcards are left out.
pub fn paths(code: &str, from: usize) -> Vec<Vec<String>> {
    let code = &code[from..];
    let start = code.len() - code.trim_start().len();
    let code = &code[start..];
    if code.starts_with('{') {
        let end = closing(code, 0).unwrap_or(code.len());
        return groups(&code[1..end]).into_iter().flat_map(|part| paths(part, 0)).collect();
    }
    let word = &code[..code.find(|c| !is_word(c)).unwrap_or(code.len())];
    if word.is_empty() {
        return if code.starts_with('*') { vec![Vec::new()] } else { Vec::new() };
    }
    let mut tails = code[word.len()..].strip_prefix("::").map(|rest| paths(rest, 0)).unwrap_or_default();
    if tails.is_empty() {
        tails.push(Vec::new());
    }
    tails.into_iter().map(|tail| [vec![word.to_owned()], tail].concat()).collect()
}

/// The parts of a list, split at its own commas only.
fn groups(list: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        split(text).0
    }

    #[test]
    fn literals_and_comments_are_not_code() {
        assert_eq!(code("a(\"x\\\"y\"); // z"), "a(      );     ");
        assert_eq!(code("a /* b /* c */ d */ e"), "a                   e");
        assert_eq!(code("r#\"x\"y\"# b"), "         b");
        assert_eq!(code("br\"x\" b"), "b     b");
        assert_eq!(code("'{' '\\'' 'é' &'a T"), "              &'a T");
        assert_eq!(code("r#type"), "r#type");
        assert_eq!(code("or\"x\""), "or   ");
    }

    #[test]
    fn comments_keep_their_place() {
        assert_eq!(split("a // b\nc").1, "  // b\n ");
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("a, b", "b") && has_word("b()", "b"));
        assert!(!has_word("ab b_c", "b"));
    }

    #[test]
    fn paths_are_spelled_out() {
        let all = |text| paths(text, 0).iter().map(|path| path.join("::")).collect::<Vec<_>>();
        assert_eq!(all("a::b"), ["a::b"]);
        assert_eq!(all("{a::{b, c as d}, e::*, f}"), ["a::b", "a::c", "e", "f"]);
        assert_eq!(all("a::b::<T>()"), ["a::b"]);
        assert_eq!(all("<T>"), Vec::<String>::new());
    }

    #[test]
    fn an_item_ends_with_its_block_or_semicolon() {
        assert!(matches!(body("fn f(a: [u8; 2]) { { } } x", 0), Body::Block { end: 23 }));
        assert!(matches!(body("mod x; {", 0), Body::Declared { end: 5 }));
    }
}
