//! The two clocks of the protocol: a node's own, for waits and leases, and a server's, for expiry.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

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

fn from_timespec(time: rustix::time::Timespec) -> Duration {
    // Both clocks are positive since 1970 and since boot.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
