//! The seam between the door and those who speak over its connections.

use super::line::{Incoming, Line};
use std::sync::Arc;

/// Somebody who speaks over live connections: the rooms, the event sync. All calls come in the order in which
/// things happen on a connection, on the task that reads it: nothing here may wait.
pub trait Listener: Send + Sync + 'static {
    /// A client was accepted; nothing can be sent to it before it has heard so.
    fn enter(&self, line: &Arc<Line>);

    /// A message came. Who does not know it gives it back, for the next.
    fn hear<'a>(&self, line: &Arc<Line>, incoming: Incoming<'a>) -> Option<Incoming<'a>>;

    /// The client is gone. Said once, after everything that it said.
    fn leave(&self, line: &Arc<Line>);
}
