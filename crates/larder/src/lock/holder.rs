//! Getting, keeping and giving back: what a process does with the locks of its backend.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::held::HeldLock;
use super::renewal::{Renewals, renew, tick};
use crate::clock::{boottime, not_beyond};
use crate::contract::{Attempt, Backend, Claim, Handed, LockBackend, LockKind, LockProof, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::random::random;

/// Who waits asks again at least so often, and is passed over after three times as long.
const PARK: Duration = Duration::from_secs(1);
/// How long a backend may be away while somebody stands in line for a named lock: longer, and the
/// place is lost anyway.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a backend may be away while somebody stands in line for a cache lock: who does not get
/// it goes on without the cache.
const CACHE_PATIENCE: Duration = Duration::from_secs(1);
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
            token: draw()?,
            deadline: boottime() + wait,
            away: None,
            queued: false,
        })
    }

    /// Whether the wait is over.
    pub(crate) fn is_over(&self) -> bool {
        boottime() >= self.deadline
    }

    /// The lock, once it was granted.
    fn held(&self, fence: u64, sent: Duration, lease: Duration) -> HeldLock {
        HeldLock::new(&self.name, &self.owner, LockProof { token: self.token, fence }, sent, lease)
    }
}

/// A token that nobody else has.
fn draw() -> Result<Token> {
    Ok(Token::from_number(u128::from_be_bytes(random()?)))
}

impl Lender {
    pub(crate) fn new(backend: Arc<dyn Backend>, lease: Duration) -> Self {
        Self { backend, lease, renewals: Mutex::default() }
    }

    /// The backend's locks.
    pub(crate) fn locks(&self) -> Result<&dyn LockBackend> {
        self.backend.locks().ok_or_else(|| Error::refused("the backend", "it has no locks"))
    }

    /// Asks for the lock; if it is not to be had yet, sleeps for a second at most, until it may be,
    /// and answers `None`. Whoever gives up has to call [`give_back`](Self::give_back).
    ///
    /// # Errors
    /// If the backend refuses, or is away: at once at the first attempt, after a while for who
    /// stands in line. If a grace does not end before the wait does.
    pub(crate) fn advance(&self, waiting: &mut Waiting) -> Result<Option<Arc<HeldLock>>> {
        let locks = self.locks()?;
        let _limit = not_beyond(waiting.deadline);
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
            Ok(Attempt::Mine { fence }) => Ok(Some(self.keep(waiting.held(fence, sent, self.lease), locks))),
            Ok(Attempt::Grace { left: grace }) if grace > left => Err(Error::grace(grace)),
            Ok(Attempt::Wait { at_most } | Attempt::Grace { left: at_most }) => {
                waiting.queued = true;
                waiting.away = None;
                if left.is_zero() {
                    return Ok(None);
                }
                // Done while there is time, not when the lock is handed over.
                let renewed = self.renewals().run(locks, self.lease);
                let handed = locks.park(waiting.token, at_most.min(left).min(PARK)).filter(|_| renewed);
                Ok(handed.and_then(|handed| self.take_over(waiting, handed, sent, locks)))
            }
            Err(error) if error.kind() == ErrorKind::Unavailable && waiting.queued => {
                let patience = match LockKind::of(&waiting.name) {
                    LockKind::Cache => CACHE_PATIENCE,
                    LockKind::Named => PATIENCE,
                };
                if sent.saturating_sub(*waiting.away.get_or_insert(sent)) >= patience {
                    return Err(error);
                }
                thread::sleep(RETRY.min(left));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Begins to hold a lock that was handed over to who asked last at `sent`; `None` if too little
    /// is left of its lease, so that it must be asked for.
    fn take_over(
        &self,
        waiting: &Waiting,
        handed: Handed,
        sent: Duration,
        locks: &dyn LockBackend,
    ) -> Option<Arc<HeldLock>> {
        let held = waiting.held(handed.fence, sent, handed.lease);
        (held.believed_for() > 2 * tick(self.lease)).then(|| self.keep(held, locks))
    }

    /// Renews it from now on.
    fn keep(&self, held: HeldLock, locks: &dyn LockBackend) -> Arc<HeldLock> {
        let held = Arc::new(held);
        self.renewals().add(&held, locks, self.lease);
        held
    }

    fn renewals(&self) -> MutexGuard<'_, Renewals> {
        self.renewals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the lock; `None` when the wait is over and another has it. A server that is away
    /// makes the wait longer by one call's time-outs.
    pub(crate) fn acquire(&self, mut waiting: Waiting) -> Result<Option<Arc<HeldLock>>> {
        let _limit = not_beyond(waiting.deadline);
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

    /// Gives a lock back, or leaves its queue; whether it was still the token's. What the backend
    /// does not learn now it learns when it answers again, while this process lives, or it ends
    /// with the lease.
    pub(crate) fn give_back(&self, name: &[u8], token: Token) -> bool {
        let Ok(locks) = self.locks() else { return false };
        locks.release(name, token).unwrap_or_else(|error| {
            if error.kind() == ErrorKind::Unavailable {
                self.renewals().owe(name, token, locks, self.lease);
            }
            false
        })
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
