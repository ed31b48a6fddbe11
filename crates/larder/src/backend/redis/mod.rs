//! A backend on one Redis server (or one that speaks its protocol), over TCP, TLS or a Unix socket.
//!
//! `docs/redis.md` says how entries and log are laid out, which commands are used and how to set up the server.
//! Nothing happens before the first use; then connections are kept for the life of the process, and never shared with
//! a forked child.

mod backend;
mod batch;
mod blame;
mod clock;
mod connection;
mod describe;
mod door;
mod failure;
mod identity;
mod keys;
mod last_changes;
mod link;
mod locks;
mod log;
mod names;
mod pool;
mod posts;
mod read;
mod reply;
mod resp;
mod script;
mod settings;
mod stream;
mod survey;
mod tls;
mod wire;
mod write;

pub use backend::Redis;
pub use settings::Settings;
