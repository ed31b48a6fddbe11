//! How caches are called in the fallback.
//!
//! Each entry into the fallback draws a new *epoch*, which is part of every name: what stood there
//! before is never seen again (R11), and a write that was begun before lands where nobody looks.
//! All caches are logged there, those too that are not logged in the primary: the log tells the
//! primary what it missed.

use crate::contract::{CacheId, Change};

/// The cache that says who serves. Logged, one key.
pub(super) fn mode() -> CacheId {
    CacheId::own("mode", true)
}

/// The key in [`mode`].
pub(super) const MODE_KEY: &[u8] = b"mode";

/// Purged when everything was.
pub(super) fn everything() -> CacheId {
    CacheId::own("all", true)
}

/// In the primary: how far it has taken in which control log. Not logged: it must be lost, or
/// restored old, with the other caches that are not logged.
pub(super) fn absorbed() -> CacheId {
    CacheId::own("absorbed", false)
}

/// In the fallback: the same, for those who cannot ask the primary.
pub(super) fn done() -> CacheId {
    CacheId::own("done", false)
}

/// In the fallback: when other nodes were seen that use the primary with fallbacks of their own.
pub(super) fn peers() -> CacheId {
    CacheId::own("peers", false)
}

/// In the fallback: which nodes are alive, and whether they reach the primary.
pub(super) fn beats() -> CacheId {
    CacheId::own("beats", false)
}

/// Whether a change is an invalidation that the primary has to know of.
pub(super) fn is_data(change: &Change) -> bool {
    CacheId::original(change.cache()).is_some() || change.cache() == everything().name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_read_back_and_are_nobody_elses() {
        for (name, logged) in [("c", true), ("c", false), ("", true), ("ü/~x", true)] {
            let cache = CacheId::stored(name, logged);
            let there = cache.in_epoch(0xfeed);
            assert!(there.logged() && there.is_reserved() && CacheId::new(there.name(), true).is_err());
            assert_eq!(CacheId::original(there.name()), Some((0xfeed, cache)));
        }
        for cache in [mode(), everything(), absorbed(), done(), beats(), CacheId::stored("c", true)] {
            assert_eq!(CacheId::original(cache.name()), None);
        }
    }
}
