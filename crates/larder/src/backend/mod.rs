//! The contract between Larder and what keeps its entries.
//!
//! A backend holds *entries*, grouped in *caches*, and beside them one ordered, bounded *log of changes*. A
//! write changes the entries and appends one record to the log in a single atomic step. Every answer brings the
//! changes since the position the caller last saw, so a caller that keeps decoded values in memory (the near
//! cache) learns in the same round trip which of them are no longer current.
//!
//! What every backend must do, checked by one conformance suite (`larder-testkit`); rule numbers are those of
//! `docs/protocol.md`:
//!
//! 1. **Position before data.** The log is read before the entries; an answer's entries are at least as new as
//!    its [`Delta::position`] (R3).
//! 2. **Exact gaps.** If the record at `since` (incarnation, id and nonce) is no longer in the log, or more than
//!    [`MAX_CHANGES`] followed it, the answer says `reset` and lists no changes. It never guesses (R1, R2).
//! 3. **One identity.** A backend serves only while it is sure that it lost nothing it acknowledged; when it
//!    is not sure (restart, failover, restored copy) it empties the logged caches under a new incarnation before
//!    it answers (R5).
//! 4. **Guards.** A [`Op::Set`] with a [`Guard`] takes effect only if its key and cache did not change since that
//!    position (R6). Otherwise it is [`Outcome::Dropped`] and nothing is written for it; but a fill that lost against
//!    a set of another value is [`Outcome::Cleared`]: the key is deleted, and that is logged.
//! 5. **No zombies.** When a write returned an error, it will not take effect after that return (R7). It may
//!    have taken effect before.
//! 6. **All or nothing.** The operations of one `apply` take effect together, in order, or not at all.
//! 7. **Unlogged caches** are outside of all this: no records, no incarnation. They survive a change of
//!    identity, and nobody may keep their entries in memory.

pub mod dir;
pub mod failover;
pub(crate) mod guard;
mod local;
mod owner;
pub mod redis;
pub mod tier;

use std::sync::Arc;

pub use self::guard::{Guard, Ruling, Since};
use self::local::Local;
use crate::clock::Millis;
use crate::config::{Config, Server};
use crate::error::{Error, Result};
use crate::lock::{LockBackend, LockProof};

/// The most changes that an answer lists; when more happened, it says `reset`.
pub const MAX_CHANGES: usize = 1000;

/// The longest cache name, in bytes.
pub const MAX_CACHE_NAME: usize = 200;

/// What the names of caches begin with that Larder keeps for itself.
pub(crate) const RESERVED: char = '\u{1}';

/// What the names of durable caches begin with.
pub(crate) const DURABLE: char = '~';

/// The name of a cache and whether its changes are logged.
///
/// Two caches with the same name, one logged and one not, are different caches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheId {
    name: Arc<str>,
    logged: bool,
}

impl CacheId {
    /// Names a cache. Changes of a *logged* cache reach every near cache; an unlogged one is for entries that
    /// nobody keeps in memory.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) if the name is empty, longer than [`MAX_CACHE_NAME`] bytes
    /// or contains a control character.
    pub fn new(name: &str, logged: bool) -> Result<Self> {
        if name.is_empty() || name.len() > MAX_CACHE_NAME {
            return Err(Error::value(format!("a cache name must have 1 to {MAX_CACHE_NAME} bytes")));
        }
        if name.chars().any(char::is_control) {
            return Err(Error::value("a cache name must not contain control characters"));
        }
        Ok(Self { name: name.into(), logged })
    }

    /// One of Larder's own.
    pub(crate) fn own(name: &str, logged: bool) -> Self {
        Self::stored(&format!("{RESERVED}{name}"), logged)
    }

    /// A cache whose name was stored before, or is one of Larder's own, which begin with [`RESERVED`].
    pub(crate) fn stored(name: &str, logged: bool) -> Self {
        Self { name: name.into(), logged }
    }

