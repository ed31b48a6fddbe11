//! Locks of an engine: acquiring is a sync point, and a write under a cache lock that is gone is
//! refused.

use std::sync::Arc;
use std::time::Duration;

use super::calls::Engine;
use super::handle::{Decode, Handle, Item, check_key};
use crate::contract::{LockBackend, Token, lock_name, named_lock_name};
use crate::error::Result;
use crate::lock::{LockGuard, NamedLocks, Waiting};

/// The name of the lock on a key.
///
/// # Errors
/// [`ErrorKind::Value`](crate::ErrorKind::Value) for a bad key.
pub fn key_lock(cache: &Handle, key: &[u8]) -> Result<Vec<u8>> {
    check_key(key)?;
    Ok(lock_name(cache.id(), key))
}

/// The name, for a backend, of a named lock.
///
/// # Errors
/// [`ErrorKind::Value`](crate::ErrorKind::Value) if it is longer than a key may be.
pub fn named_lock(name: &[u8]) -> Result<Vec<u8>> {
    check_key(name)?;
    Ok(named_lock_name(name))
}

impl<D: Decode> Engine<D> {
    /// Waits for the lock on a key, for `wait` at the longest; `None` if another had it all the
    /// while. A sync point. `owner` is what lists show: any bytes. One round trip if the lock is
    /// free.
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
        self.lock_as(&key_lock(cache, key)?, owner, wait)
    }

    /// Waits for a named lock, as [`lock`](Self::lock) does for one on a key. One round trip if the
    /// lock is free.
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`ErrorKind::Grace`](crate::ErrorKind::Grace).
    pub fn lock_named(&self, name: &[u8], owner: &[u8], wait: Duration) -> Result<Option<LockGuard>> {
        self.lock_as(&named_lock(name)?, owner, wait)
    }

    fn lock_as(&self, name: &[u8], owner: &[u8], wait: Duration) -> Result<Option<LockGuard>> {
        let waiting = Waiting::new(name, owner, wait)?;
        let held = self.call_for_lock(|| self.lenders.lender.acquire(waiting))?;
        self.state().require_sync();
        Ok(held.map(|held| LockGuard::new(Arc::clone(&self.lenders.lender), held)))
    }

    /// The locks that are addressed by name and owner.
    pub fn named_locks(&self) -> &NamedLocks {
        &self.lenders.named
    }

    /// Begins to wait for the lock of this [name](key_lock). No round trip;
    /// [`advance_lock`](Self::advance_lock) asks for it.
    ///
    /// # Errors
    /// If there are no random numbers.
    pub fn begin_lock(&self, name: &[u8], owner: &[u8], wait: Duration) -> Result<Token> {
        self.lenders.named.begin(name, owner, wait)
    }

    /// Gives a lock back; whether `owner` had got it here. One round trip, none if not.
    pub fn release_lock(&self, name: &[u8], owner: &[u8]) -> bool {
        self.lenders.named.release(name, owner)
    }

    /// Whose a lock is, see [`NamedLocks::state_of`].
    ///
    /// # Errors
    /// If the backend is unavailable or refuses.
    pub fn lock_state(&self, name: &[u8], owner: &[u8]) -> Result<Option<bool>> {
        self.call(|| self.lenders.named.state_of(name, owner))
    }

    /// One step of waiting for a named lock, see [`NamedLocks::advance`]; a sync point when it
    /// ends.
    ///
    /// # Errors
    /// If the backend is unavailable or refuses, or a grace outlasts the wait, which is over then.
    pub fn advance_lock(&self, token: Token) -> Result<Option<bool>> {
        let step = self.call_for_lock(|| self.lenders.named.advance(token));
        if step.is_err() {
            self.lenders.named.abandon(token);
        }
        if !matches!(step, Ok(None)) {
            self.state().require_sync();
        }
        step
    }

    /// Stores entries like [`set_many`](Self::set_many), those whose named lock this request got
    /// only while it is held.
    ///
    /// # Errors
    /// As [`set_many`](Self::set_many).
    pub fn set_many_under_locks(&self, cache: &Handle, items: &[Item<'_>]) -> Result<()> {
        let named = &self.lenders.named;
        if named.is_empty() {
            return self.set_many(cache, items);
        }
        let on_keys: Vec<Vec<u8>> = items.iter().map(|item| lock_name(cache.id(), item.key)).collect();
        let items: Vec<Item<'_>> = items
            .iter()
            .zip(&on_keys)
            .map(|(item, name)| Item { lock: named.proof(name), ..*item })
            .collect();
        self.set_many(cache, &items)
    }

    /// The backend's locks, for tools.
    ///
    /// # Errors
    /// If the backend keeps none.
    pub fn lock_backend(&self) -> Result<&dyn LockBackend> {
        self.lenders.lender.locks()
    }
}
