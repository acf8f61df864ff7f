//! A database on a small disk, as far as this machine lets us mount one; elsewhere its tables refuse as a full disk makes
//! them.

use super::{Disk, Postgres};
use std::process::Command;
use tempfile::TempDir;

/// A database whose files, but not the server's log, are on a small disk.
pub struct Small {
    disk: Disk,
    pub database: String,
    table: &'static str,
    _dir: TempDir,
}

impl Small {
    /// One for a hub.
    pub fn new(server: &Postgres) -> Small {
        Small::of(server, "syncline.heads")
    }

    /// One for whoever writes this table.
    pub fn of(server: &Postgres, table: &'static str) -> Small {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path());
        let database = server.database();
        if disk.is_mounted() {
            let files = disk.path().join("files");
            std::fs::create_dir(&files).unwrap();
            if Postgres::runs_as_another_user() {
                for place in [dir.path(), disk.path(), &files] {
                    assert!(Command::new("chown").arg("postgres").arg(place).status().unwrap().success());
                }
            }
            server.run("postgres", &format!("CREATE TABLESPACE small LOCATION '{}'", files.display()));
            server.run("postgres", &format!("ALTER DATABASE {database} SET TABLESPACE small"));
        }
        Small { disk, database, table, _dir: dir }
    }

    /// Whether it is a disk of its own.
    pub fn is_mounted(&self) -> bool {
        self.disk.is_mounted()
    }

    /// Takes room away until so many bytes are left.
    pub fn fill(&self, server: &Postgres, left: u64) {
        self.disk.leave(left);
        if !self.disk.is_mounted() {
            let refuse = "CREATE FUNCTION full() RETURNS TRIGGER LANGUAGE plpgsql AS
                $$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$;";
            let table = self.table;
            let trigger = format!("CREATE TRIGGER full BEFORE INSERT ON {table} EXECUTE FUNCTION full()");
            server.run(&self.database, &format!("{refuse}{trigger}"));
        }
    }

    /// Gives it back.
    pub fn make_room(&self, server: &Postgres) {
        self.disk.make_room();
        if !self.disk.is_mounted() {
            server.run(&self.database, &format!("DROP TRIGGER full ON {}", self.table));
        }
    }
}
