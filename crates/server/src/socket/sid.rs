//! Names of live connections.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::io;

const BYTES: usize = 15;

/// The id of a live connection. Whoever knows it can poll in its client's name: nobody guesses it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sid([u8; BYTES]);

impl Sid {
    pub(crate) fn draw() -> Result<Sid, io::Error> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Sid(bytes))
    }

    /// Reads what [`fmt::Display`] writes; `None`: it is no id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Sid> {
        Some(Sid(URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?))
    }
}

/// 20 characters that need no escape in a query or in JSON.
impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What stands in a log opens no connection.
        f.write_str(&URL_SAFE_NO_PAD.encode(&self.0[..6]))
    }
}
