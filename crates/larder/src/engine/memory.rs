//! What the stores of a process that see the same entries share: one memory, so that each reads
//! what the others write.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::fills::Fills;
use super::hot_set::HotSet;
use super::turns::Turns;
use crate::coherence::Coherence;
use crate::config::{Config, Identity};
use crate::fills::before::FilledBefore;
use crate::statistics::{Counters, Reporter};

/// What a process knows of one place.
pub(super) struct Memory<V: Clone> {
    state: Mutex<Coherence<V>>,
    hot: Mutex<HotSet>,
    fills: Mutex<Fills>,
    pub(super) turns: Turns,
    pub(super) counters: Counters,
    /// `None` for one that shares its room with no other.
    pub(super) reporter: Option<Reporter>,
    /// The options of the first store, without secrets.
    pub(super) options: Vec<(String, String)>,
    /// `None` for one that shares its room with no other.
    process: Option<Arc<Process<V>>>,
    /// The bytes of its values that count in [`Process::held`].
    counted: AtomicU64,
    /// Which look of the process was the last at this memory.
    looked: AtomicU64,
}

impl<V: Clone> Memory<V> {
    /// One that shares its room with no other.
    pub(super) fn new(config: &Config) -> Self {
        Self::within(None, config)
    }

    fn within(process: Option<Arc<Process<V>>>, config: &Config) -> Self {
        let filled_before = FilledBefore::new(config.place_hash());
        Self {
            state: Mutex::new(Coherence::new(config.near_bytes(), filled_before)),
            hot: Mutex::default(),
            fills: Mutex::default(),
            turns: Turns::of(config),
            counters: Counters::default(),
            reporter: process.as_ref().map(|_| Reporter::new(&config.counted_with())),
            options: config.shown(),
            process,
            counted: AtomicU64::new(0),
            looked: AtomicU64::new(0),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, Coherence<V>> {
        // A panic cannot leave the state in a way that serves old values: all it can do is drop too
        // little memory.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hot(&self) -> MutexGuard<'_, HotSet> {
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fills(&self) -> MutexGuard<'_, Fills> {
        self.fills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called before each call of the backend: if the memories of the process hold too much, those
    /// that were not used for longest lose values.
    pub(super) fn keep_within_process(&self) {
        let Some(process) = &self.process else { return };
        self.looked.store(process.looks.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let bytes = self.state().near().bytes();
        if process.count(self, bytes) > process.limit.load(Ordering::Relaxed) {
            process.make_room(self);
        }
    }
}

impl<V: Clone> Drop for Memory<V> {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.count(self, 0);
        }
    }
}

/// What the memories of a process share.
struct Process<V: Clone> {
    known: Mutex<Vec<(Identity, Weak<Memory<V>>)>>,
    /// The bytes of decoded values in all memories, each as of its last look.
    held: AtomicU64,
    /// The most that they may hold: the largest `near_bytes` of any store.
    limit: AtomicU64,
    looks: AtomicU64,
}

impl<V: Clone> Process<V> {
    const fn new() -> Self {
        Self {
            known: Mutex::new(Vec::new()),
            held: AtomicU64::new(0),
            limit: AtomicU64::new(0),
            looks: AtomicU64::new(0),
        }
    }

    fn known(&self) -> MutexGuard<'_, Vec<(Identity, Weak<Memory<V>>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a memory holds now; what all hold.
    fn count(&self, memory: &Memory<V>, bytes: u64) -> u64 {
        let grown = bytes.wrapping_sub(memory.counted.swap(bytes, Ordering::Relaxed));
        self.held.fetch_add(grown, Ordering::Relaxed).wrapping_add(grown)
    }

    #[cold]
    fn make_room(&self, used: &Memory<V>) {
        let mut others: Vec<Arc<Memory<V>>> =
            self.known().iter().filter_map(|(_, memory)| memory.upgrade()).collect();
        others.retain(|memory| !std::ptr::eq(&raw const **memory, used));
        others.sort_by_key(|memory| memory.looked.load(Ordering::Relaxed));
        for memory in others {
            let limit = self.limit.load(Ordering::Relaxed);
            let surplus = self.held.load(Ordering::Relaxed).saturating_sub(limit);
            if surplus == 0 {
                break;
            }
            let mut state = memory.state();
            let bytes = state.near().bytes();
            state.shrink(bytes.saturating_sub(surplus));
            let bytes = state.near().bytes();
            drop(state);
            self.count(&memory, bytes);
        }
    }
}

/// The memories of a process, one for each place: server, credentials, namespace, `code_epoch`,
/// seal keys, `ca_file` and `fallback` make a place, and all other options are the stores' own. A
/// memory lives as long as any of its stores.
///
/// Together they hold no more decoded values than the largest `near_bytes` of any store, but for
/// what the last call of the backend brought; which values go is looked at before the next one.
///
/// A forked child goes on with a copy.
pub struct Memories<V: Clone> {
    process: OnceLock<Arc<Process<V>>>,
}

impl<V: Clone> Memories<V> {
    /// None yet.
    pub const fn new() -> Self {
        Self { process: OnceLock::new() }
    }

    /// The memory of the place that `config` names, with room for what it asks for and what others
    /// asked for before.
    pub(super) fn of(&self, config: &Config) -> Arc<Memory<V>> {
        let process = self.process.get_or_init(|| Arc::new(Process::new()));
        process.limit.fetch_max(config.near_bytes(), Ordering::Relaxed);
        let identity = config.identity();
        let mut known = process.known();
        known.retain(|(_, memory)| memory.strong_count() > 0);
        let found = known.iter().find(|(place, _)| *place == identity);
        if let Some(memory) = found.and_then(|(_, memory)| memory.upgrade()) {
            memory.state().grow(config.near_bytes());
            return memory;
        }
        let memory = Arc::new(Memory::within(Some(Arc::clone(process)), config));
        let before = known.iter().filter(|(place, _)| identity.succeeds(place));
        for before in before.filter_map(|(_, memory)| memory.upgrade()) {
            memory.state().succeed(&before.state());
        }
        known.push((identity, Arc::downgrade(&memory)));
        memory
    }
}

impl<V: Clone> Default for Memories<V> {
    fn default() -> Self {
        Self::new()
    }
}
