//! The address of a running hub, as a small file that others find it by: `hub.json` in its data
//! directory and, where asked for, a ready file. It holds nothing secret. That the file exists does
//! not prove that the hub runs: the lock on the store does.

use crate::error::CliError;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Where a hub can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubAddress {
    /// Its base URL.
    pub url: String,
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
}

impl HubAddress {
    /// The file in a data directory.
    pub fn file_in(data_dir: &Path) -> PathBuf {
        data_dir.join("hub.json")
    }

    /// What the file says; `None` when there is none, or none that can be read.
    pub fn read(path: &Path) -> Option<HubAddress> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Writes the file so that readers see all of it or nothing.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn write(&self, path: &Path) -> Result<(), CliError> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let text = serde_json::to_string(self).expect("an address serializes");
        fs::write(&part, text + "\n").map_err(|source| CliError::file("write", &part, source))?;
        fs::rename(&part, path).map_err(|source| CliError::file("write", path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_back_and_a_broken_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = HubAddress::file_in(dir.path());
        assert_eq!(HubAddress::read(&path), None);

        let address = HubAddress { url: "http://127.0.0.1:7460".into(), pid: 7, version: "0.1.0".into() };
        address.write(&path).unwrap();
        assert_eq!(HubAddress::read(&path), Some(address));

        fs::write(&path, "{").unwrap();
        assert_eq!(HubAddress::read(&path), None);
    }
}
