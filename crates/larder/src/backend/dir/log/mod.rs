//! The log: a chain of segments that processes of all nodes append to, one at a time, and read
//! without a lock.
//!
//! Nothing here knows what a record is good for; what the records make is the
//! [replica](super::replica).

mod follow;
mod frame;
mod root;
mod segment;
mod setup;
mod tail;

pub(super) use self::follow::Log;
pub(super) use self::tail::{Chunk, Commit};
