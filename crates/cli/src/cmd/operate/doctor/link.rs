//! The Redis between workers. Nothing is lost without it, so nothing here is worse than worth a look.

use super::finding::Finding;
use syncline_server::RedisOptions;
use syncline_server::redis::examine;

/// Looks whether messages pass.
pub async fn look(options: &RedisOptions) -> Finding {
    const CHECK: &str = "redis";
    let place = options.shown();
    match examine(options).await {
        Ok(facts) => {
            let version = facts.version.map(|version| format!(" ({version})")).unwrap_or_default();
            let listeners = facts.listeners.map(|n| format!("; {n} workers listen")).unwrap_or_default();
            Finding::fine(CHECK, format!("{place}{version} passes messages{listeners}"))
        }
        Err(error) => {
            let next = "until then workers hear of each other by the database, or by looking, and pages only of what their worker does";
            Finding::look(CHECK, format!("{place}: {error}"), next.into())
        }
    }
}
