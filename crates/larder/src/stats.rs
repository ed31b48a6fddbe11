//! What an engine counts.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counts since the engine was opened.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        /// What an engine did since it was opened, and what it holds now.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
            /// Reads answered from memory.
            pub near_hits: u64,
            /// Values held in memory.
            pub near_entries: u64,
            /// Bytes that they hold.
            pub near_bytes: u64,
            /// Bytes that they may hold.
            pub near_limit: u64,
            /// Round trips (Redis) or transactions (local).
            pub round_trips: u64,
            /// Whether the backend answered when it was last asked.
            pub available: bool,
        }

        impl Counters {
            pub(crate) fn stats(&self) -> Stats {
                Stats { $($name: self.$name.load(Ordering::Relaxed),)* ..Stats::default() }
            }
        }
    };
}

counters! {
    /// Reads answered by the backend.
    hits,
    /// Reads of keys that had no value.
    misses,
    /// Entries stored.
    sets,
    /// Keys deleted.
    deletes,
    /// Caches purged.
    purges,
    /// Fills that lost against a newer change.
    dropped_fills,
    /// Entries that could not be read: broken, forged or of another version.
    broken,
    /// Missing keys that this process waited for because another one computed them.
    awaited,
    /// Missing keys that this process waited for, and then found.
    shared_fills,
    /// How often memory was emptied because the history of changes had a gap.
    resets,
    /// Calls that failed because the backend was away or refused.
    errors,
}
