//! The log of changes: positions in it, and what happened since one.

use std::collections::{HashMap, HashSet};

/// The most changes that an answer lists; when more happened, it names the caches that changed, or
/// those that changed most.
pub const MAX_CHANGES: usize = 1000;
/// The most changes that are read for an answer where that crosses no network.
pub(crate) const MAX_READ: usize = 16 * MAX_CHANGES;

/// A place in one history of a log. Within one incarnation the `id` only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which history: random, drawn anew whenever the backend was emptied.
    pub incarnation: u128,
    /// Where in the history; larger is later.
    pub id: u128,
    /// The random mark of the record there, so that another history's record with the same id is
    /// not taken for it (R1).
    pub nonce: u128,
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
    /// Keys of the cache were stored or removed, or all of it was; which ones is not known (R29).
    Unlisted {
        /// Name of the cache.
        cache: Box<str>,
    },
}

impl Change {
    /// The name of the cache.
    pub fn cache(&self) -> &str {
        let (Self::Key { cache, .. } | Self::Cache { cache } | Self::Unlisted { cache }) = self;
        cache
    }

    /// Whether a key of a cache may have another entry since, or none.
    pub fn touches(&self, cache: &str, key: &[u8]) -> bool {
        let of_key = match self {
            Self::Key { key: changed, .. } => **changed == *key,
            Self::Cache { .. } | Self::Unlisted { .. } => true,
        };
        of_key && self.cache() == cache
    }
}

/// The changes as an answer tells them: of too many, caches with many of them are named, and only
/// the others' keys are listed (R29). `None` if too many caches changed.
pub(crate) fn listed(mut changes: Vec<Change>) -> Option<Vec<Change>> {
    if changes.len() <= MAX_CHANGES {
        return Some(changes);
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for change in &changes {
        *counts.entry(change.cache()).or_default() += 1;
    }
    let mut caches: Vec<(usize, &str)> = counts.into_iter().map(|(cache, count)| (count, cache)).collect();
    caches.sort_unstable();
    let mut left = changes.len();
    let mut named: HashSet<Box<str>> = HashSet::new();
    while left + named.len() > MAX_CHANGES {
        // The one with fewest changes that suffices, or else with most.
        let excess = left + named.len() + 1 - MAX_CHANGES;
        let at = caches.partition_point(|(count, _)| *count < excess).min(caches.len().checked_sub(1)?);
        let (count, cache) = caches.remove(at);
        left -= count;
        named.insert(cache.into());
    }
    changes.retain(|change| !named.contains(change.cache()));
    changes.extend(named.into_iter().map(|cache| Change::Unlisted { cache }));
    (changes.len() <= MAX_CHANGES).then_some(changes)
}

/// What happened since the position that the caller gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// What the caller knew is void: its position is none of this history, or it gave none.
    pub reset: bool,
    /// The changes, oldest first; empty with `reset`. May contain the caller's own earlier writes
    /// and what it was told before, never the writes of the `apply` that this answers.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cache: &str, count: usize) -> impl Iterator<Item = Change> {
        (0..count).map(move |key| Change::Key { cache: cache.into(), key: key.to_le_bytes().into() })
    }

    #[test]
    fn of_too_many_changes_some_caches_are_named() {
        let quiet: Vec<Change> =
            of("a", 400).chain([Change::Cache { cache: "b".into() }]).chain(of("b", 500)).collect();
        let all = quiet.iter().cloned().chain(of("c", 100)).chain(of("d", 900)).collect();
        let mut told = listed(all).unwrap();
        let mut named = told.split_off(quiet.len());
        named.sort_by(|one, other| one.cache().cmp(other.cache()));
        assert_eq!(told, quiet, "in their order");
        assert_eq!(named, ["c", "d"].map(|cache| Change::Unlisted { cache: cache.into() }));
    }

    #[test]
    fn no_answer_is_too_long() {
        let caches = |count: usize| {
            let changes = |cache: usize| of(&cache.to_string(), 1 + cache % 2).collect::<Vec<_>>();
            (0..count).flat_map(changes).collect()
        };
        assert_eq!(listed(of("a", MAX_CHANGES).collect()).unwrap().len(), MAX_CHANGES);
        assert_eq!(listed(of("a", MAX_CHANGES + 1).collect()).unwrap().len(), 1);
        assert!(listed(caches(MAX_CHANGES)).unwrap().len() <= MAX_CHANGES);
        assert_eq!(listed(caches(MAX_CHANGES + 1)), None);
    }
}
