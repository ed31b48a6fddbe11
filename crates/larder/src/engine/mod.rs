//! For bindings to other languages: reads and writes through the near cache, with values of the binding's own kind.
//!
//! [`Engine`] is what [`Store`](crate::Store) and the PHP extension share. A binding says how a payload becomes a value
//! ([`Decode`]), has one [`Memories`] for all engines of its process, and tells when a request begins and ends. [`payload`]
//! has the pieces of the format for bindings with a codec of their own.

mod audit;
mod fills;
mod hot;
mod locks;
mod memory;
mod peek;
mod posts;
mod reads;
mod refused;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use crate::breaker::{Breaker, Waits};
use crate::clock::Millis;
use crate::coherence::{Coherence, Keep, Ticket};
use crate::config::Config;
use crate::contract::{
    Applied, Backend, CacheId, DURABLE, Delta, Fetched, Health, LockProof, Op, Outcome, Position, Read,
};
use crate::entry::EntryCodec;
use crate::error::{Error, ErrorKind, Result};
use crate::near::CacheNumber;
use crate::node_state::NodeState;
use crate::stats::{Counters, Stats};
pub use audit::AuditRecord;
use hot::HotSet;
use locks::EngineLocks;
pub use locks::{key_lock, named_lock};
pub use memory::Memories;
use memory::Memory;

pub use crate::config::{RedisAddress, Secret, Server};
pub use crate::lock::{Forgotten, NamedLocks};
pub use crate::open::open as open_backend;

/// The encoding of values: see `docs/format.md`.
pub mod payload {
    pub use crate::payload::{
        Broken, EXT_OBJECT, EXT_PHP, EXT_SHAPE, EXT_STRING, Key, MAX_DEPTH, MAX_SHAPE_KEYS,
        MAX_SHARED_STRING, MIN_SHAPE_KEYS, MIN_SHARED_STRING, PayloadError, Reader, Token, Value,
        from_payload, is_shape_len, is_shared_len, numeric_key, to_payload, to_php_serialized, write,
    };
}

/// The longest key, in bytes.
pub const MAX_KEY: usize = 64 << 10;

/// Turns payloads into the values that the near cache keeps.
pub trait Decode {
    /// A decoded value; cloning it is cheap.
    type Value: Clone;

    /// The value of a payload, and the bytes of memory that it holds; `None` if the payload is broken.
    ///
    /// Runs while the engine waits for it without a lock; it must not call the engine.
    fn decode(&self, payload: &[u8]) -> Option<(Self::Value, usize)>;

    /// The same for a value that memory does not keep.
    fn decode_once(&self, payload: &[u8]) -> Option<Self::Value> {
        self.decode(payload).map(|(value, _)| value)
    }

    /// The most bytes of a payload that is worth decompressing; a larger one is broken.
    fn most(&self) -> usize {
        usize::MAX
    }
}

/// One cache of an engine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    id: CacheId,
    /// Where changes of a durable cache are logged.
    log: Option<CacheId>,
    number: CacheNumber,
    ttl: Option<i64>,
}

impl Handle {
    /// The cache.
    pub fn id(&self) -> &CacheId {
        &self.id
    }

    /// Whether values may be kept in memory.
    fn near(&self) -> bool {
        self.id.logged() || self.log.is_some()
    }

    /// A key was found missing in this request. Sets of a durable cache are not guarded by that, and who reads one
    /// waits for no lock in between, so that what is known to be absent may be told again.
    fn missed<V: Clone>(&self, state: &mut Coherence<V>, at: Position, key: &[u8]) {
        if self.id.logged() {
            state.missed(at, self.number, key);
        }
    }
}

/// An entry to store.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The key: any bytes, at most [`MAX_KEY`].
    pub key: &'a [u8],
    /// The encoded value.
    pub payload: &'a [u8],
    /// Seconds to live, if not the cache's; 0 = for ever, less = expired at once.
    pub ttl: Option<i64>,
    /// Store only while this lock on the key is held.
    pub lock: Option<LockProof>,
}

