//! A directory that stands for a machine's root, so that the files of `docs/deploy` can be used as they are.

use std::path::{Path, PathBuf};
use std::{env, fs};
use tempfile::TempDir;

/// An admin token; admins read, write and publish everywhere.
pub const TOKEN: &str = "correct-horse-battery-staple";

pub struct Machine {
    root: TempDir,
}

impl Machine {
    pub fn new() -> Machine {
        let machine = Machine { root: tempfile::tempdir().unwrap() };
        for dir in ["etc/syncline", "run", "var/lib/syncline", "var/log/nginx"] {
            fs::create_dir_all(machine.at(dir)).unwrap();
        }
        machine
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.at(path);
        fs::write(&path, text).unwrap();
        path
    }

    /// A file of `docs/deploy`, with this machine's paths in it.
    pub fn deployed(&self, file: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let mut text = fs::read_to_string(root.join("docs/deploy").join(file)).unwrap();
        for dir in ["/etc/", "/run/", "/var/"] {
            let here = format!("{}{dir}", self.root.path().display());
            for before in [' ', ':'] {
                text = text.replace(&format!("{before}{dir}"), &format!("{before}{here}"));
            }
        }
        text
    }

    /// The configuration that all workers read.
    pub fn configure(&self, text: &str) {
        let token = self.write("etc/syncline/admin-token", TOKEN);
        self.write("etc/syncline/syncline.toml", &format!("admin_token_file = '{}'\n{text}", token.display()));
    }
}
