//! The backend: what one handle has, and the contract.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use super::clock::ServerClock;
use super::door::Door;
use super::failure::Failure;
use super::keys::Keys;
use super::pool::{Lent, Pool};
use super::posts::Settlements;
use super::script::Script;
use super::settings::Settings;
use super::trips::Trips;
use crate::clock::{Millis, boottime, nanos};
use crate::contract::{
    Applied, Backend, CacheId, CacheUsage, Facts, Fetched, LockBackend, Op, Position, Read, Settled,
};
use crate::error::Result;

/// A backend on one Redis server.
///
/// A batch that only deletes and purges is sent a second time when its outcome is unknown; its
/// [`Outcome::Deleted`](crate::contract::Outcome::Deleted) may then say that an entry did not exist that the first one removed.
#[derive(Debug)]
pub struct Redis {
    pub(super) settings: Settings,
    pub(super) door: Arc<Door>,
    /// How long an operation may take in all, in nanoseconds.
    pub(super) whole: u64,
    pub(super) keys: Keys,
    pub(super) pool: Pool,
    pub(super) clock: ServerClock,
    pub(super) trips: Trips,
    pub(super) apply_script: Script,
    pub(super) fill_script: Script,
    pub(super) lock_script: Script,
    /// What became of fills that were posted.
    pub(super) settled: Settlements,
    /// Connections of those who wait for locks.
    pub(super) wake_pool: Pool,
    /// Whether the server has let this process in before.
    pub(super) admitted: AtomicBool,
    /// Whether it has taken a write of this process before.
    pub(super) wrote: AtomicBool,
}

impl Redis {
    /// A backend that will connect when it is first used.
    pub fn new(settings: Settings) -> Self {
        Self::through(Arc::new(Door::new(settings.clone())), settings)
    }

    /// One more on the same server.
    pub(super) fn through(door: Arc<Door>, settings: Settings) -> Self {
        Self {
            door,
            whole: nanos(settings.connect_timeout.saturating_add(settings.read_timeout)),
            keys: Keys::new(&settings.namespace),
            pool: Pool::new(settings.connect_timeout),
            clock: ServerClock::new(),
            trips: Trips::default(),
            apply_script: Script::new(concat!(
                include_str!("identity.lua"),
                include_str!("time.lua"),
                include_str!("log.lua"),
                include_str!("apply.lua")
            )),
            fill_script: Script::new(concat!(
                include_str!("identity.lua"),
                include_str!("log.lua"),
                include_str!("fill.lua")
            )),
            lock_script: Script::new(concat!(
                include_str!("identity.lua"),
                include_str!("time.lua"),
                include_str!("locks.lua")
            )),
            settled: Settlements::default(),
            wake_pool: Pool::new(settings.connect_timeout),
            admitted: AtomicBool::new(false),
            wrote: AtomicBool::new(false),
            settings,
        }
    }

    /// A slot for an operation that begins now. Whatever is done on it, the operation ends within
    /// connect and read timeout.
    pub(super) fn slot(&self) -> Result<Lent, Failure> {
        let began = boottime();
        let mut slot = self.pool.slot()?;
        slot.begin(began, self.whole);
        slot.drop_if_replaced();
        Ok(slot)
    }
}

impl Backend for Redis {
    fn fetch(&self, since: Option<Position>, reads: &[Read<'_>]) -> Result<Fetched> {
        let caches = reads.iter().map(|read| read.cache);
        self.read_entries(since, reads).map_err(|failure| self.blamed(failure, caches))
    }

    fn apply(&self, since: Option<Position>, ops: &[Op<'_>]) -> Result<Applied> {
        let caches = ops.iter().map(Op::cache);
        let applied = self.write_ops(since, ops).map_err(|failure| self.blamed(failure, caches))?;
        if !ops.is_empty() {
            self.wrote.store(true, Ordering::Relaxed);
        }
        Ok(applied)
    }

    fn post(&self, since: Option<Position>, fill: &Op<'_>) -> bool {
        self.send_fill(since, fill)
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
        self.list_keys(cache, prefix, visit).map_err(|failure| self.blamed(failure, [cache]))
    }

    fn usage(&self) -> Result<Vec<CacheUsage>> {
        self.count_entries().map_err(|failure| self.blamed(failure, []))
    }

    fn reset(&self) -> Result<()> {
        self.empty_all().map_err(|failure| self.blamed(failure, []))
    }

    fn now(&self) -> Millis {
        self.clock.now()
    }

    fn locks(&self) -> Option<&dyn LockBackend> {
        Some(self)
    }

    fn round_trips(&self) -> u64 {
        self.trips.round_trips()
    }

    fn bytes(&self) -> (u64, u64) {
        self.trips.bytes()
    }

    fn describe(&self) -> Result<Facts> {
        self.facts().map_err(|failure| self.blamed(failure, []))
    }
}
