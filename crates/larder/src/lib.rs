//! Larder: a locking, coherent application cache over Redis, a shared directory or local disk.

mod backend;
mod clock;
mod error;

pub use backend::{
    Applied, Backend, CacheId, CacheUsage, Change, Delta, Fetched, Op, Outcome, Position, Read,
};
pub use clock::Millis;
pub use error::{Error, ErrorKind, Result};
