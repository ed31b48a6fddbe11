//! What keeps locks, and what is asked of it.

use std::fmt;
use std::time::Duration;

use super::cache::CacheId;
use crate::error::Result;

/// Who holds a lock or waits for it: random, drawn for each attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u128);

impl Token {
    /// The token with this number, as in its [`Display`](fmt::Display).
    pub fn from_number(number: u128) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn number(self) -> u128 {
        self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

/// What shows that a lock was granted: a write that carries it is refused once the lock has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockProof {
    /// The holder.
    pub token: Token,
    /// The fencing number of the grant: larger than those of all grants before.
    pub fence: u64,
}

/// An attempt to get a lock.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The lock's name, see [`lock_name`].
    pub name: &'a [u8],
    /// Who asks.
    pub token: Token,
    /// What to call the holder in lists: any bytes.
    pub owner: &'a [u8],
    /// How long a grant lasts if it is not renewed.
    pub lease: Duration,
    /// Whether to stand in line if the lock is not free.
    pub queue: bool,
}

/// The answer to a [`Claim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The lock is the token's. The lease runs from when the request was *sent*.
    Mine {
        /// The fencing number.
        fence: u64,
    },
    /// It is another's, and nothing but a wake-up can change that for this long.
    Wait {
        /// When to ask again at the latest.
        at_most: Duration,
    },
    /// It is nobody's for sure, and somebody may hold it all the same: locks may have been lost.
    /// Nobody new gets this one, a [named](LockKind::Named) lock, before so much time has passed.
    Grace {
        /// How long that takes.
        left: Duration,
    },
}

/// A lock that was given to somebody who slept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed {
    /// The fencing number.
    pub fence: u64,
    /// How long the grant lasts, counted from when the last [`acquire`](LockBackend::acquire) that
    /// answered
    /// [`Wait`](Attempt::Wait) was sent. It is short, since the sleeper may be dead: the holder renews it.
    pub lease: Duration,
}

/// A lock to renew.
#[derive(Clone, Copy, Debug)]
pub struct Renewal<'a> {
    /// The lock's name.
    pub name: &'a [u8],
    /// The holder's name.
    pub owner: &'a [u8],
    /// What was granted.
    pub proof: LockProof,
    /// Until when the holder believes that it holds the lock, on the boot clock: in the grace after
    /// a loss it gets a named one back, if that is decided before then (R23).
    pub believed_until: Duration,
}

/// One lock that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockInfo {
    /// The lock's name, see [`lock_name`].
    pub name: Vec<u8>,
    /// The holder's name.
    pub owner: Vec<u8>,
    /// The fencing number.
    pub fence: u64,
    /// How long it has been held.
    pub age: Duration,
    /// How long it stays the holder's without being renewed.
    pub left: Duration,
    /// How many wait for it.
    pub waiters: u64,
}

/// Keeps locks: the part of a [`Backend`](super::Backend) that has them.
///
/// All methods but [`park`](Self::park), [`list`](Self::list) and [`another`](Self::another) take
/// one round trip and block no longer than the configured time-outs. All may be sent again when
/// their outcome is unknown.
///
/// 1. A lock has at most one token. It changes hands only when it is released, broken, or not
///    renewed for a lease.
/// 2. Fencing numbers only grow, whatever the backend loses (R25).
/// 3. First come, first served, among those who asked again within the last three seconds.
/// 4. After the backend may have lost locks, cache locks are free: who held one holds it no more.
///    For one lease nobody new gets a named lock; who held one gets it back by renewing (R23).
///    Where there never were any, nothing was lost.
pub trait LockBackend: Send + Sync {
    /// Asks for a lock. The answer is `Mine` whenever the lock is the token's already.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses. The lock may have been granted.
    fn acquire(&self, claim: &Claim<'_>) -> Result<Attempt>;

    /// Sleeps until `token` is woken, for `at_most` at the longest; may wake up early for no
    /// reason. Called after an
    /// [`acquire`](Self::acquire) that answered [`Wait`](Attempt::Wait). `Some` if the lock was given to the token after
    /// that answer; `None` says nothing, and whoever gets it asks again.
    fn park(&self, token: Token, at_most: Duration) -> Option<Handed>;

    /// Gives a lock back, or leaves its queue, and wakes the next. Whether the lock was the
    /// token's.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses; the lock is then free after its lease.
    fn release(&self, name: &[u8], token: Token) -> Result<bool>;

    /// Renews leases, from now on: for each whether the lock is still the token's.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn renew(&self, locks: &[Renewal<'_>], lease: Duration) -> Result<Vec<bool>>;

    /// Whose a lock is; `None` if it is free.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn holder(&self, name: &[u8]) -> Result<Option<Token>>;

    /// All locks that are held. Some round trips, more with more locks.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn list(&self) -> Result<Vec<LockInfo>>;

    /// Takes a lock from its holder, whoever that is, and wakes the next. Whether there was a
    /// holder.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn break_lock(&self, name: &[u8]) -> Result<bool>;

    /// Forgets all locks, as after a loss: others were kept elsewhere meanwhile. Fencing numbers go
    /// on above `fence`.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    fn distrust(&self, fence: u64) -> Result<()>;

    /// Another handle on the same locks, which shares no connection with this one. No round trip.
    fn another(&self) -> Box<dyn LockBackend>;
}

/// What the names of named locks begin with; those of cache locks begin with `l` or `u`.
const NAMED: u8 = b'n';

/// What a lock guards, which decides what may become of it when locks may have been lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockKind {
    /// Entries of its own cache. Each write under it shows the lock in the same atomic step, so
    /// that a second holder does no harm: it is granted at once, and who held it before a loss
    /// holds it no more.
    Cache,
    /// Something outside of Larder, which asks nobody. For one lease after a loss nobody new gets
    /// it; who held it gets it back by renewing.
    Named,
}

impl LockKind {
    /// The kind of the lock with this name, see [`lock_name`].
    pub fn of(name: &[u8]) -> Self {
        if name.first() == Some(&NAMED) { Self::Named } else { Self::Cache }
    }
}

/// The name, for a backend, of a named lock: `n`, a zero byte, the name.
pub fn named_lock_name(name: &[u8]) -> Vec<u8> {
    [&[NAMED, 0], name].concat()
}

/// The name of the lock on a key of a cache: `l` or `u` (whether the cache is logged), the cache's
/// name, a zero byte, the key.
pub fn lock_name(cache: &CacheId, key: &[u8]) -> Vec<u8> {
    // A lock is that of the cache which another one stands for.
    if let Some((_, cache)) = CacheId::original(cache.name()) {
        return lock_name(&cache, key);
    }
    let kind: &[u8] = if cache.logged() { b"l" } else { b"u" };
    [kind, cache.name().as_bytes(), &[0], key].concat()
}

/// The reverse of [`lock_name`]: the cache's name and the key; `None` if it is no such name. A
/// named lock has an empty cache.
pub fn parse_lock_name(name: &[u8]) -> Option<(&str, &[u8])> {
    let (_, rest) = name.split_first()?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let (cache, key) = rest.split_at_checked(end)?;
    Some((std::str::from_utf8(cache).ok()?, key.get(1..)?))
}
