//! A backend on one Redis server (or one that speaks its protocol), over TCP, TLS or a Unix socket:
//! a given one, the primary that sentinels name, or the node of a cluster that has the slot of the
//! namespace.
//!
//! `docs/redis.md` says how entries and log are laid out, which commands are used and how to set up
//! the server. Nothing happens before the first use; then connections are kept for the life of the
//! process, and never shared with a forked child.

mod backend;
mod batch;
mod blame;
mod clock;
mod connection;
mod describe;
mod dial;
mod door;
mod failure;
mod identity;
mod keys;
mod last_changes;
mod link;
mod locks;
mod log;
mod login;
mod names;
mod pool;
mod posts;
mod primary;
mod read;
mod reply;
mod resp;
mod script;
mod settings;
mod stream;
mod survey;
mod tls;
mod trips;
mod wire;
mod write;

pub use backend::Redis;
pub use settings::Settings;
