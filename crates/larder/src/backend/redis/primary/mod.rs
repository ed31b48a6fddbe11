//! Which server is the primary of the namespace now: as sentinels say, or as the nodes of a cluster
//! do.

mod cluster;
mod sentinel;
mod way;

pub(super) use cluster::Cluster;
pub(super) use sentinel::{Sentinels, Watch};
pub(super) use way::Way;
