//! What a backup says of itself: which files belong to it, and how to tell that they are what was written.

use super::building::{at, sync};
use super::schema;
use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use syncline_core::model::{Epoch, Lsn, SpaceName};

/// The newest form of a manifest that is known here.
pub(super) const FORMAT: u32 = 1;
/// The manifest's file in a backup.
pub(super) const FILE: &str = "manifest.json";

/// What a backup holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this text.
    pub format: u32,
    /// The version of the program that made it.
    pub syncline: String,
    /// When it was complete (ISO 8601).
    pub made_at: String,
    /// The schemas of its files.
    pub schemas: Schemas,
    /// The hub's own file: tokens, rules and the list of spaces.
    pub hub: SavedFile,
    /// Its spaces by name.
    pub spaces: Vec<SavedSpace>,
    /// Spaces of the hub that are not in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// How many steps the schemas of files have taken.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Schemas {
    /// Of the hub's own file.
    pub hub: i64,
    /// Of a space's file.
    pub space: i64,
}

/// A file of a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedFile {
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
}

/// A space that could not be saved with the others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its name.
    pub space: SpaceName,
    /// Why: its file is damaged, or not there.
    pub reason: String,
}

/// A space of a backup, and where it stood.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedSpace {
    /// Its name.
    pub space: SpaceName,
    /// Identity of its log's history.
    pub epoch: Epoch,
    /// The last LSN taken.
    pub lsn: Lsn,
    /// The last LSN that is a change of a document.
    pub last_change: Lsn,
    /// Changes after this LSN can be read.
    pub horizon: Lsn,
    /// Its file.
    #[serde(flatten)]
    pub file: SavedFile,
}

impl Schemas {
    /// Those of files that this program writes.
    pub(super) fn known() -> Schemas {
        Schemas { hub: schema::newest_version(schema::HUB), space: schema::newest_version(schema::SPACE) }
    }
}

impl Manifest {
    /// Reads the manifest of a backup.
    ///
    /// # Errors
    /// The directory is no backup, or a newer program made it.
    pub fn read(backup: &Path) -> Result<Manifest, StoreError> {
        let place = || backup.display().to_string();
        let refuse = |reason: String| StoreError::Backup { place: place(), reason };
        let bytes = fs::read(backup.join(FILE)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if backup.is_dir() => refuse(format!(
                "there is no {FILE} in it: this is no backup, or one that was interrupted; take another one"
            )),
            io::ErrorKind::NotFound => refuse("there is no such directory; check the path of the backup".into()),
            io::ErrorKind::NotADirectory => refuse("this is a file; name the directory of the backup".into()),
            _ => refuse(format!("{FILE} cannot be read: {error}; check who may read the backup, and its disk")),
        })?;
        let damaged = |error| refuse(format!("{FILE} is cut or changed ({error}); take another backup"));
        let format: Format = serde_json::from_slice(&bytes).map_err(damaged)?;
        if format.format > FORMAT {
            let (found, known) = (format.format.into(), FORMAT.into());
            return Err(StoreError::NewerSchema { place: format!("the {FILE} of {}", place()), found, known });
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(damaged)?;
        let known = Schemas::known();
        for (what, found, known) in
            [("hub", manifest.schemas.hub, known.hub), ("spaces", manifest.schemas.space, known.space)]
        {
            if found > known {
                return Err(StoreError::NewerSchema {
                    place: format!("the backup {} ({what})", place()),
                    found,
                    known,
                });
            }
        }
        Ok(manifest)
    }

    /// Writes it to disk.
    pub(super) fn write(&self, backup: &Path) -> Result<(), StoreError> {
        let path = backup.join(FILE);
        let text = serde_json::to_string_pretty(self).expect("a manifest serializes");
        fs::write(&path, text + "\n").map_err(at(&path, "writing the manifest"))?;
        sync(&path)
    }
}

/// Whether a directory is a backup.
pub(super) fn is_backup(dir: &Path) -> bool {
    dir.join(FILE).exists()
}

/// Refuses to go on with a backup as with a hub's data: its history would part from what devices know, without a sign.
pub(super) fn refuse_backup(dir: &Path) -> Result<(), StoreError> {
    if !is_backup(dir) {
        return Ok(());
    }
    let place = dir.display().to_string();
    let reason =
        format!("this is a backup; make a data directory of it: syncline restore {place} --data NEW_DIRECTORY");
    Err(StoreError::Backup { place, reason })
}

/// All that is read of a manifest that may be newer.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// SHA-256 of a file, in hexadecimal digits.
pub(super) fn digest(path: &Path) -> Result<String, StoreError> {
    let hash = || -> io::Result<String> {
        let (mut file, mut hash, mut chunk) = (File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(hex(&hash.finalize())),
                n => hash.update(&chunk[..n]),
            }
        }
    };
    hash().map_err(at(path, "reading a file"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes it");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use syncline_core::mutation::damaged;

    const MANIFEST: &str = r#"{"format": 1, "syncline": "0.1.0", "made_at": "2026-11-21T00:00:00.000Z",
        "left_out": [{"space": "shop", "reason": "it is damaged"}],
        "schemas": {"hub": 1, "space": 1}, "hub": {"bytes": 24576, "sha256": "ab"},
        "spaces": [{"space": "main", "epoch": "e", "lsn": 7, "last_change": 7, "horizon": 0, "bytes": 8192, "sha256": "cd"}]}"#;

    proptest! {
        #[test]
        fn a_damaged_manifest_is_read_or_refused_by_the_backups_name(text in damaged(vec![MANIFEST.into()])) {
            let backup = tempfile::tempdir().unwrap();
            fs::write(backup.path().join(FILE), &text).unwrap();
            match Manifest::read(backup.path()) {
                Ok(manifest) => {
                    manifest.write(backup.path()).unwrap();
                    let again = Manifest::read(backup.path()).unwrap();
                    prop_assert_eq!(format!("{:?}", manifest), format!("{:?}", again));
                }
                Err(error) => prop_assert!(error.to_string().contains(&*backup.path().to_string_lossy()), "{}", error),
            }
        }
    }
}
