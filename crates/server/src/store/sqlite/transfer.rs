//! A backup on its way to another machine: lines of JSON that say what comes, and the files' bytes between them. One file at a time
//! is copied beside the data, so that the disk needs room for the largest one alone. What arrives gets a backup's name
//! only when the manifest has come and every file is what it says.

use super::backup::{Copied, Saver, Stage, space_path};
use super::building::{Building, at, blamed, sync};
use super::home::HUB_FILE;
use super::manifest::{Manifest, SavedFile, digest};
use crate::store::StoreError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Where files are copied before they leave, below the data directory.
const OUTGOING: &str = "outgoing";
const CHUNK_BYTES: usize = 256 << 10;
/// No line is longer; a manifest names every space.
const LINE_BYTES_MAX: usize = 64 << 20;

/// What a line says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Frame {
    /// A file is being copied at the hub; nothing follows.
    Copying { file: String, bytes: u64, of: u64 },
    /// The copy is being looked at there; nothing follows.
    Checking { file: String, bytes: u64, of: u64 },
    /// There will be no backup.
    Failed { reason: String },
    /// The bytes of a file follow.
    File { file: String, bytes: u64 },
    /// All files have come.
    Manifest(Box<Manifest>),
}

/// Makes a backup of a data directory and hands it out piece by piece; `send` answers `false` when nobody listens any more.
///
/// # Errors
/// As [`backup`](super::backup).
pub(super) fn hand_out(data: &Path, send: &mut dyn FnMut(Bytes) -> bool) -> Result<(), StoreError> {
    let part = data.join(OUTGOING);
    clear(data)?;
    fs::create_dir_all(part.join("spaces")).map_err(at(&part, "making a directory"))?;
    let next = "each file is copied there before it leaves: make room for the largest one";
    let done = pieces(data, &part, send).map_err(|error| blamed(error, &part, next));
    if let Err(error) = &done {
        send(line(&Frame::Failed { reason: error.to_string() }));
    }
    clear(data)?;
    done.map(drop)
}

/// Takes away what a hub that was killed has left of a backup that was on its way.
pub(super) fn clear(data: &Path) -> Result<(), StoreError> {
    let part = data.join(OUTGOING);
    match fs::remove_dir_all(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(&part, "clearing away a backup")(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn pieces(data: &Path, part: &Path, send: &mut dyn FnMut(Bytes) -> bool) -> Result<bool, StoreError> {
    // Who has gone is noticed with the files' own bytes.
    let tell = |send: &mut dyn FnMut(Bytes) -> bool, copied: Copied<'_>| {
        let Copied { stage, file, bytes, of } = copied;
        let file = file.to_owned();
        send(line(&match stage {
            Stage::Copying => Frame::Copying { file, bytes, of },
            Stage::Checking => Frame::Checking { file, bytes, of },
        }));
    };
    let (mut saver, spaces) = Saver::begin(data, part, &mut |copied| tell(send, copied))?;
    if !send_file(part, HUB_FILE, send)? {
        return Ok(false);
    }
    for space in spaces {
        let Some(name) = saver.space(space, &mut |copied| tell(send, copied))? else { continue };
        if !send_file(part, &name, send)? {
            return Ok(false);
        }
    }
    Ok(send(line(&Frame::Manifest(Box::new(saver.manifest()?)))))
}

fn send_file(part: &Path, name: &str, send: &mut dyn FnMut(Bytes) -> bool) -> Result<bool, StoreError> {
    let path = part.join(name);
    let failed = || at(&path, "reading a file");
    let mut file = File::open(&path).map_err(failed())?;
    let mut left = file.metadata().map_err(failed())?.len();
    if !send(line(&Frame::File { file: name.to_owned(), bytes: left })) {
        return Ok(false);
    }
    while left > 0 {
        let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(left).unwrap_or(CHUNK_BYTES))];
        file.read_exact(&mut chunk).map_err(failed())?;
        left -= chunk.len() as u64;
        if !send(chunk.into()) {
            return Ok(false);
        }
    }
    fs::remove_file(&path).map_err(failed())?;
    Ok(true)
}

fn line(frame: &Frame) -> Bytes {
    let mut text = serde_json::to_vec(frame).expect("a frame serializes");
    text.push(b'\n');
    text.into()
}

