//! The two clocks of the protocol: a node's own, for waits and leases, and a server's, for expiry.

use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Milliseconds since the Unix epoch on the clock of the backend's server.
pub type Millis = u64;

/// Time since this node booted, suspension included (`CLOCK_BOOTTIME`): never set back, never
/// stopped by a suspended machine, so a lease timed on it cannot seem younger than it is.
pub(crate) fn boottime() -> Duration {
    from_timespec(clock_gettime(ClockId::Boottime))
}

/// [`boottime`] in nanoseconds.
pub(crate) fn boot_nanos() -> u64 {
    nanos(boottime())
}

/// In nanoseconds: one number, quick to add to and to compare, for times of less than some
/// centuries.
pub(crate) fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(time.subsec_nanos()))
}

thread_local! {
    /// See [`not_beyond`].
    static LIMIT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// What this thread asks of a server from now on has no more time than if it began at `time`, on
/// the boot clock: the end of a longer wait. Until the answer is dropped.
pub(crate) fn not_beyond(time: Duration) -> Limit {
    Limit { before: LIMIT.replace(nanos(time)) }
}

/// Puts the limit back that held before.
pub(crate) struct Limit {
    before: u64,
}

impl Drop for Limit {
    fn drop(&mut self) {
        LIMIT.set(self.before);
    }
}

/// See [`not_beyond`]; in nanoseconds.
pub(crate) fn limit() -> u64 {
    LIMIT.get()
}

/// This node's wall clock.
pub(crate) fn wall_clock() -> Millis {
    millis(from_timespec(clock_gettime(ClockId::Realtime)))
}

/// In milliseconds.
pub(crate) fn millis(time: Duration) -> Millis {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// [`boottime`] in milliseconds.
pub(crate) fn boot_millis() -> Millis {
    millis(boottime())
}

/// A clock that is cheap to read again and again.
///
/// Reading an exact clock makes the processor wait for all that it has begun, some 50 ns at each
/// hit. The kernel's coarse clock is a value in memory that changes at each timer tick, and at once
/// when the machine was suspended. So the exact one is read only when the coarse one has moved on.
#[derive(Default)]
pub(crate) struct TickClock {
    tick: Timespec,
    boottime: Duration,
}

/// Ticks come 100 to 1000 times a second, and somewhat late when a processor takes no interrupts.
const LONGEST_TICK: Duration = Duration::from_millis(20);

impl TickClock {
    /// A time between [`boottime`] and a tick after it.
    pub(crate) fn at_most(&mut self) -> Duration {
        let tick = clock_gettime(ClockId::RealtimeCoarse);
        if tick != self.tick {
            *self = Self { tick, boottime: boottime() };
        }
        self.boottime + LONGEST_TICK
    }
}

fn from_timespec(time: Timespec) -> Duration {
    // Both clocks are positive since 1970 and since boot.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
