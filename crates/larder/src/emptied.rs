//! Which caches are known to have been emptied, and which of their keys changed since: all others
//! have no value (R30).

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use crate::near::CacheNumber;

/// How many changed keys are remembered, of all caches together: 16 to 32 bytes each. A cache with
/// too many of them is no longer known to be empty.
const MAX_CHANGED: usize = 32 << 10;

/// Caches that were emptied in a stretch of history that was followed without a gap.
#[derive(Default)]
pub(crate) struct Emptied {
    /// The keys that changed since. Of two keys with one hash neither is known.
    caches: HashMap<CacheNumber, HashSet<u64>>,
    changed: usize,
    hasher: RandomState,
}

impl Emptied {
    /// A cache was emptied.
    pub(crate) fn purged(&mut self, cache: CacheNumber) {
        self.forget(cache);
        self.caches.insert(cache, HashSet::new());
    }

    /// A key was stored or removed.
    pub(crate) fn changed(&mut self, cache: CacheNumber, key: &[u8]) {
        let Some(keys) = self.caches.get_mut(&cache) else { return };
        self.changed += usize::from(keys.insert(self.hasher.hash_one(key)));
        if self.changed > MAX_CHANGED {
            self.forget(cache);
        }
    }

    /// Whether a key has had no value since its cache was emptied.
    pub(crate) fn lacks(&self, cache: CacheNumber, key: &[u8]) -> bool {
        self.caches.get(&cache).is_some_and(|keys| !keys.contains(&self.hasher.hash_one(key)))
    }

    /// A gap in the history.
    pub(crate) fn forget_all(&mut self) {
        self.caches.clear();
        self.changed = 0;
    }

    /// Nobody knows which of its keys changed.
    pub(crate) fn forget(&mut self, cache: CacheNumber) {
        self.changed -= self.caches.remove(&cache).map_or(0, |keys| keys.len());
    }
}
