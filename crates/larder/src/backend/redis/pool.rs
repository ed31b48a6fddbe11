//! Connections kept between requests, one pool for each process.
//!
//! The pool hands out *slots* that connect when they are first used, on the thread that uses them. So waiting for a
//! server is bounded by the time-outs and its error is the caller's to see; a slot whose connection broke is simply
//! empty.

use std::convert::Infallible;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use r2d2::{ManageConnection, NopErrorHandler, PooledConnection};
use rustix::process::{Pid, getpid};
use scheduled_thread_pool::ScheduledThreadPool;

use super::NAME;
use super::failure::Failure;
use super::link::Link;
use crate::error::Error;

/// The most connections of a process.
const MAX_SIZE: u32 = 16;

/// A place for a connection.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) link: Option<Link>,
}

/// Makes empty slots.
#[derive(Debug)]
pub(super) struct Slots;

impl ManageConnection for Slots {
    type Connection = Slot;
    type Error = Infallible;

    fn connect(&self) -> Result<Slot, Infallible> {
        Ok(Slot::default())
    }

    fn is_valid(&self, _: &mut Slot) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Slot) -> bool {
        false
    }
}

/// A slot in use; it goes back when dropped.
pub(super) enum Lent {
    Pooled(PooledConnection<Slots>),
    Own { slot: Slot, back: Arc<Mutex<Vec<Slot>>> },
}

impl Deref for Lent {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        match self {
            Self::Pooled(slot) => slot,
            Self::Own { slot, .. } => slot,
        }
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Slot {
        match self {
            Self::Pooled(slot) => slot,
            Self::Own { slot, .. } => slot,
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Self::Own { slot, back } = self {
            back.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(slot));
        }
    }
}

/// The slots of one process.
#[derive(Clone, Debug)]
enum Kept {
    Pool(r2d2::Pool<Slots>),
    /// In the child of a process that has a pool there can be none: a pool has a thread, and what the parent's thread waited
    /// on is still registered in the child's memory, where waking "it" may never end.
    List(Arc<Mutex<Vec<Slot>>>),
}

/// The slots of the process that asks.
#[derive(Debug)]
pub(super) struct Pool {
    // Held only to look and to clone, never during I/O.
    owned: Mutex<Option<(Pid, Kept)>>,
    wait: Duration,
}

/// The process that made the first pool. A forked child sees its parent's.
static FIRST: OnceLock<Pid> = OnceLock::new();

impl Pool {
    /// Slots are waited for no longer than `wait`.
    pub(super) fn new(wait: Duration) -> Self {
        Self { owned: Mutex::new(None), wait }
    }

    pub(super) fn slot(&self) -> Result<Lent, Failure> {
        match self.of_this_process() {
            Kept::Pool(pool) => pool.get().map(Lent::Pooled).map_err(|_| {
                Failure::Unsent(Error::unavailable(NAME, format!("all {MAX_SIZE} connections are in use")))
            }),
            Kept::List(back) => {
                let slot = back.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
                Ok(Lent::Own { slot, back })
            }
        }
    }

    fn of_this_process(&self) -> Kept {
        let here = getpid();
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((pid, kept)) = owned.as_ref()
            && *pid == here
        {
            return kept.clone();
        }
        forget(owned.take());
        let kept = if *FIRST.get_or_init(|| here) == here {
            Kept::Pool(self.pool())
        } else {
            Kept::List(Arc::default())
        };
        *owned = Some((here, kept.clone()));
        kept
    }

    fn pool(&self) -> r2d2::Pool<Slots> {
        r2d2::Pool::builder()
            .max_size(MAX_SIZE)
            .min_idle(Some(0))
            .test_on_check_out(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connection_timeout(self.wait)
            .error_handler(Box::new(NopErrorHandler))
            .thread_pool(Arc::new(ScheduledThreadPool::new(1)))
            .build_unchecked(Slots)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let owned = self.owned.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if owned.as_ref().is_some_and(|(pid, _)| *pid != getpid()) {
            forget(owned);
        }
    }
}

/// Leaves a pool of the parent process alone: its threads do not exist here, and closing its connections properly
/// would speak to the server in the parent's name.
fn forget(kept: Option<(Pid, Kept)>) {
    std::mem::forget(kept);
}
