//! Who is at the other end of a live connection.

use crate::auth::Grant;
use crate::hub::Space;
use std::sync::Arc;

/// An accepted client.
#[derive(Clone)]
pub struct Caller {
    /// What its token allows; `None`: it came without one (`rooms.anonymous`) and may do nothing that needs a grant.
    pub grant: Option<Grant>,
    /// The space that it lives in.
    pub space: Arc<Space>,
}
