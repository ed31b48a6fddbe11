//! Connections kept between requests, for each process its own.
//!
//! A pool hands out *slots* that connect when they are first used, on the thread that uses them. So
//! waiting for a server is bounded by the time-outs and its error is the caller's to see; a slot
//! whose connection broke is simply empty.
//!
//! One slot is kept here: a program that asks one question at a time, as PHP does, needs no other.
//! Only for those that ask several at once there is a pool of `r2d2`, which has a thread.

use std::convert::Infallible;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use r2d2::{ManageConnection, NopErrorHandler, PooledConnection};
use rustix::process::{Pid, getpid};
use scheduled_thread_pool::ScheduledThreadPool;

use super::connection::Link;
use super::failure::Failure;
use super::failure::NAME;
use crate::clock::{boot_millis, boottime};
use crate::error::{Blame, Error, Trouble};
use crate::threads::without_signals;

/// The most connections of a pool.
const MAX_SIZE: u32 = 16;
/// The most connections that a process keeps while they are not used, to all servers together.
const MAX_IDLE: usize = 32;
/// How long a process keeps a connection that is not used.
const KEPT: Duration = Duration::from_secs(60);
/// How often a process looks for those, in milliseconds.
const SWEEP: u64 = 10_000;

/// A place for a connection.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) link: Option<Link>,
    /// When the operation began that the slot is lent for.
    pub(super) began: Duration,
    /// When it must end, in nanoseconds on the boot clock.
    pub(super) until: u64,
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
    First { slot: Slot, home: Arc<Kept> },
    Listed { slot: Slot, home: Arc<Kept> },
}

impl Deref for Lent {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        match self {
            Self::Pooled(slot) => slot,
            Self::First { slot, .. } | Self::Listed { slot, .. } => slot,
        }
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Slot {
        match self {
            Self::Pooled(slot) => slot,
            Self::First { slot, .. } | Self::Listed { slot, .. } => slot,
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        match self {
            Self::Pooled(_) => {}
            Self::First { slot, home } => *lock(&home.first) = Some(std::mem::take(slot)),
            Self::Listed { slot, home } => lock(&home.list).push(std::mem::take(slot)),
        }
    }
}

/// The slots of one process.
#[derive(Debug)]
pub(super) struct Kept {
    /// `None` while it is lent.
    first: Mutex<Option<Slot>>,
    /// More, once they were needed.
    pool: OnceLock<r2d2::Pool<Slots>>,
    /// More, where there can be no pool: in the child of a process that has one. What the parent's
    /// thread waited on is still registered in the child's memory, where waking "it" may never end.
    list: Mutex<Vec<Slot>>,
}

impl Kept {
    fn new() -> Self {
        Self { first: Mutex::new(Some(Slot::default())), pool: OnceLock::new(), list: Mutex::default() }
    }

    /// Shows those that are not lent.
    fn each_idle(&self, visit: &mut dyn FnMut(&mut Slot)) {
        lock(&self.first).iter_mut().for_each(&mut *visit);
        lock(&self.list).iter_mut().for_each(&mut *visit);
        let pooled = self.pool.get().into_iter().flat_map(|pool| std::iter::from_fn(|| pool.try_get()));
        let mut pooled: Vec<_> = pooled.collect();
        for slot in &mut pooled {
            visit(slot);
        }
        // Who comes next gets the one that was used last.
        while pooled.pop().is_some() {}
    }
}

/// Empty until the process uses it. Locked only to look and to clone, never during I/O.
type Owned = Mutex<Option<(Pid, Arc<Kept>)>>;

/// The slots of the process that asks.
#[derive(Debug)]
pub(super) struct Pool {
    owned: Arc<Owned>,
    wait: Duration,
}

/// The process that made the first pool of `r2d2`. A forked child sees its parent's.
static FIRST: OnceLock<Pid> = OnceLock::new();
/// All pools that were used. Waited for by nobody: in a forked child another thread may seem to
/// hold it for ever.
static POOLS: Mutex<Vec<Weak<Owned>>> = Mutex::new(Vec::new());
/// When connections that are not used are next looked for.
static NEXT_SWEEP: AtomicU64 = AtomicU64::new(0);

impl Pool {
    /// Slots are waited for no longer than `wait`.
    pub(super) fn new(wait: Duration) -> Self {
        Self { owned: Arc::default(), wait }
    }

