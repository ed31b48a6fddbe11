//! A backend in memory with hooks, to place one step exactly between two others.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use larder::Error;
use larder::contract::{
    Applied, Backend, CacheId, CacheUsage, Change, Delta, Facts, Fetched, MAX_CHANGES, Millis, Op, Outcome,
    Position, Read, Result, Ruling, Since,
};

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Shared {
    entries: HashMap<(CacheId, Vec<u8>), Vec<u8>>,
    /// Each change with whether it stored the key.
    log: VecDeque<(u128, Vec<(Change, bool)>)>,
    /// The last record that changed each cache.
    last_changes: HashMap<String, u128>,
    incarnation: u128,
    last: u128,
    now: Millis,
}

/// A handle on entries and a log in memory; clones of [`Memory::peer`] share them as two processes
/// share a server.
pub struct Memory {
    shared: Arc<Mutex<Shared>>,
    round_trips: AtomicU64,
    after_read: Mutex<Option<Hook>>,
    failure: Mutex<Option<fn() -> Error>>,
    next_failure: Mutex<Option<fn() -> Error>>,
}

impl Default for Memory {
    fn default() -> Self {
        let shared = Shared { incarnation: 1, now: 1_000_000, ..Shared::default() };
        Self::on(Arc::new(Mutex::new(shared)))
    }
}

impl Memory {
    fn on(shared: Arc<Mutex<Shared>>) -> Self {
        Self {
            shared,
            round_trips: AtomicU64::new(0),
            after_read: Mutex::new(None),
            failure: Mutex::new(None),
            next_failure: Mutex::new(None),
        }
    }

    /// Another handle on the same entries.
    #[must_use]
    pub fn peer(&self) -> Self {
        Self::on(Arc::clone(&self.shared))
    }

    /// Runs `hook` once, after the next `fetch` has read and before it answers.
    pub fn after_next_read(&self, hook: impl FnOnce() + Send + 'static) {
        *lock(&self.after_read) = Some(Box::new(hook));
    }

    /// Makes every call fail, or none.
    pub fn fail_with(&self, failure: Option<fn() -> Error>) {
        *lock(&self.failure) = failure;
    }

    /// Makes the next call fail.
    pub fn fail_next(&self, failure: fn() -> Error) {
        *lock(&self.next_failure) = Some(failure);
    }

    /// Forgets all but the newest `keep` records of the log.
    pub fn trim(&self, keep: usize) {
        let log = &mut lock(&self.shared).log;
        log.drain(..log.len().saturating_sub(keep));
    }

    /// Sets the server's clock forward.
    pub fn advance(&self, millis: Millis) {
        lock(&self.shared).now += millis;
    }

    /// Puts raw bytes where an entry should be, unlogged: what a fault or a stranger may leave.
    pub fn plant(&self, cache: &CacheId, key: &[u8], entry: &[u8]) {
        lock(&self.shared).entries.insert((cache.clone(), key.to_vec()), entry.to_vec());
    }

    /// The raw bytes of an entry.
    pub fn raw(&self, cache: &CacheId, key: &[u8]) -> Option<Vec<u8>> {
        lock(&self.shared).entries.get(&(cache.clone(), key.to_vec())).cloned()
    }

    fn begin(&self) -> Result<()> {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        let next = lock(&self.next_failure).take();
        next.or(*lock(&self.failure)).map_or(Ok(()), |failure| Err(failure()))
    }
}

impl Shared {
    fn position(&self) -> Position {
        Position { incarnation: self.incarnation, id: self.last, nonce: self.last ^ self.incarnation }
    }

    /// Whether a position is of this history.
    fn is_known(&self, since: Position) -> bool {
        let is_present = since.incarnation == self.incarnation && since.id <= self.last;
        is_present && since.nonce == since.id ^ self.incarnation
    }

    /// The caches that changed after `since`, for one whose changes are not listed; `None` if it is
    /// of another history.
    fn unlisted(&self, since: Position) -> Option<Vec<Change>> {
        let changed = self.last_changes.iter().filter(|(_, last)| **last > since.id);
        let unlisted = |(cache, _): (&String, _)| Change::Unlisted { cache: (**cache).into() };
        self.is_known(since).then(|| changed.map(unlisted).collect())
    }

    /// The changes after `since`; `None` if they are not listed.
    fn changes(&self, since: Position) -> Option<Vec<(Change, bool)>> {
        if !self.is_known(since) {
            return None;
        }
        let known = since.id == self.last || self.log.front().is_some_and(|(id, _)| *id <= since.id + 1);
        let changes: Vec<(Change, bool)> = self
            .log
            .iter()
            .filter(|(id, _)| *id > since.id)
            .flat_map(|(_, changes)| changes.clone())
            .collect();
        (known && changes.len() <= MAX_CHANGES).then_some(changes)
    }

