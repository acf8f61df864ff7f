//! Stories of live clients.

mod bare;
mod device;
mod events;
mod link;
mod plugins;
mod workers;
