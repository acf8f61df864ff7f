//! Two devices and a foreign client at once.
