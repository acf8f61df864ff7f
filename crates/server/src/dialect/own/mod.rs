//! Own clients: pages, snapshots and pushes as `spec/lsn.md` describes them.

mod digests;
mod encode;
mod late;
mod pull;
mod push;
mod reader;
mod snapshot;
mod socket;
mod told;

pub(super) use digests::digests;
pub(super) use late::{is_open, late_conflicts};
pub(super) use pull::pull;
pub(super) use push::push;
pub(super) use reader::{as_node, compares_packets};
pub(super) use snapshot::snapshot;
pub(super) use socket::open as open_socket;
