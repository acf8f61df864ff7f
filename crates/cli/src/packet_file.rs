//! Packets as files, on the hub's side and on a database's.

use crate::error::CliError;
use serde::Serialize;
use std::io::Read;
use std::path::{Path, PathBuf};
use syncline_core::wire::exchange::{Envelope, Header};

/// What a written packet holds.
#[derive(Debug, Serialize)]
pub struct Written {
    /// Where it is.
    pub file: PathBuf,
    /// How many entities are in it.
    pub entities: usize,
    /// Its head.
    pub header: Header,
}

/// Writes a packet.
///
/// # Errors
/// The file cannot be written; the text is no packet.
pub fn write(packet: &str, file: &Path) -> Result<Written, CliError> {
    std::fs::write(file, packet).map_err(|source| CliError::file("write", file, source))?;
    let envelope: Envelope = serde_json::from_str(packet).map_err(|error| CliError::NotJson {
        what: "the exported packet".into(),
        expected: "a packet with `header` and `body`",
        reason: error.to_string(),
    })?;
    Ok(Written { file: file.to_owned(), entities: envelope.body.entities.len(), header: envelope.header })
}

/// The text of a packet; `-` is standard input.
///
/// # Errors
/// It cannot be read, or is empty.
pub fn read(file: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let what = if file == Path::new("-") {
        std::io::stdin().lock().read_to_string(&mut text).map_err(CliError::Input)?;
        "standard input".to_owned()
    } else {
        text = std::fs::read_to_string(file).map_err(|source| CliError::file("read", file, source))?;
        file.display().to_string()
    };
    if text.trim().is_empty() {
        return Err(CliError::Empty { what, expected: "a packet (JSON)" });
    }
    Ok(text)
}