    pub(super) fn slot(&self) -> Result<Lent, Failure> {
        let home = self.of_this_process();
        let first = lock(&home.first).take();
        if let Some(slot) = first {
            return Ok(Lent::First { slot, home });
        }
        let here = getpid();
        if *FIRST.get_or_init(|| here) != here {
            let slot = lock(&home.list).pop().unwrap_or_default();
            return Ok(Lent::Listed { slot, home });
        }
        let pool = if let Some(pool) = home.pool.get() {
            pool
        } else {
            let made = self.pool()?;
            home.pool.get_or_init(|| made)
        };
        pool.get().map(Lent::Pooled).map_err(|_| {
            let error = Error::unavailable(NAME, format!("all {MAX_SIZE} connections are in use"));
            Failure::Unsent(error.about(Trouble::Process).blaming(Blame::Call))
        })
    }

    fn of_this_process(&self) -> Arc<Kept> {
        let here = getpid();
        let mut owned = lock(&self.owned);
        if let Some((pid, kept)) = owned.as_ref()
            && *pid == here
        {
            return Arc::clone(kept);
        }
        forget(owned.take());
        let kept = Arc::new(Kept::new());
        *owned = Some((here, Arc::clone(&kept)));
        drop(owned);
        if let Ok(mut pools) = POOLS.try_lock() {
            pools.retain(|pool| pool.strong_count() > 0 && pool.as_ptr() != Arc::as_ptr(&self.owned));
            pools.push(Arc::downgrade(&self.owned));
        }
        kept
    }

    fn pool(&self) -> Result<r2d2::Pool<Slots>, Failure> {
        let threads = without_signals(|| ScheduledThreadPool::new(1))
            .map_err(|error| Error::unavailable(NAME, format!("no thread: {error}")))
            .map_err(|error| Failure::Unsent(error.about(Trouble::Process).blaming(Blame::Process)))?;
        Ok(r2d2::Pool::builder()
            .max_size(MAX_SIZE - 1)
            .min_idle(Some(0))
            .test_on_check_out(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connection_timeout(self.wait)
            .error_handler(Box::new(NopErrorHandler))
            .thread_pool(Arc::new(threads))
            .build_unchecked(Slots))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let owned = lock(&self.owned).take();
        if owned.as_ref().is_some_and(|(pid, _)| *pid != getpid()) {
            forget(owned);
        }
    }
}

/// Leaves a pool of the parent process alone: its threads do not exist here, and closing its
/// connections properly would speak to the server in the parent's name.
fn forget(kept: Option<(Pid, Arc<Kept>)>) {
    std::mem::forget(kept);
}

/// Makes room for one more connection of this process: closes those that were not used for
/// [`KEPT`], and of the others the ones that were not used for the longest time, if there are too
/// many.
pub(super) fn make_room() {
    let now = boottime();
    let mut idle = Vec::new();
    each_idle(&mut |slot| idle.extend(slot.link.as_ref().map(|link| link.used)));
    idle.sort_unstable();
    let surplus = (idle.len() + 1).saturating_sub(MAX_IDLE).checked_sub(1).and_then(|last| idle.get(last));
    let last = surplus.copied().unwrap_or_default().max(now.saturating_sub(KEPT));
    if idle.first().is_some_and(|used| *used <= last) {
        each_idle(&mut |slot| {
            slot.link.take_if(|link| link.used <= last);
        });
    }
}

/// The same now and then, for processes that open no more connections.
pub(super) fn sweep() {
    let now = boot_millis();
    if NEXT_SWEEP.load(Ordering::Relaxed) <= now && NEXT_SWEEP.swap(now + SWEEP, Ordering::Relaxed) <= now {
        make_room();
    }
}

/// Shows all slots of this process that are not lent.
fn each_idle(visit: &mut dyn FnMut(&mut Slot)) {
    let here = getpid();
    let kept: Vec<Arc<Kept>> = {
        let Ok(pools) = POOLS.try_lock() else { return };
        let of_process = |pool: Arc<Owned>| {
            let owned = pool.try_lock().ok()?;
            owned.as_ref().filter(|(pid, _)| *pid == here).map(|(_, kept)| Arc::clone(kept))
        };
        pools.iter().filter_map(Weak::upgrade).filter_map(of_process).collect()
    };
    for kept in &kept {
        kept.each_idle(visit);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
