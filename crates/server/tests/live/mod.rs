//! Stories of live clients.

mod bare;
mod device;
mod events;
mod link;
mod plugins;
mod rows;
mod workers;
