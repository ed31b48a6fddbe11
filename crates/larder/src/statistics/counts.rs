//! What is counted: by cache, and for the whole store.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

macro_rules! counts {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(into = "Vec<u64>", from = "Vec<u64>")]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$of])* pub $field: u64,)*
        }

        impl $name {
            /// How many numbers there are.
            pub(crate) const LEN: usize = [$(stringify!($field)),*].len();

            /// The numbers with their names.
            pub fn named(&self) -> [(&'static str, u64); Self::LEN] {
                [$((stringify!($field), self.$field)),*]
            }

            /// The numbers in the order of the names.
            pub(crate) fn numbers(&self) -> [u64; Self::LEN] {
                [$(self.$field),*]
            }

            /// From numbers in that order; those that are missing are zero.
            pub(crate) fn of(numbers: &[u64]) -> Self {
                let mut numbers = numbers.iter().copied();
                Self { $($field: numbers.next().unwrap_or_default(),)* }
            }

            /// Adds what was counted elsewhere.
            pub fn add(&mut self, other: &Self) {
                $(self.$field = self.$field.saturating_add(other.$field);)*
            }

            /// What was counted since `before`.
            #[must_use]
            pub fn since(&self, before: &Self) -> Self {
                Self { $($field: self.$field.saturating_sub(before.$field),)* }
            }
        }

        /// As numbers, so that a version which counts more or less can read them.
        impl From<$name> for Vec<u64> {
            fn from(counts: $name) -> Self {
                counts.numbers().to_vec()
            }
        }

        impl From<Vec<u64>> for $name {
            fn from(numbers: Vec<u64>) -> Self {
                Self::of(&numbers)
            }
        }
    };
}

counts! {
    /// What was done with one cache, or with several together.
    CacheCounts {
        /// Reads answered from the memory of the process.
        near_hits,
        /// Reads answered by the backend.
        hits,
        /// Reads of keys that had no value.
        misses,
        /// Entries stored.
        sets,
        /// Keys deleted.
        deletes,
        /// How often the cache was purged.
        purges,
    }
}

counts! {
    /// What was done with a whole store.
    StoreCounts {
        /// Requests in which the store was used.
        requests,
        /// Round trips (Redis), transactions (local) or filesystem calls (dir).
        round_trips,
        /// Bytes sent to a server.
        bytes_sent,
        /// Bytes received from a server.
        bytes_received,
        /// Microseconds spent waiting for the backend, those for locks not included.
        store_us,
        /// Microseconds spent on getting locks.
        lock_us,
        /// Fills that lost against a newer change.
        dropped_fills,
        /// Entries that could not be read: broken, forged or of another version.
        broken,
        /// Missing keys that a process waited for because another one computed them.
        awaited,
        /// Missing keys that a process waited for, and then found.
        shared_fills,
        /// How often memory was emptied because the history of changes had a gap.
        resets,
        /// Calls that failed because the backend was away or refused.
        errors,
    }
}

/// [`StoreCounts`] while they are being counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) round_trips: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) store_us: AtomicU64,
    pub(crate) lock_us: AtomicU64,
    pub(crate) dropped_fills: AtomicU64,
    pub(crate) broken: AtomicU64,
    pub(crate) awaited: AtomicU64,
    pub(crate) shared_fills: AtomicU64,
    pub(crate) resets: AtomicU64,
    pub(crate) errors: AtomicU64,
}

impl Counters {
    pub(crate) fn counts(&self) -> StoreCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreCounts {
            requests: load(&self.requests),
            round_trips: load(&self.round_trips),
            bytes_sent: load(&self.bytes_sent),
            bytes_received: load(&self.bytes_received),
            store_us: load(&self.store_us),
            lock_us: load(&self.lock_us),
            dropped_fills: load(&self.dropped_fills),
            broken: load(&self.broken),
            awaited: load(&self.awaited),
            shared_fills: load(&self.shared_fills),
            resets: load(&self.resets),
            errors: load(&self.errors),
        }
    }
}

/// What an engine did since it was opened, and what it holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Reads answered from memory.
    pub near_hits: u64,
    /// Reads answered by the backend.
    pub hits: u64,
    /// Reads of keys that had no value.
    pub misses: u64,
    /// Entries stored.
    pub sets: u64,
    /// Keys deleted.
    pub deletes: u64,
    /// Caches purged.
    pub purges: u64,
    /// Fills that lost against a newer change.
    pub dropped_fills: u64,
    /// Entries that could not be read: broken, forged or of another version.
    pub broken: u64,
    /// Missing keys that this process waited for because another one computed them.
    pub awaited: u64,
    /// Missing keys that this process waited for, and then found.
    pub shared_fills: u64,
    /// How often memory was emptied because the history of changes had a gap.
    pub resets: u64,
    /// Calls that failed because the backend was away or refused.
    pub errors: u64,
    /// Microseconds spent waiting for the backend, those for locks not included.
    pub store_us: u64,
    /// Microseconds spent on getting locks.
    pub lock_us: u64,
    /// Round trips (Redis), transactions (local) or filesystem calls (dir).
    pub round_trips: u64,
    /// Bytes sent to a server.
    pub bytes_sent: u64,
    /// Bytes received from a server.
    pub bytes_received: u64,
    /// Values held in memory.
    pub near_entries: u64,
    /// Bytes that they hold.
    pub near_bytes: u64,
    /// Bytes that they may hold.
    pub near_limit: u64,
    /// Whether the backend answered when it was last asked.
    pub available: bool,
}