    /// Whether it keeps or logs the entries of a durable cache.
    pub(crate) fn is_durable(&self) -> bool {
        self.name.starts_with(DURABLE)
    }

    /// Whether it is one of Larder's own, which no name given to [`new`](Self::new) can be.
    pub fn is_reserved(&self) -> bool {
        self.name.starts_with(RESERVED)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether changes are logged.
    pub fn logged(&self) -> bool {
        self.logged
    }
}

/// A place in one history of a log. Within one incarnation the `id` only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which history: random, drawn anew whenever the backend was emptied.
    pub incarnation: u128,
    /// Where in the history; larger is later.
    pub id: u128,
    /// The random mark of the record there, so that another history's record with the same id is not taken for
    /// it (R1).
    pub nonce: u128,
}

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
        /// When the entry may be reclaimed, on the backend's clock. Readers enforce expiry themselves.
        expires: Option<Millis>,
        /// Store only if key and cache did not change since. Ignored for unlogged caches.
        guard: Option<Guard>,
        /// Store only while the lock on this key is still the one that was granted; if not, the whole batch fails with
        /// [`LockLost`](crate::ErrorKind::LockLost), and nothing of it takes effect (R24).
        lock: Option<LockProof>,
    },
    /// Removes an entry. Logged even if there was none: others may hold in memory what the backend evicted.
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

/// One change that happened to a logged cache.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// The entry was stored or removed.
    Key {
        /// Name of the cache.
        cache: Box<str>,
        /// The key.
        key: Box<[u8]>,
    },
    /// The cache was emptied.
    Cache {
        /// Name of the cache.
        cache: Box<str>,
    },
}

/// What happened since the position that the caller gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// What the caller knew is void: its position is not in the log any more, or it gave none.
    pub reset: bool,
    /// The changes, oldest first; empty with `reset`. May contain the caller's own earlier writes and what it was told
    /// before, never the writes of the `apply` that this answers.
    pub changes: Vec<Change>,
    /// The position after those changes and, in an answer to `apply`, after its own record.
    pub position: Position,
}

impl Delta {
    /// Nothing happened.
    pub(crate) fn nothing_since(position: Position) -> Self {
        Self { reset: false, changes: Vec::new(), position }
    }
}

/// The answer to [`Backend::fetch`].
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The changes since.
    pub delta: Delta,
    /// The entries, in the order asked for; `None` where there is none.
    pub entries: Vec<Option<Vec<u8>>>,
}

/// The answer to [`Backend::apply`].
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
    /// The guard of a fill failed against a set of another value: neither is left, the key is deleted.
    Cleared,
    /// The entry is gone; `existed` says whether there was one.
    Deleted {
        /// Whether there was an entry.
        existed: bool,
    },
    /// The cache is empty.
    Purged,
}

/// What became of a fill that was [posted](Backend::post).
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

/// Keeps entries and the log of their changes. See the [module](self) for the contract.
///
/// Calls block for a bounded time (the configured time-outs). All errors are of kind
/// [`Unavailable`](crate::ErrorKind::Unavailable), [`Refused`](crate::ErrorKind::Refused),
/// [`Foreign`](crate::ErrorKind::Foreign) or, for a set with a proof, [`LockLost`](crate::ErrorKind::LockLost).
pub trait Backend: Send + Sync {
    /// The changes since `since`, then the entries asked for. One round trip; after a gap, two more at the most.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched>;

    /// Makes all changes of `ops` and logs them, atomically. One round trip.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses. The operations may have taken effect; they will not do so
    /// after the return.
    fn apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied>;

    /// Sends a fill - a set in a logged cache with a [`Guard::Fill`] and no proof - without waiting for the answer (R31), if that
    /// can be done now; if not, nothing was done. Whoever is told that it was sent has to ask what became of it.
    ///
    /// It takes effect before whatever this handle is asked next, or not at all. The changes that later answers list leave out a
    /// fill that was stored. One that lost may have been dropped where [`apply`](Self::apply) would have left another value
    /// alone: then neither is left. No round trip.
    fn post(&self, since: Option<Position>, fill: &Op<'_>) -> bool {
        let _ = (since, fill);
        false
    }

