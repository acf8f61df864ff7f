//! The hub's door: listening, framing of requests, and everything that is not the dialect. Holds
//! no rule about data.

mod accept;
mod address;
mod admin;
mod cors;
mod docs;
mod frame;
mod listen;
mod open;
mod rooms;
mod router;
mod stall;
mod state;

pub use address::ListenAddress;
pub use listen::Server;
pub use open::open;
pub(crate) use router::socket_router;
pub use router::{ROUTES, router};
