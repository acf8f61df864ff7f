//! Why the door ends a connection, as its client is told: over a WebSocket by its goodbye with a code and a reason
//! (RFC 6455, section 7.4).

/// A goodbye's reason has room for so many bytes.
const WHY_BYTES_MAX: usize = 123;
const NORMAL: u16 = 1000;

/// A goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Farewell {
    pub(super) code: u16,
    pub(super) why: &'static str,
}

impl Farewell {
    /// Nothing is left to be said over it.
    pub(super) const LEFT: Farewell = Farewell::new(NORMAL, "goodbye");
    /// The hub goes down; clients come back.
    pub(super) const GOING_AWAY: Farewell = Farewell::new(1001, "the hub is shutting down");
    /// What was sent breaks the protocol.
    pub(super) const fn malformed(why: &'static str) -> Farewell {
        Farewell::new(1002, why)
    }
    /// The content of a packet is no content.
    pub(super) const fn unreadable(why: &'static str) -> Farewell {
        Farewell::new(1007, why)
    }
    /// The client did what it may not do.
    pub(super) const fn refused(why: &'static str) -> Farewell {
        Farewell::new(1008, why)
    }
    /// More than it may be.
    pub(super) const fn too_large(why: &'static str) -> Farewell {
        Farewell::new(1009, why)
    }
    /// The same may do later.
    pub(super) const fn busy(why: &'static str) -> Farewell {
        Farewell::new(1013, why)
    }

    const fn new(code: u16, why: &'static str) -> Farewell {
        assert!(why.len() <= WHY_BYTES_MAX, "a goodbye's reason is short");
        Farewell { code, why }
    }

    /// Whether the client brought it about by what it sent.
    pub(super) fn is_fault(self) -> bool {
        self.code != NORMAL
    }
}
