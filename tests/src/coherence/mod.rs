//! A checker of promise 1: many processes read and write the same keys at random through near
//! caches and write journals; afterwards each read is held against what was acknowledged before its
//! sync point.
//!
//! No lock and no common clock but the machine's orders the processes, so the checker only says
//! what is certain. All times are of `CLOCK_BOOTTIME`: the start of a write is taken before the
//! engine is called, its end after the call returned; a read's sync point is a time *before* the
//! request for it was sent. Then a value that was read is wrong if
//!
//! - a write of the same key began after the value's own write had ended, and was acknowledged
//!   before the read's sync point, or before the read by the process that reads: it was
//!   overwritten, deleted or purged;
//! - it was filled in after a miss, was computed from a truth, and a process that already knew a
//!   newer truth began to overwrite, delete or purge, and was acknowledged, before the read's sync
//!   point (a stale fill);
//! - nobody had begun to write it to this key.
//!
//! A miss is wrong if a set of the key was acknowledged before its sync point and no delete or
//! purge can have come after that set, nor a fill that lost against it; only while nothing disturbs
//! the backend, since a cache may lose entries.
//!
//! A write whose outcome is unknown overwrites nothing for certain, but R7 says that it ends when
//! the call returns. One whose process was killed ends when it cannot take effect any more.

mod actor;
mod check;
mod crew;
mod journal;
mod truth;
mod worker;

pub use actor::Actor;
pub use check::{Summary, Told, check};
pub use crew::{Crew, Seat};
pub use journal::{Journal, Outcome, Write};
pub use truth::Truth;
pub use worker::{Worker, run};

use rustix::time::{ClockId, clock_gettime};

/// The caches that all workers use.
pub const CACHES: usize = 3;
/// The keys of each of them.
pub const KEYS: usize = 12;

/// One key of one cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The number of the cache.
    pub cache: usize,
    /// The number of the key.
    pub key: usize,
}

impl Name {
    /// All keys of a cache.
    pub fn all_of(cache: usize) -> impl Iterator<Item = Self> {
        (0..KEYS).map(move |key| Self { cache, key })
    }

    /// All keys.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CACHES).flat_map(Self::all_of)
    }
}

/// Nanoseconds since boot, on the clock that all processes of the machine share.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
