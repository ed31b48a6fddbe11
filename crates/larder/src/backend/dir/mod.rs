//! The `dir:` backend: a directory that several nodes share, on NFS (EFS) or any other filesystem
//! with locks.
//!
//! Entries and the log of their changes are files; `docs/dir.md` says what is in them, which calls
//! are made and what the mount has to be like. In short:
//!
//! - The log is a chain of segments. A record is appended under a lock and synced; it is the only
//!   commit point, and the index: every process follows the log and so knows where each entry is.
//! - Small entries stand in the log itself, larger ones in a file of their own that is synced
//!   before the record. No file name is used twice and nothing that a record names is ever changed,
//!   so no cache of any node can hold something old under it.
//! - Reading takes no lock: open, read what follows the record known last, close.
//! - When a segment is full, the index is written beside it, and a new process begins there.
//! - Locks are records of the same log: what grants one is in order with what is written under it.
//!
//! Its rooms, each of which imports from those before it only: `fs` makes the calls; `replica` is
//! what records make, as plain state; `log` reads and appends records; `locks` decides about locks;
//! `entries` reads and writes entries. `client` joins them, and `backend` hands it requests.

mod backend;
mod client;
mod describe;
mod entries;
mod fs;
mod locks;
mod log;
mod replica;
mod settings;

pub use self::backend::Dir;
pub use self::fs::Observer;
pub use self::settings::Settings;
