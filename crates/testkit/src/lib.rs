//! What Larder's tests are made of: backends with faults, real servers, one conformance suite.

mod cluster;
pub mod conformance;
mod managed;
mod memory;
mod proxy;
mod redis_server;
mod sentinels;
pub mod slowfs;
mod small_disk;

pub use cluster::{Cluster, Move};
pub use managed::{Managed, Refuses};
pub use memory::Memory;
pub use proxy::{Answers, Proxy};
pub use redis_server::{RedisServer, free_port, require_redis};
pub use sentinels::Sentinels;
pub use small_disk::SmallDisk;

/// Says that a test is skipped because this machine lacks what it needs.
///
/// # Panics
/// In continuous integration (`CI=true`), where nothing may be missing.
pub fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "missing in continuous integration: {why}");
    eprintln!("skipped: {why}");
}
