//! Locks addressed by name and owner, for bindings whose callers keep no guard.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::held::HeldLock;
use super::holder::{Lender, Waiting};
use crate::contract::{LockProof, Token};
use crate::error::Result;

/// The locks of one request. Everything about them is kept here and nothing with the caller, so
/// that a caller that is torn away (PHP's `exit`) leaves nothing behind that
/// [`release_all`](Self::release_all) does not find.
pub struct NamedLocks {
    lender: Arc<Lender>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    process: u32,
    held: HashMap<Box<[u8]>, Arc<HeldLock>>,
    waiting: HashMap<Token, Waiting>,
}

/// A lock that was still held when its request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// The lock's name, see [`lock_name`](crate::contract::lock_name).
    pub name: Box<[u8]>,
    /// Who held it.
    pub owner: Box<[u8]>,
}

impl NamedLocks {
    pub(crate) fn new(lender: Arc<Lender>) -> Self {
        Self { lender, state: Mutex::default() }
    }

    /// Whether nothing is held, and nobody waits.
    pub fn is_idle(&self) -> bool {
        let state = self.state();
        state.held.is_empty() && state.waiting.is_empty()
    }

    /// Begins to wait for a lock. No round trip. An owner that holds the lock waits like another.
    ///
    /// # Errors
    /// If there are no random numbers.
    pub fn begin(&self, name: &[u8], owner: &[u8], wait: Duration) -> Result<Token> {
        let waiting = Waiting::new(name, owner, wait)?;
        let token = waiting.token;
        self.state().waiting.insert(token, waiting);
        Ok(token)
    }

    /// Asks for the lock, and sleeps a second at most if it is not to be had yet: `Some(true)` once
    /// it is held, `Some(false)` when the wait is over, else `None`: call again within two seconds.
    ///
    /// # Errors
    /// If the backend refuses, or is away, or a grace outlasts the wait, which is over then.
    pub fn advance(&self, token: Token) -> Result<Option<bool>> {
        // Nothing is locked while this sleeps.
        let Some(mut waiting) = self.state().waiting.remove(&token) else { return Ok(Some(false)) };
        let over = waiting.is_over();
        match self.lender.advance(&mut waiting) {
            Ok(Some(lock)) => {
                self.state().held.insert(lock.name.clone(), lock);
                Ok(Some(true))
            }
            Ok(None) if !over => {
                self.state().waiting.insert(token, waiting);
                Ok(None)
            }
            answer => {
                self.lender.give_back(&waiting.name, token);
                answer.map(|_| Some(false))
            }
        }
    }

    /// Ends a wait without telling the backend, which forgets it soon.
    pub(crate) fn abandon(&self, token: Token) {
        self.state().waiting.remove(&token);
    }

    /// Ends a wait.
    pub fn give_up(&self, token: Token) {
        let waiting = self.state().waiting.remove(&token);
        if let Some(waiting) = waiting {
            self.lender.give_back(&waiting.name, token);
        }
    }

    /// Gives a lock back. Whether `owner` had got it here and not given it back, even if it was
    /// lost meanwhile. One round trip, none if not.
    pub fn release(&self, name: &[u8], owner: &[u8]) -> bool {
        let Some(lock) = self.take(name, owner) else { return false };
        self.lender.give_back(&lock.name, lock.proof.token);
        true
    }

    /// Whose a lock is: `Some(true)` = `owner`'s, who got it here; `Some(false)` = another's;
    /// `None` = free. The backend is asked. One round trip, two if it was lost.
    ///
    /// # Errors
    /// If the backend cannot be reached or refuses.
    pub fn state_of(&self, name: &[u8], owner: &[u8]) -> Result<Option<bool>> {
        let own = self.state().held.get(name).filter(|lock| *lock.owner == *owner).cloned();
        if let Some(lock) = own
            && self.lender.confirm(&lock)?
        {
            return Ok(Some(true));
        }
        Ok(self.lender.locks()?.holder(name)?.map(|_| false))
    }

    /// What shows that this request holds a lock; `None` if it never got it. A lock that was lost
    /// keeps its proof until it is released, so that a write under it is refused.
    pub fn proof(&self, name: &[u8]) -> Option<LockProof> {
        Some(self.state().held.get(name)?.proof)
    }

    /// Whether this request has got any lock that it did not give back. No round trip.
    pub fn is_empty(&self) -> bool {
        let state = self.state();
        state.held.is_empty() && state.waiting.is_empty()
    }

    /// What was got and not given back. No round trip.
    pub fn held(&self) -> Vec<Forgotten> {
        let state = self.state();
        let forgotten =
            |lock: &Arc<HeldLock>| Forgotten { name: lock.name.clone(), owner: lock.owner.clone() };
        state.held.values().map(forgotten).collect()
    }

    /// Gives all locks back and leaves all queues. One round trip for each.
    pub fn release_all(&self) -> Vec<Forgotten> {
        let (held, waiting) = {
            let mut state = self.state();
            (std::mem::take(&mut state.held), std::mem::take(&mut state.waiting))
        };
        for waiting in waiting.into_values() {
            self.lender.give_back(&waiting.name, waiting.token);
        }
        held.into_values()
            .map(|lock| {
                self.lender.give_back(&lock.name, lock.proof.token);
                Forgotten { name: lock.name.clone(), owner: lock.owner.clone() }
            })
            .collect()
    }

    fn take(&self, name: &[u8], owner: &[u8]) -> Option<Arc<HeldLock>> {
        let mut state = self.state();
        if *state.held.get(name)?.owner != *owner {
            return None;
        }
        state.held.remove(name)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.process != std::process::id() {
            // A forked child owns nothing of what its parent holds.
            *state = State { process: std::process::id(), ..State::default() };
        }
        state
    }
}
