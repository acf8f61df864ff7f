//! What the door asks the hub, and nothing else of it.

use crate::auth::{Gate, Tokens};
use crate::hub::Hub;
use crate::meters::Meters;
use crate::options::Bounds;
use std::sync::Arc;
use syncline_core::model::SpaceName;
use tokio::sync::Semaphore;

/// The hub as seen from its door.
pub(crate) struct House {
    pub hub: Arc<Hub>,
    pub tokens: Arc<Tokens>,
    /// An application's own decision, instead of the tokens.
    pub gate: Option<Gate>,
    /// The space of those who name none.
    pub default_space: SpaceName,
    /// Whether those come in who have no token (`rooms.anonymous`).
    pub anonymous: bool,
    /// Messages of one connection (`live.events_per_second`).
    pub events_per_second: u32,
    /// One message (`live.message_bytes`).
    pub message_bytes: usize,
    /// What all bodies may take, those of other requests among them.
    pub body_bytes: Arc<Semaphore>,
    pub bounds: Bounds,
    pub meters: Arc<Meters>,
}
