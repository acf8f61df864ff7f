//! The signals that end a long-running command: SIGTERM and SIGINT (Ctrl-C).

use crate::error::CliError;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from its making on, so that no signal is missed.
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Starts to listen.
    ///
    /// # Errors
    /// The operating system does not hand over signals.
    pub fn new() -> Result<Stop, CliError> {
        let listen = |kind| signal(kind).map_err(CliError::Signal);
        Ok(Stop { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for one of them; its name.
    pub async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
