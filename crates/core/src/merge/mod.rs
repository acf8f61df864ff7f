//! The merge rule.
