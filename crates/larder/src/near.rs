//! The near cache: decoded values in the memory of this process, and which keys are known to have
//! none.
//!
//! It knows nothing of coherence; `coherence` decides what may enter and what must leave. Eviction
//! is `quick_cache`'s (CLOCK-Pro, after S3-FIFO): a scan over many keys does not push out the ones
//! in use.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::num::NonZero;
use std::sync::Arc;

use quick_cache::unsync::Cache;
use quick_cache::{Equivalent, Weighter};
use smallvec::SmallVec;

use crate::clock::Millis;
use crate::config::largest_near_value;
use crate::contract::Change;

/// What an entry costs beside its value: slots in the table and the queue.
const ENTRY_OVERHEAD: u64 = 160;
/// Keys up to this length, Moodle's hashes among them, lie in the entry itself: a look-up reads one
/// cache line less.
const INLINE_KEY: usize = 40;
/// What the allocator adds to a long key.
const ALLOCATION: u64 = 16;
/// Assumed size of an entry, to size the table.
const TYPICAL_BYTES: u64 = 2048;

/// A short name for a cache, valid in one [`Near`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CacheNumber(u32);

impl CacheNumber {
    /// How many caches have a lower one.
    pub(crate) fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

struct Key {
    cache: CacheNumber,
    key: SmallVec<[u8; INLINE_KEY]>,
}

#[derive(Clone, Copy)]
struct KeyRef<'a> {
    cache: CacheNumber,
    key: &'a [u8],
}

impl Key {
    fn as_ref(&self) -> KeyRef<'_> {
        KeyRef { cache: self.cache, key: &self.key }
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(self.cache.0);
        state.write(self.key);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cache == other.cache && self.key == other.key
    }
}

impl Eq for Key {}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.cache == key.cache && *self.key == *key.key
    }
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known<V> {
    Value(V),
    /// The backend has no entry.
    Absent,
}

struct Held<V> {
    known: Known<V>,
    weight: u32,
    expires: Option<NonZero<Millis>>,
}

#[derive(Clone)]
struct ByWeight;

impl<V> Weighter<Key, Held<V>> for ByWeight {
    fn weight(&self, key: &Key, held: &Held<V>) -> u64 {
        u64::from(held.weight) + outside_entry(key.key.len()) + ENTRY_OVERHEAD
    }
}

/// What a key takes beside its entry.
fn outside_entry(len: usize) -> u64 {
    if len > INLINE_KEY { len as u64 + ALLOCATION } else { 0 }
}

fn is_value<V>(held: &Held<V>) -> bool {
    matches!(held.known, Known::Value(_))
}

/// What is known, by cache and key, bounded in bytes.
pub(crate) struct Near<V> {
    held: Cache<Key, Held<V>, ByWeight>,
    numbers: HashMap<Arc<str>, CacheNumber>,
    names: Vec<Arc<str>>,
    budget: u64,
}

impl<V> Near<V> {
    pub(crate) fn new(budget: u64) -> Self {
        let items = usize::try_from(budget / TYPICAL_BYTES).unwrap_or(usize::MAX).clamp(16, 1 << 16);
        Self {
            held: Cache::with_weighter(items, budget, ByWeight),
            numbers: HashMap::new(),
            names: Vec::new(),
            budget,
        }
    }

