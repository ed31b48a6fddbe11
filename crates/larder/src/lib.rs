//! A coherent application cache over Redis, a shared directory or local disk, with decoded values
//! in memory.
//!
//! Several processes, on one node or many, use one [`Store`]. Each keeps the values that it has
//! read in its own memory and serves them from there, and none serves a value that another has
//! overwritten or deleted: one small round trip a request, or one a second, tells it what has
//! changed. So a warm read costs no round trip and no decoding of what a server sent, and the cache
//! is still one cache.
//!
//! # Examples
//!
//! A cache on Redis:
//!
//! ```no_run
//! use std::time::Duration;
//! use larder::{CacheKind, Config, Store};
//!
//! let config = Config::builder("redis://localhost:6379").namespace("shop").near_bytes(8 << 20).build()?;
//! let store = Store::open(&config)?;
//! let prices = store.cache_with("prices", CacheKind::Logged, Some(Duration::from_secs(3600)))?;
//!
//! let price: u32 = match prices.get("apple")? {
//!     Some(price) => price,
//!     None => {
//!         let price = 120; // Computed, at some cost.
//!         prices.set("apple", &price)?;
//!         price
//!     }
//! };
//! prices.delete("apple")?; // No process serves it any more.
//! # let _ = price;
//! # Ok::<(), larder::Error>(())
//! ```
//!
//! A cache in a directory of this machine, without any server:
//!
//! ```
//! # let dir = std::env::temp_dir().join(format!("larder-doc-local-{}", std::process::id()));
//! use larder::{Config, Store};
//!
//! let store = Store::open(&Config::from_url(&format!("local:{}", dir.display()))?)?;
//! let courses = store.cache("courses")?;
//! courses.set("42", &("Rust for cooks", 6))?;
//! assert_eq!(courses.get("42")?, Some(("Rust for cooks".to_owned(), 6)));
//! courses.purge()?;
//! assert_eq!(courses.get::<(String, u32)>("42")?, None);
//! # std::fs::remove_dir_all(dir).ok();
//! # Ok::<(), larder::Error>(())
//! ```
//!
//! A lock on an entry, which one process holds at a time, and which is free when that process dies
//! ([`Store::lock`] is for what is outside of the cache):
//!
//! ```
//! # let dir = std::env::temp_dir().join(format!("larder-doc-locks-{}", std::process::id()));
//! use std::time::Duration;
//! use larder::{Config, Store};
//!
//! let store = Store::open(&Config::from_url(&format!("local:{}", dir.display()))?)?;
//! let reports = store.cache("reports")?;
//! if let Some(lock) = reports.lock("today", "host 7", Duration::from_secs(5))? {
//!     // Stores nothing once another may have got the lock.
//!     reports.set_locked(&lock, "today", &42)?;
//! } // Released here.
//! assert_eq!(reports.get("today")?, Some(42));
//! # std::fs::remove_dir_all(dir).ok();
//! # Ok::<(), larder::Error>(())
//! ```
//!
//! `examples/` of the crate has programs: `cache`, `locks`, `coherent` (two processes see each
//! other's writes) and `backend` (a backend of one's own).
//!
//! # Guarantees
//!
//! 1. **Coherent.** No read returns a value whose overwriting, deletion or purge was acknowledged
//!    before the read's *sync point*: the first operation of a request, every round trip, acquiring
//!    a lock, and any read more than `max_staleness` (1 s) after the last one. A process always
//!    reads its own writes.
//! 2. **An acknowledged invalidation is not lost**, through restarts, failovers and restored copies
//!    of the server. What cannot be promised is answered by an error.
//! 3. **A lock has one holder**, with a lease and a fencing number; the next in line is woken.
//! 4. **Every call is bounded** by `connect_timeout` and `read_timeout`. A backend that is away is
//!    left alone for a moment, by all processes of the node together.
//!
//! # Features
//!
//! Backends: Redis (TCP, TLS, Unix socket), a directory on this machine, a directory that nodes
//! share. Before them, by an option of [`Config`]: a tier of the node's own disk, and a fallback
//! that takes over while Redis is away. Values are typed through serde and readable from PHP; they
//! may be compressed and sealed with a secret. Programs need none of the crate's Cargo features:
//! the one that there is, `next-entry-version`, is for tests.
//!
//! # Limits
//!
//! - Linux only, and Redis of version 6.2 or later (tested with 7.0), alone, with sentinels or as a
//!   cluster, of which one node has all entries of a namespace.
//! - Keys have at most 64 KiB, names of caches 200 bytes, values 1 GiB, on Redis 512 MiB as stored.
//! - A log lists at most 1000 changes; a process that missed more drops what it holds of the caches
//!   that changed, and keeps the others. Only if the backend cannot tell which these are, the
//!   process empties its memory.
//! - Calls block their thread; there is no async interface.
//! - An entry may vanish: it is a cache. Entries of [`CacheKind::Durable`] are kept as long as the
//!   server keeps its data.
//!
//! # Modules
//!
//! The crate's root is what a program needs. [`engine`] is for bindings to other languages, which
//! keep their own kind of decoded values in memory; [`contract`] is for backends. Both may change
//! between minor versions.

#![deny(unsafe_code)]

mod backend;
mod breaker;
mod bytes;
mod clock;
mod coherence;
mod config;
pub mod contract;
mod emptied;
pub mod engine;
mod entry;
mod error;
mod fills;
mod lock;
mod near;
mod node_name;
mod node_state;
mod open;
mod payload;
mod random;
mod refusals;
mod statistics;
mod store;
#[doc(hidden)]
pub mod testing;
mod threads;

pub use config::{Config, ConfigBuilder};
pub use contract::health::Health;
pub use error::{Error, ErrorKind};
pub use lock::LockGuard;
pub use payload::Value;
pub use statistics::Stats;
pub use store::{Cache, CacheKind, Store};
