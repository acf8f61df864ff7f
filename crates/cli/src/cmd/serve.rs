//! `syncline serve`: runs a hub until it is told to stop. Prints its address and, when it had to
//! make one, the first admin token to standard output; the log goes to standard error and never
//! holds a secret.

use crate::config::Config;
use crate::error::CliError;
use crate::groups::ConfigArgs;
use crate::hub::{HubAddress, StorePlace, options};
use crate::log;
use crate::output::{Output, Style};
use crate::stop::Stop;
use serde::Serialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use syncline_core::model::NodeId;
use syncline_server::Server;
use syncline_server::auth::{TokenSpec, TokenView, Tokens};
use syncline_server::store::{self, StoreError};

/// Arguments of `syncline serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Without arguments the hub keeps its data in ./syncline-data and listens on 127.0.0.1:7460.
On its first start it makes an admin token and prints it, this once.

Examples:
  syncline serve
  syncline serve --listen 0.0.0.0:7460 --data /var/lib/syncline --config /etc/syncline.toml
  SYNCLINE_ADMIN_TOKEN=$(openssl rand -hex 32) syncline serve --log-format json
  syncline serve --store postgres://hub@db.example/hub --set postgres.password_file=/etc/syncline/db
  syncline serve --listen 127.0.0.1:0 --ready-file hub.ready     a free port; the file tells which
  syncline serve --listen unix:/run/syncline/one.sock            behind a proxy; its owner and group may connect
  syncline serve --tls-cert cert.pem --tls-key key.pem --cors-origins https://app.example.com

SIGTERM and Ctrl-C stop it after it has answered what it accepted.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Address and port to listen on; port 0 picks a free one [default: 127.0.0.1:7460]. Or unix:PATH, a socket
    /// file for a proxy on this machine (see docs/deploy)
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// File that holds an admin token [default: the hub makes one]
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<String>,
    /// Certificate chain (PEM) for HTTPS
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Private key (PEM) of the certificate
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// Origins whose pages may call the hub; * allows all
    #[arg(long, value_name = "A,B")]
    cors_origins: Option<String>,
    /// How log lines look: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// The least important log lines: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Write {"url", "pid", "version"} to this file once connections are accepted
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Take up files of spaces that belong to no space of hub.db, and begin a hub.db where it was lost; tokens and
    /// rules are then gone
    #[arg(long)]
    adopt: bool,
}

/// What a started hub tells.
#[derive(Serialize)]
struct Started<'a> {
    url: &'a str,
    pid: u32,
    data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_token: Option<&'a str>,
}

/// Runs the hub until a signal stops it.
///
/// # Errors
/// The configuration is wrong, the data directory is in use, the address is taken.
pub async fn run(args: &Args, output: Output) -> Result<(), CliError> {
    let config = args.load()?;
    let options = options(&config)?;
    log::start(&config);
    for name in &config.strange_variables {
        tracing::warn!(variable = %name, "a variable begins with SYNCLINE_ and sets no key");
    }
    let place = StorePlace::of(&config)?;
    if let Some(data) = place.directory().filter(|_| args.adopt) {
        for space in store::adopt(data).map_err(|error| in_use(error.into(), data))? {
            tracing::warn!(%space, "a file that no space owned is taken up");
        }
    }
    let store = place.open(&config).await.map_err(|error| in_use(error, &config.data_dir()))?;
    if let Some(data) = place.directory() {
        for file in store::strays(data)? {
            tracing::warn!(%file, "no space owns this file in `spaces`: `syncline serve --adopt` takes it up, or move it away");
        }
    }
    // Before anybody can see that the hub is there: a signal from then on ends it in order.
    let mut stop = Stop::new()?;
    let server = Server::bind(store, options).await?;
    let first = first_admin(&server.app().tokens).await?;
    let address = address(&server);
    let files = Announced::write(&address, place.directory(), args.ready_file.as_deref())?;
    tracing::info!(url = %address.url, data = %place, "the hub accepts connections");
    announce(&address, &place, first.as_ref(), output)?;
    let mut set_back = server.app().hub.set_back();
    let ended = set_back.clone();
    let stopped = server.run(async move {
        tokio::select! {
            signal = stop.wait() => tracing::info!(signal, "the hub finishes what it accepted and stops"),
            _ = set_back.wait_for(|set_back| *set_back) => tracing::error!("the hub stops, to be started anew"),
        }
    });
    stopped.await?;
    files.remove();
    tracing::info!("the hub has stopped");
    let set_back = *ended.borrow();
    if set_back { Err(CliError::SetBack) } else { Ok(()) }
}