    /// The number for a cache of this name.
    pub(crate) fn number(&mut self, cache: &str) -> CacheNumber {
        if let Some(&number) = self.numbers.get(cache) {
            return number;
        }
        let number = CacheNumber(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        let name: Arc<str> = cache.into();
        self.names.push(Arc::clone(&name));
        self.numbers.insert(name, number);
        number
    }

    /// The names of all caches, in the order of their numbers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// The name of a cache.
    pub(crate) fn name(&self, number: CacheNumber) -> Option<&str> {
        self.names.get(number.index()).map(|name| &**name)
    }

    pub(crate) fn get(
        &self,
        cache: CacheNumber,
        key: &[u8],
        now: impl FnOnce() -> Millis,
    ) -> Option<&Known<V>> {
        let held = self.held.get(&KeyRef { cache, key })?;
        match held.expires {
            Some(expires) if expires.get() <= now() => None,
            _ => Some(&held.known),
        }
    }

    /// Keeps what weighs `weight` bytes beside its key, unless it is too large to share the budget
    /// with others ([`largest_near_value`]).
    pub(crate) fn insert(
        &mut self,
        cache: CacheNumber,
        key: &[u8],
        known: Known<V>,
        weight: usize,
        expires: Option<Millis>,
    ) {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        // The epoch itself is as long over as the millisecond after it.
        let expires = expires.map(|expires| NonZero::new(expires).unwrap_or(NonZero::<Millis>::MIN));
        let whole = u64::from(weight) + outside_entry(key.len()) + ENTRY_OVERHEAD;
        if u64::from(weight) <= largest_near_value(self.budget) && whole <= self.budget {
            self.held.insert(Key { cache, key: key.into() }, Held { known, weight, expires });
        } else {
            self.remove(cache, key);
        }
    }

    pub(crate) fn remove(&mut self, cache: CacheNumber, key: &[u8]) {
        self.held.remove(&KeyRef { cache, key });
    }

    /// Drops all of a cache. Calls `lost` with the key of each value.
    pub(crate) fn remove_cache(&mut self, cache: CacheNumber, mut lost: impl FnMut(&[u8])) {
        for (key, _) in self.held.iter().filter(|(key, held)| key.cache == cache && is_value(held)) {
            lost(&key.key);
        }
        self.held.retain(|key, _| key.cache != cache);
    }

    /// Drops what a change makes old; calls `lost` with the keys of a cache of which all goes. The
    /// number of its cache, if it has one.
    pub(crate) fn apply(&mut self, change: &Change, lost: impl FnMut(&[u8])) -> Option<CacheNumber> {
        let number = *self.numbers.get(change.cache())?;
        match change {
            Change::Key { key, .. } => self.remove(number, key),
            Change::Cache { .. } | Change::Unlisted { .. } => self.remove_cache(number, lost),
        }
        Some(number)
    }

    /// Makes room for `budget` bytes, if there was less.
    pub(crate) fn grow(&mut self, budget: u64) {
        if budget > self.budget {
            self.budget = budget;
            self.held.set_capacity(budget);
        }
    }

    /// Drops values until the rest weighs no more than `bytes`; there is as much room as before for
    /// new ones.
    pub(crate) fn shrink(&mut self, bytes: u64) {
        self.held.set_capacity(bytes);
        self.held.set_capacity(self.budget);
    }

    pub(crate) fn clear(&mut self) {
        self.held.clear();
    }

    /// The cache and key of each value.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let values = self.held.iter().filter(|(_, held)| is_value(held));
        values.filter_map(|(key, _)| Some((self.name(key.cache)?, &*key.key)))
    }

