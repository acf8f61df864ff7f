//! Who may do what (step 3 of the life of a change): tokens, their secrets and their grants.
//! Never keeps or logs a secret; only its SHA-256.

mod change;
mod declared;
mod earlier;
mod former;
mod gate;
mod grant;
mod jwt;
mod remarks;
mod rows;
mod secret;
mod spec;
mod tokens;

pub use change::TokenChange;
pub use earlier::EarlierViews;
pub use former::Earlier;
pub use gate::{Gate, Handshake};
pub use grant::{Access, Grant};
pub use jwt::{JwtAlgorithm, JwtGrant, JwtKeys, JwtOptions};
pub use rows::{RowAccess, RowRules};
pub use secret::Secret;
pub use spec::{DeclaredToken, TokenSpec};
pub use tokens::{TokenView, Tokens};
