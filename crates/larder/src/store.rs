//! The Rust face: a store and its caches, typed through serde.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::contract::{Backend, CacheUsage, Health, LockInfo};
use crate::engine::observe::{AuditRecord, NodeStatistics};
use crate::engine::{Decode, Engine, Handle, Item, Memories};
use crate::error::{ErrorKind, Result};
use crate::lock::LockGuard;
use crate::payload;
use crate::statistics::Stats;

/// How a cache treats its entries. Two caches of different kinds are two caches, even under the
/// same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CacheKind {
    /// Values are kept in memory and changes are logged, so that every process serves what is
    /// current from its own memory. Entries go when the server loses its identity, as by a restart.
    #[default]
    Logged,
    /// Each read goes to the server and nothing is logged; entries survive a change of the server's
    /// identity. For what one request writes and the next one of the same user reads.
    Session,
    /// Values are kept in memory, and entries survive a change of the server's identity and are not
    /// evicted. For what must not get lost as long as the server keeps its data.
    Durable,
}

/// Keeps payloads as they came: each typed read decodes its own copy.
struct Payloads;

impl Decode for Payloads {
    type Value = Arc<[u8]>;

    fn decode(&self, payload: &[u8]) -> Option<(Self::Value, usize)> {
        Some((payload.into(), payload.len()))
    }
}

/// The memories of this process.
static MEMORIES: Memories<Arc<[u8]>> = Memories::new();

/// A coherent store of named caches. Cheap to clone; clones share the connection and the memory.
/// Stores of one process with the same server, credentials, `namespace`, `code_epoch`, seal keys,
/// `ca_file` and `fallback` share their memory, so that each reads what the others wrote, whatever
/// their other options are.
///
/// ```
/// # let dir = std::env::temp_dir().join(format!("larder-doc-{}", std::process::id()));
/// # let url = format!("local:{}", dir.display());
/// use larder::{Config, Store};
///
/// let store = Store::open(&Config::from_url(&url)?)?;
/// let courses = store.cache("courses")?;
/// courses.set("42", &("Rust for cooks", 6))?;
/// assert_eq!(courses.get("42")?, Some(("Rust for cooks".to_owned(), 6)));
/// courses.purge()?;
/// assert_eq!(courses.get::<(String, u32)>("42")?, None);
/// # std::fs::remove_dir_all(dir).ok();
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone)]
pub struct Store {
    engine: Arc<Engine<Payloads>>,
}

impl Store {
    /// A store for `config`. Does not connect yet: no round trip.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the configuration does not suit the backend.
    pub fn open(config: &Config) -> Result<Self> {
        Ok(Self { engine: Arc::new(Engine::open_in(&MEMORIES, config, Payloads)?) })
    }

    /// A store on a given backend, with a memory of its own as a store of another process has. No
    /// round trip.
    pub fn with_backend(backend: Arc<dyn Backend>, config: &Config) -> Self {
        Self { engine: Arc::new(Engine::with_backend(backend, config, Payloads)) }
    }

    /// The [logged](CacheKind::Logged) cache of this name, whose entries live for ever. No round
    /// trip.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a bad name.
    pub fn cache(&self, name: &str) -> Result<Cache> {
        self.cache_with(name, CacheKind::default(), None)
    }

    /// The cache of this name. Its entries are missing `ttl` after they were stored, counted in
    /// whole seconds, of which a part is one; `None` or zero = never. No round trip.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) for a bad name.
    pub fn cache_with(&self, name: &str, kind: CacheKind, ttl: Option<Duration>) -> Result<Cache> {
        let ttl = ttl.map(|ttl| {
            let seconds = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
            i64::try_from(seconds).unwrap_or(i64::MAX)
        });
        let handle = match kind {
            CacheKind::Logged => self.engine.cache(name, true, ttl)?,
            CacheKind::Session => self.engine.cache(name, false, ttl)?,
            CacheKind::Durable => self.engine.durable_cache(name, ttl)?,
        };
        Ok(Cache { engine: Arc::clone(&self.engine), handle })
    }

