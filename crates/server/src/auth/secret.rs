//! The secret part of a token: made once, shown once, kept as a hash.
//!
//! A plain SHA-256 suffices because secrets carry 256 random bits: there is nothing to guess, so
//! a slow hash would only cost the hub time. Lookup is by the hash, which an attacker cannot steer.

use crate::error::ServerError;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// A token that is shorter could be guessed.
const GIVEN_CHARS_MIN: usize = 8;

/// A fresh secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Draws 256 bits from the system.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> Result<Secret, std::io::Error> {
        let mut bits = [0u8; 32];
        getrandom::fill(&mut bits).map_err(|e| std::io::Error::other(e.to_string()))?;
        Ok(Secret(format!("syl_{}", hex(&bits))))
    }

    /// One that its holder chose.
    ///
    /// # Errors
    /// [`ServerError::BadRequest`] for a text that is too short or cannot stand in a header.
    pub fn given(text: String) -> Result<Secret, ServerError> {
        if text.len() < GIVEN_CHARS_MIN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let reason = format!(
                "a token needs at least {GIVEN_CHARS_MIN} visible ASCII characters without spaces, so that nobody can \
                 guess it; leave it out and the hub makes one"
            );
            return Err(ServerError::bad("malformed_token", reason));
        }
        Ok(Secret(text))
    }

    /// What the client has to send.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// What is kept of a secret: 64 hexadecimal digits.
#[must_use]
pub(super) fn fingerprint(secret: &str) -> String {
    hex(&digest(secret))
}

/// The raw form of [`fingerprint`].
pub(super) fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Reads [`fingerprint`] back; `None` when it is not one.
pub(super) fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0u8; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_their_fingerprint_is_read_back() {
        let (a, b) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_ne!(a.reveal(), b.reveal());
        assert_eq!(parse_fingerprint(&fingerprint(a.reveal())), Some(digest(a.reveal())));
        assert_eq!(parse_fingerprint("xyz"), None);
    }
}
