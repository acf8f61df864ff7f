//! Seeded worlds for Syncline and the contract that every store passes. For tests only.

pub mod contract;
pub mod world;