    /// The cache, key and weight of each value, then of what is known to have none.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8], u64)> {
        let values = self.held.iter().filter(|(_, held)| is_value(held));
        let absent = self.held.iter().filter(|(_, held)| !is_value(held));
        values.chain(absent).filter_map(|(key, held)| {
            let name = self.names.get(key.cache.index())?;
            Some((&**name, &*key.key, held.weight.into()))
        })
    }

    pub(crate) fn budget(&self) -> u64 {
        self.budget
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.held.weight()
    }

    pub(crate) fn entries(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_no_more_than_is_counted_in_a_queue_that_is_two_thirds_full() {
        let entry = size_of::<(Key, Held<[u64; 3]>)>() as u64;
        assert!(entry * 3 / 2 <= ENTRY_OVERHEAD, "{entry}");
    }

    #[test]
    fn holds_no_more_than_its_budget() {
        let mut near = Near::new(64 << 10);
        let cache = near.number("c");
        for i in 0..10_000_u32 {
            near.insert(cache, &i.to_le_bytes(), Known::Value(i), 200, None);
            assert!(near.bytes() <= 64 << 10);
        }
        assert!(near.entries() > 100);
    }

    #[test]
    fn a_scan_does_not_push_out_what_is_in_use() {
        let mut near = Near::new(1 << 20);
        let cache = near.number("c");
        for i in 0..500_u32 {
            near.insert(cache, &i.to_le_bytes(), Known::Value(i), 500, None);
        }
        for round in 1..40_u32 {
            for i in 0..500_u32 {
                near.get(cache, &i.to_le_bytes(), || 0);
            }
            for i in 0..1000 {
                near.insert(cache, &(round * 1000 + i).to_le_bytes(), Known::Value(i), 500, None);
            }
        }
        let kept = (0..500_u32).filter(|i| near.get(cache, &i.to_le_bytes(), || 0).is_some()).count();
        assert!(kept > 450, "{kept} of 500 kept");
    }

    #[test]
    fn a_value_of_half_the_budget_is_kept_and_a_larger_one_replaces_nothing_silently() {
        let mut near = Near::new(1 << 20);
        let cache = near.number("c");
        near.insert(cache, b"k", Known::Value(1), 1 << 19, None);
        assert_eq!(near.get(cache, b"k", || 0), Some(&Known::Value(1)));
        near.insert(cache, b"k", Known::Value(2), (1 << 19) + 1, None);
        assert_eq!(near.get(cache, b"k", || 0), None);
    }

    #[test]
    fn large_values_that_are_read_once_do_not_push_out_what_is_in_use() {
        let mut near = Near::new(1 << 20);
        let cache = near.number("c");
        for i in 0..500_u32 {
            near.insert(cache, &i.to_le_bytes(), Known::Value(i), 500, None);
        }
        let mut kept = 500;
        for large in 500..550_u32 {
            kept = (0..500_u32).filter(|i| near.get(cache, &i.to_le_bytes(), || 0).is_some()).count();
            near.insert(cache, &large.to_le_bytes(), Known::Value(large), 1 << 19, None);
            assert!(near.bytes() <= 1 << 20);
        }
        assert!(kept > 450, "{kept} of 500 kept");
        // One that is read again and again is in use, too.
        let mut misses = 0;
        for _ in 0..20 {
            for i in 0..500_u32 {
                near.get(cache, &i.to_le_bytes(), || 0);
            }
            if near.get(cache, b"course", || 0).is_none() {
                misses += 1;
                near.insert(cache, b"course", Known::Value(0), 1 << 19, None);
            }
        }
        assert!(misses <= 2, "{misses} misses");
    }

    #[test]
    fn an_expired_value_is_not_returned() {
        let mut near = Near::new(1 << 20);
        let cache = near.number("c");
        near.insert(cache, b"k", Known::Value(1), 1, Some(100));
        assert_eq!(near.get(cache, b"k", || 99), Some(&Known::Value(1)));
        assert_eq!(near.get(cache, b"k", || 100), None);
    }

    #[test]
    fn changes_reach_their_cache_only() {
        let mut near = Near::new(1 << 20);
        let (a, b) = (near.number("a"), near.number("b"));
        for cache in [a, b] {
            near.insert(cache, b"k", Known::Value(1), 1, None);
            near.insert(cache, b"k\0", Known::Value(2), 1, None);
        }
        let apply = |near: &mut Near<_>, change| {
            let mut lost = Vec::new();
            near.apply(&change, |key| lost.push(key.to_vec()));
            lost
        };
        assert!(apply(&mut near, Change::Key { cache: "a".into(), key: b"k"[..].into() }).is_empty());
        assert_eq!((near.get(a, b"k", || 0), near.get(a, b"k\0", || 0)), (None, Some(&Known::Value(2))));
        near.insert(a, b"absent", Known::Absent, 0, None);
        assert_eq!(apply(&mut near, Change::Cache { cache: "a".into() }), [b"k\0"]);
        assert_eq!((near.get(a, b"k\0", || 0), near.get(b, b"k\0", || 0)), (None, Some(&Known::Value(2))));
        assert!(apply(&mut near, Change::Cache { cache: "unknown".into() }).is_empty());
    }
}
