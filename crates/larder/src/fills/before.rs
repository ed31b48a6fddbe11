//! Which keys had a value in memory before their cache was emptied, for a while after.

use std::collections::HashSet;
use std::time::Duration;

use super::rules::WINDOW;
use crate::clock::boottime;

/// How many keys are remembered, of all caches together: 8 to 16 bytes each.
const MAX_KEYS: usize = 32 << 10;

/// The keys of a place that somebody is likely to fill again.
#[derive(Default)]
pub(crate) struct FilledBefore {
    /// What hashes begin with: the same in all processes with this place.
    place: [u8; 32],
    keys: HashSet<u64>,
    until: Duration,
}

impl FilledBefore {
    pub(crate) fn new(place: [u8; 32]) -> Self {
        Self { place, ..Self::default() }
    }

    /// What stands for a key in the table of leases.
    pub(crate) fn hash(&self, cache: &str, key: &[u8]) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.place);
        // A name ends with what no name contains.
        hasher.update(cache.as_bytes()).update(b"\0").update(key);
        let mut bytes = [0; 8];
        hasher.finalize_xof().fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A key lost its value just now, because its cache was emptied.
    pub(crate) fn lost(&mut self, cache: &str, key: &[u8]) {
        if self.keys.len() < MAX_KEYS {
            self.keys.insert(self.hash(cache, key));
        }
        self.until = boottime() + WINDOW;
    }

    /// Whether there is anything to wait for. When the time is over all is forgotten.
    pub(crate) fn is_open(&mut self) -> bool {
        if self.keys.is_empty() {
            return false;
        }
        let open = boottime() < self.until;
        if !open {
            self.keys = HashSet::new();
        }
        open
    }

    /// Whether a key had a value.
    pub(crate) fn had(&self, hash: u64) -> bool {
        self.keys.contains(&hash)
    }
}
