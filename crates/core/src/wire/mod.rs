//! Bytes to words and back (steps 3 and 9 of the life of a change). Holds no rule about data.

pub mod aside;
pub mod digest;
pub mod exchange;
pub mod live;
pub mod object;
pub mod own;
pub mod ranges;
pub mod wise;
