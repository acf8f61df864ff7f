//! The client's session machine.
