//! `$regex`: JavaScript's patterns, carried out in time that grows with the text alone.
//!
//! A pattern is rewritten, construct by construct, for an engine without backtracking. Look-around and back-references
//! cannot be; a pattern with them is refused by name, because nobody should lose documents to a guess. A pattern that
//! JavaScript itself refuses matches nothing, as it does at the client.

use super::{PATTERN_BYTES_MAX, PATTERN_MEMORY_MAX, Unreadable};
use regex::{Regex, RegexBuilder};
use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

/// A pattern, compiled once.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// `None`: not a pattern.
    compiled: Option<Regex>,
}

impl Pattern {
    pub fn new(pattern: &str) -> Result<Pattern, Unreadable> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(Unreadable::PatternTooLong { actual: pattern.len() });
        }
        let rewritten = match (Rewriting { rest: pattern.chars().peekable(), out: String::new() }).run() {
            Ok(rewritten) => rewritten,
            Err(Misfit::Invalid) => return Ok(Pattern { compiled: None }),
            Err(Misfit::Unsupported(construct)) => {
                return Err(Unreadable::Pattern { pattern: pattern.to_owned(), construct });
            }
        };
        // The second limit is on what is remembered while texts are looked through.
        let mut builder = RegexBuilder::new(&rewritten);
        match builder.size_limit(PATTERN_MEMORY_MAX).dfa_size_limit(PATTERN_MEMORY_MAX).build() {
            Ok(compiled) => Ok(Pattern { compiled: Some(compiled) }),
            Err(regex::Error::Syntax(_)) => Ok(Pattern { compiled: None }),
            Err(_) => Err(Unreadable::PatternTooLarge { pattern: pattern.to_owned() }),
        }
    }

    pub fn is_in(&self, text: &str) -> bool {
        self.compiled.as_ref().is_some_and(|pattern| pattern.is_match(text))
    }
}