/// A backup that arrives from a hub.
pub struct Arriving {
    building: Building,
    line: Vec<u8>,
    file: Option<(PathBuf, String, File, u64)>,
    manifest: Option<Manifest>,
}

impl Arriving {
    /// Makes room for it. It is called `.part` until it is complete.
    ///
    /// # Errors
    /// There is something at the target already, or it cannot be made.
    pub fn begin(target: &Path) -> Result<Arriving, StoreError> {
        let building = Building::begin(target)?;
        fs::create_dir(building.part().join("spaces")).map_err(building.failed("making a directory"))?;
        Ok(Arriving { building, line: Vec::new(), file: None, manifest: None })
    }

    /// Takes the next piece in. Blocks for as long as a disk takes.
    ///
    /// # Errors
    /// It is none of a backup, or cannot be written.
    pub fn take(&mut self, mut piece: &[u8], report: &mut dyn FnMut(Copied<'_>)) -> Result<(), StoreError> {
        while !piece.is_empty() {
            if let Some((path, name, file, left)) = &mut self.file {
                let here = piece.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                file.write_all(&piece[..here]).map_err(at(path, "writing a file"))?;
                *left -= here as u64;
                piece = &piece[here..];
                if *left == 0 {
                    sync(path)?;
                    let bytes = fs::metadata(&*path).map_err(at(path, "reading a file"))?.len();
                    report(Copied { stage: Stage::Copying, file: name, bytes, of: bytes });
                    self.file = None;
                }
                continue;
            }
            let end = piece.iter().position(|byte| *byte == b'\n').map_or(piece.len(), |end| end + 1);
            self.line.extend_from_slice(&piece[..end]);
            piece = &piece[end..];
            if self.line.len() > LINE_BYTES_MAX {
                return Err(self.strange("a line is longer than any"));
            }
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.frame(&line, report)?;
            }
        }
        Ok(())
    }

    fn frame(&mut self, line: &[u8], report: &mut dyn FnMut(Copied<'_>)) -> Result<(), StoreError> {
        match serde_json::from_slice(line).map_err(|error| self.strange(&error.to_string()))? {
            Frame::Copying { file, bytes, of } => {
                report(Copied { stage: Stage::Copying, file: &file, bytes: bytes.min(of.saturating_sub(1)), of });
            }
            Frame::Checking { file, bytes, of } => {
                report(Copied { stage: Stage::Checking, file: &file, bytes, of });
            }
            Frame::Failed { reason } => return Err(StoreError::Backup { place: "the hub".into(), reason }),
            Frame::File { file: name, bytes } => {
                let known =
                    name == HUB_FILE || name.strip_prefix("spaces/").is_some_and(|file| !file.contains(['/', '\\']));
                if !known || name.contains("..") || bytes == 0 {
                    return Err(self.strange("it names a file that no backup has"));
                }
                let path = self.building.part().join(&name);
                let file = File::create_new(&path).map_err(at(&path, "making a file"))?;
                self.file = Some((path, name, file, bytes));
            }
            Frame::Manifest(manifest) => self.manifest = Some(*manifest),
        }
        Ok(())
    }

    /// Gives it its name, after every file was found to be what the manifest says.
    ///
    /// # Errors
    /// The stream was cut, or a file is not what the manifest says.
    pub fn finish(self) -> Result<Manifest, StoreError> {
        let cut = || self.strange("it ended too early: the hub went down or the connection was cut; take it again");
        let manifest = self.manifest.clone().filter(|_| self.line.is_empty()).ok_or_else(cut)?;
        self.check(HUB_FILE, &manifest.hub)?;
        for saved in &manifest.spaces {
            self.check(&space_path(&saved.space), &saved.file)?;
        }
        manifest.write(self.building.part())?;
        self.building.finish()?;
        Ok(manifest)
    }

    fn check(&self, name: &str, saved: &SavedFile) -> Result<(), StoreError> {
        if digest(&self.building.part().join(name))? == saved.sha256 {
            return Ok(());
        }
        Err(self.strange(&format!("{name} is not what the hub's manifest says; take it again")))
    }

    fn strange(&self, why: &str) -> StoreError {
        let place = self.building.part().display().to_string();
        StoreError::Backup { place, reason: format!("what comes from the hub is no whole backup: {why}") }
    }
}
