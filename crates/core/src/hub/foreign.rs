//! Ops of foreign clients, woven back into the order in which they were made.
