//! Events that become one commit, gathered in their order. Bounded by the documents that they name, so that others get
//! their turn.

use syncline_core::model::LiveEvent;

/// Documents that the events of one commit name.
pub(super) const NAMED_MAX: usize = 1_000;

/// What the next commit takes.
#[derive(Default)]
pub(crate) struct Run {
    events: Vec<LiveEvent>,
    named: usize,
}

impl Run {
    /// Takes an event whose documents are known. `true`: it is time to commit.
    pub(crate) fn add(&mut self, event: LiveEvent) -> bool {
        self.named += event.names().count().max(1);
        self.events.push(event);
        self.named >= NAMED_MAX
    }

    /// Hands out what was gathered, and begins anew.
    pub(crate) fn take(&mut self) -> Vec<LiveEvent> {
        std::mem::take(self).events
    }
}
