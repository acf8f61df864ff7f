//! Where a database is, out of a URL. Holds the password and never shows it.

use super::error::UrlError;
use super::tls::{self, Connector, Trust, Verify};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// A database: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full`.
#[derive(Clone)]
pub struct Url {
    config: Box<Config>,
    trust: Trust,
    shown: String,
}

impl Url {
    /// Reads a URL. `sslmode` (`disable`, `prefer`, `require`, `verify-ca`, `verify-full`) and `sslrootcert` (a file)
    /// mean what they mean to PostgreSQL's own tools.
    ///
    /// # Errors
    /// What is wrong with it, without its password.
    pub fn parse(url: &str) -> Result<Url, UrlError> {
        let Some(rest) = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")) else {
            return Err(malformed("it must begin with postgres://"));
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut asked = Asked { mode: SslMode::Prefer, verify: Verify::Nothing, roots: None };
        let kept = asked.take(query)?;
        let plain = format!("postgres://{place}{}{}", if kept.is_empty() { "" } else { "?" }, kept.join("&"));
        let mut config = Config::from_str(&plain).map_err(|error| malformed(&reason(&error)))?;
        if config.get_hosts().is_empty() {
            return Err(malformed("it names no host"));
        }
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err(malformed("it names no database (…/DATABASE)"));
        }
        config.ssl_mode(asked.mode);
        if config.get_application_name().is_none() {
            config.application_name("syncline");
        }
        // Of several the one that takes writes, whichever that is by now.
        if config.get_hosts().len() > 1 && config.get_target_session_attrs() == TargetSessionAttrs::Any {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config.tcp_user_timeout(Duration::from_secs(15)).keepalives_idle(Duration::from_secs(15));
        let trust = tls::trust(asked.verify, asked.roots)?;
        Ok(Url { shown: shown(&config), config: Box::new(config), trust })
    }
}

impl Url {
    /// How to connect, with [`Url::connector`].
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// TLS as the URL asks for it.
    #[must_use]
    pub fn connector(&self) -> Connector {
        self.trust.connector()
    }

    /// The same under another name, by which the server shows its sessions.
    #[must_use]
    pub fn named(mut self, application: &str) -> Url {
        self.config.application_name(application);
        self
    }

    /// Whether the server is on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.config.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => name == "localhost" || name == "::1" || name.starts_with("127."),
            Host::Unix(_) => true,
        })
    }

    /// The same with a password from elsewhere.
    ///
    /// # Errors
    /// It holds one already.
    pub fn with_password(mut self, password: &str) -> Result<Url, UrlError> {
        if self.config.get_password().is_some() {
            let reason = "the password is given twice: in the URL and by `postgres.password_file`; keep one".to_owned();
            return Err(UrlError { place: self.shown, reason });
        }
        self.config.password(password);
        Ok(self)
    }

    /// The same where none of its hosts takes writes.
    #[must_use]
    pub fn for_a_replica(&self) -> Url {
        let mut url = self.clone();
        url.config.target_session_attrs(TargetSessionAttrs::Any);
        url
    }
}

/// The user, host and database, and no password.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// What the URL asks of TLS.
struct Asked {
    mode: SslMode,
    verify: Verify,
    roots: Option<PathBuf>,
}

impl Asked {
    /// Takes what the client library does not know and returns the rest.
    fn take<'q>(&mut self, query: &'q str) -> Result<Vec<&'q str>, UrlError> {
        let mut kept = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", mode)) => (self.mode, self.verify) = mode_of(mode)?,
                Some(("sslrootcert", path)) => self.roots = Some(PathBuf::from(path)),
                _ => kept.push(pair),
            }
        }
        if self.roots.is_some() && self.verify == Verify::Nothing && self.mode == SslMode::Require {
            self.verify = Verify::Signer;
        }
        Ok(kept)
    }
}

fn mode_of(mode: &str) -> Result<(SslMode, Verify), UrlError> {
    Ok(match mode {
        "disable" => (SslMode::Disable, Verify::Nothing),
        "prefer" => (SslMode::Prefer, Verify::Nothing),
        "require" => (SslMode::Require, Verify::Nothing),
        "verify-ca" => (SslMode::Require, Verify::Signer),
        "verify-full" => (SslMode::Require, Verify::Name),
        _ => return Err(malformed("sslmode is one of disable, prefer, require, verify-ca, verify-full")),
    })
}

fn shown(config: &Config) -> String {
    let user = config.get_user().unwrap_or_default();
    let ports = config.get_ports();
    let host = |(n, host): (usize, &Host)| {
        let port = ports.get(n).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(dir) => format!("{}:{port}", dir.display()),
        }
    };
    let hosts: Vec<_> = config.get_hosts().iter().enumerate().map(host).collect();
    let at = if user.is_empty() { "" } else { "@" };
    format!("postgres://{user}{at}{}/{}", hosts.join(","), config.get_dbname().unwrap_or_default())
}

/// The innermost reason, which names options and never their values.
fn reason(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| "it cannot be read".to_owned(), ToString::to_string)
}

fn malformed(reason: &str) -> UrlError {
    UrlError {
        place: "the database's URL".to_owned(),
        reason: format!("{reason}; write postgres://USER:PASSWORD@HOST:5432/DATABASE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let url = Url::parse("postgresql://ann:s3cret%21@db.example:6543/hub?sslmode=require").unwrap();
        assert_eq!(url.to_string(), "postgres://ann@db.example:6543/hub");
        assert_eq!(format!("{url:?}"), "postgres://ann@db.example:6543/hub");
        assert_eq!(url.config.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn several_hosts_and_socket_directories_are_places_too() {
        let hosts = Url::parse("postgres://ann@one:1,two:2/hub").unwrap();
        assert_eq!(hosts.to_string(), "postgres://ann@one:1,two:2/hub");
        let socket = Url::parse("postgres:///hub?host=/run/postgresql&user=ann").unwrap();
        assert_eq!(socket.to_string(), "postgres://ann@/run/postgresql:5432/hub");
    }

    #[test]
    fn a_wrong_url_says_what_is_wrong_and_keeps_the_password_to_itself() {
        for (url, says) in [
            ("mysql://ann:s3cret@db/hub", "must begin with postgres://"),
            ("postgres://ann:s3cret@db", "names no database"),
            ("postgres://ann:s3cret@db/hub?sslmode=s3cret", "sslmode is one of"),
            ("postgres://ann:s3cret@db/hub?colour=red", "colour"),
            ("postgres://ann:s3cret@db:port/hub", "port"),
        ] {
            let error = Url::parse(url).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
