//! Log lines of a running hub, on standard error: text for people, JSON for collectors. Secrets are
//! never handed to it.

use crate::config::Config;
use tracing_subscriber::EnvFilter;

/// Starts logging as the configuration asks.
pub fn start(config: &Config) {
    let level = config.text("log.level").unwrap_or("info");
    // Libraries below are quieter, so that `debug` shows the hub and not every socket.
    let filter = EnvFilter::new(format!("warn,syncline={level},syncline_server={level},syncline_core={level}"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.text("log.format") {
        Some("json") => lines.json().flatten_event(true).init(),
        _ => {
            let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
            lines.with_target(false).with_ansi(colour).init();
        }
    }
}