    fn delta(&self, since: Option<Position>) -> Delta {
        let changes = since.and_then(|since| match self.changes(since) {
            Some(changes) => Some(changes.into_iter().map(|(change, _)| change).collect()),
            None => self.unlisted(since),
        });
        Delta { reset: changes.is_none(), changes: changes.unwrap_or_default(), position: self.position() }
    }

    fn ruling(&self, op: &Op<'_>) -> Ruling {
        let Op::Set { cache, key, entry, guard: Some(guard), .. } = *op else { return Ruling::Store };
        if !cache.logged() {
            return Ruling::Store;
        }
        let touches = |(change, _): &&(Change, bool)| change.touches(cache.name(), key);
        let far = |changes: Option<Vec<Change>>| {
            changes.is_some_and(|changes| changes.iter().all(|change| change.cache() != cache.name()))
        };
        let since = match self.changes(guard.position()) {
            None if far(self.unlisted(guard.position())) => Since::Nothing,
            None => Since::Changed,
            Some(changes) => match changes.iter().rfind(touches) {
                None => Since::Nothing,
                Some((_, true)) => Since::Stored,
                Some((_, false)) => Since::Changed,
            },
        };
        let standing = || Ok::<_, Error>(self.entries.get(&(cache.clone(), key.to_vec())).cloned());
        guard.judge(since, entry, standing).unwrap_or(Ruling::Drop)
    }
}

impl Backend for Memory {
    fn fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched> {
        self.begin()?;
        let answer = {
            let shared = lock(&self.shared);
            let entries = reads
                .iter()
                .map(|r| shared.entries.get(&(r.cache.clone(), r.key.to_vec())).cloned())
                .collect();
            Fetched { delta: shared.delta(since), entries }
        };
        let hook = lock(&self.after_read).take();
        if let Some(hook) = hook {
            hook();
        }
        Ok(answer)
    }

    fn apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied> {
        self.begin()?;
        let mut shared = lock(&self.shared);
        let mut delta = shared.delta(since);
        let (mut record, mut outcomes) = (Vec::new(), Vec::new());
        for op in ops {
            let (cache, change) = match *op {
                Op::Set { cache, key, .. } | Op::Delete { cache, key } => {
                    (cache, Change::Key { cache: cache.name().into(), key: key.into() })
                }
                Op::Purge { cache } => (cache, Change::Cache { cache: cache.name().into() }),
            };
            let ruling = shared.ruling(op);
            outcomes.push(match *op {
                Op::Set { .. } if ruling == Ruling::Drop => Outcome::Dropped,
                Op::Set { key, .. } if ruling == Ruling::Clear => {
                    shared.entries.remove(&(cache.clone(), key.to_vec()));
                    Outcome::Cleared
                }
                Op::Set { key, entry, .. } => {
                    shared.entries.insert((cache.clone(), key.to_vec()), entry.to_vec());
                    Outcome::Stored
                }
                Op::Delete { key, .. } => Outcome::Deleted {
                    existed: shared.entries.remove(&(cache.clone(), key.to_vec())).is_some(),
                },
                Op::Purge { .. } => {
                    shared.entries.retain(|(held, _), _| held != cache);
                    Outcome::Purged
                }
            });
            if cache.logged() && outcomes.last() != Some(&Outcome::Dropped) {
                record.push((change, outcomes.last() == Some(&Outcome::Stored)));
            }
        }
        if !record.is_empty() {
            shared.last += 1;
            let id = shared.last;
            let caches = record.iter().map(|(change, _)| (change.cache().to_owned(), id));
            shared.last_changes.extend(caches.collect::<Vec<_>>());
            shared.log.push_back((id, record));
        }
        delta.position = shared.position();
        Ok(Applied { delta, outcomes })
    }

    fn list(&self, cache: &CacheId, prefix: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.begin()?;
        let shared = lock(&self.shared);
        shared
            .entries
            .keys()
            .filter(|(held, key)| held == cache && key.starts_with(prefix))
            .for_each(|(_, key)| visit(key));
        Ok(())
    }

    fn usage(&self) -> Result<Vec<CacheUsage>> {
        self.begin()?;
        let mut counts: HashMap<CacheId, u64> = HashMap::new();
        lock(&self.shared)
            .entries
            .keys()
            .for_each(|(cache, _)| *counts.entry(cache.clone()).or_default() += 1);
        Ok(counts.into_iter().map(|(cache, entries)| CacheUsage { cache, entries }).collect())
    }

    fn reset(&self) -> Result<()> {
        self.begin()?;
        let mut shared = lock(&self.shared);
        shared.entries.clear();
        shared.log.clear();
        shared.last_changes.clear();
        shared.incarnation += 1;
        Ok(())
    }

    fn now(&self) -> Millis {
        lock(&self.shared).now
    }

    fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }

    fn describe(&self) -> Result<Facts> {
        self.begin().map(|()| Facts::default())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
