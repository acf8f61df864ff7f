//! Named limits (DESIGN: "Bounded"). Every refusal names one of these.

/// What one request, document or page may weigh. All are configurable on the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request body, before decompression and after (`limits.body_bytes`).
    pub body_bytes: usize,
    /// Elements of `ops` in one push (`limits.batch_ops`).
    pub batch_ops: usize,
    /// Bytes of one document as JSON text (`limits.document_bytes`).
    pub document_bytes: usize,
    /// Nesting of objects and arrays in one document (`limits.depth`), at most [`Limits::DEPTH_MAX`].
    pub depth: usize,
    /// Changes in one page (`limits.page_changes`).
    pub page_changes: usize,
    /// Bytes of one page (`limits.page_bytes`).
    pub page_bytes: usize,
    /// How far ahead of the hub's clock a stamp may be, in milliseconds (`limits.clock_drift_ms`).
    pub clock_drift_ms: u64,
}

impl Limits {
    /// The deepest nesting that a hub may be set to take: JSON readers, the one of our client among
    /// them, follow 128 levels, and messages add a few around the document.
    pub const DEPTH_MAX: usize = 100;
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 64 << 20,
            batch_ops: 10_000,
            document_bytes: 16 << 20,
            depth: 64,
            page_changes: 1_000,
            page_bytes: 4 << 20,
            clock_drift_ms: 60_000,
        }
    }
}
