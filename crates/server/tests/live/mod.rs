//! Stories of live clients.

mod bare;
mod device;
mod events;
mod plugins;
