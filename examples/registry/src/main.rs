//! A registry of files, users, groups, categories and registrators, whose pages stay in step: an axum server
//! of one's own with a Syncline hub inside. Open it in two windows.
//!
//! In reading order: [`hub`] sets the hub up, [`client`] provides the page client, [`site`] serves the pages, and
//! here all of it is put on one port. Holds no rule about data: pages read and push through the hub's HTTP.

mod client;
mod error;
mod hub;
mod site;

use clap::Parser;
use error::RegistryError;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use syncline_server::app::App;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Web pages that stay in step through a hub inside of their own server
#[derive(Parser)]
#[command(after_help = "Then open the address in two windows side by side.")]
struct Args {
    /// Address and port to listen on; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:7480", value_name = "ADDRESS:PORT")]
    listen: String,
    /// Where the hub keeps the documents
    #[arg(long, default_value = "./registry-data", value_name = "DIR")]
    data: PathBuf,
    /// Seconds without events after which a page looks for itself; at least 5
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    idle_seconds: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("registry: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), RegistryError> {
    let script = client::script()?;
    let app = hub::open(&args.data, args.idle_seconds).await?;
    let failed = |source| RegistryError::Io { action: format!("listening on `{}`", args.listen), source };
    let listener = TcpListener::bind(&args.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let stop = Stop::new()?;
    println!("http://{address}");

    // Everything that is not a page belongs to the hub.
    let routes = site::routes(script).fallback_service(syncline_server::router(Arc::clone(&app)));
    let served = axum::serve(listener, routes).with_graceful_shutdown(leave(Arc::clone(&app), stop)).await;
    app.hub.close().await?;
    served.map_err(|source| RegistryError::Io { action: format!("serving on {address}"), source })
}

/// On a signal: lets waiting polls and live connections go, so that the server can stop.
async fn leave(app: Arc<App>, mut stop: Stop) {
    stop.wait().await;
    app.hub.leave();
    app.door.close(app.options.settings.bounds.shutdown_grace).await;
}

/// SIGTERM and Ctrl-C.
struct Stop(Signal, Signal);

impl Stop {
    fn new() -> Result<Stop, RegistryError> {
        let listen = |kind| {
            signal(kind).map_err(|source| RegistryError::Io { action: "listening to signals".to_owned(), source })
        };
        Ok(Stop(listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?))
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}
