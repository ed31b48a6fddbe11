//! The thread that renews the leases of a process, and gives back what could not be given back at
//! once.
//!
//! It starts with the first lock, ends when there were none for a while, and shares with the rest
//! of the process only a list that is locked for an instant: a process that forks must not find a
//! lock of its own held by a thread that its child does not have. For the same reason it has a
//! backend handle of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::held::HeldLock;
use crate::clock::boottime;
use crate::contract::{LockBackend, Token};
use crate::error::ErrorKind;
use crate::threads;

/// How often the thread looks for leases to renew, at the least.
const TICK: Duration = Duration::from_millis(250);
/// It looks so often in a lease, at the least.
const PER_LEASE: u32 = 16;
/// It ends when it saw no lock so many times.
const IDLE_TICKS: u32 = 16;
/// So many locks are remembered that have to be given back; more end with their leases.
const MOST_OWED: usize = 64;

/// How long after its grant a lock is looked at, at the latest.
pub(super) fn tick(lease: Duration) -> Duration {
    TICK.min(lease / PER_LEASE)
}

/// The list of locks to renew, and the thread that does it.
#[derive(Default)]
pub(super) struct Renewals {
    shared: Arc<Mutex<Shared>>,
    /// The process of the thread.
    process: u32,
}

#[derive(Default)]
struct Shared {
    locks: Vec<Weak<HeldLock>>,
    owed: Vec<Owed>,
    running: bool,
}

/// A lock, or a place in its queue, that its holder gave back while the backend was away.
#[derive(Clone, PartialEq)]
struct Owed {
    name: Box<[u8]>,
    token: Token,
    /// When its lease is over, so that nobody has to be told.
    until: Duration,
}

impl Renewals {
    /// Renews `lock` from now on, until it is dropped. If no thread can be had the lock is not
    /// renewed, and lost after a lease, which its holder finds out.
    pub(super) fn add(&mut self, lock: &Arc<HeldLock>, backend: &dyn LockBackend, lease: Duration) {
        self.list().locks.push(Arc::downgrade(lock));
        self.run(backend, lease);
    }

    /// Gives a lock back as soon as the backend answers: else others would wait for a lease for who
    /// is through with it.
    pub(super) fn owe(&mut self, name: &[u8], token: Token, backend: &dyn LockBackend, lease: Duration) {
        let owed = Owed { name: name.into(), token, until: boottime() + lease };
        {
            let mut list = self.list();
            if list.owed.len() >= MOST_OWED {
                return;
            }
            list.owed.push(owed);
        }
        self.run(backend, lease);
    }

    /// Starts the thread, if it does not run; it ends if it has nothing to do for a while. Whether
    /// it runs.
    pub(super) fn run(&mut self, backend: &dyn LockBackend, lease: Duration) -> bool {
        if std::mem::replace(&mut self.list().running, true) {
            return true;
        }
        let (shared, backend) = (Arc::clone(&self.shared), backend.another());
        let started = threads::spawn("larder-locks", move || renew_all(&shared, &*backend, lease)).is_ok();
        self.list().running = started;
        started
    }

    /// The list of this process.
    fn list(&mut self) -> MutexGuard<'_, Shared> {
        if self.process != std::process::id() {
            // The list of a parent process may be locked by a thread that does not exist here.
            self.shared = Arc::default();
            self.process = std::process::id();
        }
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn renew_all(shared: &Mutex<Shared>, backend: &dyn LockBackend, lease: Duration) {
    let mut idle = 0;
    loop {
        thread::sleep(tick(lease));
        let (locks, owed): (Vec<Arc<HeldLock>>, Vec<Owed>) = {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let alive: Vec<_> =
                shared.locks.iter().filter_map(Weak::upgrade).filter(|lock| !lock.is_lost()).collect();
            shared.locks = alive.iter().map(Arc::downgrade).collect();
            let now = boottime();
            shared.owed.retain(|owed| now < owed.until);
            idle = if alive.is_empty() && shared.owed.is_empty() { idle + 1 } else { 0 };
            if idle >= IDLE_TICKS {
                shared.running = false;
                return;
            }
            (alive, shared.owed.clone())
        };
        let due: Vec<_> = locks.into_iter().filter(|lock| lock.is_due(lease)).collect();
        // What was not answered is still due.
        renew(backend, &due, lease);
        for owed in owed {
            let answer = backend.release(&owed.name, owed.token);
            if answer.is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
                break;
            }
            shared.lock().unwrap_or_else(PoisonError::into_inner).owed.retain(|other| *other != owed);
        }
    }
}

/// Renews the leases of `locks` now; `false` if the backend did not answer.
pub(super) fn renew(backend: &dyn LockBackend, locks: &[Arc<HeldLock>], lease: Duration) -> bool {
    if locks.is_empty() {
        return true;
    }
    let sent = boottime();
    let renewals: Vec<_> = locks.iter().map(|lock| lock.renewal()).collect();
    let Ok(held) = backend.renew(&renewals, lease) else { return false };
    for (lock, held) in locks.iter().zip(held) {
        lock.renewed(held, sent, lease);
    }
    true
}
