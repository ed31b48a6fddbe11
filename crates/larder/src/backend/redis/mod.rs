//! A backend on one Redis server (or one that speaks its protocol), over TCP, TLS or a Unix socket.
//!
//! `docs/redis.md` says how entries and log are laid out, which commands are used and how to set up the server.
//! Nothing happens before the first use; then connections are kept for the life of the process, and never shared with
//! a forked child.

mod blame;
mod clock;
mod describe;
mod door;
mod failure;
mod identity;
mod keys;
mod link;
mod locks;
mod log;
mod names;
mod pool;
mod posts;
mod read;
mod reply;
mod resp;
mod script;
mod settings;
mod stream;
mod survey;
mod tls;
mod wire;
mod write;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use self::clock::ServerClock;
use self::door::Door;
use self::failure::Failure;
use self::keys::Keys;
use self::pool::{Lent, Pool};
use self::posts::Settlements;
use self::script::Script;
pub use self::settings::Settings;
use super::{Applied, Backend, CacheId, CacheUsage, Fetched, Op, Position, Read, Settled};
use crate::clock::{Millis, boottime, nanos};
use crate::error::Result;
use crate::lock::LockBackend;

/// The name of this backend in errors.
const NAME: &str = "redis";
/// The longest that a connection waits to be woken: the server forgets who waits on a connection that it does not see die.
const LONGEST_DOZE: Duration = Duration::from_secs(1);

/// A backend on one Redis server.
///
/// A batch that only deletes and purges is sent a second time when its outcome is unknown; its
/// [`Outcome::Deleted`](super::Outcome::Deleted) may then say that an entry did not exist that the first one removed.
#[derive(Debug)]
pub struct Redis {
    settings: Settings,
    door: Arc<Door>,
    /// How long an operation may take in all, in nanoseconds.
    whole: u64,
    keys: Keys,
    pool: Pool,
    clock: ServerClock,
    trips: AtomicU64,
    apply_script: Script,
    fill_script: Script,
    lock_script: Script,
    /// What became of fills that were posted.
    settled: Settlements,
    /// Connections of those who wait for locks.
    bells: Pool,
    /// Whether the server has let this process in before.
    admitted: AtomicBool,
    /// Whether it has taken a write of this process before.
    wrote: AtomicBool,
}

impl Redis {
    /// A backend that will connect when it is first used.
    pub fn new(settings: Settings) -> Self {
        Self::through(Arc::default(), settings)
    }

    /// One more on the same server.
    fn through(door: Arc<Door>, settings: Settings) -> Self {
        Self {
            door,
            whole: nanos(settings.connect_timeout.saturating_add(settings.read_timeout)),
            keys: Keys::new(&settings.namespace),
            pool: Pool::new(settings.connect_timeout),
            clock: ServerClock::new(),
            trips: AtomicU64::new(0),
            apply_script: Script::new(include_str!("apply.lua")),
            fill_script: Script::new(include_str!("fill.lua")),
            lock_script: Script::new(include_str!("locks.lua")),
            settled: Settlements::default(),
            bells: Pool::new(settings.connect_timeout),
            admitted: AtomicBool::new(false),
            wrote: AtomicBool::new(false),
            settings,
        }
    }

    /// A slot for an operation that begins now. Whatever is done on it, the operation ends within connect and read timeout.
    fn slot(&self) -> Result<Lent, Failure> {
        let began = boottime();
        let mut slot = self.pool.slot()?;
        slot.begin(began, self.whole);
        Ok(slot)
    }
}

impl Backend for Redis {
    fn fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched> {
        let caches = reads.iter().map(|read| read.cache);
        self.fetch_with(since, reads).map_err(|failure| self.blamed(failure, caches))
    }

    fn apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied> {
        let caches = ops.iter().map(Op::cache);
        let applied = self.apply_with(since, ops).map_err(|failure| self.blamed(failure, caches))?;
        if !ops.is_empty() {
            self.wrote.store(true, Ordering::Relaxed);
        }
        Ok(applied)
    }

    fn post(&self, since: Option<Position>, fill: &Op<'_>) -> bool {
        self.post_with(since, fill)
    }

    fn settled(&self, at: Option<Position>, wait: bool) -> Vec<Settled> {
        if (wait || at.is_some())
            && let Ok(mut slot) = self.slot()
        {
            if wait { slot.await_posted(&self.trips) } else { slot.receive_posted() }
        }
        let answered = std::mem::take(&mut *self.settled.lock().unwrap_or_else(PoisonError::into_inner));
        let mut at = at;
        answered
            .into_iter()
            .map(|answered| {
                let settled = answered.told(at);
                at = settled.delta.as_ref().map_or(at, |delta| Some(delta.position));
                settled
            })
            .collect()
    }

    fn list(&self, cache: &CacheId, prefix: &[u8], visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.list_with(cache, prefix, visit).map_err(|failure| self.blamed(failure, [cache]))
    }

    fn usage(&self) -> Result<Vec<CacheUsage>> {
        self.usage_with().map_err(|failure| self.blamed(failure, []))
    }

    fn reset(&self) -> Result<()> {
        self.reset_with().map_err(|failure| self.blamed(failure, []))
    }

    fn now(&self) -> Millis {
        self.clock.now()
    }

    fn locks(&self) -> Option<&dyn LockBackend> {
        Some(self)
    }

    fn round_trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }

    fn describe(&self) -> Result<Vec<(String, String)>> {
        self.describe_with().map_err(|failure| self.blamed(failure, []))
    }
}

/// A random number from the operating system, so that forked processes draw different ones.
fn random() -> u128 {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // Linux has had the call since 3.17 and it cannot fail there. Should it fail elsewhere, the clock and the
        // process are still not drawn twice.
        let time = crate::clock::boottime().as_nanos();
        return (u128::from(rustix::process::getpid().as_raw_nonzero().get().unsigned_abs()) << 96) ^ time;
    }
    u128::from_be_bytes(bytes)
}
