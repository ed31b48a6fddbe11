//! What is asked of entries, and what is answered.

use super::cache::CacheId;
use super::guard::Guard;
use super::locks::LockProof;
use super::log::Delta;
use crate::clock::Millis;

/// One entry to read.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    /// The cache.
    pub cache: &'a CacheId,
    /// The key: any bytes, at most 64 KiB.
    pub key: &'a [u8],
}

/// One change to make.
#[derive(Clone, Copy, Debug)]
pub enum Op<'a> {
    /// Stores an entry, replacing the one before.
    Set {
        /// The cache.
        cache: &'a CacheId,
        /// The key.
        key: &'a [u8],
        /// The encoded entry (opaque here).
        entry: &'a [u8],
        /// When the entry may be reclaimed, on the backend's clock. Readers enforce expiry
        /// themselves.
        expires: Option<Millis>,
        /// Store only if key and cache did not change since. Ignored for unlogged caches.
        guard: Option<Guard>,
        /// Store only while the lock on this key is still the one that was granted; if not, the
        /// whole batch fails with
        /// [`LockLost`](crate::ErrorKind::LockLost), and nothing of it takes effect (R24).
        lock: Option<LockProof>,
    },
    /// Removes an entry. Logged even if there was none: others may hold in memory what the backend
    /// evicted.
    Delete {
        /// The cache.
        cache: &'a CacheId,
        /// The key.
        key: &'a [u8],
    },
    /// Removes all entries of a cache.
    Purge {
        /// The cache.
        cache: &'a CacheId,
    },
}

impl<'a> Op<'a> {
    /// The cache that it changes.
    pub fn cache(&self) -> &'a CacheId {
        match *self {
            Self::Set { cache, .. } | Self::Delete { cache, .. } | Self::Purge { cache } => cache,
        }
    }
}

/// The answer to [`Backend::fetch`](super::Backend::fetch).
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The changes since.
    pub delta: Delta,
    /// The entries, in the order asked for; `None` where there is none.
    pub entries: Vec<Option<Vec<u8>>>,
}

/// The answer to [`Backend::apply`](super::Backend::apply).
#[derive(Clone, Debug)]
pub struct Applied {
    /// The changes since, by others.
    pub delta: Delta,
    /// What became of each operation, in order.
    pub outcomes: Vec<Outcome>,
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The entry was stored.
    Stored,
    /// The guard failed: something changed since, and what stands is left alone.
    Dropped,
    /// The guard of a fill failed against a set of another value: neither is left, the key is
    /// deleted.
    Cleared,
    /// The entry is gone; `existed` says whether there was one.
    Deleted {
        /// Whether there was an entry.
        existed: bool,
    },
    /// The cache is empty.
    Purged,
}

/// What became of a fill that was [posted](super::Backend::post).
#[derive(Clone, Debug)]
pub struct Settled {
    /// The cache.
    pub cache: CacheId,
    /// The key.
    pub key: Box<[u8]>,
    /// `None` if it was refused or lost, or nobody knows.
    pub outcome: Option<Outcome>,
    /// What happened up to its record, if that follows what the caller knows.
    pub delta: Option<Delta>,
}

/// How much a cache holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheUsage {
    /// The cache.
    pub cache: CacheId,
    /// Its entries, expired ones that were not reclaimed yet included.
    pub entries: u64,
}
