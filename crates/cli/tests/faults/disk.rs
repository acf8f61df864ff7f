//! A disk with little room. A file system of its own in memory, where this machine lets us mount one; elsewhere a limit
//! on the size of files, under which writes fail as well, only with another error.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// All that a mounted disk holds: more than a write-ahead log that is about to be copied.
const DISK_BYTES: u64 = 96 << 20;
/// The blocks of `ulimit`.
const BLOCK_BYTES: u64 = 512;

/// A directory on a small disk.
pub struct Disk {
    path: PathBuf,
    mounted: bool,
}

impl Disk {
    /// A small disk at `home/disk`.
    pub fn new(home: &Path) -> Disk {
        let path = home.join("disk");
        fs::create_dir(&path).unwrap();
        let size = format!("size={DISK_BYTES}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "syncline-test"]).arg(&path).stderr(Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        Disk { path, mounted }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a disk of its own, which can be full in the system's own sense.
    pub fn is_mounted(&self) -> bool {
        self.mounted
    }

    /// A program that meets the end of the disk; where none is mounted, no file of it may exceed `bytes`.
    pub fn command(&self, program: &str, bytes: u64) -> Command {
        if self.mounted { Command::new(program) } else { with_small_files(program, bytes) }
    }

    /// Takes room away until so many bytes are left; where no disk is mounted, files are small anyhow.
    pub fn leave(&self, bytes: u64) {
        if !self.mounted {
            return;
        }
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).unwrap();
        // Others write meanwhile, so there may be an end before it is looked for.
        while let Some(piece @ 1..) = self.free().checked_sub(bytes) {
            let piece = usize::try_from(piece.min(1 << 20)).unwrap();
            if ballast.write_all(&vec![0; piece]).is_err() {
                return;
            }
        }
    }

    /// Gives back what [`Disk::leave`] took.
    pub fn make_room(&self) {
        if self.mounted {
            fs::remove_file(self.ballast()).unwrap();
        }
    }

    fn free(&self) -> u64 {
        let told = Command::new("df").args(["--output=avail", "-B1"]).arg(&self.path).output().unwrap();
        String::from_utf8(told.stdout).unwrap().lines().nth(1).unwrap().trim().parse().unwrap()
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: a process that is about to end may still have a file open there.
            let _ = Command::new("umount").arg("-l").arg(&self.path).status();
        }
    }
}

/// A program under a limit on the size of files. Without the trap the system would end the process
/// at the first write beyond it; a full disk does not do that.
pub fn with_small_files(program: &str, bytes: u64) -> Command {
    let mut shell = Command::new("sh");
    let blocks = (bytes / BLOCK_BYTES).to_string();
    shell.args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\"", &blocks, program]);
    shell
}
