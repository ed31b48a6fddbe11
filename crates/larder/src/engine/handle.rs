//! What an engine is asked with: caches, items, and how payloads become values.

use crate::clock::Millis;
use crate::coherence::Coherence;
use crate::contract::{CacheId, LockProof, Position};
use crate::error::{Error, Result};
use crate::near::CacheNumber;

/// The longest key, in bytes.
pub const MAX_KEY: usize = 64 << 10;

/// Turns payloads into the values that the near cache keeps.
pub trait Decode {
    /// A decoded value; cloning it is cheap.
    type Value: Clone;

    /// The value of a payload, and the bytes of memory that it holds; `None` if the payload is
    /// broken.
    ///
    /// Runs while the engine waits for it without a lock; it must not call the engine.
    fn decode(&self, payload: &[u8]) -> Option<(Self::Value, usize)>;

    /// The value of a payload that memory does not keep; `None` if the payload is broken. As
    /// [`decode`](Self::decode) otherwise.
    fn decode_once(&self, payload: &[u8]) -> Option<Self::Value> {
        self.decode(payload).map(|(value, _)| value)
    }

    /// The most bytes of a payload that is worth decompressing; a larger one is broken.
    fn most(&self) -> usize {
        usize::MAX
    }
}

/// One cache of an engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) id: CacheId,
    /// Where changes of a durable cache are logged.
    pub(super) log: Option<CacheId>,
    pub(super) number: CacheNumber,
    pub(super) ttl: Option<i64>,
}

impl Handle {
    /// The cache.
    pub fn id(&self) -> &CacheId {
        &self.id
    }

    /// Whether values may be kept in memory.
    pub(super) fn near(&self) -> bool {
        self.id.logged() || self.log.is_some()
    }

    /// A key was found missing in this request. Sets of a durable cache are not guarded by that,
    /// and who reads one waits for no lock in between, so that what is known to be absent may be
    /// told again.
    pub(super) fn missed<V: Clone>(&self, state: &mut Coherence<V>, at: Position, key: &[u8]) {
        if self.id.logged() {
            state.missed(at, self.number, key);
        }
    }
}

/// An entry to store.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The key: any bytes, at most [`MAX_KEY`].
    pub key: &'a [u8],
    /// The encoded value.
    pub payload: &'a [u8],
    /// Seconds to live, if not the cache's; 0 = for ever, less = expired at once.
    pub ttl: Option<i64>,
    /// Store only while this lock on the key is held.
    pub lock: Option<LockProof>,
}

/// The item's time to live is over before it begins.
pub(super) struct Expired;

pub(super) fn expiry(ttl: Option<i64>, now: Millis) -> Result<Option<Millis>, Expired> {
    let Some(seconds) = ttl else { return Ok(None) };
    match u64::try_from(seconds) {
        Ok(0) => Ok(None),
        Ok(seconds) => Ok(Some(now.saturating_add(seconds.saturating_mul(1000)))),
        Err(_) => Err(Expired),
    }
}

pub(super) fn check_key(key: &[u8]) -> Result<()> {
    if key.len() > MAX_KEY {
        return Err(Error::value(format!(
            "a key must have at most {MAX_KEY} bytes; '{}…' has {}",
            key.get(..32).unwrap_or_default().escape_ascii(),
            key.len()
        )));
    }
    Ok(())
}