    /// A cache that no application can name, and that [`usage`](Self::usage) does not list, for
    /// tools that try what the backend allows. Its entries live `ttl` seconds. No round trip.
    pub fn scratch_cache(&self, name: &str, near: bool, ttl: i64) -> Cache {
        Cache { engine: Arc::clone(&self.engine), handle: self.engine.own_cache(name, near, Some(ttl)) }
    }

    /// A sync point now: later reads see everything acknowledged before this call. One round trip.
    ///
    /// # Errors
    /// If the backend is unavailable.
    pub fn sync(&self) -> Result<()> {
        self.engine.sync()
    }

    /// Fetches the values that processes which serve requests hold in their memory, so that this
    /// one, and others of its node behind a node tier, need not fetch them one by one. How many
    /// there were. Five round trips at most.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses; what was fetched before stays.
    pub fn warm(&self) -> Result<usize> {
        self.warm_with(|_, _| ())
    }

    /// As [`warm`](Self::warm); calls `progress` after each round trip with the number of keys that
    /// were asked for so far, and of all.
    ///
    /// # Errors
    /// As [`warm`](Self::warm).
    pub fn warm_with(&self, progress: impl FnMut(usize, usize)) -> Result<usize> {
        self.engine.warm(progress)
    }

    /// What this process did with the place of this store, and holds of it. No round trip.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// What the nodes did that use the place of this store, and are, by name. Of this node as it is
    /// now, of the others as they told within the last minute or so; a node that told nothing for a
    /// day is none. On Redis two round trips, and one for each hundred nodes.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn statistics(&self) -> Result<Vec<NodeStatistics>> {
        self.engine.statistics()
    }

    /// How this store is served now: by the server, by what takes over for it, or not at all. A
    /// round trip or two.
    pub fn health(&self) -> Health {
        self.engine.health()
    }

    /// Asks the server now, also while it is left alone after a failure, for the error that it has.
    /// That it answers is then known to all processes of the node. A round trip or two.
    ///
    /// # Errors
    /// If the server is unavailable or refuses.
    pub fn reach(&self) -> Result<()> {
        self.engine.reach()
    }

    /// Takes what there is to log about who serves: one line for each change on this node, given to
    /// one of its processes. No round trip.
    pub fn events(&self) -> Vec<String> {
        self.engine.events()
    }

    /// The caches that hold entries. Some round trips, more with more caches.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn usage(&self) -> Result<Vec<CacheUsage>> {
        let mut usage = self.engine.backend().usage()?;
        usage.retain(|usage| !usage.cache.is_reserved());
        Ok(usage)
    }

    /// Waits for a named lock, for `wait` at the longest; `None` if another had it all the while. A
    /// sync point. `owner` is what lists show. One round trip if the lock is free.
    ///
    /// A named lock guards something outside of Larder. After locks may have been lost, nobody new
    /// gets it for one lease, so that its holder, which may still work, finds out or gets it back.
    /// For entries of a cache use
    /// [`Cache::lock`], which never makes anybody wait for that.
    ///
    /// ```no_run
    /// # let store = larder::Store::open(&larder::Config::from_url("redis://localhost")?)?;
    /// use std::time::Duration;
    ///
    /// if let Some(lock) = store.lock("nightly export", "host 7", Duration::from_secs(5))? {
    ///     // What is guarded can refuse a holder that was too late: its number is smaller.
    ///     println!("writing as number {}", lock.fence());
    /// } // Released here.
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Grace`](crate::ErrorKind::Grace) if locks may have been lost and the wait ends before the grace does;
    /// [`grace_until`](crate::Error::grace_until) says when that is. Others if the backend is unavailable or refuses.
    pub fn lock(
        &self,
        name: impl AsRef<[u8]>,
        owner: impl AsRef<[u8]>,
        wait: Duration,
    ) -> Result<Option<LockGuard>> {
        self.engine.lock_named(name.as_ref(), owner.as_ref(), wait)
    }

    /// All locks that are held. Some round trips, more with more locks.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses, or keeps no locks.
    pub fn locks(&self) -> Result<Vec<LockInfo>> {
        self.engine.lock_backend()?.list()
    }

    /// Takes a lock from its holder, whoever that is, and gives it to the next in line. Whether it
    /// was held. `name` is that of [`LockInfo::name`]. One round trip.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses, or keeps no locks.
    pub fn break_lock(&self, name: &[u8]) -> Result<bool> {
        self.engine.lock_backend()?.break_lock(name)
    }

    /// Adds a record to the audit log of the namespace, which keeps the last 1,000 for a year: what
    /// was done, and by whom or from where, as names and values; the host's name is added as `node`
    /// if that is missing. Nothing is recorded by itself. Three round trips at most.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn audit(&self, action: &str, details: BTreeMap<String, String>) -> Result<()> {
        self.engine.audit(action, details)
    }

    /// The records of the audit log, oldest first. On Redis a round trip, and one for each hundred
    /// records.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn audit_log(&self) -> Result<Vec<AuditRecord>> {
        self.engine.audit_log()
    }

    /// Empties every cache of the namespace; the audit log stays. Some six round trips.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn reset(&self) -> Result<()> {
        self.engine.reset()
    }

    /// The backend.
    pub fn backend(&self) -> &dyn Backend {
        self.engine.backend()
    }
}

/// One cache of a [`Store`]. Keys are any bytes, at most 64 KiB.
#[derive(Clone)]
pub struct Cache {
    engine: Arc<Engine<Payloads>>,
    handle: Handle,
}

impl Cache {
    /// The value of a key; `None` if there is none. No round trip while memory holds it and no sync
    /// is due.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) if the value is not a `T`, and then the key counts as missing; others if
    /// the backend is unavailable or refuses.
    pub fn get<T: DeserializeOwned>(&self, key: impl AsRef<[u8]>) -> Result<Option<T>> {
        let value = self.payload(&key)?.map(|payload| payload::from_payload(&payload)).transpose();
        value.inspect_err(|_| self.unreadable(key))
    }

    /// What was read of `key` is of no use to the caller, who may store something else now.
    fn unreadable(&self, key: impl AsRef<[u8]>) {
        self.engine.unreadable(&self.handle, key.as_ref(), self.engine.position());
    }

    /// The encoded value of a key (`docs/format.md`), for tools that do not know its type. Costs
    /// what [`get`](Self::get) costs.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn payload(&self, key: impl AsRef<[u8]>) -> Result<Option<Arc<[u8]>>> {
        self.engine.get(&self.handle, key.as_ref())
    }

    /// The values of many keys, in order; `None` where there is none. One round trip for all that
    /// memory does not hold.
    ///
    /// # Errors
    /// As [`get`](Self::get); if one of the values is not a `T`, all of the keys count as missing.
    pub fn get_many<T: DeserializeOwned>(&self, keys: &[impl AsRef<[u8]>]) -> Result<Vec<Option<T>>> {
        let refs: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
        let payloads = self.engine.get_many(&self.handle, &refs)?;
        let values = payloads
            .iter()
            .map(|found| found.as_ref().map(|payload| payload::from_payload(payload)).transpose())
            .collect::<Result<_>>();
        values.inspect_err(|_| refs.iter().for_each(|key| self.unreadable(key)))
    }

    /// Stores a value. One round trip. If the key was found missing before and was deleted or
    /// purged since, it stays so: the value may have been computed from what is no longer true. If
    /// another value was stored since, nobody knows which is the newer one, and the key is deleted.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) if the value cannot be encoded; others if the backend is
    /// unavailable or refuses. If it refuses, the value that would have been overwritten is
    /// removed, if it takes that.
    pub fn set<T: Serialize + ?Sized>(&self, key: impl AsRef<[u8]>, value: &T) -> Result<()> {
        let payload = payload::to_payload(value)?;
        self.engine
            .set_many(&self.handle, &[Item { key: key.as_ref(), payload: &payload, ttl: None, lock: None }])
    }

    /// Stores many values in one round trip: each as by [`set`](Self::set), and all in one step.
    /// After an error of kind
    /// [`Unavailable`](crate::ErrorKind::Unavailable) nobody knows whether that step was made; after any other it was not.
    /// What a refused step would have overwritten is removed, if the backend takes that.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn set_many<T: Serialize>(&self, items: &[(impl AsRef<[u8]>, T)]) -> Result<()> {
        let payloads =
            items.iter().map(|(_, value)| payload::to_payload(value)).collect::<Result<Vec<_>>>()?;
        let items: Vec<Item<'_>> = items
            .iter()
            .zip(&payloads)
            .map(|((key, _), payload)| Item { key: key.as_ref(), payload, ttl: None, lock: None })
            .collect();
        self.engine.set_many(&self.handle, &items)
    }

    /// Waits for the lock on a key, for `wait` at the longest; `None` if another had it all the
    /// while. The next read sees all that the holder before wrote. `owner` is what lists show. One
    /// round trip if the lock is free.
    ///
    /// The lock guards entries: [`set_locked`](Self::set_locked) stores nothing once another may
    /// have got it. That can be while its holder works, after a server was restarted or replaced;
    /// so for effects outside of the cache take
    /// [`Store::lock`].
    ///
    /// ```no_run
    /// # let store = larder::Store::open(&larder::Config::from_url("redis://localhost")?)?;
    /// # let cache = store.cache("report")?;
    /// use std::time::Duration;
    ///
    /// if let Some(lock) = cache.lock("today", "nightly job", Duration::from_secs(5))? {
    ///     cache.set_locked(&lock, "today", &42)?;
    /// } // Released here.
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the backend is unavailable or refuses, or keeps no locks.
    pub fn lock(
        &self,
        key: impl AsRef<[u8]>,
        owner: impl AsRef<[u8]>,
        wait: Duration,
    ) -> Result<Option<LockGuard>> {
        self.engine.lock(&self.handle, key.as_ref(), owner.as_ref(), wait)
    }

    /// Stores a value while the lock on its key is held. One round trip, one more if it is not.
    ///
    /// # Errors
    /// [`ErrorKind::LockLost`](crate::ErrorKind::LockLost) if the lock is held no longer, or is not that of `key`; nothing
    /// is changed then. Others as [`set`](Self::set).
    pub fn set_locked<T: Serialize + ?Sized>(
        &self,
        lock: &LockGuard,
        key: impl AsRef<[u8]>,
        value: &T,
    ) -> Result<()> {
        let payload = payload::to_payload(value)?;
        let item = Item { key: key.as_ref(), payload: &payload, ttl: None, lock: Some(lock.proof()) };
        self.engine.set_many(&self.handle, &[item]).inspect_err(|error| {
            if error.kind() == ErrorKind::LockLost {
                // So that the holder knows, if it was this lock.
                let _ = lock.confirm();
            }
        })
    }

    /// Removes a value; whether there was one. One round trip.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses; the value may then still be there, and other
    /// processes may serve it.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.engine.delete_many(&self.handle, &[key.as_ref()])?.first() == Some(&true))
    }

    /// Removes all values of this cache. One round trip, however many there are.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses; the values may then still be there, and other
    /// processes may serve them.
    pub fn purge(&self) -> Result<()> {
        self.engine.purge(&self.handle)
    }

    /// The keys that start with `prefix`, in no order. One round trip for some hundred keys.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn keys(&self, prefix: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>> {
        self.engine.keys(&self.handle, prefix.as_ref())
    }
}
