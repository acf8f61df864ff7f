//! What to do after a failure, where its message does not say it already.

use crate::error::CliError;
use std::io;
use syncline::sync::SyncError;
use syncline_attach::AttachError;
use syncline_server::ServerError;

impl CliError {
    fn document_exists(&self) -> bool {
        matches!(self, CliError::Database(syncline::Error::Exists { .. }))
    }

    /// What to do next, where the message does not say it already.
    pub fn next_step(&self) -> Option<String> {
        match self {
            CliError::UnknownKey { .. } | CliError::WrongValue { .. } | CliError::MissingKey { .. } => {
                Some("`syncline config` lists all keys; docs/configuration.md describes them".into())
            }
            CliError::HubRuns { url, .. } => {
                let url = url.as_deref().unwrap_or("URL");
                Some(format!("ask the running hub (add --hub {url} --token ADMIN_TOKEN), or stop it first"))
            }
            CliError::SecondHub { .. } => {
                Some("use the running hub, stop it, or give this one a directory of its own (--data DIR)".into())
            }
            CliError::SetBack => Some("start the hub anew; devices then start from what stands".into()),
            CliError::NoHubData { .. } => Some(
                "name the hub's directory (--data DIR) or the running hub (--hub URL); `syncline serve` makes one"
                    .into(),
            ),
            CliError::NoDatabase { .. } => {
                Some("check the path; `syncline db insert`, `import` and `sync` make a database".into())
            }
            CliError::NoMapping { .. } | CliError::Mapping { .. } | CliError::Attach(_) => self.after_attaching(),
            CliError::NoToken { .. } => Some("add --token TOKEN (`node add`: --admin-token), or set SYNCLINE_TOKEN".into()),
            CliError::Unreachable { url, .. } if url.starts_with("unix:") => {
                Some("check the path, that the hub runs, and that you are its user or in its group".into())
            }
            CliError::Sync(reason) if !is_about_reaching(reason) => None,
            CliError::Unreachable { .. } | CliError::Sync(_) => Some(
                "check the URL, also http or https, that the hub runs (`syncline serve`), and that this machine \
                 trusts its certificate (docs/configuration.md, HTTPS)"
                    .into(),
            ),
            CliError::OtherView { .. } | CliError::Cut(_) | CliError::SyncRefused(_) => self.after_syncing(),
            CliError::Server(ServerError::Io { source, .. }) => listening(source),
            CliError::File { action, source, .. } => Some(after_file(action, source)),
            CliError::Input(source) => Some(after_file("read", source)),
            CliError::Empty { .. } => Some(
                "check the command that was to write it: send its output there, or name a file that holds it".into(),
            ),
            CliError::NotJson { .. } => Some(
                "JSON has double quotes around names and texts, a shell wants single quotes around all of it: \
                 '{\"title\": \"milk\"}'"
                    .into(),
            ),
            CliError::SyncSetup(SyncError::OtherDialect { .. } | SyncError::ByPackets { .. })
            | CliError::Database(syncline::Error::Sync(SyncError::OtherDialect { .. } | SyncError::ByPackets { .. })) => {
                Some("`syncline db sync FILE` without `--protocol` goes on as the file has synced before".into())
            }
            CliError::Database(syncline::Error::Sync(SyncError::Packet(_))) => Some(
                "the hub writes packets for this database by `syncline exchange export --node NODE`; `syncline db \
                 status FILE` shows its node"
                    .into(),
            ),
            CliError::Incomplete { .. } => Some(
                "the other spaces are saved. Keep the earlier backups; stop the hub, bring each of these back from the newest \
                 one that has it (`syncline restore EARLIER_BACKUP --space NAME`), and take a backup again"
                    .into(),
            ),
            CliError::Import { source, .. } if source.document_exists() => {
                Some("add --upsert to replace the documents that exist".into())
            }
            CliError::Database(syncline::Error::InUse(_)) => {
                Some("a `db watch` or `db sync --watch` holds it, or the app itself; one process at a time".into())
            }
            CliError::Refused { .. } | CliError::RulesInDoubt { .. } => self.after_asking(),
            _ => None,
        }
    }

