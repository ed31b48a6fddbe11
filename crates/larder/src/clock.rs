//! The two clocks of the protocol: a node's own, for waits and leases, and a server's, for expiry.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Milliseconds since the Unix epoch on the clock of the backend's server.
pub type Millis = u64;

/// Time since this node booted, suspension included (`CLOCK_BOOTTIME`): never set back, never stopped by a
/// suspended machine, so a lease timed on it cannot seem younger than it is.
pub(crate) fn boottime() -> Duration {
    from_timespec(clock_gettime(ClockId::Boottime))
}

/// This node's wall clock.
pub(crate) fn wall_clock() -> Millis {
    let now = from_timespec(clock_gettime(ClockId::Realtime));
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// A clock that is cheap to read again and again.
///
/// Reading an exact clock makes the processor wait for all that it has begun, some 50 ns at each hit. The kernel's coarse
/// clock is a value in memory that changes at each timer tick, and at once when the machine was suspended. So the exact one
/// is read only when the coarse one has moved on.
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