    /// What became of the fills that were posted and whose answers have come; each is told once. With `at`, where the caller
    /// stands, also what happened since. No round trip, or one if the answers are waited for.
    fn settled(&self, at: Option<Position>, wait: bool) -> Vec<Settled> {
        let _ = (at, wait);
        Vec::new()
    }

    /// Entries that are known without a round trip to be at least as new as `at`, where the caller stands by its last
    /// answer; `None` where nothing is known, or there is no entry.
    fn peek(&self, at: Position, reads: &[Read<'_>]) -> Vec<Option<Vec<u8>>> {
        let _ = at;
        vec![None; reads.len()]
    }

    /// Calls `visit` with each key of `cache` that starts with `prefix`, in no particular order. Keys stored or
    /// removed meanwhile may be seen or not, all others are seen once or more. Bounded batches.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn list(&self, cache: &CacheId, prefix: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<()>;

    /// The caches that hold entries.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn usage(&self) -> Result<Vec<CacheUsage>>;

    /// Empties everything, unlogged caches included, under a new incarnation.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn reset(&self) -> Result<()>;

    /// The locks kept beside the entries; `None` if this backend keeps none.
    fn locks(&self) -> Option<&dyn LockBackend> {
        None
    }

    /// This backend, if it is one with a fallback, which copes with outages itself; `None` for any other.
    fn failover(&self) -> Option<&failover::Failover> {
        None
    }

    /// The time on the backend's clock, as far as known without asking it.
    fn now(&self) -> Millis;

    /// Round trips (Redis), transactions (local) or filesystem calls (dir) made by this handle so far.
    fn round_trips(&self) -> u64;

    /// Facts about the backend for people: names and values in the order to print, no secrets.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn describe(&self) -> Result<Vec<(String, String)>>;
}

/// The backend that a configuration names, a new handle at each call. Does not touch it yet.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) if the configuration does not suit the backend.
pub fn open(config: &Config) -> Result<Arc<dyn Backend>> {
    let backend = open_with_fallback(config)?;
    Ok(match tier::Settings::of(config) {
        Some(settings) => Arc::new(tier::Tier::new(backend, settings)),
        None => backend,
    })
}

fn open_with_fallback(config: &Config) -> Result<Arc<dyn Backend>> {
    let Some(fallback) = config.fallback().cloned() else { return open_one(config) };
    let shared = matches!(fallback, Server::Dir { .. });
    let both = config.clone();
    let settings = failover::Settings {
        open: Arc::new(move || Ok([open_one(&both)?, open_one(&both.for_fallback(fallback.clone()))?])),
        shared,
        place: config.place(),
        node: node_name(),
        waits: [config.connect_timeout(), config.read_timeout()],
    };
    Ok(Arc::new(failover::Failover::new(settings)?))
}

fn open_one(config: &Config) -> Result<Arc<dyn Backend>> {
    if let Some(settings) = redis::Settings::of(config) {
        return Ok(Arc::new(redis::Redis::new(settings)));
    }
    if let Some(settings) = dir::Settings::of(config) {
        let dir = if config.takes_over() { dir::Dir::fallback(&settings) } else { dir::Dir::new(&settings) };
        return Ok(Arc::new(dir));
    }
    match config.server() {
        Server::Local { path, max_bytes } => Ok(Arc::new(Local::new(local::Settings {
            path: path.clone(),
            namespace: config.namespace(),
            max_bytes: *max_bytes,
            lock_lease: config.lock_lease(),
        }))),
        Server::Redis { .. } | Server::Dir { .. } => Err(Error::config("option 'server': no backend for it")),
    }
}

/// What tells this node from others.
fn node_name() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    ["/etc/machine-id", "/proc/sys/kernel/hostname"].map(read).concat()
}
