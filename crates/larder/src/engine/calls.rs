//! An engine, and how it asks its backend: between two looks at what memory knows, with no lock
//! held.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::handle::{Decode, Handle};
use super::hot_set::HotSet;
use super::lenders::Lenders;
use super::lost_fills::LostFills;
use super::memory::{Memories, Memory};
use crate::breaker::{Breaker, Waits};
use crate::clock::boot_nanos;
use crate::coherence::{Coherence, Ticket};
use crate::config::{Config, Server};
use crate::contract::{Applied, Backend, CacheId, DURABLE, Delta, Fetched, Health, Op, Read};
use crate::entry::EntryCodec;
use crate::error::{Error, ErrorKind, Result};
use crate::node_state::NodeState;
use crate::statistics::{CacheCounts, Counters, Stats};

/// What the backend said, and the ticket to keep it with, if it may be kept.
pub(super) struct Answer {
    pub(super) fetched: Fetched,
    pub(super) ticket: Option<Ticket>,
}

/// A backend with a near cache of decoded values before it.
///
/// Coherent as `docs/design.md` promises: a read sees everything that was acknowledged before its
/// sync point. Sync points are the first operation after [`begin_request`](Self::begin_request),
/// every round trip, and any read more than `max_staleness` after the last.
pub struct Engine<D: Decode> {
    pub(super) backend: Arc<dyn Backend>,
    /// `None` where the backend copes with outages itself.
    pub(super) breaker: Option<Breaker>,
    /// What was last heard of what the backend refused to forget.
    pub(super) refused: AtomicU64,
    /// Whether the backend was there when it was last asked.
    pub(super) answered: AtomicBool,
    pub(super) entries: EntryCodec,
    pub(super) decode: D,
    pub(super) max_staleness: Duration,
    pub(super) memory: Arc<Memory<D::Value>>,
    pub(super) lenders: Lenders,
    pub(super) lost_fills: LostFills,
    /// The round trips and bytes that were counted, see [`report`](Self::report).
    pub(super) counted_traffic: [AtomicU64; 3],
}

impl<D: Decode> Engine<D> {
    /// An engine for `config`, with a memory of its own. Does not touch the backend yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the configuration does not suit the backend.
    pub fn open(config: &Config, decode: D) -> Result<Self> {
        Self::open_in(&Memories::new(), config, decode)
    }

    /// An engine for `config` that shares its memory with all that were opened in `memories` on the
    /// same place. Does not touch the backend yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the configuration does not suit the backend.
    pub fn open_in(memories: &Memories<D::Value>, config: &Config, decode: D) -> Result<Self> {
        let backend = crate::open::open(config)?;
        Ok(Self::with_memory(backend, config, decode, memories.of(config)))
    }

    /// An engine on a given backend, with a memory of its own.
    pub fn with_backend(backend: Arc<dyn Backend>, config: &Config, decode: D) -> Self {
        Self::with_memory(backend, config, decode, Arc::new(Memory::new(config)))
    }

    fn with_memory(
        backend: Arc<dyn Backend>,
        config: &Config,
        decode: D,
        memory: Arc<Memory<D::Value>>,
    ) -> Self {
        let node = || match config.server() {
            Server::Redis { .. } => NodeState::shared(&config.place()),
            _ => NodeState::alone(),
        };
        Self {
            lenders: Lenders::new(Arc::clone(&backend), config.lock_lease()),
            breaker: (!backend.copes_with_outages())
                .then(|| Breaker::new(node(), Waits::new(config.connect_timeout(), config.read_timeout()))),
            refused: AtomicU64::new(0),
            answered: AtomicBool::new(true),
            backend,
            entries: EntryCodec::new(config),
            decode,
            max_staleness: config.max_staleness(),
            memory,
            lost_fills: LostFills::default(),
            counted_traffic: Default::default(),
        }
    }

    /// A cache by name. With `near` its values are kept in memory and its changes logged; without,
    /// entries are fetched each time, and survive a change of the server's identity. `ttl` is in
    /// seconds; `None` or 0 = for ever, less = expired at once.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] for a bad name.
    pub fn cache(&self, name: &str, near: bool, ttl: Option<i64>) -> Result<Handle> {
        if name.starts_with(DURABLE) {
            return Err(Error::value(format!("a cache name must not begin with '{DURABLE}'")));
        }
        Ok(self.handle(CacheId::new(name, near)?, ttl))
    }

