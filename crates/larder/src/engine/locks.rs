//! Locks of an engine: acquiring is a sync point, and a write under a lock that is gone is refused.

use std::sync::Arc;
use std::time::Duration;

use super::{Decode, Engine, Handle, Item, check_key};
use crate::backend::Backend;
use crate::error::{ErrorKind, Result};
use crate::lock::{Lender, LockBackend, LockGuard, NamedLocks, Token, Waiting, lock_name};

/// What an engine needs for locks.
pub(super) struct EngineLocks {
    lender: Arc<Lender>,
    named: NamedLocks,
}

impl EngineLocks {
    pub(super) fn new(backend: Arc<dyn Backend>, lease: Duration) -> Self {
        let lender = Arc::new(Lender::new(backend, lease));
        Self { named: NamedLocks::new(Arc::clone(&lender)), lender }
    }
}

impl<D: Decode> Engine<D> {
    /// Waits for the lock on a key, for `wait` at the longest; `None` if it was not to be had. A sync point. `owner`
    /// is what lists show: any bytes. One round trip if the lock is free.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn lock(
        &self,
        cache: &Handle,
        key: &[u8],
        owner: &[u8],
        wait: Duration,
    ) -> Result<Option<LockGuard>> {
        check_key(key)?;
        let waiting = Waiting::new(&lock_name(cache.id(), key), owner, wait)?;
        let held = self.call(|| self.locks.lender.acquire(waiting))?;
        self.state().require_sync();
        Ok(held.map(|held| LockGuard::new(Arc::clone(&self.locks.lender), held)))
    }

    /// The locks that are addressed by name and owner.
    pub fn named_locks(&self) -> &NamedLocks {
        &self.locks.named
    }

    /// Begins to wait for the lock on a key. No round trip; [`advance_lock`](Self::advance_lock) asks for it.
    ///
    /// # Errors
    /// [`ErrorKind::Value`] for a bad key.
    pub fn begin_lock(&self, cache: &Handle, key: &[u8], owner: &[u8], wait: Duration) -> Result<Token> {
        check_key(key)?;
        self.locks.named.begin(&lock_name(cache.id(), key), owner, wait)
    }

    /// Gives the lock on a key back; whether `owner` had got it here. One round trip, none if not.
    pub fn release_lock(&self, cache: &Handle, key: &[u8], owner: &[u8]) -> bool {
        self.locks.named.release(&lock_name(cache.id(), key), owner)
    }

    /// Whose the lock on a key is, see [`NamedLocks::state_of`].
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn lock_state(&self, cache: &Handle, key: &[u8], owner: &[u8]) -> Result<Option<bool>> {
        self.call(|| self.locks.named.state_of(&lock_name(cache.id(), key), owner))
    }

    /// One step of waiting for a named lock, see [`NamedLocks::advance`]; a sync point when it ends.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses; the wait is over then.
    pub fn advance_lock(&self, token: Token) -> Result<Option<bool>> {
        let step = self.call(|| self.locks.named.advance(token));
        if step.is_err() {
            self.locks.named.abandon(token);
        }
        if !matches!(step, Ok(None)) {
            self.state().require_sync();
        }
        step
    }

    /// Stores entries like [`set_many`](Self::set_many), those whose named lock this request got only while it is held.
    ///
    /// # Errors
    /// As [`set_many`](Self::set_many).
    pub fn set_many_under_locks(&self, cache: &Handle, items: &[Item<'_>]) -> Result<()> {
        let named = &self.locks.named;
        if named.is_empty() {
            return self.set_many(cache, items);
        }
        let on_keys: Vec<Vec<u8>> = items.iter().map(|item| lock_name(cache.id(), item.key)).collect();
        let items: Vec<Item<'_>> = items
            .iter()
            .zip(&on_keys)
            .map(|(item, name)| Item { lock: named.proof(name), ..*item })
            .collect();
        match self.set_many(cache, &items) {
            Err(error) if error.kind() == ErrorKind::LockLost => {
                // A server that was restarted knows the lock again once it was renewed (R23).
                let locked = on_keys.iter().zip(&items).filter(|(_, item)| item.lock.is_some());
                if !locked.into_iter().all(|(name, _)| named.confirm(name)) {
                    return Err(error);
                }
                self.set_many(cache, &items)
            }
            done => done,
        }
    }

    /// The backend's locks, for tools.
    ///
    /// # Errors
    /// If the backend keeps none.
    pub fn lock_backend(&self) -> Result<&dyn LockBackend> {
        self.locks.lender.locks()
    }
}
