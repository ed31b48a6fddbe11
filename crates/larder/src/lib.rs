//! Larder: a coherent application cache over Redis or local disk, with decoded values in memory.
//!
//! [`Store`] and [`Cache`] are what a Rust program uses; [`Engine`] is for bindings to other languages, which keep
//! their own kind of decoded values in memory; [`Backend`] is the contract of what keeps the entries.
//! `docs/design.md` says what is promised and why it is built so, `docs/protocol.md` has the rules.

#![deny(unsafe_code)]

pub mod backend;
mod breaker;
mod bytes;
mod clock;
mod coherence;
mod config;
pub mod contract;
mod emptied;
mod engine;
mod entry;
mod error;
mod fills;
mod lock;
mod near;
mod node_state;
mod open;
pub mod payload;
mod random;
mod refusals;
mod stats;
mod store;
mod threads;

pub use backend::failover::Failover;
pub use backend::{dir, redis, tier};
pub use clock::Millis;
pub use config::{Config, NAMES as CONFIG_NAMES, RedisAddress, Secret, Server};
pub use contract::{
    Applied, Attempt, Backend, CacheId, CacheUsage, Change, Claim, Delta, Fetched, Guard, Handed, Health,
    LockBackend, LockInfo, LockKind, LockProof, MAX_CACHE_NAME, MAX_CHANGES, Op, Outcome, Position, Read,
    Renewal, Ruling, Since, Tier, Token, lock_name, named_lock_name, parse_lock_name,
};
pub use engine::{AuditRecord, Decode, Engine, Handle, Item, MAX_KEY, Memories, key_lock, named_lock};
pub use error::{Error, ErrorKind, Result};
pub use fills::rules as fill_rules;
pub use lock::{Forgotten, LockGuard, NamedLocks, rules as lock_rules};
pub use open::open as open_backend;
pub use payload::Value;
pub use stats::Stats;
pub use store::{Cache, CacheOptions, Store};