impl Args {
    fn load(&self) -> Result<Config, CliError> {
        self.config.load_with(vec![
            ("listen", self.listen.clone()),
            ("admin_token_file", self.admin_token_file.clone()),
            ("tls.cert", self.tls_cert.clone()),
            ("tls.key", self.tls_key.clone()),
            ("cors.origins", self.cors_origins.clone()),
            ("log.format", self.log_format.clone()),
            ("log.level", self.log_level.clone()),
        ])
    }
}

/// For `serve` another hub on the same data is the mistake itself.
fn in_use(error: CliError, data: &Path) -> CliError {
    match error {
        CliError::Store(StoreError::InUse(store)) => {
            CliError::SecondHub { store, url: HubAddress::read(&HubAddress::file_in(data)).map(|address| address.url) }
        }
        other => other,
    }
}

/// A token that was made because the hub had no admin.
struct FirstAdmin {
    name: NodeId,
    secret: String,
}

async fn first_admin(tokens: &Tokens) -> Result<Option<FirstAdmin>, CliError> {
    loop {
        let known = tokens.list();
        if known.iter().any(|token| token.spec.admin) {
            return Ok(None);
        }
        let name = free_name(&known)?;
        match tokens.add(TokenSpec::admin(name.clone())).await {
            Ok(secret) => return Ok(Some(FirstAdmin { name, secret: secret.reveal().to_owned() })),
            // Another worker that starts on the same store was first; the list has its token by now.
            Err(error) if error.code() == "token_exists" => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// `admin`, or `admin-2` and so on where that is the name of an ordinary token.
fn free_name(known: &[TokenView]) -> Result<NodeId, CliError> {
    let taken = |name: &NodeId| known.iter().any(|token| token.spec.name == *name);
    let mut name = NodeId::new("admin")?;
    let mut number = 2;
    while taken(&name) {
        name = NodeId::new(format!("admin-{number}"))?;
        number += 1;
    }
    Ok(name)
}

/// Where others on this machine reach the hub.
fn address(server: &Server) -> HubAddress {
    let url = match server.addr().tcp() {
        Some(listen) if listen.ip().is_unspecified() => {
            let here: IpAddr = if listen.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            server.url().replace(&listen.to_string(), &SocketAddr::new(here, listen.port()).to_string())
        }
        _ => server.url(),
    };
    HubAddress { url, pid: std::process::id(), version: env!("CARGO_PKG_VERSION").into() }
}

/// The files that tell others of the hub.
struct Announced(Vec<PathBuf>);

impl Announced {
    fn write(address: &HubAddress, data: Option<&Path>, ready: Option<&Path>) -> Result<Announced, CliError> {
        let files: Vec<PathBuf> = data.map(HubAddress::file_in).into_iter().chain(ready.map(Path::to_owned)).collect();
        for file in &files {
            address.write(file)?;
        }
        Ok(Announced(files))
    }

    /// A file that stays behind misleads nobody for long: the lock on the store is what counts.
    fn remove(self) {
        for file in self.0 {
            if let Err(error) = std::fs::remove_file(&file) {
                tracing::warn!(file = %file.display(), %error, "the address file stays behind");
            }
        }
    }
}

fn announce(
    address: &HubAddress,
    place: &StorePlace,
    first: Option<&FirstAdmin>,
    output: Output,
) -> Result<(), CliError> {
    let started = Started {
        url: &address.url,
        pid: address.pid,
        data: place.to_string(),
        admin_token: first.map(|first| first.secret.as_str()),
    };
    output.result(&started, || {
        let mut text = format!(
            "Syncline hub {} listens on {}\ndata: {}\n",
            address.version,
            output.paint(Style::Bold, &address.url),
            place,
        );
        if let Some(first) = first {
            text.push_str(&format!(
                "\nFirst admin token (`{}`):\n\n  {}\n\n{}\n",
                first.name,
                output.paint(Style::Bold, &first.secret),
                output.paint(Style::Faint, "Keep it now: it is shown only once and cannot be read back."),
            ));
        }
        text
    })
}
