//! Where a hub's store is: a directory, or a database that several workers share.

use crate::config::Config;
use crate::error::CliError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use syncline_server::store::{
    PostgresOptions, PostgresStore, PostgresUrl, SqliteOptions, SqliteStore, Store, StoreError,
};

/// Where a store is.
#[derive(Clone, Debug)]
pub enum StorePlace {
    /// A directory, for one process at a time.
    Directory(PathBuf),
    /// A database.
    Database(PostgresUrl),
}

impl StorePlace {
    /// The configured one.
    ///
    /// # Errors
    /// The database's URL or password file cannot be used.
    pub fn of(config: &Config) -> Result<StorePlace, CliError> {
        let Some(url) = config.text("store") else { return Ok(StorePlace::Directory(config.data_dir())) };
        Ok(StorePlace::Database(database(url, config)?))
    }

    /// Opens it; what is missing is made.
    ///
    /// # Errors
    /// Another process has the directory open; the directory or the database cannot be used.
    pub async fn open(&self, config: &Config) -> Result<Arc<dyn Store>, CliError> {
        let duration = |key| Duration::from_millis(config.number(key));
        Ok(match self {
            StorePlace::Directory(dir) => {
                let options = SqliteOptions {
                    reader_stall: duration("limits.reader_stall"),
                    open_spaces: config.size("limits.open_spaces"),
                    space_idle: duration("limits.space_idle"),
                    ..SqliteOptions::default()
                };
                Arc::new(SqliteStore::open(dir, options)?)
            }
            StorePlace::Database(url) => {
                let options = PostgresOptions {
                    connections: config.size("postgres.connections"),
                    reader_stall: duration("limits.reader_stall"),
                    ..PostgresOptions::default()
                };
                let replica = config.text("postgres.replica").map(|url| database(url, config)).transpose()?;
                Arc::new(PostgresStore::open_beside(replica.as_ref(), url, options).await?)
            }
        })
    }

    /// The directory, where it is one.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            StorePlace::Directory(dir) => Some(dir),
            StorePlace::Database(_) => None,
        }
    }
}

fn database(url: &str, config: &Config) -> Result<PostgresUrl, CliError> {
    let url = PostgresUrl::parse(url).map_err(StoreError::from)?;
    Ok(match config.path("postgres.password_file") {
        Some(file) => url.with_password(&password(&file)?).map_err(StoreError::from)?,
        None => url,
    })
}

/// Never shows a password.
impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorePlace::Directory(dir) => dir.display().fmt(f),
            StorePlace::Database(url) => url.fmt(f),
        }
    }
}

/// A database's password out of a file.
///
/// # Errors
/// The file cannot be read or is empty.
pub fn password(file: &Path) -> Result<String, CliError> {
    let text = std::fs::read_to_string(file).map_err(|source| CliError::file("read", file, source))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        let reason = "it is empty and should hold the database's password".to_owned();
        return Err(StoreError::Database { place: file.display().to_string(), reason }.into());
    }
    Ok(password.to_owned())
}