    /// A cache of Larder's own, as [`cache`](Self::cache), by a name that no application can give
    /// to one of its caches.
    pub(crate) fn own_cache(&self, name: &str, near: bool, ttl: Option<i64>) -> Handle {
        self.handle(CacheId::own(name, near), ttl)
    }

    pub(super) fn handle(&self, id: CacheId, ttl: Option<i64>) -> Handle {
        let number = self.state().number(id.name());
        Handle { id, log: None, number, ttl }
    }

    /// A cache whose entries survive a change of the server's identity and are never evicted, and
    /// whose values are kept in memory all the same: the entries stand in an unlogged cache, and
    /// each write logs its keys in a logged one that stays empty. Sets are not guarded: what must
    /// not get lost is stored even after a miss.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] for a bad name.
    pub fn durable_cache(&self, name: &str, ttl: Option<i64>) -> Result<Handle> {
        let name = format!("{DURABLE}{name}");
        let (id, log) = (CacheId::new(&name, false)?, CacheId::new(&name, true)?);
        let number = self.state().number(&name);
        Ok(Handle { id, log: Some(log), number, ttl })
    }

    /// The cache that memory knows by this name.
    pub(super) fn named(&self, name: &str) -> Result<Handle> {
        match name.strip_prefix(DURABLE) {
            Some(name) => self.durable_cache(name, None),
            None => self.cache(name, true, None),
        }
    }

    /// Marks the next operation as the first of a request. No round trip.
    pub fn begin_request(&self) {
        self.state().begin_request();
        self.begin_fills();
        self.expect_hot_set();
    }

    /// Marks the next operation as the first of a request, unless another engine with the same
    /// memory is in the midst of one: what that found missing is not forgotten. No round trip.
    pub fn join_request(&self) {
        if !self.state().serves_requests() {
            self.begin_request();
        }
    }

    /// Asks the backend for changes now. One round trip.
    ///
    /// # Errors
    /// If the backend is unavailable; values in memory are then not served until it answers.
    pub fn sync(&self) -> Result<()> {
        self.fetch(&[]).map(drop)
    }

    /// What this process did with the place of this engine, and holds of it; round trips are the
    /// engine's own. No round trip.
    pub fn stats(&self) -> Stats {
        let store = self.counters().counts();
        let (bytes_sent, bytes_received) = self.backend.bytes();
        let state = self.state();
        let mut caches = CacheCounts::default();
        state.counts().iter().for_each(|counts| caches.add(counts));
        Stats {
            near_hits: caches.near_hits,
            hits: caches.hits,
            misses: caches.misses,
            sets: caches.sets,
            deletes: caches.deletes,
            purges: caches.purges,
            dropped_fills: store.dropped_fills,
            broken: store.broken,
            awaited: store.awaited,
            shared_fills: store.shared_fills,
            resets: store.resets,
            errors: store.errors,
            store_us: store.store_us,
            lock_us: store.lock_us,
            round_trips: self.backend.round_trips(),
            bytes_sent,
            bytes_received,
            near_entries: state.near().entries() as u64,
            near_bytes: state.near().bytes(),
            near_limit: state.near().budget(),
            available: self.is_there(),
        }
    }