    fn after_syncing(&self) -> Option<String> {
        let step = match self {
            CliError::OtherView { .. } => {
                "compare with the token that the database syncs with; to go on with this one, `syncline db sync FILE \
                 --token TOKEN` loads the collection anew, and keeps what waits"
            }
            CliError::Cut(_) => "run the same command again; where it happens again, look at the hub's log",
            CliError::SyncRefused(_) => {
                "add another --token (or SYNCLINE_TOKEN); `syncline token list` shows what each may do"
            }
            _ => return None,
        };
        Some(step.into())
    }

    /// After a request of administration.
    fn after_asking(&self) -> Option<String> {
        let lost = "with no admin token left, stop the hub first and add `--data DIR`";
        let step = match self {
            CliError::RulesInDoubt { collection, .. } => format!(
                "once the hub runs again, `syncline rules show {collection}` tells whether they stand, and `syncline rules \
                 check {collection}` what breaks them"
            ),
            CliError::Refused { status: 401, .. } => {
                format!("check the token; `syncline token rotate NAME` makes a new one for an old name; {lost}")
            }
            CliError::Refused { status: 403, .. } => {
                "use a token with more rights; `syncline token list` shows what each may do".into()
            }
            _ => return None,
        };
        Some(step)
    }

    fn after_attaching(&self) -> Option<String> {
        let step = match self {
            CliError::NoMapping { .. } => "`syncline attach init DATABASE` proposes one; --mapping names another file",
            CliError::Mapping { .. } => "docs/attach.md describes every key of a mapping",
            CliError::Attach(AttachError::Unreachable { .. }) => {
                "check the URL and that the hub runs; what was registered waits"
            }
            _ => return None,
        };
        Some(step.into())
    }
}

/// Whether a sync failed on its way to the hub. A busy hub and the database itself say what they need.
fn is_about_reaching(reason: &str) -> bool {
    !["the hub is busy: ", "the local database failed: "].iter().any(|cause| reason.starts_with(cause))
}

/// What to do when a file cannot be used.
fn after_file(action: &str, reason: &io::Error) -> String {
    let step = match (action, reason.kind()) {
        ("read", io::ErrorKind::NotFound) => "check the path; one that begins without `/` counts from this directory",
        (_, io::ErrorKind::NotFound) => "make the directory first, or name a file in one that is there",
        (_, io::ErrorKind::IsADirectory) => "it is a directory: name a file in it",
        (_, io::ErrorKind::PermissionDenied) => "check who may use the file and its directory (`ls -l`)",
        (_, io::ErrorKind::StorageFull) => "make room on the disk, and do it again",
        (_, io::ErrorKind::InvalidData) => {
            "the file must be text in UTF-8; PowerShell's `>` may write UTF-16: let `--output FILE` write it"
        }
        _ => "check the file and the disk that it is on, and do it again",
    };
    step.into()
}

/// What to do when a port or a socket file cannot be listened on.
fn listening(reason: &io::Error) -> Option<String> {
    let step = match reason.kind() {
        io::ErrorKind::AddrInUse => "another program listens there; stop it, or choose another --listen",
        io::ErrorKind::InvalidInput => {
            "--listen takes ADDRESS:PORT, e.g. 127.0.0.1:7460 (port 0 picks a free one), or unix:PATH with at most 107 bytes"
        }
        io::ErrorKind::AlreadyExists => "the hub removes no other files; choose another path, or remove it yourself",
        io::ErrorKind::NotFound => "check that the file is there; for --listen unix:PATH, make its directory first",
        io::ErrorKind::PermissionDenied => "check who may write to that directory, or choose a port above 1023",
        io::ErrorKind::AddrNotAvailable => {
            "the address is not one of this machine; 0.0.0.0:7460 listens on all of them"
        }
        _ => return None,
    };
    Some(step.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_busy_hub_are_no_matter_of_the_address() {
        let step = |reason: &str| CliError::Sync(reason.to_owned()).next_step();
        assert_eq!(step("the local database failed: the disk of database `a.db` has no room for more"), None);
        assert_eq!(step("the hub is busy: the keys that tokens are signed with are being read"), None);
        assert!(step("the hub cannot be reached: Connection refused").unwrap().contains("check the URL"));
    }
}
