//! What the stores of a process that see the same entries share: one memory, so that each reads what the others write.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::hot::HotSet;
use crate::coherence::Coherence;
use crate::config::{Config, Identity};
use crate::stats::Counters;

/// What a process knows of one place.
pub(super) struct Memory<V> {
    state: Mutex<Coherence<V>>,
    hot: Mutex<HotSet>,
    pub(super) counters: Counters,
}

impl<V: Clone> Memory<V> {
    pub(super) fn new(near_bytes: u64) -> Self {
        Self {
            state: Mutex::new(Coherence::new(near_bytes)),
            hot: Mutex::default(),
            counters: Counters::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, Coherence<V>> {
        // A panic cannot leave the state in a way that serves old values: all it can do is drop too little memory.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hot(&self) -> MutexGuard<'_, HotSet> {
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memories of a process, one for each place: server, credentials, namespace, `code_epoch`, `seal_key`, `ca_file` and
/// `fallback` make a place, and all other options are the stores' own. A memory lives as long as any of its stores.
///
/// A forked child goes on with a copy.
pub struct Memories<V> {
    known: Mutex<Vec<(Identity, Weak<Memory<V>>)>>,
}

impl<V: Clone> Memories<V> {
    /// None yet.
    pub const fn new() -> Self {
        Self { known: Mutex::new(Vec::new()) }
    }

    /// The memory of the place that `config` names, with room for what it asks for and what others asked for before.
    pub(super) fn of(&self, config: &Config) -> Arc<Memory<V>> {
        let identity = config.identity();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, memory)| memory.strong_count() > 0);
        let found = known.iter().find(|(place, _)| *place == identity);
        if let Some(memory) = found.and_then(|(_, memory)| memory.upgrade()) {
            memory.state().grow(config.near_bytes());
            return memory;
        }
        let memory = Arc::new(Memory::new(config.near_bytes()));
        known.push((identity, Arc::downgrade(&memory)));
        memory
    }
}

impl<V: Clone> Default for Memories<V> {
    fn default() -> Self {
        Self::new()
    }
}