/// Why a pattern is not carried out.
enum Misfit {
    Invalid,
    Unsupported(&'static str),
}

const DIGIT: &str = "[0-9]";
const NO_DIGIT: &str = "[^0-9]";
const WORD: &str = "[0-9A-Za-z_]";
const NO_WORD: &str = "[^0-9A-Za-z_]";
const SPACE: &str =
    "[\\t-\\r\\x20\\u{A0}\\u{1680}\\u{2000}-\\u{200A}\\u{2028}\\u{2029}\\u{202F}\\u{205F}\\u{3000}\\u{FEFF}]";
const NO_SPACE: &str =
    "[^\\t-\\r\\x20\\u{A0}\\u{1680}\\u{2000}-\\u{200A}\\u{2028}\\u{2029}\\u{202F}\\u{205F}\\u{3000}\\u{FEFF}]";
const ANY_IN_LINE: &str = "[^\\n\\r\\u{2028}\\u{2029}]";
const ANYTHING: &str = "(?s:.)";
const NOTHING: &str = "[0&&1]";

/// What an escape stands for.
enum Escaped {
    Char(char),
    Set(&'static str),
    /// `\b` and `\B`, which mean something else in a class.
    Boundary(char),
}

struct Rewriting<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
}

impl Rewriting<'_> {
    fn run(mut self) -> Result<String, Misfit> {
        // Whether a quantifier may follow.
        let mut atom = false;
        while let Some(c) = self.rest.next() {
            atom = match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                '.' => self.put(ANY_IN_LINE),
                '^' | '$' | '|' => !self.put_char(c),
                ')' => self.put_char(c),
                '*' | '+' | '?' if atom => !self.quantifier(c),
                '*' | '+' | '?' => return Err(Misfit::Invalid),
                '{' => match self.counted() {
                    Some(count) if atom => !self.put_count(&count),
                    Some(_) => return Err(Misfit::Invalid),
                    None => self.literal(c),
                },
                _ => self.literal(c),
            };
        }
        Ok(self.out)
    }

    fn put(&mut self, text: &str) -> bool {
        self.out.push_str(text);
        true
    }

    fn put_char(&mut self, c: char) -> bool {
        self.out.push(c);
        true
    }

    fn literal(&mut self, c: char) -> bool {
        let mut buffer = [0; 4];
        self.put(&regex::escape(c.encode_utf8(&mut buffer)))
    }

    fn quantifier(&mut self, c: char) -> bool {
        self.out.push(c);
        self.lazy()
    }

    fn put_count(&mut self, count: &str) -> bool {
        self.out.push_str(count);
        self.lazy()
    }

    fn lazy(&mut self) -> bool {
        if self.rest.next_if_eq(&'?').is_some() {
            self.out.push('?');
        }
        true
    }

    /// `{n}`, `{n,}` or `{n,m}` after its bracket; anything else is plain text.
    fn counted(&mut self) -> Option<String> {
        let mut ahead = self.rest.clone();
        let mut count = String::from("{");
        loop {
            let c = ahead.next()?;
            count.push(c);
            match c {
                '0'..='9' => {}
                ',' if count.len() > 2 && !count[..count.len() - 1].contains(',') => {}
                '}' if count.len() > 2 => break,
                _ => return None,
            }
        }
        self.rest = ahead;
        Some(count)
    }

    fn group(&mut self) -> Result<bool, Misfit> {
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_none() {
            return Ok(false);
        }
        match self.rest.next() {
            Some(':') => self.put("?:"),
            Some('=' | '!') => return Err(Misfit::Unsupported("look-ahead")),
            Some('<') if matches!(self.rest.peek(), Some('=' | '!')) => return Err(Misfit::Unsupported("look-behind")),
            Some('<') => self.put("?P<"),
            _ => return Err(Misfit::Invalid),
        };
        if self.out.ends_with('<') {
            let name: String = std::iter::from_fn(|| self.rest.next_if(|c| *c != '>')).collect();
            self.put(&name);
            self.rest.next().ok_or(Misfit::Invalid)?;
            self.out.push('>');
        }
        Ok(false)
    }

    fn escape(&mut self) -> Result<bool, Misfit> {
        Ok(match self.escaped()? {
            Escaped::Char(c) => self.literal(c),
            Escaped::Set(set) => self.put(set),
            Escaped::Boundary('b') => !self.put("(?-u:\\b)"),
            Escaped::Boundary(_) => !self.put("(?-u:\\B)"),
        })
    }

    fn escaped(&mut self) -> Result<Escaped, Misfit> {
        let c = self.rest.next().ok_or(Misfit::Invalid)?;
        Ok(match c {
            'd' => Escaped::Set(DIGIT),
            'D' => Escaped::Set(NO_DIGIT),
            'w' => Escaped::Set(WORD),
            'W' => Escaped::Set(NO_WORD),
            's' => Escaped::Set(SPACE),
            'S' => Escaped::Set(NO_SPACE),
            'b' | 'B' => Escaped::Boundary(c),
            'n' => Escaped::Char('\n'),
            'r' => Escaped::Char('\r'),
            't' => Escaped::Char('\t'),
            'v' => Escaped::Char('\u{b}'),
            'f' => Escaped::Char('\u{c}'),
            '0' if !self.rest.peek().is_some_and(char::is_ascii_digit) => Escaped::Char('\0'),
            '0'..='9' => return Err(Misfit::Unsupported("back-references")),
            'k' if self.rest.peek() == Some(&'<') => return Err(Misfit::Unsupported("back-references")),
            'c' => match self.rest.next_if(char::is_ascii_alphabetic) {
                Some(letter) => Escaped::Char(char::from(letter as u8 % 32)),
                None => return Err(Misfit::Unsupported("`\\c` without a letter")),
            },
            'x' => Escaped::Char(self.hex(2).unwrap_or('x')),
            'u' => Escaped::Char(self.hex(4).unwrap_or('u')),
            other => Escaped::Char(other),
        })
    }

    /// A character by its number; a pair of surrogates is one.
    fn hex(&mut self, digits: usize) -> Option<char> {
        let mut ahead = self.rest.clone();
        let first = number(&mut ahead, digits)?;
        if !(0xd800..0xdc00).contains(&first) {
            self.rest = ahead;
            return char::from_u32(first).or(Some(char::REPLACEMENT_CHARACTER));
        }
        let second =
            (ahead.next() == Some('\\') && ahead.next() == Some('u')).then(|| number(&mut ahead, digits))??;
        self.rest = ahead;
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + second.checked_sub(0xdc00)?)
    }

    fn class(&mut self) -> Result<bool, Misfit> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        if self.rest.next_if_eq(&']').is_some() {
            return Ok(self.put(if negated { ANYTHING } else { NOTHING }));
        }
        self.out.push_str(if negated { "[^" } else { "[" });
        while self.rest.next_if_eq(&']').is_none() {
            let from = self.member()?;
            let mut ahead = self.rest.clone();
            if ahead.next() != Some('-') || ahead.peek().is_none_or(|c| *c == ']') {
                self.put_member(&from);
                continue;
            }
            self.rest = ahead;
            match (from, self.member()?) {
                (Escaped::Char(from), Escaped::Char(to)) if from > to => return Err(Misfit::Invalid),
                (Escaped::Char(from), Escaped::Char(to)) => {
                    self.put_member(&Escaped::Char(from));
                    self.out.push('-');
                    self.put_member(&Escaped::Char(to));
                }
                (from, to) => [from, Escaped::Char('-'), to].iter().for_each(|member| self.put_member(member)),
            }
        }
        Ok(self.put("]"))
    }

    fn member(&mut self) -> Result<Escaped, Misfit> {
        match self.rest.next().ok_or(Misfit::Invalid)? {
            '\\' => Ok(match self.escaped()? {
                Escaped::Boundary('b') => Escaped::Char('\u{8}'),
                Escaped::Boundary(other) => Escaped::Char(other),
                other => other,
            }),
            c => Ok(Escaped::Char(c)),
        }
    }

    fn put_member(&mut self, member: &Escaped) {
        match member {
            Escaped::Char(c) | Escaped::Boundary(c) => {
                write!(self.out, "\\u{{{:x}}}", *c as u32).expect("text is written into memory");
            }
            Escaped::Set(set) => self.out.push_str(set),
        }
    }
}

fn number(rest: &mut Peekable<Chars<'_>>, digits: usize) -> Option<u32> {
    (0..digits).try_fold(0, |sum, _| Some(sum * 16 + rest.next()?.to_digit(16)?))
}
