//! The data directory: its files, the room beside them, and whether the clock is behind what it said before.

use super::finding::Finding;
use crate::error::CliError;
use crate::hub::now;
use indicatif::HumanBytes;
use std::path::Path;
use std::process::Command;
use syncline_core::model::{Millis, counted};
use syncline_server::store::{Examined, SqliteStore, StoreError, examine, strays};

/// With less a hub may stop within minutes.
const ROOM_MIN_BYTES: u64 = 64 << 20;
/// With less a burst of writes, whose log grows to about this, may fill the disk.
const ROOM_EASY_BYTES: u64 = 512 << 20;
/// 2024-01-01: before this program was made.
const CLOCK_MIN: Millis = Millis(1_704_067_200_000);

/// Looks at all of it. Blocks.
pub fn look(data: &Path, drift_ms: u64) -> Vec<Finding> {
    let strays = match strays(data) {
        Ok(strays) => strays,
        Err(error) => return vec![Finding::failed("store", &error.into())],
    };
    if !SqliteStore::is_in(data) {
        let (dir, files) = (data.display().to_string(), strays.join(", "));
        return vec![Finding::failed(
            "store",
            &match strays.is_empty() {
                true => CliError::NoHubData { data: data.to_owned() },
                false => StoreError::NoHubFile { dir, files }.into(),
            },
        )];
    }
    let files = match examine(data) {
        Ok(files) => files,
        Err(error) => return vec![Finding::failed("store", &error.into())],
    };
    let bytes = files.iter().map(|file| file.bytes).sum();
    let newest = files.iter().filter_map(|file| file.found.as_ref().ok().copied()).max_by_key(|at| at.0);
    let mut findings = store(&files, bytes);
    findings.extend(strays.into_iter().map(stray));
    findings.extend(room_at(data).map(|room| disk(room, bytes)));
    findings.push(clock(now(), newest.unwrap_or(Millis(0)), drift_ms));
    findings
}

fn stray(file: String) -> Finding {
    let says = format!("the file spaces/{file} belongs to no space of hub.db");
    let next =
        "if it is a space of this hub, `syncline serve --adopt` takes it up when the hub starts; else move it away";
    Finding::look("store", says, next.into())
}

fn store(files: &[Examined], bytes: u64) -> Vec<Finding> {
    let damaged = files.iter().filter_map(|file| {
        let error = file.found.as_ref().err()?;
        let next = match error {
            StoreError::Missing { .. } => {
                "without a backup: docs/operations.md, \"Without a backup\"; every device still has what it has read"
                    .to_owned()
            }
            StoreError::NewerSchema { .. } => "install the newest syncline".to_owned(),
            _ => format!(
                "stop the hub, keep a copy of {}, and bring the newest good backup back (`syncline restore`)",
                file.path.display()
            ),
        };
        Some(Finding::wrong("store", error.to_string(), next))
    });
    let findings: Vec<Finding> = damaged.collect();
    if !findings.is_empty() {
        return findings;
    }
    let counted = counted(files.len() as u64, "file", "files");
    let says = format!("{counted}, {}: readable and complete", HumanBytes(bytes));
    vec![Finding::fine("store", says)]
}

/// Bytes that are free where the data is, where the system's `df` can tell.
pub(super) fn room_at(data: &Path) -> Option<u64> {
    let said = Command::new("df").arg("-Pk").arg(data).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(said.stdout).ok()?;
    let blocks: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    blocks.checked_mul(1024)
}

pub(super) fn disk(room: u64, bytes: u64) -> Finding {
    let says = format!("{} are free beside {} of data", HumanBytes(room), HumanBytes(bytes));
    let next = "make room, move the data to a larger disk, or shorten `retention.log`".to_owned();
    match room {
        ..ROOM_MIN_BYTES => Finding::wrong("disk", says, next),
        ROOM_MIN_BYTES..ROOM_EASY_BYTES => Finding::look("disk", says, next),
        _ => Finding::fine("disk", says),
    }
}

fn clock(now: Millis, newest: Millis, drift_ms: u64) -> Finding {
    let next =
        "set this machine's clock, and keep it right (NTP): edits that devices date later than it are moved back to it";
    if now < CLOCK_MIN {
        return Finding::wrong("clock", format!("this machine says that it is {}", now.iso()), next.into());
    }
    if newest.0 > now.0.saturating_add(drift_ms) {
        let says =
            format!("the newest change was made at {} and this machine says that it is {}", newest.iso(), now.iso());
        return Finding::wrong("clock", says, next.into());
    }
    Finding::fine("clock", "it is not behind the newest change".into())
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn little_room_is_told_before_the_disk_is_full() {
        assert_eq!(disk(ROOM_MIN_BYTES - 1, 0).level, Level::Wrong);
        assert_eq!(disk(ROOM_MIN_BYTES, 0).level, Level::Look);
        assert_eq!(disk(ROOM_EASY_BYTES, 0).level, Level::Fine);
        assert!(room_at(Path::new("/")).is_some_and(|room| room > 0));
    }

    #[test]
    fn a_clock_that_went_back_is_wrong_and_a_small_difference_is_not() {
        let now = Millis(CLOCK_MIN.0 + 1_000_000);
        assert_eq!(clock(now, Millis(now.0 + 60_000), 60_000).level, Level::Fine);
        assert_eq!(clock(now, Millis(now.0 + 60_001), 60_000).level, Level::Wrong);
        assert_eq!(clock(Millis(0), Millis(0), 60_000).level, Level::Wrong);
    }
}
