//! The thread that renews the leases of a process.
//!
//! It starts with the first lock, ends when there were none for a while, and shares with the rest of the process only
//! a list that is locked for an instant: a process that forks must not find a lock of its own held by a
//! thread that its child does not have. For the same reason it has a backend handle of its own.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow};

use super::{HeldLock, LockBackend};
use crate::clock::boottime;

/// Leases are renewed so many times before they end.
const PER_LEASE: u32 = 4;
/// A renewal that failed is tried again so many times before the next would be due.
const RETRIES: u32 = 5;
/// The thread ends after so many rounds without a lock.
const IDLE_ROUNDS: u32 = 4;

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
    running: bool,
}

impl Renewals {
    /// Renews `lock` from now on, until it is dropped. If no thread can be had the lock is not renewed, and lost
    /// after a lease, which its holder finds out.
    pub(super) fn add(&mut self, lock: &Arc<HeldLock>, backend: &dyn LockBackend, lease: Duration) {
        if self.process != std::process::id() {
            // The list of a parent process may be locked by a thread that does not exist here.
            self.shared = Arc::default();
            self.process = std::process::id();
        }
        let start = {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.locks.push(Arc::downgrade(lock));
            !std::mem::replace(&mut shared.running, true)
        };
        if start && !spawn(Arc::clone(&self.shared), backend.another(), lease) {
            self.shared.lock().unwrap_or_else(PoisonError::into_inner).running = false;
        }
    }
}

/// Starts the thread with all signals blocked: they are for the threads of the program.
fn spawn(shared: Arc<Mutex<Shared>>, backend: Box<dyn LockBackend>, lease: Duration) -> bool {
    let Ok(mask) = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK) else { return false };
    let thread = thread::Builder::new().name("larder-locks".to_owned());
    let started = thread.spawn(move || run(&shared, &*backend, lease)).is_ok();
    // It was valid a moment ago.
    let _ = mask.thread_set_mask();
    started
}

fn run(shared: &Mutex<Shared>, backend: &dyn LockBackend, lease: Duration) {
    let mut idle = 0;
    let mut pause = lease / PER_LEASE;
    loop {
        thread::sleep(pause);
        let locks: Vec<Arc<HeldLock>> = {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let alive: Vec<_> =
                shared.locks.iter().filter_map(Weak::upgrade).filter(|lock| !lock.is_lost()).collect();
            shared.locks = alive.iter().map(Arc::downgrade).collect();
            idle = if alive.is_empty() { idle + 1 } else { 0 };
            if idle >= IDLE_ROUNDS {
                shared.running = false;
                return;
            }
            alive
        };
        pause = if renew(backend, &locks, lease) { lease / PER_LEASE } else { lease / PER_LEASE / RETRIES };
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
