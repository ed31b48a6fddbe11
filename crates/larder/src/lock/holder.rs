//! Getting, keeping and giving back: what a process does with the locks of its backend.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::renewal::{Renewals, renew};
use super::{Attempt, Claim, HeldLock, LockBackend, LockProof, Token};
use crate::backend::Backend;
use crate::clock::boottime;
use crate::error::{Error, ErrorKind, Result};

/// Who waits asks again at least so often, and is passed over after three times as long.
const DOZE: Duration = Duration::from_secs(1);
/// How long a backend may be away while somebody stands in line: longer, and the place is lost anyway.
const PATIENCE: Duration = Duration::from_secs(3);
/// The pause before asking a backend again that did not answer.
const RETRY: Duration = Duration::from_millis(50);

/// Gets locks from a backend and renews them.
pub(crate) struct Lender {
    backend: Arc<dyn Backend>,
    lease: Duration,
    renewals: Mutex<Renewals>,
}

/// Somebody who stands in line, or is about to.
pub(crate) struct Waiting {
    pub(crate) name: Box<[u8]>,
    pub(crate) owner: Box<[u8]>,
    pub(crate) token: Token,
    /// On the boot clock.
    pub(crate) deadline: Duration,
    /// Since when the backend has been away, if it is.
    away: Option<Duration>,
    queued: bool,
}

impl Waiting {
    pub(crate) fn new(name: &[u8], owner: &[u8], wait: Duration) -> Result<Self> {
        Ok(Self {
            name: name.into(),
            owner: owner.into(),
            token: Token::new()?,
            deadline: boottime() + wait,
            away: None,
            queued: false,
        })
    }

    /// Whether the wait is over.
    pub(crate) fn is_over(&self) -> bool {
        boottime() >= self.deadline
    }
}

impl Lender {
    pub(crate) fn new(backend: Arc<dyn Backend>, lease: Duration) -> Self {
        Self { backend, lease, renewals: Mutex::default() }
    }

    /// The backend's locks.
    pub(crate) fn locks(&self) -> Result<&dyn LockBackend> {
        self.backend.locks().ok_or_else(|| Error::refused("the backend", "it has no locks"))
    }

    /// Asks for the lock; if it is not to be had yet, sleeps for a second at most, until it may be, and answers `None`.
    /// Whoever gives up has to call [`give_back`](Self::give_back).
    ///
    /// # Errors
    /// If the backend refuses, or is away: at once at the first attempt, after a while for who stands in line.
    pub(crate) fn advance(&self, waiting: &mut Waiting) -> Result<Option<Arc<HeldLock>>> {
        let locks = self.locks()?;
        let sent = boottime();
        let left = waiting.deadline.saturating_sub(sent);
        let claim = Claim {
            name: &waiting.name,
            token: waiting.token,
            owner: &waiting.owner,
            lease: self.lease,
            queue: !left.is_zero(),
        };
        match locks.acquire(&claim) {
            Ok(Attempt::Mine { fence }) => {
                let proof = LockProof { token: waiting.token, fence };
                let held = Arc::new(HeldLock::new(&waiting.name, &waiting.owner, proof, sent, self.lease));
                let mut renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
                renewals.add(&held, locks, self.lease);
                Ok(Some(held))
            }
            Ok(Attempt::Wait { at_most }) => {
                waiting.queued = true;
                waiting.away = None;
                if !left.is_zero() {
                    locks.doze(waiting.token, at_most.min(left).min(DOZE));
                }
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::Unavailable && waiting.queued => {
                if sent.saturating_sub(*waiting.away.get_or_insert(sent)) >= PATIENCE {
                    return Err(error);
                }
                thread::sleep(RETRY.min(left));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for the lock; `None` when the wait is over.
    pub(crate) fn acquire(&self, mut waiting: Waiting) -> Result<Option<Arc<HeldLock>>> {
        loop {
            let over = waiting.is_over();
            match self.advance(&mut waiting) {
                Ok(Some(held)) => return Ok(Some(held)),
                Ok(None) if over => {
                    self.give_back(&waiting.name, waiting.token);
                    return Ok(None);
                }
                Ok(None) => {}
                Err(error) => {
                    self.give_back(&waiting.name, waiting.token);
                    return Err(error);
                }
            }
        }
    }

    /// Gives a lock back, or leaves its queue; whether it was still the token's. What the backend does not learn now
    /// ends with the lease.
    pub(crate) fn give_back(&self, name: &[u8], token: Token) -> bool {
        self.locks().and_then(|locks| locks.release(name, token)).unwrap_or(false)
    }

    /// Asks the backend whether a lock is still held, and renews it if so.
    pub(crate) fn confirm(&self, lock: &Arc<HeldLock>) -> Result<bool> {
        if !lock.is_own() || lock.is_lost() {
            return Ok(false);
        }
        let answered = renew(self.locks()?, std::slice::from_ref(lock), self.lease);
        if answered || lock.is_lost() {
            return Ok(!lock.is_lost());
        }
        Err(Error::unavailable("the backend", "it did not say whether the lock is still held"))
    }
}