    /// The backend.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    pub(super) fn fetch(&self, reads: &[Read<'_>]) -> Result<Answer> {
        self.delete_lost();
        let ticket = self.state().ticket();
        let fetched = self.call(|| self.backend.fetch(ticket.position(), reads))?;
        self.learn_settled();
        let ticket = self.absorb(ticket, &fetched.delta);
        Ok(Answer { fetched, ticket })
    }

    /// Makes changes, all of one cache.
    pub(super) fn apply(&self, cache: &Handle, ops: &[Op<'_>]) -> Result<(Applied, Option<Ticket>)> {
        // Nothing of an unlogged cache is in memory; there may be a logged one of the same name.
        let remembered = if cache.near() { ops } else { &[] };
        let ticket = {
            let mut state = self.state();
            state.before_write(cache.number, remembered);
            state.ticket()
        };
        let mut all = Cow::Borrowed(ops);
        if let Some(log) = &cache.log {
            all.to_mut().extend(ops.iter().map(|op| match *op {
                Op::Set { key, .. } | Op::Delete { key, .. } => Op::Delete { cache: log, key },
                Op::Purge { .. } => Op::Purge { cache: log },
            }));
        }
        let applied = self.call(|| self.backend.apply(ticket.position(), &all));
        self.end_fills(cache, ops);
        let mut applied = applied.inspect_err(|error| self.note_refused(&all, error))?;
        applied.outcomes.truncate(ops.len());
        self.learn_settled();
        let current = self.absorb(ticket, &applied.delta).is_some();
        let ticket = self.state().after_write(applied.delta.position, cache.number, remembered);
        Ok((applied, current.then_some(ticket)))
    }

    pub(super) fn absorb(&self, ticket: Ticket, delta: &Delta) -> Option<Ticket> {
        if delta.reset && ticket.position().is_some() {
            self.counters().resets.fetch_add(1, Ordering::Relaxed);
            self.expect_hot_set_again();
        }
        let mut state = self.state();
        let ticket = state.absorb(ticket, delta);
        let lost = state.take_lost();
        drop(state);
        for (cache, values) in lost {
            self.expect_of_hot_set(&cache, values);
        }
        ticket
    }

    /// Calls the backend. When it fails, what is in memory may be old by the time it answers again:
    /// the next read has to ask.
    pub(super) fn call<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        self.timed(&self.counters().store_us, call)
    }

    /// Calls it for a lock, which may be waited for.
    pub(super) fn call_for_lock<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        self.timed(&self.counters().lock_us, call)
    }

    /// Calls it, and adds the microseconds that it took.
    fn timed<T>(&self, micros: &AtomicU64, call: impl FnOnce() -> Result<T>) -> Result<T> {
        self.memory.keep_within_process();
        let begun = boot_nanos();
        let answer = self.guarded(call);
        micros.fetch_add(boot_nanos().saturating_sub(begun) / 1000, Ordering::Relaxed);
        answer.inspect_err(|_| {
            self.counters().errors.fetch_add(1, Ordering::Relaxed);
            self.state().require_sync();
        })
    }

    pub(super) fn guarded<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let answer = match &self.breaker {
            Some(breaker) => breaker.begin().and_then(|pass| {
                let answer = self.heed_refusals(breaker, &pass).and_then(|()| call());
                breaker.end(&pass, &answer);
                answer
            }),
            None => call(),
        };
        let away = |error: &Error| error.kind() == ErrorKind::Unavailable;
        self.answered.store(!answer.as_ref().is_err_and(away), Ordering::Relaxed);
        answer
    }

    /// Whether the backend was there when it was last asked, as far as it is known on this node.
    pub(super) fn is_there(&self) -> bool {
        self.breaker
            .as_ref()
            .map_or_else(|| self.answered.load(Ordering::Relaxed), |breaker| !breaker.is_open())
    }

    /// How the store is served now. One round trip.
    pub fn health(&self) -> Health {
        let Some(breaker) = &self.breaker else { return self.backend.health() };
        match self.sync() {
            Ok(()) => self.refusing().unwrap_or_default(),
            Err(error) => Health::away(error.to_string()).since(breaker.away_since().unwrap_or(0)),
        }
    }

    /// Asks the server now, also while it is left alone after a failure, for the error that it has.
    /// That it answers is then known to all processes of the node. A round trip or two.
    ///
    /// # Errors
    /// If the server is unavailable or refuses.
    pub fn reach(&self) -> Result<()> {
        let Some(breaker) = &self.breaker else { return self.backend.reach() };
        let pass = breaker.past();
        let answer = self.backend.reach();
        breaker.end(&pass, &answer);
        answer
    }

    /// Takes what there is to log about who serves: one line for each change on this node, given to
    /// one of its processes. No round trip.
    pub fn events(&self) -> Vec<String> {
        self.breaker.as_ref().map_or_else(|| self.backend.events(), Breaker::events)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, Coherence<D::Value>> {
        self.memory.state()
    }

    pub(super) fn hot(&self) -> MutexGuard<'_, HotSet> {
        self.memory.hot()
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.memory.counters
    }
}