/// What the backend said, and the ticket to keep it with, if it may be kept.
struct Answer {
    fetched: Fetched,
    ticket: Option<Ticket>,
}

/// A backend with a near cache of decoded values before it.
///
/// Coherent as `docs/design.md` promises: a read sees everything that was acknowledged before its sync point. Sync
/// points are the first operation after [`begin_request`](Self::begin_request), every round trip, and any read more
/// than `max_staleness` after the last.
pub struct Engine<D: Decode> {
    backend: Arc<dyn Backend>,
    /// `None` where the backend copes with outages itself.
    breaker: Option<Breaker>,
    /// What was last heard of what the backend refused to forget.
    refused: AtomicU64,
    /// Whether the backend was there when it was last asked.
    answered: AtomicBool,
    entries: EntryCodec,
    decode: D,
    max_staleness: Duration,
    memory: Arc<Memory<D::Value>>,
    locks: EngineLocks,
    posts: posts::Posts,
}

impl<D: Decode> Engine<D> {
    /// An engine for `config`, with a memory of its own. Does not touch the backend yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the configuration names files that cannot be read.
    pub fn open(config: &Config, decode: D) -> Result<Self> {
        Self::open_in(&Memories::new(), config, decode)
    }

    /// An engine for `config` that shares its memory with all that were opened in `memories` on the same place. Does not
    /// touch the backend yet.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the configuration names files that cannot be read.
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
            locks: EngineLocks::new(Arc::clone(&backend), config.lock_lease()),
            breaker: (!backend.copes_with_outages())
                .then(|| Breaker::new(node(), Waits::new(config.connect_timeout(), config.read_timeout()))),
            refused: AtomicU64::new(0),
            answered: AtomicBool::new(true),
            backend,
            entries: EntryCodec::new(config),
            decode,
            max_staleness: config.max_staleness(),
            memory,
            posts: posts::Posts::default(),
        }
    }

    /// A cache by name. With `near` its values are kept in memory and its changes logged; without, entries are
    /// fetched each time, and survive a change of the server's identity. `ttl` is in seconds; `None` or 0 = for ever, less = expired
    /// at once.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] for a bad name.
    pub fn cache(&self, name: &str, near: bool, ttl: Option<i64>) -> Result<Handle> {
        if name.starts_with(DURABLE) {
            return Err(Error::value(format!("a cache name must not begin with '{DURABLE}'")));
        }
        Ok(self.handle(CacheId::new(name, near)?, ttl))
    }

    /// A cache of Larder's own, as [`cache`](Self::cache), by a name that no application can give to one of its caches.
    pub(crate) fn own_cache(&self, name: &str, near: bool, ttl: Option<i64>) -> Handle {
        self.handle(CacheId::own(name, near), ttl)
    }

    fn handle(&self, id: CacheId, ttl: Option<i64>) -> Handle {
        let number = self.state().number(id.name());
        Handle { id, log: None, number, ttl }
    }

    /// A cache whose entries survive a change of the server's identity and are never evicted, and whose values are
    /// kept in memory all the same: the entries stand in an unlogged cache, and each write logs its keys in a logged
    /// one that stays empty. Sets are not guarded: what must not get lost is stored even after a miss.
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
    fn named(&self, name: &str) -> Result<Handle> {
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

    /// Marks the next operation as the first of a request, unless another engine with the same memory is in the midst of one:
    /// what that found missing is not forgotten. No round trip.
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

    /// Stores entries in one round trip, all or nothing. For each item whether it stands acknowledged: false if
    /// the backend refused it. A fill that lost against a newer change counts as stored before it; if that was a set of
    /// another value, neither is left. One fill alone, in a request, may be sent and not waited for (R31): no round trip, and it is
    /// acknowledged when the request has ended.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] for a bad key; [`ErrorKind::LockLost`] if an item's lock is gone, nothing is changed then;
    /// others if the backend is unavailable or refuses. Then nothing is acknowledged, and values before may stand or
    /// be gone.
    pub fn set_many(&self, cache: &Handle, items: &[Item<'_>]) -> Result<()> {
        items.iter().try_for_each(|item| check_key(item.key))?;
        self.follow_settled();
        let now = self.backend.now();
        let entries: Vec<(Option<Vec<u8>>, Option<Millis>)> = items
            .iter()
            .map(|item| match expiry(item.ttl.or(cache.ttl), now) {
                Err(Expired) => (None, None),
                Ok(expires) => {
                    (Some(self.entries.encode(&cache.id, item.key, item.payload, expires)), expires)
                }
            })
            .collect();
        let (ops, ticket): (Vec<Op<'_>>, Ticket) = {
            let state = self.state();
            let ops = items.iter().zip(&entries).map(|(item, (entry, expires))| match entry {
                None => Op::Delete { cache: &cache.id, key: item.key },
                Some(entry) => Op::Set {
                    cache: &cache.id,
                    key: item.key,
                    entry,
                    expires: *expires,
                    guard: cache
                        .id
                        .logged()
                        .then(|| state.guard(cache.number, item.key))
                        .flatten()
                        .map(|missed| self.entries.fill_guard(missed, entry, *expires)),
                    lock: item.lock,
                },
            });
            (ops.collect(), state.ticket())
        };
        if self.post(&ops) {
            self.end_fills(cache, &ops);
            self.counters().sets.fetch_add(1, Ordering::Relaxed);
            if let ([item], [(_, expires)]) = (items, &*entries) {
                let value = self.decode.decode(item.payload);
                let keep = value.map(|(value, weight)| Keep { value, weight, expires: *expires });
                self.state().after_post(ticket, cache.number, item.key, keep);
            }
            return Ok(());
        }
        let (applied, ticket) = match self.apply(cache, &ops) {
            Err(error) if error.kind() == ErrorKind::Refused => {
                // What was refused must not leave the value before it in place. A fill would have replaced nothing.
                let replaced = ops.iter().filter_map(|op| match *op {
                    Op::Set { guard: Some(_), .. } | Op::Purge { .. } => None,
                    Op::Set { key, .. } | Op::Delete { key, .. } => Some(key),
                });
                let keys: Vec<&[u8]> = replaced.collect();
                if !keys.is_empty() {
                    let _ = self.delete_many(cache, &keys);
                }
                return Err(error);
            }
            answer => answer?,
        };
        self.counters().sets.fetch_add(items.len() as u64, Ordering::Relaxed);
        if !cache.near() {
            return Ok(());
        }
        for ((item, (entry, expires)), outcome) in items.iter().zip(&entries).zip(&applied.outcomes) {
            if matches!(outcome, Outcome::Dropped | Outcome::Cleared) {
                self.counters().dropped_fills.fetch_add(1, Ordering::Relaxed);
            } else if let Some(ticket) = ticket {
                let value = entry.as_ref().and_then(|_| self.decode.decode(item.payload));
                let keep = value.map(|(value, weight)| Keep { value, weight, expires: *expires });
                self.state().keep_own(ticket, cache.number, item.key, keep);
            }
        }
        Ok(())
    }

    /// Removes entries in one round trip; for each key whether there was an entry. Once this returns no one can
    /// read the old values after a later sync point.
    ///
    /// # Errors
    /// As [`set_many`](Self::set_many).
    pub fn delete_many(&self, cache: &Handle, keys: &[&[u8]]) -> Result<Vec<bool>> {
        keys.iter().try_for_each(|key| check_key(key))?;
        let ops: Vec<_> = keys.iter().map(|key| Op::Delete { cache: &cache.id, key }).collect();
        let (answer, _) = self.apply(cache, &ops)?;
        self.counters().deletes.fetch_add(keys.len() as u64, Ordering::Relaxed);
        Ok(answer.outcomes.iter().map(|outcome| *outcome == Outcome::Deleted { existed: true }).collect())
    }

    /// Empties a cache. One round trip, however much it holds.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn purge(&self, cache: &Handle) -> Result<()> {
        self.apply(cache, &[Op::Purge { cache: &cache.id }])?;
        self.counters().purges.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The keys of a cache that start with `prefix`, each once, in no order; expired ones may be among them. One
    /// round trip for some hundred keys.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn keys(&self, cache: &Handle, prefix: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut keys = std::collections::HashSet::new();
        self.guarded(|| {
            self.backend.list(&cache.id, prefix, &mut |key| {
                keys.insert(key.to_vec());
            })
        })?;
        Ok(keys.into_iter().filter(|key| !self.is_refused(cache, key)).collect())
    }

    /// Empties every cache of the namespace, unlogged ones included; the audit log stays.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn reset(&self) -> Result<()> {
        let audit_log = self.audit_log().unwrap_or_default();
        self.call(|| self.backend.reset()).inspect_err(|error| self.note_reset_refused(error))?;
        self.sync()?;
        self.state().after_reset();
        self.keep_audit_log(&audit_log);
        Ok(())
    }

    /// What this process did with the place of this engine, and holds of it; round trips are the engine's own. No round
    /// trip.
    pub fn stats(&self) -> Stats {
        let state = self.state();
        Stats {
            near_hits: state.hits,
            near_entries: state.near().entries() as u64,
            near_bytes: state.near().bytes(),
            near_limit: state.near().budget(),
            round_trips: self.backend.round_trips(),
            available: self.is_there(),
            ..self.counters().stats()
        }
    }

    /// The backend.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    fn fetch(&self, reads: &[Read<'_>]) -> Result<Answer> {
        self.delete_lost();
        let ticket = self.state().ticket();
        let fetched = self.call(|| self.backend.fetch(ticket.position(), reads))?;
        self.learn_settled();
        let ticket = self.absorb(ticket, &fetched.delta);
        Ok(Answer { fetched, ticket })
    }

    /// Makes changes, all of one cache.
    fn apply(&self, cache: &Handle, ops: &[Op<'_>]) -> Result<(Applied, Option<Ticket>)> {
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

    fn absorb(&self, ticket: Ticket, delta: &Delta) -> Option<Ticket> {
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

    /// Calls the backend. When it fails, what is in memory may be old by the time it answers again: the next read
    /// has to ask.
    fn call<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        self.memory.keep_within_process();
        self.guarded(call).inspect_err(|_| {
            self.counters().errors.fetch_add(1, Ordering::Relaxed);
            self.state().require_sync();
        })
    }

    fn guarded<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
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
    fn is_there(&self) -> bool {
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

    /// Asks the server now, also while it is left alone after a failure, for the error that it has. That it answers is then
    /// known to all processes of the node. A round trip or two.
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

    /// Takes what there is to log about who serves: one line for each change on this node, given to one of its processes.
    /// No round trip.
    pub fn events(&self) -> Vec<String> {
        self.breaker.as_ref().map_or_else(|| self.backend.events(), Breaker::events)
    }

    fn state(&self) -> MutexGuard<'_, Coherence<D::Value>> {
        self.memory.state()
    }

    fn hot(&self) -> MutexGuard<'_, HotSet> {
        self.memory.hot()
    }

    fn counters(&self) -> &Counters {
        &self.memory.counters
    }
}

/// The item's time to live is over before it begins.
struct Expired;

fn expiry(ttl: Option<i64>, now: Millis) -> Result<Option<Millis>, Expired> {
    let Some(seconds) = ttl else { return Ok(None) };
    match u64::try_from(seconds) {
        Ok(0) => Ok(None),
        Ok(seconds) => Ok(Some(now.saturating_add(seconds.saturating_mul(1000)))),
        Err(_) => Err(Expired),
    }
}

fn check_key(key: &[u8]) -> Result<()> {
    if key.len() > MAX_KEY {
        return Err(Error::value(format!(
            "a key must have at most {MAX_KEY} bytes; '{}…' has {}",
            key.get(..32).unwrap_or_default().escape_ascii(),
            key.len()
        )));
    }
    Ok(())
}
