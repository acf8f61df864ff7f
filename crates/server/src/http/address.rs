//! Where a hub listens: at an address and port, or at a socket file for a proxy on the same machine. A socket
//! file is the hub's own: it takes the place of one that nobody answers at, and goes when the hub does.

use crate::error::ServerError;
use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// What an address begins with that is a socket file.
const UNIX: &str = "unix:";

/// Who may connect through a socket file: its owner and its group.
const SOCKET_MODE: u32 = 0o660;

/// Where a hub listens. Shown as it is written in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port, never 0.
    Tcp(SocketAddr),
    /// The absolute path of a socket file.
    Unix(PathBuf),
}

impl ListenAddress {
    /// The address and port; `None` for a socket file.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            ListenAddress::Tcp(addr) => Some(*addr),
            ListenAddress::Unix(_) => None,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(addr) => addr.fmt(f),
            ListenAddress::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// A listener that nobody has taken connections from yet.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// Listens at `127.0.0.1:7460` or `unix:/run/syncline/one.sock`.
pub(super) fn listen(text: &str) -> Result<(Listener, ListenAddress), ServerError> {
    try_listen(text).map_err(|source| ServerError::Io { action: format!("listening on `{text}`"), source })
}

fn try_listen(text: &str) -> io::Result<(Listener, ListenAddress)> {
    let Some(path) = text.strip_prefix(UNIX) else {
        let listener = TcpListener::bind(text)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        return Ok((Listener::Tcp(listener), ListenAddress::Tcp(addr)));
    };
    let path = std::path::absolute(path)?;
    make_way(&path)?;
    let listener = UnixListener::bind(&path)?;
    let file = SocketFile::of(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(SOCKET_MODE))?;
    listener.set_nonblocking(true)?;
    Ok((Listener::Unix(listener, file), ListenAddress::Unix(path)))
}

/// Removes what a hub left behind that was killed; nothing else.
fn make_way(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "what is there is no socket file"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        // One that is busy counts as well.
        Ok(_) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Dropping it removes the file, unless that is another hub's by now.
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and number.
    id: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile { path: path.to_owned(), id: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|id| id == self.id)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(file = %self.path.display(), %error, "the socket file stays behind");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path) -> io::Result<(Listener, ListenAddress)> {
        try_listen(&format!("unix:{}", path.display()))
    }

    #[test]
    fn a_socket_file_is_for_owner_and_group_and_goes_with_its_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.sock");
        let (listener, address) = at(&path).unwrap();
        assert_eq!(address.to_string(), format!("unix:{}", path.display()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, SOCKET_MODE);
        UnixStream::connect(&path).unwrap();
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn only_a_socket_file_at_which_nobody_answers_makes_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.sock");
        let (first, _) = at(&path).unwrap();
        assert_eq!(at(&path).err().unwrap().kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).expect("the first one is still there");
        drop(first);

        // As a killed process leaves it.
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let (second, _) = at(&path).unwrap();
        UnixStream::connect(&path).unwrap();

        // Somebody else's is not removed.
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(second);
        UnixStream::connect(&path).unwrap();

        let text = dir.path().join("notes.txt");
        fs::write(&text, "mine").unwrap();
        assert_eq!(at(&text).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&text).unwrap(), "mine");
    }
}
